// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What changes in ext4's structures when a file grows at its end: bitmaps, group descriptors, superblock,
//! inode, extents. All on copies of their bytes; reading and writing them is the caller's business
//! (`crate::append`).
//!
//! Only what is met every day is done here. Whatever is not understood, or does not fit, is `None` or
//! false, and `rsext4` does it.

use alloc::vec::Vec;

use jbd2::checksum::{SEED, crc32c};
use rsext4::Ext4Timestamp;

use crate::layout::{
    BLOCKS_HIGH, BLOCKS_LOW, DESCRIPTOR_SIZE, EXTENT_MAGIC, FEATURE_COMPAT, FEATURE_INCOMPAT,
    FEATURE_RO_COMPAT, FIRST_DATA_BLOCK, INODE_SIZE, INODES_PER_GROUP, LOG_BLOCK_SIZE,
    RO_COMPAT_METADATA_CHECKSUM, get_u16, get_u32, put_u16, put_u32,
};
use crate::sums::{BLOCK_UNINIT, bitmap_block, descriptor_sum, seals_bitmap};

/// Features of the superblock with which growing a file changes nothing but what is changed here.
const INCOMPAT_KNOWN: u32 = 0x2 | 0x4 | INCOMPAT_EXTENTS | INCOMPAT_64BIT | 0x200 | INCOMPAT_SEED;
const INCOMPAT_EXTENTS: u32 = 0x40;
const INCOMPAT_64BIT: u32 = 0x80;
const INCOMPAT_SEED: u32 = 0x2000;
/// Among these: large files, huge files, metadata checksums. Not: quotas, clusters, the old checksums.
const RO_COMPAT_KNOWN: u32 =
    0x1 | LARGE_FILE | HUGE_FILE | 0x20 | 0x40 | RO_COMPAT_METADATA_CHECKSUM;
const LARGE_FILE: u32 = 0x2;
const HUGE_FILE: u32 = 0x8;
const ORPHAN_FILE: u32 = 0x1000;

/// In the superblock.
const BLOCKS_PER_GROUP: usize = 0x20;
const HEAD_BYTES: usize = 12;
const ENTRY_BYTES: usize = 12;
/// Most blocks of an extent that is written.
const EXTENT_BLOCKS_MAX: u64 = 0x8000;
/// In the flags of an inode: its blocks are counted in blocks, not in sectors.
const INODE_HUGE_FILE: u32 = 0x4_0000;

/// What we need of the superblock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Seed of the checksums, where there are some.
    seed: Option<u32>,
    /// Blocks have 64-bit numbers.
    wide: bool,
    huge_files: bool,
    block_size: usize,
    first_data_block: u64,
    blocks: u64,
    blocks_per_group: u64,
    inodes_per_group: u32,
    inode_size: usize,
    descriptor_size: usize,
}

