// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The few structures of ext4 that we read or change ourselves, below `rsext4`.
//!
//! - The superblock: whether we can use the file system, and the mask that hides the journal from
//!   `rsext4`. On disk the feature "has journal" is always set; above [`Superblock::masked`] it never is,
//!   so that `rsext4` leaves the journal to us.
//! - Where the journal is, which must be known before anything is mounted.
//! - What tells two files apart that had the same inode number one after the other.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use jbd2::checksum::{SEED, crc32c};
use jbd2::{Extent, JournalMap};

/// Where the superblock is on the disk, in bytes.
pub const SUPERBLOCK_AT: u64 = 1024;
/// Bytes of the superblock.
pub const SUPERBLOCK_BYTES: usize = 1024;

const MAGIC: u16 = 0xef53;
const STATE_VALID: u16 = 1;
const STATE_ERROR: u16 = 2;
const COMPAT_HAS_JOURNAL: u32 = 0x4;
const INCOMPAT_RECOVER: u32 = 0x4;
const INCOMPAT_JOURNAL_DEVICE: u32 = 0x8;
const INCOMPAT_META_BG: u32 = 0x10;
pub(crate) const RO_COMPAT_METADATA_CHECKSUM: u32 = 0x400;
const INODE_USES_EXTENTS: u32 = 0x8_0000;
const INODE_INLINE: u32 = 0x1000_0000;
pub(crate) const EXTENT_MAGIC: u16 = 0xf30a;
/// Deeper trees cannot exist: each level holds at least 84 entries, and blocks have 32-bit numbers.
const EXTENT_DEPTH_MAX: u16 = 5;

/// Why a disk's file system cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayoutError {
    /// There is no ext4 superblock.
    NotExt4,
    /// The superblock's checksum differs, or it contradicts itself.
    BadSuperblock,
    /// The file system is larger than the disk: an image that was cut off.
    CutOff,
    /// It was made without a journal, or with the journal elsewhere.
    NoJournal,
    /// A feature that we do not know.
    Unsupported,
    /// The journal's inode makes no sense.
    BadJournal,
}

impl core::fmt::Display for LayoutError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::NotExt4 => "no ext4 file system on the disk",
            Self::BadSuperblock => "the ext4 superblock is damaged",
            Self::CutOff => "the file system is larger than the disk",
            Self::NoJournal => {
                "the file system has no journal of its own (make it with mke2fs -t ext4)"
            }
            Self::Unsupported => "the file system has a feature that is not supported",
            Self::BadJournal => "the journal of the file system cannot be used",
        })
    }
}

pub(crate) fn get_u16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().expect("two bytes"))
}

pub(crate) fn get_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

pub(crate) fn put_u16(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
}

pub(crate) fn put_u32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

/// Reads one block.
pub type Read<'a, E> = dyn FnMut(u64, &mut [u8]) -> Result<(), E> + 'a;

/// What we need of the superblock, and what we know it by. Nothing of it changes while the file system is
/// mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// Bytes of a block: 1024, 2048 or 4096.
    pub block_size: usize,
    /// Blocks of the file system.
    pub blocks: u64,
    first_data_block: u32,
    inodes: u32,
    inodes_per_group: u32,
    inode_size: usize,
    descriptor_size: usize,
    journal_inode: u32,
    /// Checksum of everything in it but what [`CHANGING`] names.
    fixed: u32,
}

/// What a mounted file system changes in its superblock: numbers of free blocks and inodes, times and the
/// count of mounts, the state, the list of orphans, the amount written, the record of errors, the inode of
/// lost+found, the checksum.
const CHANGING: [Range<usize>; 10] = [
    0x0c..0x14,
    0x2c..0x36,
    0x3a..0x3c,
    0xe8..0xec,
    0x158..0x15c,
    0x178..0x180,
    0x194..0x200,
    0x268..0x26c,
    0x274..0x27c,
    0x3fc..0x400,
];

const INODES: usize = 0x00;
pub(crate) const BLOCKS_LOW: usize = 0x04;
pub(crate) const FIRST_DATA_BLOCK: usize = 0x14;
pub(crate) const LOG_BLOCK_SIZE: usize = 0x18;
pub(crate) const INODES_PER_GROUP: usize = 0x28;
const MAGIC_AT: usize = 0x38;
const STATE: usize = 0x3a;
pub(crate) const INODE_SIZE: usize = 0x58;
pub(crate) const FEATURE_COMPAT: usize = 0x5c;
pub(crate) const FEATURE_INCOMPAT: usize = 0x60;
pub(crate) const FEATURE_RO_COMPAT: usize = 0x64;
const JOURNAL_INODE: usize = 0xe0;
pub(crate) const DESCRIPTOR_SIZE: usize = 0xfe;
pub(crate) const BLOCKS_HIGH: usize = 0x150;
const CHECKSUM: usize = 0x3fc;

