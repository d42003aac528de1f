// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Transactions whose blocks are written to the log from where they lie: no copy, and no checksum where the
//! owner of the blocks can tell it.

use core::ops::Range;

use alloc::vec::Vec;

use crate::checksum::crc32c;
use crate::format::{
    BlockType, HEADER_BYTES, MAGIC, TAG_LAST, TAG_SAME_UUID, TAG3_BYTES, TAIL_BYTES, UUID_BYTES,
    block_checksum, put_header, put_u32,
};
use crate::{BlockDevice, Journal, JournalError};

/// The blocks of a transaction where they lie, for a device that can write them from there.
pub trait InPlace<D: BlockDevice> {
    /// The first four bytes of a block, big-endian.
    fn first_word(&mut self, device: &mut D, index: usize) -> u32;

    /// What `crc32c(seed, block)` of crate module `checksum` says.
    fn checksum(&mut self, device: &mut D, index: usize, seed: u32) -> u32;

    /// Writes `descriptor`, if there is one, and these blocks to the blocks of the device from `block` on.
    ///
    /// # Errors
    ///
    /// When the device fails.
    fn write(
        &mut self,
        device: &mut D,
        block: u64,
        descriptor: Option<&[u8]>,
        blocks: Range<usize>,
    ) -> Result<(), D::Error>;
}

impl Journal {
    /// As [`Journal::commit`], without copies of the blocks, which must not change meanwhile. Says false, and
    /// has written nothing, when one of them has to be escaped.
    ///
    /// # Errors
    ///
    /// As [`Journal::commit`].
    ///
    /// # Panics
    ///
    /// Before [`Journal::start`].
    pub fn commit_in_place<D: BlockDevice>(
        &mut self,
        device: &mut D,
        homes: &[u64],
        contents: &mut dyn InPlace<D>,
        seconds: u64,
    ) -> Result<bool, JournalError<D::Error>> {
        let escapes = (0..homes.len()).any(|index| contents.first_word(device, index) == MAGIC);
        if escapes {
            return Ok(false);
        }
        assert!(self.started, "start first");
        if homes.len() > self.transaction_blocks_max() {
            return Err(JournalError::TooLarge);
        }
        if !self.fits(homes.len()) {
            return Err(JournalError::Full);
        }
        let seed = crc32c(
            self.superblock.checksum_seed(),
            &self.sequence.to_be_bytes(),
        );
        let mut position = self.head;
        let mut done = 0;
        for part in homes.chunks(self.blocks_per_descriptor()) {
            let sum = &mut |index: usize| contents.checksum(device, done + index, seed);
            let mut descriptor = core::mem::take(&mut self.scratch);
            self.describe_only(part, sum, &mut descriptor);
            // The descriptor is block 0 of what is written.
            let mut written = 0;
            while written <= part.len() {
                let (physical, run) = self.map.run(position);
                let to_end = self.superblock.blocks() - position;
                let count = (part.len() + 1 - written).min(run.min(to_end) as usize);
                let head = (written == 0).then_some(&descriptor[..]);
                let first = done + written.saturating_sub(1);
                let blocks = first..first + count - usize::from(written == 0);
                contents.write(device, physical, head, blocks)?;
                written += count;
                position = self.wrap(position + count as u32);
            }
            self.scratch = descriptor;
            done += part.len();
        }
        self.seal_transaction(device, position, homes.len(), seconds)?;
        Ok(true)
    }

    /// Makes the descriptor of blocks of which none has to be escaped.
    fn describe_only(
        &self,
        homes: &[u64],
        sum: &mut dyn FnMut(usize) -> u32,
        descriptor: &mut Vec<u8>,
    ) {
        let size = self.block_size;
        descriptor.clear();
        descriptor.resize(size, 0);
        put_header(descriptor, BlockType::Descriptor, self.sequence);
        let mut at = HEADER_BYTES;
        for (index, home) in homes.iter().enumerate() {
            let mut flags = if index == 0 { 0 } else { TAG_SAME_UUID };
            if index + 1 == homes.len() {
                flags |= TAG_LAST;
            }
            put_u32(descriptor, at, *home as u32);
            put_u32(descriptor, at + 4, flags);
            put_u32(descriptor, at + 8, (*home >> 32) as u32);
            put_u32(descriptor, at + 12, sum(index));
            at += TAG3_BYTES;
            if index == 0 {
                descriptor[at..at + UUID_BYTES].copy_from_slice(self.superblock.uuid());
                at += UUID_BYTES;
            }
        }
        let seed = self.superblock.checksum_seed();
        let checksum = block_checksum(seed, descriptor, size - TAIL_BYTES);
        put_u32(descriptor, size - TAIL_BYTES, checksum);
    }
}