impl Shape {
    /// Reads the superblock; `None` when files of this file system only `rsext4` can let grow.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let compat = get_u32(bytes, FEATURE_COMPAT);
        let incompat = get_u32(bytes, FEATURE_INCOMPAT);
        let ro_compat = get_u32(bytes, FEATURE_RO_COMPAT);
        let known = incompat & !INCOMPAT_KNOWN == 0
            && incompat & INCOMPAT_EXTENTS != 0
            && ro_compat & !RO_COMPAT_KNOWN == 0
            && ro_compat & LARGE_FILE != 0
            && compat & ORPHAN_FILE == 0;
        if !known {
            return None;
        }
        let wide = incompat & INCOMPAT_64BIT != 0;
        let high = if wide { get_u32(bytes, BLOCKS_HIGH) } else { 0 };
        let seed = if incompat & INCOMPAT_SEED != 0 {
            get_u32(bytes, 0x270)
        } else {
            crc32c(SEED, &bytes[0x68..0x78])
        };
        let shape = Self {
            seed: (ro_compat & RO_COMPAT_METADATA_CHECKSUM != 0).then_some(seed),
            wide,
            huge_files: ro_compat & HUGE_FILE != 0,
            block_size: 1024 << get_u32(bytes, LOG_BLOCK_SIZE).min(6),
            first_data_block: u64::from(get_u32(bytes, FIRST_DATA_BLOCK)),
            blocks: u64::from(get_u32(bytes, BLOCKS_LOW)) | u64::from(high) << 32,
            blocks_per_group: u64::from(get_u32(bytes, BLOCKS_PER_GROUP)),
            inodes_per_group: get_u32(bytes, INODES_PER_GROUP),
            inode_size: usize::from(get_u16(bytes, INODE_SIZE)),
            descriptor_size: if wide {
                usize::from(get_u16(bytes, DESCRIPTOR_SIZE))
            } else {
                32
            },
        };
        let plausible = shape.blocks_per_group != 0
            && shape.blocks_per_group <= 8 * shape.block_size as u64
            && shape.inodes_per_group != 0
            && shape.inode_size >= 128
            && matches!(shape.descriptor_size, 32 | 64)
            && shape.blocks > shape.first_data_block;
        plausible.then_some(shape)
    }

    /// Groups of blocks.
    pub fn groups(&self) -> u64 {
        (self.blocks - self.first_data_block).div_ceil(self.blocks_per_group)
    }

    /// Bytes of a block.
    pub fn block_size(&self) -> usize {
        self.block_size
    }

    /// Seed of the checksums, where there are some.
    pub fn seed(&self) -> Option<u32> {
        self.seed
    }

    /// Inodes of a group.
    pub fn inodes_per_group(&self) -> u32 {
        self.inodes_per_group
    }

    /// Bytes of an inode.
    pub fn inode_size(&self) -> usize {
        self.inode_size
    }

    /// The group of a block, and its number in it.
    pub fn group_of(&self, block: u64) -> (u64, u32) {
        let at = block.saturating_sub(self.first_data_block);
        let group = at / self.blocks_per_group;
        (group, (at % self.blocks_per_group) as u32)
    }

    /// First block of the group of an inode.
    pub fn home_of(&self, inode: u32) -> u64 {
        let group = u64::from((inode - 1) / self.inodes_per_group);
        self.first_data_block + group * self.blocks_per_group
    }

    /// Where a group's descriptor is: block, byte, bytes.
    pub fn descriptor_place(&self, group: u64) -> (u64, usize, usize) {
        let at = group as usize * self.descriptor_size;
        let block = self.first_data_block + 1 + (at / self.block_size) as u64;
        (block, at % self.block_size, self.descriptor_size)
    }

    /// Seed of the checksums of what belongs to an inode.
    pub fn inode_seed(&self, inode: u32, bytes: &[u8]) -> Option<u32> {
        let seed = crc32c(self.seed?, &inode.to_le_bytes());
        Some(crc32c(seed, &bytes[0x64..0x68]))
    }

    /// Checksum of a group's bitmap of blocks.
    pub fn bitmap_sum(&self, bitmap: &[u8]) -> Option<u32> {
        let bytes = self.blocks_per_group as usize / 8;
        Some(crc32c(self.seed?, &bitmap[..bytes]))
    }

    /// Takes blocks out of the superblock's count. It is sealed by the caller.
    pub fn take_from_superblock(&self, bytes: &mut [u8], count: u64) {
        let high = if self.wide { get_u32(bytes, 0x158) } else { 0 };
        let free = u64::from(get_u32(bytes, 0x0c)) | u64::from(high) << 32;
        let free = free.saturating_sub(count);
        put_u32(bytes, 0x0c, free as u32);
        if self.wide {
            put_u32(bytes, 0x158, (free >> 32) as u32);
        }
    }
}

/// The descriptor of a group and its bitmap of blocks.
#[derive(Debug)]
pub struct Group {
    number: u64,
    descriptor: Vec<u8>,
    bitmap: Vec<u8>,
}

impl Group {
    /// Where the bitmap is; `None` when there is no free block, or no bitmap yet.
    pub fn bitmap_block(shape: &Shape, descriptor: &[u8]) -> Option<u64> {
        let usable = free_count(descriptor) != 0 && get_u16(descriptor, 0x12) & BLOCK_UNINIT == 0;
        let block = bitmap_block(descriptor);
        (usable && block < shape.blocks).then_some(block)
    }

    /// Takes both; `None` when the bitmap's checksum is wrong, unless it is `known` to be right.
    pub fn new(
        shape: &Shape,
        number: u64,
        descriptor: Vec<u8>,
        bitmap: Vec<u8>,
        known: bool,
    ) -> Option<Self> {
        let sound = known || seals_bitmap(shape, &descriptor, &bitmap);
        sound.then_some(Self {
            number,
            descriptor,
            bitmap,
        })
    }