/// See [`Superblock::fixed`].
fn fixed_part(bytes: &[u8; SUPERBLOCK_BYTES]) -> u32 {
    let mut fixed = *bytes;
    for range in CHANGING {
        fixed[range].fill(0);
    }
    // It is set while there is a journal to be replayed.
    fixed[FEATURE_INCOMPAT] &= !(INCOMPAT_RECOVER as u8);
    crc32c(SEED, &fixed)
}

impl Superblock {
    /// Checks the superblock's bytes against a disk of `disk_bytes`, but for the checksum.
    ///
    /// # Errors
    ///
    /// Says why the file system cannot be used.
    pub fn parse(bytes: &[u8; SUPERBLOCK_BYTES], disk_bytes: u64) -> Result<Self, LayoutError> {
        if get_u16(bytes, MAGIC_AT) != MAGIC {
            return Err(LayoutError::NotExt4);
        }
        let log = get_u32(bytes, LOG_BLOCK_SIZE);
        if log > 2 {
            return Err(LayoutError::Unsupported);
        }
        let superblock = Self {
            block_size: 1024 << log,
            blocks: u64::from(get_u32(bytes, BLOCKS_LOW))
                | u64::from(get_u32(bytes, BLOCKS_HIGH)) << 32,
            first_data_block: get_u32(bytes, FIRST_DATA_BLOCK),
            inodes: get_u32(bytes, INODES),
            inodes_per_group: get_u32(bytes, INODES_PER_GROUP),
            inode_size: usize::from(get_u16(bytes, INODE_SIZE)),
            descriptor_size: usize::from(get_u16(bytes, DESCRIPTOR_SIZE)).max(32),
            journal_inode: get_u32(bytes, JOURNAL_INODE),
            fixed: fixed_part(bytes),
        };
        superblock.check(bytes, disk_bytes)?;
        Ok(superblock)
    }

    fn check(&self, bytes: &[u8; SUPERBLOCK_BYTES], disk: u64) -> Result<(), LayoutError> {
        let incompat = get_u32(bytes, FEATURE_INCOMPAT);
        if incompat & (INCOMPAT_META_BG | INCOMPAT_JOURNAL_DEVICE) != 0 {
            return Err(LayoutError::Unsupported);
        }
        let plausible = self.inodes_per_group != 0
            && self.inode_size >= 128
            && self.inode_size <= self.block_size
            && self.descriptor_size <= self.block_size
            && self.first_data_block == u32::from(self.block_size == 1024);
        if !plausible {
            return Err(LayoutError::BadSuperblock);
        }
        let wanted = self.blocks.checked_mul(self.block_size as u64);
        if wanted.is_none_or(|wanted| wanted > disk) {
            return Err(LayoutError::CutOff);
        }
        if get_u32(bytes, FEATURE_COMPAT) & COMPAT_HAS_JOURNAL == 0 || self.journal_inode == 0 {
            return Err(LayoutError::NoJournal);
        }
        Ok(())
    }

    /// Whether block numbers take more than 32 bits.
    pub fn is_wide(&self) -> bool {
        self.blocks > u64::from(u32::MAX)
    }

    /// The block that holds the superblock, and where in it.
    pub fn place(&self) -> (u64, usize) {
        let size = self.block_size as u64;
        (SUPERBLOCK_AT / size, (SUPERBLOCK_AT % size) as usize)
    }

    /// Where an inode is: block, and byte in the block. `read` reads blocks.
    ///
    /// # Errors
    ///
    /// As `read`; `None` when there is no such inode.
    pub fn inode_place<E>(
        &self,
        inode: u32,
        read: &mut Read<'_, E>,
    ) -> Result<Option<(u64, usize)>, E> {
        if inode == 0 || inode > self.inodes {
            return Ok(None);
        }
        let group = ((inode - 1) / self.inodes_per_group) as usize;
        let index = ((inode - 1) % self.inodes_per_group) as usize;
        let at = group * self.descriptor_size;
        let mut block = vec![0; self.block_size];
        let table = u64::from(self.first_data_block) + 1;
        read(table + (at / self.block_size) as u64, &mut block)?;
        let descriptor = &block[at % self.block_size..][..self.descriptor_size];
        let high = if self.descriptor_size >= 64 {
            get_u32(descriptor, 0x28)
        } else {
            0
        };
        let inodes = u64::from(get_u32(descriptor, 0x08)) | u64::from(high) << 32;
        let byte = index * self.inode_size;
        let place = (
            inodes + (byte / self.block_size) as u64,
            byte % self.block_size,
        );
        Ok((place.0 < self.blocks).then_some(place))
    }

