// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Checksums of ext4's structures, computed a second time before they are committed. A wrong one makes what
//! it protects unusable for ever: with one of a bitmap, no life mounts the file system (campaign on seL4
//! release at f4af645, seed 3, trial 2628).
//!
//! That is group descriptors, bitmaps and inodes, which have fixed places, and the blocks of folders and of
//! extent trees, as far as the inode that they belong to is written with them: contents of a file may look
//! like any of them.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use jbd2::checksum::crc32c;

use crate::growth::{Shape, block_sum, child_blocks};
use crate::layout::{Inode, Read, Superblock, get_u16, get_u32};

/// In a group's flags: this bitmap has never been written.
const INODE_UNINIT: u16 = 1;
pub(crate) const BLOCK_UNINIT: u16 = 2;
const FLAGS: usize = 0x12;
/// Where a descriptor says the lower and the upper half of each number.
const BLOCK_BITMAP: (usize, usize) = (0x00, 0x20);
const INODE_BITMAP: (usize, usize) = (0x04, 0x24);
const INODE_TABLE: (usize, usize) = (0x08, 0x28);
const BLOCK_BITMAP_SUM: (usize, usize) = (0x18, 0x38);
const INODE_BITMAP_SUM: (usize, usize) = (0x1a, 0x3a);
const DESCRIPTOR_SUM: usize = 0x1e;
/// At the end of a folder's block, before its checksum: an entry without a name, of its own type.
const FOLDER_TAIL: [u8; 8] = [0, 0, 0, 0, 12, 0, 0, 0xde];
const IS_FOLDER: u16 = 4;
/// Descriptors so long have upper halves.
const WIDE_BYTES: usize = 64;

fn block_number(descriptor: &[u8], (low, high): (usize, usize)) -> u64 {
    let upper = if descriptor.len() >= WIDE_BYTES {
        get_u32(descriptor, high)
    } else {
        0
    };
    u64::from(get_u32(descriptor, low)) | u64::from(upper) << 32
}

/// Where a group's bitmap of blocks is.
pub fn bitmap_block(descriptor: &[u8]) -> u64 {
    block_number(descriptor, BLOCK_BITMAP)
}

fn says(descriptor: &[u8], (low, high): (usize, usize), sum: u32) -> bool {
    get_u16(descriptor, low) == sum as u16
        && (descriptor.len() < WIDE_BYTES || get_u16(descriptor, high) == (sum >> 16) as u16)
}

/// Whether a descriptor has the right checksum for the group's bitmap of blocks.
pub fn seals_bitmap(shape: &Shape, descriptor: &[u8], bitmap: &[u8]) -> bool {
    let sum = shape.bitmap_sum(bitmap);
    sum.is_none_or(|sum| says(descriptor, BLOCK_BITMAP_SUM, sum))
}

fn seals_inode_bitmap(shape: &Shape, descriptor: &[u8], bitmap: &[u8]) -> bool {
    let sum = shape.seed().map(|seed| {
        let bytes = shape.inodes_per_group() as usize / 8;
        crc32c(seed, &bitmap[..bytes.min(bitmap.len())])
    });
    sum.is_none_or(|sum| says(descriptor, INODE_BITMAP_SUM, sum))
}

/// Checksum of a group's descriptor.
pub fn descriptor_sum(seed: u32, group: u64, descriptor: &[u8]) -> u16 {
    let seed = crc32c(seed, &(group as u32).to_le_bytes());
    let seed = crc32c(seed, &descriptor[..DESCRIPTOR_SUM]);
    let seed = crc32c(seed, &[0; 2]);
    crc32c(seed, &descriptor[DESCRIPTOR_SUM + 2..]) as u16
}

/// Whether a group's descriptor is sealed.
pub fn is_descriptor(shape: &Shape, group: u64, descriptor: &[u8]) -> bool {
    let sum = shape
        .seed()
        .map(|seed| descriptor_sum(seed, group, descriptor));
    sum.is_none_or(|sum| get_u16(descriptor, DESCRIPTOR_SUM) == sum)
}

