// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Writes of files: what changes neither size nor blocks goes straight to the store, past `rsext4`.
//!
//! Such a write does not change the inode, but for the time of its last change. That is kept to the second:
//! the first write in each second sets it (`crate::append`, which also lets files grow).
//!
//! `rsext4` may keep its own copy of a block of which it has written a part. So we note the blocks that were
//! written past it ([`Patched`]), and before it writes a part of one of them it is mounted anew.

use alloc::collections::{BTreeMap, BTreeSet};

use proto::fs::{CompletionWire, Errno, Handle};

use crate::append::Contents;
use crate::disk::Disk;
use crate::operations::Failure;
use crate::source::Source;
use crate::volume::{Volume, store_errno};

impl<D: Disk> Volume<D> {
    /// Writes to a file, at its end where there is no `offset`.
    pub(crate) fn run_write(
        &mut self,
        handle: &Handle,
        offset: Option<u64>,
        data: Source<'_>,
    ) -> Result<CompletionWire, Failure> {
        if let Some(end) = self.write_past_ext4(handle, offset, data)? {
            return Ok(written(data.len(), end));
        }
        self.refresh().map_err(Failure::Broken)?;
        self.maps.forget(handle.inode.get());
        let info = self.regular(handle)?;
        let offset = offset.unwrap_or(info.size);
        let end = offset
            .checked_add(data.len() as u64)
            .ok_or(Errno::FileTooLarge)?;
        if end > self.file_bytes_max() {
            return Err(Errno::FileTooLarge.into());
        }
        let inode = info.number.raw();
        if !data.is_empty() {
            self.settle(inode, &[offset, end, info.size])?;
            self.write(inode, offset, &data.to_vec())
                .map_err(Failure::Broken)?;
            let seconds = self.clock().seconds() as u32;
            let size = self.superblock.block_size;
            match self.maps.get(inode) {
                Some(map) if map.is_in_place(offset, data.len(), size) => map.mtime = seconds,
                // Also one that was made a moment ago, to see what can be done.
                _ => self.maps.forget(inode),
            }
        }
        Ok(written(data.len(), end))
    }

    /// Writes what can be written so, and says where that ended; `None` when `rsext4` is needed. Nothing was
    /// changed then.
    fn write_past_ext4(
        &mut self,
        handle: &Handle,
        offset: Option<u64>,
        data: Source<'_>,
    ) -> Result<Option<u64>, Failure> {
        let inode = self.check_handle(handle)?;
        if data.is_empty() || (self.maps.get(inode).is_none() && !self.make_map(inode)?) {
            return Ok(None);
        }
        let map = self.maps.get(inode).expect("it was just made");
        if map.generation != handle.generation.get() {
            return Ok(None);
        }
        let offset = offset.unwrap_or(map.size);
        let end = offset.checked_add(data.len() as u64);
        let Some(end) = end.filter(|end| *end <= self.file_bytes_max()) else {
            return Ok(None);
        };
        let written = self.write_in_place(inode, offset, data)?
            || self.grow(inode, offset, Contents::Bytes(data))?;
        Ok(written.then_some(end))
    }

    /// False when the write changes more than contents. Nothing was changed then.
    fn write_in_place(
        &mut self,
        inode: u32,
        offset: u64,
        data: Source<'_>,
    ) -> Result<bool, Failure> {
        let seconds = self.clock().seconds() as u32;
        let size = self.superblock.block_size;
        let map = self.maps.get(inode).expect("the caller has seen it");
        if map.mtime != seconds || !map.is_in_place(offset, data.len(), size) {
            return Ok(false);
        }
        let mut store = self.store.borrow_mut();
        let patched = self.patched.of(inode);
        let mut done = 0;
        while done < data.len() {
            let at = offset + done as u64;
            let (skip, block) = ((at % size as u64) as usize, at / size as u64);
            let part = (data.len() - done).min(size - skip);
            let (physical, _) = map.find(block);
            patched.insert(block);
            let physical = physical.ok_or(Failure::Broken(Errno::Io))?;
            let written = store.patch_block(physical, skip, data.part(done, part));
            written.map_err(|error| Failure::Broken(store_errno(error)))?;
            done += part;
        }
        self.past_ext4 = true;
        Ok(true)
    }
}

impl<D: Disk> Volume<D> {
    /// Before `rsext4` changes a file at these ends: it must know of what was written past it.
    pub(crate) fn settle(&mut self, inode: u32, ends: &[u64]) -> Result<(), Failure> {
        let size = self.superblock.block_size as u64;
        let partial = |end: &&u64| !end.is_multiple_of(size);
        let mut blocks = ends.iter().filter(partial).map(|end| end / size);
        if blocks.any(|block| self.patched.has(inode, block)) || self.patched.is_full() {
            self.remount().map_err(Failure::Broken)?;
        }
        Ok(())
    }
}

/// Blocks, counted in their files, that were written past `rsext4` since it was mounted.
#[derive(Debug, Default)]
pub(crate) struct Patched {
    files: BTreeMap<u32, BTreeSet<u64>>,
}

/// Files of which blocks are noted, at most.
const FILES_MAX: usize = 256;

impl Patched {
    fn of(&mut self, inode: u32) -> &mut BTreeSet<u64> {
        self.files.entry(inode).or_default()
    }

    fn has(&self, inode: u32, block: u64) -> bool {
        self.files
            .get(&inode)
            .is_some_and(|blocks| blocks.contains(&block))
    }

    /// Whether anything of a file was written so.
    pub(crate) fn has_any(&self, inode: u32) -> bool {
        self.files.contains_key(&inode)
    }

    /// Whether there is more to note than is good.
    fn is_full(&self) -> bool {
        self.files.len() > FILES_MAX
    }

    pub(crate) fn clear(&mut self) {
        self.files.clear();
    }
}

/// The answer to a write.
pub(crate) fn written(length: usize, end: u64) -> CompletionWire {
    CompletionWire {
        value: (length as u64).into(),
        extra: end.into(),
        ..CompletionWire::default()
    }
}