    /// Its number.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Finds a run of free blocks, at `goal` if that one is free, and takes up to `wanted` of it.
    /// Elsewhere it prefers one with room for `spare` more. Says which blocks.
    pub fn take(
        &mut self,
        shape: &Shape,
        goal: u32,
        wanted: u64,
        spare: u64,
    ) -> Option<(u64, u64)> {
        let first = shape.first_data_block + self.number * shape.blocks_per_group;
        let bits = shape.blocks_per_group.min(shape.blocks - first) as u32;
        let goal = if goal < bits { goal } else { 0 };
        let (start, free) = find(&self.bitmap, bits, goal, wanted + spare)?;
        let count = u64::from(free).min(wanted) as u32;
        for bit in start..start + count {
            self.bitmap[bit as usize / 8] |= 1 << (bit % 8);
        }
        let left = free_count(&self.descriptor).checked_sub(count)?;
        put_u16(&mut self.descriptor, 0x0c, left as u16);
        if self.descriptor.len() == 64 {
            put_u16(&mut self.descriptor, 0x2c, (left >> 16) as u16);
        }
        Some((first + u64::from(start), u64::from(count)))
    }

    /// Descriptor and bitmap with their checksums.
    pub fn seal(&mut self, shape: &Shape) -> (&[u8], &[u8]) {
        if let (Some(seed), Some(sum)) = (shape.seed, shape.bitmap_sum(&self.bitmap)) {
            put_u16(&mut self.descriptor, 0x18, sum as u16);
            if self.descriptor.len() == 64 {
                put_u16(&mut self.descriptor, 0x38, (sum >> 16) as u16);
            }
            let sum = descriptor_sum(seed, self.number, &self.descriptor);
            put_u16(&mut self.descriptor, 0x1e, sum);
        }
        (&self.descriptor, &self.bitmap)
    }
}

fn free_count(descriptor: &[u8]) -> u32 {
    let high = match descriptor.len() {
        64 => get_u16(descriptor, 0x2c),
        _ => 0,
    };
    u32::from(get_u16(descriptor, 0x0c)) | u32::from(high) << 16
}

/// The first bit from `from` on that is `set`, or `end`.
fn next(bitmap: &[u8], from: u32, end: u32, set: bool) -> u32 {
    let mut at = from;
    while at < end {
        let byte = (at / 64 * 8) as usize;
        let word = u64::from_le_bytes(bitmap[byte..byte + 8].try_into().expect("eight bytes"));
        let word = if set { word } else { !word } >> (at % 64);
        if word != 0 {
            return (at + word.trailing_zeros()).min(end);
        }
        at = (at / 64 + 1) * 64;
    }
    end
}

/// A run of zeros: the one at `goal`, else the first from there on, around the end, that has `wanted`, else
/// the longest. Of a long one only `wanted` are looked at.
fn find(bitmap: &[u8], bits: u32, goal: u32, wanted: u64) -> Option<(u32, u32)> {
    let mut best: Option<(u32, u32)> = None;
    for (from, until) in [(goal, bits), (0, goal)] {
        let mut at = from;
        while at < until {
            let start = next(bitmap, at, until, false);
            if start == until {
                break;
            }
            let most = u32::try_from(wanted).unwrap_or(u32::MAX);
            let end = next(bitmap, start, bits.min(start.saturating_add(most)), true);
            let length = end - start;
            if start == goal || u64::from(length) >= wanted {
                return Some((start, length));
            }
            if best.is_none_or(|(_, longest)| length > longest) {
                best = Some((start, length));
            }
            at = end;
        }
    }
    best
}

/// Where the entries of the last leaf of a file's tree are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaf {
    /// In the inode.
    Inode,
    /// In this block.
    Block(u64),
}

const ROOT: core::ops::Range<usize> = 0x28..0x28 + 60;

/// Finds the last leaf below the root in an inode; `None` when that is not in the inode or right below it.
pub fn last_leaf(shape: &Shape, inode: &[u8]) -> Option<Leaf> {
    let root = &inode[ROOT];
    let (entries, depth) = (usize::from(get_u16(root, 2)), get_u16(root, 6));
    if get_u16(root, 0) != EXTENT_MAGIC || entries > 4 {
        return None;
    }
    match (depth, entries) {
        (0, _) => Some(Leaf::Inode),
        (1, 1..) => child_blocks(inode)
            .last()
            .filter(|block| *block < shape.blocks)
            .map(Leaf::Block),
        _ => None,
    }
}