/// Whether an inode is sealed.
pub fn is_inode(shape: &Shape, number: u32, inode: &[u8]) -> bool {
    let Some(seed) = shape.inode_seed(number, inode) else {
        return true;
    };
    let extra = inode.get(0x80..0x82).map_or(0, |bytes| get_u16(bytes, 0));
    let has_high = extra >= 4;
    let mut bytes = inode.to_vec();
    bytes[0x7c..0x7e].fill(0);
    if has_high {
        bytes[0x82..0x84].fill(0);
    }
    let sum = crc32c(seed, &bytes);
    get_u16(inode, 0x7c) == sum as u16 && (!has_high || get_u16(inode, 0x82) == (sum >> 16) as u16)
}

/// Whether a block of a folder is sealed; those of its index are not looked at.
pub fn is_folder_block(shape: &Shape, number: u32, inode: &[u8], block: &[u8]) -> bool {
    let (bytes, tail) = block.split_at(block.len() - FOLDER_TAIL.len() - 4);
    let (head, sum) = tail.split_at(FOLDER_TAIL.len());
    let seed = shape.inode_seed(number, inode);
    head != FOLDER_TAIL || seed.is_none_or(|seed| get_u32(sum, 0) == crc32c(seed, bytes))
}

/// What a group has at a place of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    BlockBitmap,
    InodeBitmap,
    Inodes,
}

/// Where the groups have what.
#[derive(Debug, Default)]
pub struct Places {
    /// By first block: the one behind the last, what it is, and of which group.
    parts: BTreeMap<u64, (u64, Part, u64)>,
}

impl Places {
    /// Reads the descriptors.
    ///
    /// # Errors
    ///
    /// As `read`.
    pub fn read<E>(shape: &Shape, read: &mut Read<'_, E>) -> Result<Self, E> {
        let mut places = Self::default();
        let size = shape.block_size();
        let inodes = shape.inodes_per_group() as usize * shape.inode_size();
        for group in 0..shape.groups() {
            let descriptor = read_descriptor(shape, group, read)?;
            for (at, blocks, part) in [
                (BLOCK_BITMAP, 1, Part::BlockBitmap),
                (INODE_BITMAP, 1, Part::InodeBitmap),
                (INODE_TABLE, inodes.div_ceil(size) as u64, Part::Inodes),
            ] {
                let first = block_number(&descriptor, at);
                let end = first.saturating_add(blocks);
                places.parts.insert(first, (end, part, group));
            }
        }
        Ok(places)
    }

    /// Where the bitmaps of blocks are, in runs.
    pub fn block_bitmaps(&self) -> Vec<Range<u64>> {
        let mut runs: Vec<Range<u64>> = Vec::new();
        for (block, (_, part, _)) in &self.parts {
            match runs.last_mut() {
                _ if *part != Part::BlockBitmap => {}
                Some(last) if last.end == *block => last.end += 1,
                _ => runs.push(*block..*block + 1),
            }
        }
        runs
    }

    /// What a block is, of which group, and the how manieth of such blocks.
    fn find(&self, block: u64) -> Option<(Part, u64, u64)> {
        let (first, (end, part, group)) = self.parts.range(..=block).next_back()?;
        (block < *end).then_some((*part, *group, block - first))
    }

    /// Of what was written, finds a block that holds a wrong checksum.
    ///
    /// # Errors
    ///
    /// As the reading of blocks.
    pub fn find_wrong<E>(
        &self,
        shape: &Shape,
        written: &mut Written<'_, E>,
    ) -> Result<Option<u64>, E> {
        if shape.seed().is_none() {
            return Ok(None);
        }
        for &block in written.blocks {
            let wrong = match self.find(block) {
                Some((Part::Inodes, group, index)) => {
                    let before = u64::from(shape.inodes_per_group()) * group;
                    let each = (shape.block_size() / shape.inode_size()) as u64;
                    find_wrong_inode(shape, block, (before + index * each + 1) as u32, written)?
                }
                Some((part, group, _)) => {
                    let right = bitmap_is_right(shape, block, (part, group), written.now)?;
                    (!right).then_some(block)
                }
                None => {
                    let right = descriptors_are_right(shape, block, written.now)?;
                    (!right).then_some(block)
                }
            };
            if wrong.is_some() {
                return Ok(wrong);
            }
        }
        Ok(None)
    }
}

/// What is to be committed.
pub struct Written<'a, E> {
    /// Which blocks, in their order.
    pub blocks: &'a [u64],
    /// Reads a block as it will be.
    pub now: &'a mut Read<'a, E>,
    /// Reads a block as it was before. What was wrong then is nothing new.
    pub before: &'a mut Read<'a, E>,
    /// The file system that they belong to.
    pub superblock: &'a Superblock,
}

