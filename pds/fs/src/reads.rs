// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Reads of files: from the cache to the client in one copy, past `rsext4` where the file's map allows it.

use alloc::vec;

use proto::fs::direct::Lease;
use proto::fs::{CompletionWire, Errno, Handle};
use sel4_shared_memory::SharedMut;

use crate::disk::Disk;
use crate::file_map::FileMap;
use crate::request::{Output, Request};
use crate::store::StoreError;
use crate::volume::{Volume, store_errno};

/// Blocks that are read at once, ahead, when a file is read from its beginning to its end.
const AHEAD_BLOCKS: u64 = 64;

/// What was read by the map of its file.
#[derive(Clone, Copy)]
struct ByMap {
    bytes: usize,
    /// Slot of the last block, where that is in memory.
    last: Option<u32>,
    /// How many blocks of the file are in the slots behind it.
    behind: usize,
}

impl<D: Disk> Volume<D> {
    /// Reads from a file.
    ///
    /// # Errors
    ///
    /// As POSIX.
    pub(crate) fn run_read(
        &mut self,
        handle: &Handle,
        offset: u64,
        output: Output,
        to: &mut SharedMut,
    ) -> Result<CompletionWire, Errno> {
        let by_map = self.read_by_map(handle, offset, output, to)?;
        let read = match by_map {
            Some(done) => done.bytes,
            None => self.read_by_ext4(handle, offset, output, to)?,
        };
        let mut completion = CompletionWire {
            value: (read as u64).into(),
            ..CompletionWire::default()
        };
        if let Some(done) = by_map
            && let Some(lease) = self.lease(handle.inode.get(), offset, &done)
        {
            lease.add_to(&mut completion);
        }
        Ok(completion)
    }

    /// Where a client that has the cache mapped finds what it has just read, if that is in one block, and
    /// which of those behind it are the file's.
    fn lease(&mut self, inode: u32, offset: u64, done: &ByMap) -> Option<Lease> {
        let size = self.superblock.block_size as u64;
        if done.bytes == 0 || offset % size + done.bytes as u64 > size {
            return None;
        }
        let mut lease = self.store.borrow().lease(done.last?)?;
        if done.behind != 0 {
            let map = self.maps.get(inode)?;
            let whole = (map.size / size).saturating_sub(offset / size + 1);
            lease.follow = u64::min(whole, done.behind as u64) as u32;
        }
        Some(lease)
    }

    fn read_by_ext4(
        &mut self,
        handle: &Handle,
        offset: u64,
        output: Output,
        to: &mut SharedMut,
    ) -> Result<usize, Errno> {
        self.refresh()?;
        let info = self.regular(handle)?;
        if self.patched.has_any(info.number.raw()) {
            self.remount()?;
        }
        let left = info.size.saturating_sub(offset);
        let length = usize::try_from(left).unwrap_or(usize::MAX);
        let mut bytes = vec![0; output.length.min(length)];
        if bytes.is_empty() {
            return Ok(0);
        }
        let read = self.read(info.number.raw(), offset, &mut bytes)?;
        to.write_bytes(output.offset, &bytes[..read]);
        Ok(read)
    }

    /// `None` when this file has no map.
    fn read_by_map(
        &mut self,
        handle: &Handle,
        offset: u64,
        output: Output,
        to: &mut SharedMut,
    ) -> Result<Option<ByMap>, Errno> {
        let inode = self.check_handle(handle)?;
        if self.maps.get(inode).is_none() && !self.make_map(inode)? {
            return Ok(None);
        }
        let map = self.maps.get(inode).expect("it was just made");
        if map.generation != handle.generation.get() {
            return Err(Errno::Stale);
        }
        let left = usize::try_from(map.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let length = output.length.min(left);
        let is_next = [map.next, map.ahead].contains(&offset);
        let ahead = if is_next { AHEAD_BLOCKS } else { 0 };
        let (mut behind, mut last) = (0, None);
        let mut store = self.store.borrow_mut();
        let size = store.block_size();
        let mut done = 0;
        while done < length {
            let at = offset + done as u64;
            let (skip, block) = ((at % size as u64) as usize, at / size as u64);
            let part = (length - done).min(size - skip);
            let place = output.offset + done;
            match map.find(block) {
                (Some(physical), follow) => {
                    let wanted = ((length - done + skip).div_ceil(size) as u64).max(ahead);
                    let run = follow.min(wanted) as usize;
                    let copied = store.copy_block(physical, run, skip, (to, place, part));
                    let copied = copied.map_err(store_errno)?;
                    last = copied.slot;
                    let mut found = copied.behind;
                    if found.is_none() && map.ahead == offset && part == length {
                        found = Some(store.behind(physical, follow.min(AHEAD_BLOCKS)));
                    }
                    if let Some(found) = found {
                        behind = found;
                        let end = (block + 1 + found as u64) * size as u64;
                        map.ahead = if end < map.size { end } else { 0 };
                    }
                }
                (None, _) => {
                    last = None;
                    to.fill(place, part, 0);
                }
            }
            done += part;
        }
        map.next = offset + length as u64;
        Ok(Some(ByMap {
            bytes: length,
            last,
            behind,
        }))
    }

    /// Makes the map of a file; false when it cannot have one.
    pub(crate) fn make_map(&mut self, inode: u32) -> Result<bool, Errno> {
        let mut store = self.store.borrow_mut();
        let read = &mut |block: u64, to: &mut [u8]| store.read(block, to);
        let found: Result<_, StoreError> = (|| {
            let Some(inode) = self.superblock.inode(inode, read)? else {
                return Ok(None);
            };
            FileMap::read(&self.superblock, &inode, read)
        })();
        let Some(map) = found.map_err(store_errno)? else {
            return Ok(false);
        };
        self.maps.insert(inode, map);
        Ok(true)
    }

    /// Forgets the maps of what the request may change, and has clients forget what they know.
    pub(crate) fn forget_maps(&mut self, request: &Request) {
        match request {
            Request::Write {
                handle,
                offset,
                data,
            } => {
                let inode = handle.inode.get();
                let size = self.superblock.block_size;
                let in_place = (self.maps.get(inode))
                    .is_some_and(|map| map.is_in_place(*offset, data.length, size));
                if !in_place {
                    self.store.borrow_mut().count_change(Some(inode));
                }
            }
            Request::Append { handle, .. } => {
                let inode = handle.inode.get();
                self.store.borrow_mut().count_change(Some(inode));
            }
            Request::Truncate { handle, .. } => {
                let inode = handle.inode.get();
                self.maps.forget(inode);
                self.store.borrow_mut().count_change(Some(inode));
            }
            _ => {
                self.maps.forget_all();
                self.store.borrow_mut().count_change(None);
            }
        }
    }
}
