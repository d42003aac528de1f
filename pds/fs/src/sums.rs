// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Checksums of ext4's structures, computed a second time before they are committed. A wrong one makes what
//! it protects unusable for ever: with one of a bitmap, no life mounts the file system (campaign on seL4
//! release at f4af645, seed 3, trial 2628).
//!
//! Here are the structures that have fixed places: group descriptors, bitmaps, inodes. Blocks of folders and
//! of extent trees cannot be told from others without knowing whose they are; those are left to who does.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use jbd2::checksum::crc32c;

use crate::growth::Shape;
use crate::layout::{Read, get_u16, get_u32};

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

    /// Of `blocks` that were written, finds one that holds a wrong checksum. `read` says what is in a block
    /// now, `before` what was in it when it was right.
    ///
    /// # Errors
    ///
    /// As `read` and `before`.
    pub fn find_wrong<E>(
        &self,
        shape: &Shape,
        blocks: &[u64],
        read: &mut Read<'_, E>,
        before: &mut Read<'_, E>,
    ) -> Result<Option<u64>, E> {
        if shape.seed().is_none() {
            return Ok(None);
        }
        for &block in blocks {
            let sound = match self.find(block) {
                Some((Part::Inodes, group, index)) => {
                    inodes_are_right(shape, block, (group, index), read, before)?
                }
                Some((part, group, _)) => bitmap_is_right(shape, block, (part, group), read)?,
                None => descriptors_are_right(shape, block, read)?,
            };
            if !sound {
                return Ok(Some(block));
            }
        }
        Ok(None)
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

/// Only those that were changed: what was wrong on the disk already is nothing new.
fn inodes_are_right<E>(
    shape: &Shape,
    block: u64,
    (group, index): (u64, u64),
    read: &mut Read<'_, E>,
    before: &mut Read<'_, E>,
) -> Result<bool, E> {
    let length = shape.inode_size();
    let new = read_block(shape, block, read)?;
    let old = read_block(shape, block, before)?;
    let each = shape.block_size() / length;
    let first = group * u64::from(shape.inodes_per_group()) + index * each as u64 + 1;
    let pairs = new.chunks_exact(length).zip(old.chunks_exact(length));
    Ok(pairs.enumerate().all(|(at, (new, old))| {
        let is_free = get_u16(new, 0) == 0;
        new == old || is_free || is_inode(shape, (first + at as u64) as u32, new)
    }))
}