/// The blocks right below the root of an inode's tree.
pub fn child_blocks(inode: &[u8]) -> impl Iterator<Item = u64> {
    let root = &inode[ROOT];
    let is_index = get_u16(root, 0) == EXTENT_MAGIC && get_u16(root, 6) != 0;
    let entries = if is_index { get_u16(root, 2) } else { 0 };
    let entries = root[HEAD_BYTES..]
        .chunks_exact(ENTRY_BYTES)
        .take(entries.into());
    entries.map(|entry| u64::from(get_u32(entry, 4)) | u64::from(get_u16(entry, 8)) << 32)
}

/// A node whose entries are extents.
#[derive(Debug)]
pub struct Extents<'a> {
    node: &'a mut [u8],
}

impl<'a> Extents<'a> {
    /// Those in an inode.
    pub fn in_inode(inode: &'a mut [u8]) -> Option<Self> {
        Self::new(&mut inode[ROOT])
    }

    /// Those in a block; `None` when its checksum is wrong.
    pub fn in_block(shape: &Shape, number: u32, inode: &[u8], block: &'a mut [u8]) -> Option<Self> {
        let sum = block_sum(shape, number, inode, block)?;
        let sound = sum.is_none_or(|(at, sum)| get_u32(block, at) == sum);
        if sound { Self::new(block) } else { None }
    }

    fn new(node: &'a mut [u8]) -> Option<Self> {
        let (entries, most) = (get_u16(node, 2), get_u16(node, 4));
        let sound = get_u16(node, 0) == EXTENT_MAGIC
            && get_u16(node, 6) == 0
            && entries <= most
            && HEAD_BYTES + usize::from(most) * ENTRY_BYTES <= node.len();
        sound.then_some(Self { node })
    }

    /// Where the last entry begins, its first block in the file, its length and its first block on the disk.
    fn last(&self) -> Option<(usize, u64, u64, u64)> {
        let index = usize::from(get_u16(self.node, 2)).checked_sub(1)?;
        let at = HEAD_BYTES + index * ENTRY_BYTES;
        let physical = u64::from(get_u32(self.node, at + 8));
        Some((
            at,
            u64::from(get_u32(self.node, at)),
            u64::from(get_u16(self.node, at + 4)),
            physical | u64::from(get_u16(self.node, at + 6)) << 32,
        ))
    }

    /// The blocks behind the last one, in the file and on the disk; `None` when that is allocated ahead.
    pub fn end(&self) -> Option<(u64, u64)> {
        match self.last() {
            None => Some((0, 0)),
            Some((_, logical, length, physical)) => {
                (length <= EXTENT_BLOCKS_MAX).then_some((logical + length, physical + length))
            }
        }
    }

    /// Adds blocks at the end; false when there is no room.
    pub fn push(&mut self, physical: u64, count: u64) -> bool {
        let Some((logical, next)) = self.end() else {
            return false;
        };
        if let Some((at, _, length, _)) = self.last()
            && next == physical
            && length + count <= EXTENT_BLOCKS_MAX
        {
            put_u16(self.node, at + 4, (length + count) as u16);
            return true;
        }
        let entries = get_u16(self.node, 2);
        let fits = entries < get_u16(self.node, 4)
            && count <= EXTENT_BLOCKS_MAX
            && logical + count < u64::from(u32::MAX);
        if fits {
            let at = HEAD_BYTES + usize::from(entries) * ENTRY_BYTES;
            put_u32(self.node, at, logical as u32);
            put_u16(self.node, at + 4, count as u16);
            put_u16(self.node, at + 6, (physical >> 32) as u16);
            put_u32(self.node, at + 8, physical as u32);
            put_u16(self.node, 2, entries + 1);
        }
        fits
    }
}

/// Where the checksum of a leaf is, and what it must be; `None` inside when there is none.
#[expect(clippy::option_option, reason = "no room for one, and none wanted")]
pub(crate) fn block_sum(
    shape: &Shape,
    number: u32,
    inode: &[u8],
    block: &[u8],
) -> Option<Option<(usize, u32)>> {
    let at = HEAD_BYTES + usize::from(get_u16(block, 4)) * ENTRY_BYTES;
    if at + 4 > block.len() {
        return None;
    }
    let seed = shape.inode_seed(number, inode);
    Some(seed.map(|seed| (at, crc32c(seed, &block[..at]))))
}

