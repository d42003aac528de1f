// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Blocks of the disk through a strip of the shared memory, past the cache.
//!
//! The journal, its replay and the look at the superblock go this way. Bytes are copied through the
//! strip, so that a run of blocks is one request to the disk.

use sel4_shared_memory::SharedMut;

use crate::disk::{Disk, DiskError};

/// The strip: a part of the memory shared with the disk.
#[derive(Clone, Copy, Debug)]
pub struct Strip {
    /// First byte.
    pub start: usize,
    /// Bytes.
    pub length: usize,
}

/// Blocks of the disk, copied in and out.
#[derive(Debug)]
pub struct RawBlocks<D> {
    disk: D,
    strip: Strip,
    block_size: usize,
    /// Bytes of the strip that writes under way may use.
    used: usize,
}

impl<D: Disk> RawBlocks<D> {
    /// Takes the disk. `block_size` can be set later.
    pub fn new(disk: D, strip: Strip) -> Self {
        Self {
            disk,
            strip,
            block_size: 1024,
            used: 0,
        }
    }

    /// Sets the size of a block, once it is known.
    pub fn set_block_size(&mut self, block_size: usize) {
        self.block_size = block_size;
    }

    /// The disk.
    pub fn disk(&mut self) -> &mut D {
        &mut self.disk
    }

    /// The memory shared with the disk.
    pub fn memory(&mut self) -> &mut SharedMut {
        self.disk.memory()
    }

    /// Waits until nothing is under way.
    pub fn wait(&mut self) -> Result<(), DiskError> {
        self.disk.wait()?;
        self.used = 0;
        Ok(())
    }

    /// Gives the disk back.
    pub fn into_disk(self) -> D {
        self.disk
    }

    /// Finds room for up to `wanted` bytes in the strip; returns where, and how many.
    fn reserve(&mut self, wanted: usize) -> Result<(usize, usize), DiskError> {
        if self.used + wanted.min(self.block_size) > self.strip.length {
            self.wait()?;
        }
        let room = (self.strip.length - self.used) / self.block_size * self.block_size;
        let length = wanted.min(room);
        let at = self.strip.start + self.used;
        Ok((at, length))
    }

    fn place(&self, block: u64, length: usize) -> Result<u64, DiskError> {
        let at = block
            .checked_mul(self.block_size as u64)
            .ok_or(DiskError::OutOfRange)?;
        match at.checked_add(length as u64) {
            Some(end) if end <= self.disk.bytes() => Ok(at),
            _ => Err(DiskError::OutOfRange),
        }
    }

    /// Reads a run of blocks into the strip and hands each to `take`.
    pub fn read_each(
        &mut self,
        block: u64,
        count: usize,
        take: &mut dyn FnMut(&mut SharedMut, usize, usize),
    ) -> Result<(), DiskError> {
        let mut done = 0;
        while done < count {
            let (memory, length) = self.reserve((count - done) * self.block_size)?;
            let at = self.place(block + done as u64, length)?;
            self.disk.read(at, memory, length)?;
            for index in 0..length / self.block_size {
                take(
                    self.disk.memory(),
                    done + index,
                    memory + index * self.block_size,
                );
            }
            done += length / self.block_size;
        }
        Ok(())
    }

    /// Reads a run of blocks to where they are to lie in memory.
    pub fn read_to(&mut self, block: u64, memory: usize, count: usize) -> Result<(), DiskError> {
        let length = count * self.block_size;
        let at = self.place(block, length)?;
        self.disk.read(at, memory, length)
    }

    /// Begins to write a run of blocks from where they lie in memory, which must not change until
    /// [`RawBlocks::wait`].
    pub fn write_from(&mut self, block: u64, memory: usize, count: usize) -> Result<(), DiskError> {
        let length = count * self.block_size;
        let at = self.place(block, length)?;
        self.disk.write(at, memory, length)
    }

    /// Writes a run of blocks, each of which `fill` puts into the strip.
    pub fn write_each(
        &mut self,
        block: u64,
        count: usize,
        fill: &mut dyn FnMut(&mut SharedMut, usize, usize),
    ) -> Result<(), DiskError> {
        let mut done = 0;
        while done < count {
            let (memory, length) = self.reserve((count - done) * self.block_size)?;
            let at = self.place(block + done as u64, length)?;
            for index in 0..length / self.block_size {
                fill(
                    self.disk.memory(),
                    done + index,
                    memory + index * self.block_size,
                );
            }
            self.disk.write(at, memory, length)?;
            self.used += length;
            done += length / self.block_size;
        }
        Ok(())
    }
}

impl<D: Disk> jbd2::BlockDevice for RawBlocks<D> {
    type Error = DiskError;

    fn block_size(&self) -> usize {
        self.block_size
    }

    fn read(&mut self, block: u64, bytes: &mut [u8]) -> Result<(), DiskError> {
        let size = self.block_size;
        self.read_each(block, bytes.len() / size, &mut |memory, index, at| {
            memory.read_bytes(at, &mut bytes[index * size..][..size]);
        })
    }

    fn write(&mut self, block: u64, bytes: &[u8]) -> Result<(), DiskError> {
        let size = self.block_size;
        self.write_each(block, bytes.len() / size, &mut |memory, index, at| {
            memory.write_bytes(at, &bytes[index * size..][..size]);
        })
    }

    fn barrier(&mut self) -> Result<(), DiskError> {
        self.disk.barrier()
    }

    fn flush(&mut self) -> Result<(), DiskError> {
        self.disk.flush()?;
        self.used = 0;
        Ok(())
    }
}
