// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Writes that make a file longer or set its time, past `rsext4`: blocks for the whole range at once, each
//! structure changed once (`crate::growth`).
//!
//! `rsext4` does not see this, and everything that it has read is old afterwards: [`Volume::refresh`]
//! mounts it anew before it is asked for anything else. The other way round nothing is needed, because
//! every operation ends with `rsext4` writing what it has.

use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::RefCell;

use proto::fs::Errno;
use rsext4::{Clock, Ext4ErrorKind};

use crate::disk::Disk;
use crate::file_map::{FileMap, Run};
use crate::growth::{Extents, Group, Leaf, Shape, grow_inode, last_leaf, seal_block};
use crate::layout::{SUPERBLOCK_BYTES, Superblock, seal};
use crate::mount::MountError;
use crate::operations::Failure;
use crate::source::Source;
use crate::store::{Store, StoreError};
use crate::sums::{Places, Written, bitmap_block, is_descriptor, is_inode, seals_bitmap};
use crate::volume::{Volume, store_errno};

/// Free blocks that a file wants behind it when it begins at a new place, so that it can go on there.
const SPARE_BLOCKS: u64 = 64;
/// So many new blocks are worth a request of their own to the disk; fewer go through the journal.
pub(crate) const FRESH_BLOCKS_MIN: u64 = 4;
/// Blocks that are left to a file before the next one begins at a new place.
const GAP_BLOCKS: u64 = 256;

/// Where new blocks come from.
#[derive(Debug)]
pub(crate) struct Growth {
    pub(crate) shape: Option<Shape>,
    places: Places,
    /// Where a file that cannot go on where it ends looks for room.
    cursor: u64,
    /// Files that were changed so that `rsext4` has not seen it; with them, what it knows of free blocks.
    pub(crate) unseen: BTreeSet<u32>,
    /// Blocks that were taken past `rsext4` since it was mounted.
    pub(crate) taken: u64,
    /// Groups whose bitmaps we have written last: their checksums are right.
    pub(crate) known: BTreeSet<u64>,
}

impl Growth {
    /// Looks at the superblock.
    pub(crate) fn read<D: Disk>(
        store: &RefCell<Store<D>>,
        superblock: &Superblock,
    ) -> Result<Self, MountError> {
        let (block, at) = superblock.place();
        let mut bytes = [0; SUPERBLOCK_BYTES];
        let read = store.borrow_mut().read_part(block, at, &mut bytes);
        read.map_err(mount_error)?;
        let shape = Shape::parse(&bytes);
        let mut places = Places::default();
        if let Some(shape) = &shape {
            let mut store = store.borrow_mut();
            places =
                Places::read(shape, &mut |block, to| store.read(block, to)).map_err(mount_error)?;
            store.watch_bitmaps(places.block_bitmaps());
        }
        Ok(Self {
            shape,
            places,
            cursor: 0,
            unseen: BTreeSet::new(),
            taken: 0,
            known: BTreeSet::new(),
        })
    }
}

fn mount_error(error: StoreError) -> MountError {
    match error {
        StoreError::Disk(error) => MountError::Disk(error),
        _ => MountError::Refused(Ext4ErrorKind::Io),
    }
}

