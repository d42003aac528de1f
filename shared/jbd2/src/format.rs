// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Bytes of the journal's blocks. All numbers on disk are big endian.

use crate::checksum::{SEED, crc32c};

/// First word of every block that is not data.
pub const MAGIC: u32 = 0xc03b_3998;

/// Bytes of the journal superblock that the checksum covers.
pub const SUPERBLOCK_BYTES: usize = 1024;

/// `s_feature_incompat`: revoke records.
pub const INCOMPAT_REVOKE: u32 = 0x01;
/// `s_feature_incompat`: block numbers of 64 bits.
pub const INCOMPAT_64BIT: u32 = 0x02;
/// `s_feature_incompat`: commit blocks need not wait for the blocks before them.
pub const INCOMPAT_ASYNC_COMMIT: u32 = 0x04;
/// `s_feature_incompat`: checksums, second version.
pub const INCOMPAT_CSUM_V2: u32 = 0x08;
/// `s_feature_incompat`: checksums, third version.
pub const INCOMPAT_CSUM_V3: u32 = 0x10;
/// `s_feature_compat`: a CRC-32 of the whole transaction in its commit block.
pub const COMPAT_CHECKSUM: u32 = 0x01;

/// Features that replay understands.
pub const INCOMPAT_KNOWN: u32 =
    INCOMPAT_REVOKE | INCOMPAT_64BIT | INCOMPAT_ASYNC_COMMIT | INCOMPAT_CSUM_V2 | INCOMPAT_CSUM_V3;

/// Tag flag: the block began with [`MAGIC`], and has four zero bytes there in the journal.
pub const TAG_ESCAPED: u32 = 1;
/// Tag flag: no UUID follows.
pub const TAG_SAME_UUID: u32 = 2;
/// Tag flag: last tag of the descriptor.
pub const TAG_LAST: u32 = 8;

/// Bytes of the header of every block that is not data.
pub const HEADER_BYTES: usize = 12;
/// Bytes of a tag under checksum version 3.
pub const TAG3_BYTES: usize = 16;
/// Bytes of the UUID behind a tag without [`TAG_SAME_UUID`].
pub const UUID_BYTES: usize = 16;
/// Bytes of the checksum at the end of descriptor and revoke blocks.
pub const TAIL_BYTES: usize = 4;

/// Offset of `h_chksum[0]` in a commit block.
pub const COMMIT_CHECKSUM: usize = 16;
/// Offset of `h_commit_sec` in a commit block.
pub const COMMIT_SECONDS: usize = 48;

/// What a block of the journal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum BlockType {
    /// Says which blocks follow.
    Descriptor = 1,
    /// Ends a transaction.
    Commit = 2,
    /// Old superblock.
    SuperblockV1 = 3,
    /// Superblock.
    SuperblockV2 = 4,
    /// Says which blocks of older transactions are not to be replayed.
    Revoke = 5,
}

/// Reads a number at `offset`.
pub fn get_u32(bytes: &[u8], offset: usize) -> u32 {
    u32::from_be_bytes(bytes[offset..offset + 4].try_into().expect("four bytes"))
}

/// Writes a number at `offset`.
pub fn put_u32(bytes: &mut [u8], offset: usize, value: u32) {
    bytes[offset..offset + 4].copy_from_slice(&value.to_be_bytes());
}

/// Type and sequence number of a block that is not data; `None` for any other bytes.
pub fn header(block: &[u8]) -> Option<(BlockType, u32)> {
    if get_u32(block, 0) != MAGIC {
        return None;
    }
    let block_type = match get_u32(block, 4) {
        1 => BlockType::Descriptor,
        2 => BlockType::Commit,
        3 => BlockType::SuperblockV1,
        4 => BlockType::SuperblockV2,
        5 => BlockType::Revoke,
        _ => return None,
    };
    Some((block_type, get_u32(block, 8)))
}

/// Writes the header of a block that is not data.
pub fn put_header(block: &mut [u8], block_type: BlockType, sequence: u32) {
    put_u32(block, 0, MAGIC);
    put_u32(block, 4, block_type as u32);
    put_u32(block, 8, sequence);
}

/// Checksum of a block whose own checksum field is at `field`.
pub fn block_checksum(seed: u32, block: &[u8], field: usize) -> u32 {
    let before = crc32c(seed, &block[..field]);
    crc32c(crc32c(before, &[0; 4]), &block[field + 4..])
}

/// Checksum of a data block, as its tag has it.
pub fn data_checksum(seed: u32, sequence: u32, block: &[u8]) -> u32 {
    crc32c(crc32c(seed, &sequence.to_be_bytes()), block)
}

/// The journal's superblock. Keeps the bytes that it does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superblock {
    bytes: [u8; SUPERBLOCK_BYTES],
}

const BLOCK_SIZE: usize = 0x0c;
const MAX_LENGTH: usize = 0x10;
const FIRST: usize = 0x14;
const SEQUENCE: usize = 0x18;
const START: usize = 0x1c;
const ERROR: usize = 0x20;
const FEATURE_COMPAT: usize = 0x24;
const FEATURE_INCOMPAT: usize = 0x28;
const FEATURE_RO_COMPAT: usize = 0x2c;
const UUID: usize = 0x30;
const CHECKSUM_TYPE: usize = 0x50;
const CHECKSUM: usize = 0xfc;