/// Seals a leaf after a change.
pub fn seal_block(shape: &Shape, number: u32, inode: &[u8], block: &mut [u8]) {
    if let Some(Some((at, sum))) = block_sum(shape, number, inode, block) {
        put_u32(block, at, sum);
    }
}

/// Sets size, blocks and times of an inode and seals it; false when it cannot say so many blocks.
pub fn grow_inode(
    shape: &Shape,
    number: u32,
    inode: &mut [u8],
    size: u64,
    added: u64,
    now: Ext4Timestamp,
) -> bool {
    let unit = if get_u32(inode, 0x20) & INODE_HUGE_FILE != 0 {
        1
    } else {
        shape.block_size as u64 / 512
    };
    let high = u64::from(get_u16(inode, 0x74)) << 32;
    let blocks = (u64::from(get_u32(inode, 0x1c)) | high) + added * unit;
    if blocks >> 48 != 0 || (blocks >> 32 != 0 && !shape.huge_files) {
        return false;
    }
    put_u32(inode, 0x1c, blocks as u32);
    put_u16(inode, 0x74, (blocks >> 32) as u16);
    put_u32(inode, 0x04, size as u32);
    put_u32(inode, 0x6c, (size >> 32) as u32);
    let extra = match inode.get(0x80..0x82) {
        Some(bytes) => usize::from(get_u16(bytes, 0)),
        None => 0,
    };
    let epoch = ((now.sec - i64::from(now.sec as i32)) >> 32) as u32 & 3;
    for (at, more) in [(0x0c, 0x84), (0x10, 0x88)] {
        put_u32(inode, at, now.sec as u32);
        if more + 4 <= 0x80 + extra && more + 4 <= inode.len() {
            put_u32(inode, more, now.nsec << 2 | epoch);
        }
    }
    seal_inode(shape, number, inode, extra >= 4);
    true
}

fn seal_inode(shape: &Shape, number: u32, inode: &mut [u8], has_high: bool) {
    put_u16(inode, 0x7c, 0);
    if has_high {
        put_u16(inode, 0x82, 0);
    }
    if let Some(seed) = shape.inode_seed(number, inode) {
        let sum = crc32c(seed, inode);
        put_u16(inode, 0x7c, sum as u16);
        if has_high {
            put_u16(inode, 0x82, (sum >> 16) as u16);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_free_blocks_are_found() {
        let mut bitmap = [0_u8; 16];
        for bit in [0_usize, 1, 2, 70, 71, 100] {
            bitmap[bit / 8] |= 1 << (bit % 8);
        }
        assert_eq!(find(&bitmap, 128, 3, 500), Some((3, 67)));
        assert_eq!(find(&bitmap, 128, 0, 10), Some((3, 10)));
        assert_eq!(find(&bitmap, 128, 70, 10), Some((72, 10)));
        assert_eq!(find(&bitmap, 128, 70, 60), Some((3, 60)));
        assert_eq!(find(&bitmap, 120, 100, 500), Some((3, 67)));
        assert_eq!(find(&bitmap, 120, 101, 500), Some((101, 19)));
        assert_eq!(find(&[0xff; 16], 128, 5, 1), None);
        assert_eq!(find(&[0xff; 16], 100, 0, 1), None);
    }

    #[test]
    fn extents_grow_or_say_no() {
        let mut node = [0_u8; 60];
        put_u16(&mut node, 0, EXTENT_MAGIC);
        put_u16(&mut node, 4, 4);
        let mut extents = Extents::new(&mut node).unwrap();
        assert_eq!(extents.end(), Some((0, 0)));
        assert!(extents.push(100, 10) && extents.push(110, 5));
        assert_eq!(extents.end(), Some((15, 115)));
        assert!(extents.push(1 << 33, 1) && extents.push(7, 1) && extents.push(9, 1));
        assert_eq!(extents.end(), Some((18, 10)));
        assert!(!extents.push(20, 1), "four entries are all");
        assert!(extents.push(10, 0x7fff) && !extents.push(0x8009, 1));
        assert_eq!(get_u16(&node, 2), 4);
        // Blocks that are allocated and not written.
        put_u16(&mut node, 12 + 36 + 4, 0x8001);
        assert_eq!(Extents::new(&mut node).unwrap().end(), None);
    }
}