/// What a file grows by.
#[derive(Clone, Copy)]
pub(crate) enum Contents<'a> {
    /// Bytes that are to be copied.
    Bytes(Source<'a>),
    /// Whole blocks that are in these slots.
    Slots(&'a [u32]),
}

/// What is to be written besides the data.
struct Plan {
    inode_place: (u64, usize),
    inode: Vec<u8>,
    leaf: Option<(u64, Vec<u8>)>,
    groups: Vec<Group>,
    runs: Vec<Run>,
    cursor: u64,
    size: u64,
    /// Second of the change.
    seconds: u32,
}

impl<D: Disk> Volume<D> {
    /// Before a commit: what we know of the file system must be what its superblock says. If it is damaged,
    /// the next thing would be the file system itself (campaign on seL4 release at a5e7c4a, seed 1,
    /// trial 3369).
    pub(crate) fn assert_superblock(&self) -> Result<(), StoreError> {
        let mut store = self.store.borrow_mut();
        let (block, at) = self.superblock.place();
        let mut bytes = [0; SUPERBLOCK_BYTES];
        store.read_part(block, at, &mut bytes)?;
        let shape = self.growth.shape;
        assert!(
            Superblock::parse(&bytes, u64::MAX) == Ok(self.superblock)
                && (shape.is_none() || shape == Shape::parse(&bytes))
                && store.block_size() == self.superblock.block_size,
            "the superblock is damaged"
        );
        Ok(())
    }

    /// Whether what `rsext4` has written in the running operation has the right checksums.
    pub(crate) fn assert_sums(&self) -> Result<(), StoreError> {
        let Some(shape) = &self.growth.shape else {
            return Ok(());
        };
        let blocks = self.store.borrow().staged_blocks();
        let mut written = Written {
            blocks: &blocks,
            now: &mut |block, to| self.store.borrow_mut().read(block, to),
            before: &mut |block, to| self.store.borrow_mut().read_before(block, to),
            superblock: &self.superblock,
        };
        let wrong = self.growth.places.find_wrong(shape, &mut written)?;
        assert!(wrong.is_none(), "block {wrong:?} has a wrong checksum");
        Ok(())
    }

    /// Lets `rsext4` see what was changed past it, before it is asked.
    pub(crate) fn refresh(&mut self) -> Result<(), Errno> {
        if !self.growth.unseen.is_empty() {
            self.remount()?;
        }
        Ok(())
    }

    /// The same, before it is only asked about one file.
    pub(crate) fn refresh_file(&mut self, inode: u32) -> Result<bool, Errno> {
        let old = self.growth.unseen.contains(&inode);
        if old {
            self.remount()?;
        }
        Ok(old)
    }

    /// Writes inside of a file or from there beyond its end, and sets its time. False when `rsext4` is
    /// needed; nothing was changed then.
    ///
    /// The file has a map, and it is the right file.
    pub(crate) fn grow(
        &mut self,
        inode: u32,
        offset: u64,
        contents: Contents<'_>,
    ) -> Result<bool, Failure> {
        let Some(shape) = self.growth.shape else {
            return Ok(false);
        };
        let size = self.superblock.block_size as u64;
        let Some(map) = self.maps.get(inode) else {
            return Ok(false);
        };
        let length = match contents {
            Contents::Bytes(data) => data.len() as u64,
            Contents::Slots(slots) => slots.len() as u64 * size,
        };
        let end = offset + length;
        let old = map.size;
        if offset > old {
            return Ok(false);
        }
        let (first, used) = (offset / size, old.div_ceil(size));
        let inside = first * size..used.min(end.div_ceil(size)) * size;
        let overwritten = inside.end.saturating_sub(inside.start) as usize;
        if !map.has_blocks(inside.start, overwritten, size as usize) {
            return Ok(false);
        }
        let plan = self.plan(&shape, inode, used, end.max(old))?;
        let Some(plan) = plan else {
            return Ok(false);
        };
        self.carry_out(&shape, inode, plan, offset, contents)
            .map_err(|error| Failure::Broken(store_errno(error)))?;
        self.growth.unseen.insert(inode);
        self.past_ext4 = true;
        Ok(true)
    }

    /// Finds room for the blocks from `used` on, and changes copies of what says so.
    fn plan(
        &mut self,
        shape: &Shape,
        number: u32,
        used: u64,
        size: u64,
    ) -> Result<Option<Plan>, Errno> {
        let added = size.div_ceil(self.superblock.block_size as u64) - used;
        let Some((inode_place, inode)) = self.read_inode_bytes(shape, number)? else {
            return Ok(None);
        };
        let now = self.clock.now().map_err(crate::volume::errno)?;
        let mut plan = Plan {
            inode_place,
            inode,
            leaf: None,
            groups: Vec::new(),
            runs: Vec::new(),
            cursor: self.growth.cursor,
            size,
            seconds: now.sec as u32,
        };
        if added != 0 && !self.add_blocks(shape, number, used, added, &mut plan)? {
            return Ok(None);
        }
        let grown = grow_inode(shape, number, &mut plan.inode, size, added, now);
        Ok(grown.then_some(plan))
    }

    fn read_part(&self, block: u64, at: usize, length: usize) -> Result<Vec<u8>, Errno> {
        let mut bytes = vec![0; length];
        let mut store = self.store.borrow_mut();
        store
            .read_part(block, at, &mut bytes)
            .map_err(store_errno)?;
        Ok(bytes)
    }

    #[expect(
        clippy::type_complexity,
        reason = "block and byte, and the bytes there"
    )]
    fn read_inode_bytes(
        &self,
        shape: &Shape,
        number: u32,
    ) -> Result<Option<((u64, usize), Vec<u8>)>, Errno> {
        let place = {
            let mut store = self.store.borrow_mut();
            let read = &mut |block: u64, to: &mut [u8]| store.read(block, to);
            self.superblock
                .inode_place(number, read)
                .map_err(store_errno)?
        };
        let Some((block, at)) = place else {
            return Ok(None);
        };
        let bytes = self.read_part(block, at, shape.inode_size())?;
        Ok(Some(((block, at), bytes)))
    }

    /// Takes `added` blocks for the end of a file of `used` blocks.
    fn add_blocks(
        &mut self,
        shape: &Shape,
        number: u32,
        used: u64,
        added: u64,
        plan: &mut Plan,
    ) -> Result<bool, Errno> {
        let leaf = last_leaf(shape, &plan.inode);
        if let Some(Leaf::Block(block)) = leaf {
            plan.leaf = Some((block, self.read_part(block, 0, self.superblock.block_size)?));
        }
        let inode = plan.inode.clone();
        let extents = match (&leaf, &mut plan.leaf) {
            (Some(Leaf::Inode), _) => Extents::in_inode(&mut plan.inode),
            (Some(Leaf::Block(_)), Some((_, bytes))) => {
                Extents::in_block(shape, number, &inode, bytes)
            }
            _ => None,
        };
        let Some(mut extents) = extents else {
            return Ok(false);
        };
        let mut goal = match extents.end() {
            Some((logical, next)) if logical == used => next,
            _ => return Ok(false),
        };
        if used == 0 {
            goal = plan.cursor.max(shape.home_of(number));
        }
        let mut left = added;
        while left != 0 {
            let Some((start, count)) = self.take(shape, goal, left, &mut plan.groups)? else {
                return Ok(false);
            };
            if !extents.push(start, count) {
                return Ok(false);
            }
            if start != goal || used == 0 {
                plan.cursor = start + count + GAP_BLOCKS;
            }
            plan.runs.push(Run {
                logical: used + added - left,
                physical: start,
                length: count,
            });
            left -= count;
            goal = start + count;
        }
        if let Some((_, bytes)) = &mut plan.leaf {
            seal_block(shape, number, &inode, bytes);
        }
        Ok(true)
    }

    /// Takes up to `wanted` blocks, from `goal` on if they are free, else as near behind as there are some.
    fn take(
        &self,
        shape: &Shape,
        goal: u64,
        wanted: u64,
        groups: &mut Vec<Group>,
    ) -> Result<Option<(u64, u64)>, Errno> {
        let (first, within) = shape.group_of(goal);
        let count = shape.groups();
        for step in 0..count {
            let number = (first + step) % count;
            let within = if step == 0 { within } else { 0 };
            let known = groups.iter().position(|group| group.number() == number);
            let index = match known {
                Some(index) => index,
                None => {
                    let Some(group) = self.read_group(shape, number)? else {
                        continue;
                    };
                    groups.push(group);
                    groups.len() - 1
                }
            };
            if let Some(taken) = groups[index].take(shape, within, wanted, SPARE_BLOCKS) {
                return Ok(Some(taken));
            }
        }
        Ok(None)
    }

    fn read_group(&self, shape: &Shape, number: u64) -> Result<Option<Group>, Errno> {
        let (block, at, length) = shape.descriptor_place(number);
        let descriptor = self.read_part(block, at, length)?;
        let Some(bitmap) = Group::bitmap_block(shape, &descriptor) else {
            return Ok(None);
        };
        let bitmap = self.read_part(bitmap, 0, self.superblock.block_size)?;
        let known = self.growth.known.contains(&number);
        Ok(Group::new(shape, number, descriptor, bitmap, known))
    }

    /// Writes the data and everything that was planned.
    fn carry_out(
        &mut self,
        shape: &Shape,
        number: u32,
        mut plan: Plan,
        offset: u64,
        contents: Contents<'_>,
    ) -> Result<(), StoreError> {
        let map = self.maps.get(number).expect("it was looked at");
        map.grow(plan.size, &plan.runs, plan.seconds);
        let mut store = self.store.borrow_mut();
        match contents {
            Contents::Bytes(data) => write_data(&mut store, map, &plan.runs, offset, data)?,
            Contents::Slots(slots) => write_slots(&mut store, &plan.runs, slots)?,
        }
        let taken: u64 = plan.runs.iter().map(|run| run.length).sum();
        for group in &mut plan.groups {
            let group_number = group.number();
            let (place, at, _) = shape.descriptor_place(group_number);
            let (descriptor, bitmap) = group.seal(shape);
            assert!(
                is_descriptor(shape, group_number, descriptor)
                    && seals_bitmap(shape, descriptor, bitmap),
                "group {group_number} has a wrong checksum"
            );
            store.write(bitmap_block(descriptor), bitmap)?;
            store.patch_block(place, at, descriptor)?;
            self.growth.known.insert(group_number);
        }
        if taken != 0 {
            let (block, at) = self.superblock.place();
            let mut bytes = [0; SUPERBLOCK_BYTES];
            store.read_part(block, at, &mut bytes)?;
            shape.take_from_superblock(&mut bytes, taken);
            seal(&mut bytes);
            store.patch_block(block, at, &bytes)?;
        }
        if let Some((block, bytes)) = &plan.leaf {
            store.write(*block, bytes)?;
        }
        let (block, at) = plan.inode_place;
        assert!(
            is_inode(shape, number, &plan.inode),
            "inode {number} has a wrong checksum"
        );
        store.patch_block(block, at, &plan.inode)?;
        self.growth.taken += taken;
        self.growth.cursor = plan.cursor;
        Ok(())
    }
}