/// `s_checksum_type` of CRC-32C.
const CHECKSUM_TYPE_CRC32C: u8 = 4;

impl Superblock {
    /// Takes the bytes without looking at them.
    pub fn from_bytes(bytes: [u8; SUPERBLOCK_BYTES]) -> Self {
        Self { bytes }
    }

    /// The bytes, with the checksum made new where the features ask for one.
    pub fn to_bytes(&self) -> [u8; SUPERBLOCK_BYTES] {
        let mut bytes = self.bytes;
        if self.has_checksums() {
            let checksum = block_checksum(SEED, &bytes, CHECKSUM);
            put_u32(&mut bytes, CHECKSUM, checksum);
        }
        bytes
    }

    /// Whether this is a superblock at all, with all its numbers in range.
    pub fn is_plausible(&self, block_size: usize, journal_blocks: u32) -> bool {
        let is_superblock = matches!(
            header(&self.bytes),
            Some((BlockType::SuperblockV1 | BlockType::SuperblockV2, _))
        );
        let in_log = |block: u32| (self.first()..self.blocks()).contains(&block);
        is_superblock
            && get_u32(&self.bytes, BLOCK_SIZE) as usize == block_size
            && self.first() != 0
            && self.first() < self.blocks()
            && self.blocks() <= journal_blocks
            && (self.start() == 0 || in_log(self.start()))
    }

    /// Whether the checksum is right, where there is one.
    pub fn is_intact(&self) -> bool {
        !self.has_checksums()
            || (self.bytes[CHECKSUM_TYPE] == CHECKSUM_TYPE_CRC32C
                && get_u32(&self.bytes, CHECKSUM) == block_checksum(SEED, &self.bytes, CHECKSUM))
    }

    /// Bits of features that we do not know.
    pub fn unknown_features(&self) -> u32 {
        if self.is_version1() {
            return 0;
        }
        (get_u32(&self.bytes, FEATURE_INCOMPAT) & !INCOMPAT_KNOWN)
            | get_u32(&self.bytes, FEATURE_RO_COMPAT)
    }

    fn is_version1(&self) -> bool {
        get_u32(&self.bytes, 4) == BlockType::SuperblockV1 as u32
    }

    /// Whether `bit` of `s_feature_incompat` is set.
    pub fn has_incompat(&self, bit: u32) -> bool {
        !self.is_version1() && get_u32(&self.bytes, FEATURE_INCOMPAT) & bit != 0
    }

    /// Whether blocks carry checksums of version 2 or 3.
    pub fn has_checksums(&self) -> bool {
        self.has_incompat(INCOMPAT_CSUM_V2 | INCOMPAT_CSUM_V3)
    }

    /// Chooses the format that we write. Only an empty journal may change it.
    pub fn set_our_features(&mut self, wide: bool) {
        if self.is_version1() {
            // Version 1 has no fields behind `s_errno`.
            self.bytes[FEATURE_COMPAT..].fill(0);
            put_u32(&mut self.bytes, 4, BlockType::SuperblockV2 as u32);
        }
        let wide = if wide { INCOMPAT_64BIT } else { 0 };
        put_u32(&mut self.bytes, FEATURE_COMPAT, 0);
        put_u32(&mut self.bytes, FEATURE_INCOMPAT, INCOMPAT_CSUM_V3 | wide);
        self.bytes[CHECKSUM_TYPE] = CHECKSUM_TYPE_CRC32C;
    }

    /// Whether the features are exactly those of [`Self::set_our_features`].
    pub fn has_our_features(&self, wide: bool) -> bool {
        let mut ours = self.clone();
        ours.set_our_features(wide);
        ours.bytes == self.bytes
    }

    /// Blocks of the journal, the superblock included.
    pub fn blocks(&self) -> u32 {
        get_u32(&self.bytes, MAX_LENGTH)
    }

    /// First block of the log.
    pub fn first(&self) -> u32 {
        get_u32(&self.bytes, FIRST)
    }

    /// Sequence number that the transaction at [`Self::start`] has.
    pub fn sequence(&self) -> u32 {
        get_u32(&self.bytes, SEQUENCE)
    }

    /// Block where replay begins; 0 when there is nothing to replay.
    pub fn start(&self) -> u32 {
        get_u32(&self.bytes, START)
    }

    /// Error that an earlier owner recorded.
    pub fn error(&self) -> u32 {
        get_u32(&self.bytes, ERROR)
    }

    /// Says where replay is to begin.
    pub fn set_start(&mut self, start: u32, sequence: u32) {
        put_u32(&mut self.bytes, START, start);
        put_u32(&mut self.bytes, SEQUENCE, sequence);
    }

    /// Seed of all other checksums in this journal.
    pub fn checksum_seed(&self) -> u32 {
        crc32c(SEED, &self.bytes[UUID..UUID + UUID_BYTES])
    }

    /// The journal's UUID.
    pub fn uuid(&self) -> &[u8] {
        &self.bytes[UUID..UUID + UUID_BYTES]
    }
}
