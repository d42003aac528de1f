// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The store as `rsext4` sees it: a device whose sectors are blocks, without a journal.

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;

use rsext4::{
    BlockIo, DeviceCapabilities, DeviceGeometry, Ext4Error, Ext4Result, SectorId, WriteFlags,
};

use crate::disk::Disk;
use crate::layout::{SUPERBLOCK_BYTES, Superblock, mask, unmask};
use crate::store::{Store, StoreError};

/// `rsext4`'s device. Flushes do nothing: what is durable, and when, is the store's affair.
#[derive(Debug)]
pub struct StoreIo<D: Disk> {
    store: Rc<RefCell<Store<D>>>,
    superblock: Superblock,
}

impl<D: Disk> StoreIo<D> {
    /// Makes the device.
    pub fn new(store: Rc<RefCell<Store<D>>>, superblock: Superblock) -> Self {
        Self { store, superblock }
    }

    /// Bytes of the superblock inside of a buffer that holds `count` blocks from `block` on.
    fn superblock_in(&self, block: u64, count: u32) -> Option<core::ops::Range<usize>> {
        let (its_block, its_byte) = self.superblock.place();
        let index = its_block
            .checked_sub(block)
            .filter(|index| *index < u64::from(count))?;
        let start = index as usize * self.superblock.block_size + its_byte;
        Some(start..start + SUPERBLOCK_BYTES)
    }
}

fn refused(error: StoreError) -> Ext4Error {
    match error {
        StoreError::TooLarge => Ext4Error::file_too_large(),
        StoreError::Forbidden => Ext4Error::corrupted().with_operation("store:forbidden_block"),
        StoreError::Disk(_) | StoreError::Failed => Ext4Error::io(),
    }
}

impl<D: Disk> BlockIo for StoreIo<D> {
    fn write(&mut self, buffer: &[u8], sector: SectorId, count: u32) -> Ext4Result<()> {
        let mut store = self.store.borrow_mut();
        let block = sector.raw();
        let bytes = &buffer[..count as usize * self.superblock.block_size];
        store.note_freed(block, bytes).map_err(refused)?;
        match self.superblock_in(block, count) {
            Some(range) => {
                let mut copy = Vec::from(bytes);
                unmask(&mut copy[range]);
                store.write(block, &copy).map_err(refused)
            }
            None => store.write(block, bytes).map_err(refused),
        }
    }

    fn read(&mut self, buffer: &mut [u8], sector: SectorId, count: u32) -> Ext4Result<()> {
        let bytes = &mut buffer[..count as usize * self.superblock.block_size];
        self.store
            .borrow_mut()
            .read(sector.raw(), bytes)
            .map_err(refused)?;
        if let Some(range) = self.superblock_in(sector.raw(), count) {
            mask(&mut bytes[range]);
        }
        Ok(())
    }

    fn write_with_flags(
        &mut self,
        buffer: &[u8],
        sector: SectorId,
        count: u32,
        _flags: WriteFlags,
    ) -> Ext4Result<()> {
        self.write(buffer, sector, count)
    }

    fn geometry(&self) -> DeviceGeometry {
        DeviceGeometry::new(self.superblock.block_size as u32, self.superblock.blocks)
    }

    fn capabilities(&self) -> DeviceCapabilities {
        DeviceCapabilities {
            flush: true,
            fua: true,
            ..DeviceCapabilities::default()
        }
    }

    fn flush(&mut self) -> Ext4Result<()> {
        Ok(())
    }
}