impl<E> Written<'_, E> {
    /// Those of a run.
    fn within(&self, first: u64, count: u64) -> &[u64] {
        let begin = self.blocks.partition_point(|block| *block < first);
        let end = first.saturating_add(count);
        let end = self.blocks.partition_point(|block| *block < end);
        &self.blocks[begin..end.max(begin)]
    }
}

fn read_block<E>(shape: &Shape, block: u64, read: &mut Read<'_, E>) -> Result<Vec<u8>, E> {
    let mut bytes = vec![0; shape.block_size()];
    read(block, &mut bytes)?;
    Ok(bytes)
}

fn read_descriptor<E>(shape: &Shape, group: u64, read: &mut Read<'_, E>) -> Result<Vec<u8>, E> {
    let (block, at, length) = shape.descriptor_place(group);
    let mut bytes = read_block(shape, block, read)?;
    bytes.copy_within(at..at + length, 0);
    bytes.truncate(length);
    Ok(bytes)
}

fn bitmap_is_right<E>(
    shape: &Shape,
    block: u64,
    (part, group): (Part, u64),
    read: &mut Read<'_, E>,
) -> Result<bool, E> {
    let descriptor = read_descriptor(shape, group, read)?;
    let flags = get_u16(&descriptor, FLAGS);
    let bitmap = read_block(shape, block, read)?;
    Ok(if part == Part::BlockBitmap {
        flags & BLOCK_UNINIT != 0 || seals_bitmap(shape, &descriptor, &bitmap)
    } else {
        flags & INODE_UNINIT != 0 || seals_inode_bitmap(shape, &descriptor, &bitmap)
    })
}

fn descriptors_are_right<E>(shape: &Shape, block: u64, read: &mut Read<'_, E>) -> Result<bool, E> {
    let (first, _, length) = shape.descriptor_place(0);
    let each = (shape.block_size() / length) as u64;
    let groups = match block.checked_sub(first) {
        Some(index) => index * each..shape.groups().min((index + 1) * each),
        None => return Ok(true),
    };
    if groups.is_empty() {
        return Ok(true);
    }
    let bytes = read_block(shape, block, read)?;
    let mut descriptors = groups.zip(bytes.chunks_exact(length));
    Ok(descriptors.all(|(group, descriptor)| is_descriptor(shape, group, descriptor)))
}

/// Looks at the inodes of a block that were changed, and at what belongs to them.
fn find_wrong_inode<E>(
    shape: &Shape,
    block: u64,
    first: u32,
    written: &mut Written<'_, E>,
) -> Result<Option<u64>, E> {
    let length = shape.inode_size();
    let new = read_block(shape, block, written.now)?;
    let old = read_block(shape, block, written.before)?;
    let pairs = new.chunks_exact(length).zip(old.chunks_exact(length));
    for (number, (new, old)) in (first..).zip(pairs) {
        let is_free = get_u16(new, 0) == 0;
        if new == old || is_free {
            continue;
        }
        if !is_inode(shape, number, new) {
            return Ok(Some(block));
        }
        let wrong = find_wrong_block(shape, number, new, written)?;
        if wrong.is_some() {
            return Ok(wrong);
        }
    }
    Ok(None)
}

/// Looks at the blocks of an inode's tree, and at those of a folder.
fn find_wrong_block<E>(
    shape: &Shape,
    number: u32,
    inode: &[u8],
    written: &mut Written<'_, E>,
) -> Result<Option<u64>, E> {
    for child in child_blocks(inode) {
        if written.within(child, 1).is_empty() {
            continue;
        }
        let bytes = read_block(shape, child, written.now)?;
        let sum = block_sum(shape, number, inode, &bytes).flatten();
        if sum.is_some_and(|(at, sum)| get_u32(&bytes, at) != sum) {
            return Ok(Some(child));
        }
    }
    if get_u16(inode, 0) >> 12 != IS_FOLDER {
        return Ok(None);
    }
    let extents = written
        .superblock
        .extents(&Inode::new(inode.to_vec()), written.now)?;
    for extent in extents.unwrap_or_default() {
        let count = u64::from(extent.length);
        for block in written.within(extent.physical, count).to_vec() {
            let bytes = read_block(shape, block, written.now)?;
            if !is_folder_block(shape, number, inode, &bytes) {
                return Ok(Some(block));
            }
        }
    }
    Ok(None)
}