/// Makes what is in slots the contents of blocks that are all new.
fn write_slots<D: Disk>(
    store: &mut Store<D>,
    runs: &[Run],
    slots: &[u32],
) -> Result<(), StoreError> {
    let mut slots = slots.iter();
    for run in runs {
        let blocks = run.physical..run.physical + run.length;
        for (block, slot) in blocks.zip(&mut slots) {
            store.write_deferred(block, *slot)?;
        }
    }
    assert!(slots.len() == 0, "not all that was acknowledged is written");
    Ok(())
}

/// Writes to blocks of which `runs` are new.
fn write_data<D: Disk>(
    store: &mut Store<D>,
    map: &FileMap,
    runs: &[Run],
    offset: u64,
    data: Source<'_>,
) -> Result<(), StoreError> {
    let size = store.block_size();
    let added: u64 = runs.iter().map(|run| run.length).sum();
    let mut done = 0;
    while done < data.len() {
        let at = offset + done as u64;
        let (skip, block) = ((at % size as u64) as usize, at / size as u64);
        let (physical, follow) = map.find(block);
        let physical = physical.ok_or(StoreError::Forbidden)?;
        let left = data.len() - done;
        let whole = left.min(follow as usize * size) / size * size;
        let is_new = runs.first().is_some_and(|run| block >= run.logical);
        let is_whole = skip == 0 && whole != 0;
        let part = if is_whole {
            whole
        } else {
            left.min(size - skip)
        };
        let bytes = data.part(done, part);
        match (is_new, is_whole) {
            (true, true) if added >= FRESH_BLOCKS_MIN => store.write_fresh(physical, bytes)?,
            (_, true) => store.write(physical, bytes)?,
            (true, false) => {
                // What is behind the end of a file is zero.
                let mut bytes = bytes.to_vec();
                bytes.resize(size, 0);
                store.write(physical, &bytes)?;
            }
            (false, false) => store.patch_block(physical, skip, bytes)?,
        }
        done += part;
    }
    Ok(())
}