    /// Reads one inode.
    ///
    /// # Errors
    ///
    /// As `read`; `None` when there is no such inode.
    pub fn inode<E>(&self, inode: u32, read: &mut Read<'_, E>) -> Result<Option<Inode>, E> {
        let Some((block, at)) = self.inode_place(inode, read)? else {
            return Ok(None);
        };
        let mut bytes = vec![0; self.block_size];
        read(block, &mut bytes)?;
        Ok(Some(Inode::new(bytes[at..at + self.inode_size].to_vec())))
    }

    /// Finds the journal's blocks.
    ///
    /// # Errors
    ///
    /// As `read`; `None` when the journal's inode makes no sense, or maps its blocks in ext2's way.
    pub fn journal_map<E>(&self, read: &mut Read<'_, E>) -> Result<Option<JournalMap>, E> {
        let Some(inode) = self.inode(self.journal_inode, read)? else {
            return Ok(None);
        };
        if get_u32(&inode.bytes, 0x20) & INODE_USES_EXTENTS == 0 {
            return Ok(None);
        }
        let Some(extents) = self.extents(&inode, read)? else {
            return Ok(None);
        };
        let in_range = |extent: &Extent| {
            extent
                .physical
                .checked_add(u64::from(extent.length))
                .is_some_and(|end| end <= self.blocks && extent.physical > self.place().0)
        };
        if !extents.iter().all(in_range) {
            return Ok(None);
        }
        Ok(JournalMap::new(extents))
    }

    /// The extents of an inode that has some, as the disk has them.
    ///
    /// # Errors
    ///
    /// As `read`; `None` when they make no sense.
    pub fn extents<E>(
        &self,
        inode: &Inode,
        read: &mut Read<'_, E>,
    ) -> Result<Option<Vec<Extent>>, E> {
        let mut extents = Vec::new();
        let root = &inode.bytes[0x28..0x28 + 60];
        let sound = self.walk_extents(root, EXTENT_DEPTH_MAX, &mut extents, read)?;
        Ok(sound.then_some(extents))
    }

    /// Collects the extents below `node`; false when the node makes no sense.
    fn walk_extents<E>(
        &self,
        node: &[u8],
        depth_max: u16,
        extents: &mut Vec<Extent>,
        read: &mut Read<'_, E>,
    ) -> Result<bool, E> {
        let entries = usize::from(get_u16(node, 2));
        let depth = get_u16(node, 6);
        let fits = 12 + entries * 12 <= node.len();
        if get_u16(node, 0) != EXTENT_MAGIC || !fits || depth > depth_max {
            return Ok(false);
        }
        for entry in node[12..12 + entries * 12].chunks_exact(12) {
            if depth == 0 {
                let low = u64::from(get_u32(entry, 8));
                extents.push(Extent {
                    logical: get_u32(entry, 0),
                    physical: low | u64::from(get_u16(entry, 6)) << 32,
                    length: u32::from(get_u16(entry, 4)),
                });
                continue;
            }
            let child = u64::from(get_u32(entry, 4)) | u64::from(get_u16(entry, 8)) << 32;
            if child >= self.blocks {
                return Ok(false);
            }
            let mut block = vec![0; self.block_size];
            read(child, &mut block)?;
            if get_u16(&block, 6) != depth - 1
                || !self.walk_extents(&block, depth - 1, extents, read)?
            {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// One inode as it is on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inode {
    bytes: Vec<u8>,
}

impl Inode {
    /// Takes its bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }

    /// Whether this is a regular file that has names and maps its blocks with extents.
    pub fn is_regular_with_extents(&self) -> bool {
        get_u16(&self.bytes, 0) >> 12 == 8
            && get_u16(&self.bytes, 0x1a) != 0
            && get_u32(&self.bytes, 0x20) & (INODE_USES_EXTENTS | INODE_INLINE)
                == INODE_USES_EXTENTS
    }

    /// Second of the last change of the contents.
    pub fn mtime(&self) -> u32 {
        get_u32(&self.bytes, 0x10)
    }

    /// Last change of the contents, last change of anything, and last access, in nanoseconds since 1970.
    pub fn times(&self) -> [i64; 3] {
        let extra = self
            .bytes
            .get(0x80..0x82)
            .map_or(0, |bytes| usize::from(get_u16(bytes, 0)));
        let has = |end: usize| self.bytes.len() >= end && 0x80 + extra >= end;
        let time = |seconds: usize, more: usize| {
            let low = i64::from(get_u32(&self.bytes, seconds) as i32);
            let more = if has(more + 4) {
                get_u32(&self.bytes, more)
            } else {
                0
            };
            let seconds = low + (i64::from(more & 3) << 32);
            seconds
                .saturating_mul(1_000_000_000)
                .saturating_add(i64::from(more >> 2))
        };
        [time(0x10, 0x88), time(0x0c, 0x84), time(0x08, 0x8c)]
    }

    /// Bytes of the file.
    pub fn size(&self) -> u64 {
        u64::from(get_u32(&self.bytes, 0x04)) | u64::from(get_u32(&self.bytes, 0x6c)) << 32
    }

    /// Tells files apart that had the same inode number one after the other.
    ///
    /// It is the time of birth with its nanoseconds: `rsext4` sets no inode generation, and our clock
    /// never gives the same time twice. Inodes of 128 bytes have no time of birth; then it is 0.
    pub fn generation(&self) -> u64 {
        let extra = self
            .bytes
            .get(0x80..0x82)
            .map_or(0, |bytes| get_u16(bytes, 0));
        if self.bytes.len() < 0x98 || 0x80 + usize::from(extra) < 0x98 {
            return 0;
        }
        u64::from(get_u32(&self.bytes, 0x90)) << 32 | u64::from(get_u32(&self.bytes, 0x94))
    }
}

fn has_checksum(bytes: &[u8]) -> bool {
    get_u32(bytes, FEATURE_RO_COMPAT) & RO_COMPAT_METADATA_CHECKSUM != 0
}

fn checksum(bytes: &[u8]) -> u32 {
    crc32c(SEED, &bytes[..CHECKSUM])
}

/// Whether the checksum is right, or there is none.
pub fn is_intact(bytes: &[u8]) -> bool {
    !has_checksum(bytes) || get_u32(bytes, CHECKSUM) == checksum(bytes)
}

/// Mends a superblock of which a power cut let only one half through when we set "needs recovery".
///
/// The flag is in its first sector, the checksum in the second. If the checksum is right for the other
/// state of the flag, nothing else is wrong.
pub fn mend(bytes: &mut [u8]) -> bool {
    let incompat = get_u32(bytes, FEATURE_INCOMPAT);
    put_u32(bytes, FEATURE_INCOMPAT, incompat ^ INCOMPAT_RECOVER);
    let mended = is_intact(bytes);
    if !mended {
        put_u32(bytes, FEATURE_INCOMPAT, incompat);
    }
    mended
}

pub(crate) fn seal(bytes: &mut [u8]) {
    if has_checksum(bytes) {
        let value = checksum(bytes);
        put_u32(bytes, CHECKSUM, value);
    }
}

/// Whether somebody has found errors in the file system, that e2fsck has not mended.
pub fn has_errors(bytes: &[u8]) -> bool {
    get_u16(bytes, STATE) & STATE_ERROR != 0
}

/// Whether the disk says that its journal may hold what is not yet in place.
pub fn needs_recovery(bytes: &[u8]) -> bool {
    get_u32(bytes, FEATURE_INCOMPAT) & INCOMPAT_RECOVER != 0
}

/// Makes the superblock as `rsext4` is to see it: without a journal.
pub fn mask(bytes: &mut [u8]) {
    let compat = get_u32(bytes, FEATURE_COMPAT) & !COMPAT_HAS_JOURNAL;
    let incompat = get_u32(bytes, FEATURE_INCOMPAT) & !INCOMPAT_RECOVER;
    put_u32(bytes, FEATURE_COMPAT, compat);
    put_u32(bytes, FEATURE_INCOMPAT, incompat);
    seal(bytes);
}

/// Makes the superblock as it is to be on the disk: with a journal that may hold transactions.
///
/// The state is "valid", as in Linux with a journal: after the replay there is nothing to check.
pub fn unmask(bytes: &mut [u8]) {
    let compat = get_u32(bytes, FEATURE_COMPAT) | COMPAT_HAS_JOURNAL;
    let incompat = get_u32(bytes, FEATURE_INCOMPAT) | INCOMPAT_RECOVER;
    put_u32(bytes, FEATURE_COMPAT, compat);
    put_u32(bytes, FEATURE_INCOMPAT, incompat);
    let state = get_u16(bytes, STATE);
    if state & STATE_ERROR == 0 {
        put_u16(bytes, STATE, state | STATE_VALID);
    }
    seal(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn superblock() -> [u8; SUPERBLOCK_BYTES] {
        let mut bytes = [0; SUPERBLOCK_BYTES];
        put_u16(&mut bytes, MAGIC_AT, MAGIC);
        put_u32(&mut bytes, INODES, 1024);
        put_u32(&mut bytes, BLOCKS_LOW, 4096);
        put_u32(&mut bytes, LOG_BLOCK_SIZE, 2);
        put_u32(&mut bytes, INODES_PER_GROUP, 1024);
        put_u16(&mut bytes, INODE_SIZE, 256);
        put_u16(&mut bytes, STATE, STATE_VALID);
        put_u32(&mut bytes, FEATURE_COMPAT, COMPAT_HAS_JOURNAL | 0x38);
        put_u32(&mut bytes, FEATURE_RO_COMPAT, RO_COMPAT_METADATA_CHECKSUM);
        put_u32(&mut bytes, JOURNAL_INODE, 8);
        seal(&mut bytes);
        bytes
    }

    #[test]
    fn mask_and_unmask_are_inverse_but_for_the_flags() {
        let clean = superblock();
        let mut bytes = clean;
        mask(&mut bytes);
        assert_eq!(
            Superblock::parse(&bytes, 1 << 24),
            Err(LayoutError::NoJournal)
        );
        unmask(&mut bytes);
        assert!(needs_recovery(&bytes) && !needs_recovery(&clean));
        assert!(Superblock::parse(&bytes, 1 << 24).is_ok());
        let incompat = get_u32(&bytes, FEATURE_INCOMPAT) & !INCOMPAT_RECOVER;
        put_u32(&mut bytes, FEATURE_INCOMPAT, incompat);
        seal(&mut bytes);
        assert_eq!(bytes, clean);
    }

    /// Campaign on seL4 release at 870d2b0, seed 2, trial 196: `rsext4`'s copy in memory was damaged, and
    /// written out with the inode of a quota that nobody has.
    #[test]
    fn a_superblock_is_known_by_all_that_does_not_change() {
        let clean = superblock();
        let known = Superblock::parse(&clean, 1 << 24).unwrap();
        for at in 0..SUPERBLOCK_BYTES {
            let mut bytes = clean;
            bytes[at] ^= 0x10;
            let may_change = CHANGING.iter().any(|range| range.contains(&at));
            let is_same = Superblock::parse(&bytes, 1 << 24) == Ok(known);
            assert_eq!(is_same, may_change, "byte {at:#x}");
        }
    }

    #[test]
    fn half_a_superblock_is_mended() {
        let old = superblock();
        let mut new = old;
        unmask(&mut new);
        for (mut torn, other) in [(old, new), (new, old)] {
            torn[512..].copy_from_slice(&other[512..]);
            assert!(!is_intact(&torn));
            assert!(mend(&mut torn));
            assert_eq!(torn, other);
        }
    }

    #[test]
    fn strange_superblocks_are_refused() {
        let good = superblock();
        let parse = |bytes: &[u8; SUPERBLOCK_BYTES]| Superblock::parse(bytes, 1 << 24).map(|_| ());
        assert_eq!(parse(&good), Ok(()));
        assert_eq!(
            Superblock::parse(&good, (1 << 24) - 1),
            Err(LayoutError::CutOff)
        );
        assert_eq!(parse(&[0; SUPERBLOCK_BYTES]), Err(LayoutError::NotExt4));
        let mut bytes = good;
        bytes[INODES] ^= 1;
        assert!(!is_intact(&bytes) && !mend(&mut bytes) && !is_intact(&bytes));
        let mut bytes = good;
        put_u32(&mut bytes, LOG_BLOCK_SIZE, 6);
        seal(&mut bytes);
        assert_eq!(parse(&bytes), Err(LayoutError::Unsupported));
        let mut bytes = good;
        put_u32(&mut bytes, INODES_PER_GROUP, 0);
        seal(&mut bytes);
        assert_eq!(parse(&bytes), Err(LayoutError::BadSuperblock));
    }
}
