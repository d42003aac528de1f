// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Writes transactions into the log, and knows how much room is left.
//!
//! The log is a ring of the blocks `first..blocks`. `tail` is the oldest transaction that is not
//! checkpointed, `head` the block behind the newest. The superblock on disk always names a tail from
//! which every committed and not checkpointed transaction can be reached.

use alloc::vec;
use alloc::vec::Vec;

use crate::format::{
    BlockType, COMMIT_CHECKSUM, COMMIT_SECONDS, HEADER_BYTES, MAGIC, SUPERBLOCK_BYTES, Superblock,
    TAG_ESCAPED, TAG_LAST, TAG_SAME_UUID, TAG3_BYTES, TAIL_BYTES, UUID_BYTES, block_checksum,
    data_checksum, get_u32, put_header, put_u32,
};
use crate::{BlockDevice, JournalError, JournalMap};

/// Data blocks behind one descriptor, so that the two go to the disk in one write.
///
/// A descriptor block of 1 KiB has room for 61 tags; one of 4 KiB for more, but 256 KiB in one
/// request are enough.
const BLOCKS_PER_DESCRIPTOR_MAX: usize = 61;

/// Fills in block number `usize` of a transaction.
pub type Content<'a, D> =
    dyn FnMut(&mut D, usize, &mut [u8]) -> Result<(), <D as BlockDevice>::Error> + 'a;

/// How far the log is written: what a process must keep in memory that outlives it, so that its next
/// life goes on without reading the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Next block to write.
    pub head: u32,
    /// Blocks in use. More than there are in truth only brings the next checkpoint forward.
    pub used: u32,
    /// Sequence number of the next transaction.
    pub sequence: u32,
}

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    pub(crate) map: JournalMap,
    pub(crate) block_size: usize,
    pub(crate) superblock: Superblock,
    /// Whether block numbers take more than 32 bits.
    wide: bool,
    /// Next block to write; meaningless until [`Journal::start`].
    pub(crate) head: u32,
    /// Blocks between tail and head.
    used: u32,
    /// Sequence number of the next transaction.
    pub(crate) sequence: u32,
    pub(crate) started: bool,
    pub(crate) scratch: Vec<u8>,
}

impl Journal {
    /// Reads and checks the journal's superblock. `wide`: the file system has more than 2^32 blocks.
    ///
    /// # Errors
    ///
    /// When this is no journal, or one that we do not understand.
    pub fn open<D: BlockDevice>(
        device: &mut D,
        map: JournalMap,
        wide: bool,
    ) -> Result<Self, JournalError<D::Error>> {
        let block_size = device.block_size();
        if map.blocks() == 0 || block_size < SUPERBLOCK_BYTES {
            return Err(JournalError::NotAJournal);
        }
        let mut block = vec![0; block_size];
        device.read(map.run(0).0, &mut block)?;
        let bytes = block[..SUPERBLOCK_BYTES]
            .try_into()
            .expect("a whole superblock");
        let superblock = Superblock::from_bytes(bytes);
        if !superblock.is_plausible(block_size, map.blocks()) {
            return Err(JournalError::NotAJournal);
        }
        if superblock.unknown_features() != 0 {
            return Err(JournalError::UnknownFeatures(superblock.unknown_features()));
        }
        if !superblock.is_intact() {
            return Err(JournalError::BadChecksum);
        }
        Ok(Self {
            map,
            block_size,
            wide,
            head: 0,
            used: 0,
            sequence: superblock.sequence(),
            superblock,
            started: false,
            scratch: Vec::new(),
        })
    }

    /// Goes on where an earlier life of ours was: its superblock and its position, kept in memory.
    ///
    /// `None` when they contradict each other.
    pub fn go_on(
        map: JournalMap,
        block_size: usize,
        wide: bool,
        superblock: [u8; SUPERBLOCK_BYTES],
        position: Position,
    ) -> Option<Self> {
        let superblock = Superblock::from_bytes(superblock);
        let fits = superblock.is_plausible(block_size, map.blocks())
            && (superblock.first()..superblock.blocks()).contains(&position.head)
            && position.used <= superblock.blocks() - superblock.first();
        let mut journal = Self {
            map,
            block_size,
            wide,
            head: 0,
            used: 0,
            sequence: 0,
            superblock,
            started: false,
            scratch: Vec::new(),
        };
        journal.go_on_at(position.head, position.used, position.sequence);
        fits.then_some(journal)
    }

    /// How far the log is written.
    pub fn position(&self) -> Position {
        Position {
            head: self.head,
            used: self.used,
            sequence: self.sequence,
        }
    }

    /// The superblock as the disk has it, or as it was before the last checkpoint.
    pub fn superblock_bytes(&self) -> [u8; SUPERBLOCK_BYTES] {
        self.superblock.to_bytes()
    }

    /// Whether block numbers take more than 32 bits.
    pub fn is_wide(&self) -> bool {
        self.wide
    }

    /// Where the journal is on the disk.
    pub fn map(&self) -> &JournalMap {
        &self.map
    }

    /// Whether the disk says that there may be transactions to replay.
    pub fn needs_replay(&self) -> bool {
        self.superblock.start() != 0
    }

    /// Throws away what the journal holds, after somebody has decided that it is not needed.
    /// [`Journal::start`] comes next.
    pub fn discard(&mut self) {
        // Nothing that is there now may be taken for a later transaction.
        let sequence = self
            .superblock
            .sequence()
            .wrapping_add(self.superblock.blocks());
        self.begin_anew(sequence);
    }

    /// Forgets, in memory, what the log holds; the next transaction has number `sequence`.
    pub(crate) fn begin_anew(&mut self, sequence: u32) {
        self.superblock.set_start(0, sequence);
        self.sequence = sequence;
    }

    /// Takes the log as it is, with the next transaction at `head`.
    pub(crate) fn go_on_at(&mut self, head: u32, used: u32, sequence: u32) {
        self.head = head;
        self.used = used;
        self.sequence = sequence;
        self.started = true;
    }

    pub(crate) fn has_our_features(&self) -> bool {
        self.superblock.has_our_features(self.wide)
    }

    /// Begins to write, in a journal that has nothing to replay.
    ///
    /// From here on the superblock on disk points to a tail, so the caller must have made ext4's
    /// "needs recovery" flag durable before.
    ///
    /// # Errors
    ///
    /// When the device fails.
    ///
    /// # Panics
    ///
    /// When there are transactions to replay.
    pub fn start<D: BlockDevice>(&mut self, device: &mut D) -> Result<(), JournalError<D::Error>> {
        assert!(!self.needs_replay(), "replay first");
        self.superblock.set_our_features(self.wide);
        self.head = self.superblock.first();
        self.used = 0;
        self.superblock.set_start(self.head, self.sequence);
        self.write_superblock(device)?;
        // The disk must have forgotten an old log before the first block of it is overwritten, or a
        // second replay could find its first transactions without the later ones.
        device.flush()?;
        self.started = true;
        Ok(())
    }

    fn write_superblock<D: BlockDevice>(
        &mut self,
        device: &mut D,
    ) -> Result<(), JournalError<D::Error>> {
        let mut block = vec![0; self.block_size];
        block[..SUPERBLOCK_BYTES].copy_from_slice(&self.superblock.to_bytes());
        device.write(self.map.run(0).0, &block)?;
        Ok(())
    }

    /// Blocks of the log.
    fn log_blocks(&self) -> u32 {
        self.superblock.blocks() - self.superblock.first()
    }

    /// Blocks of the log that a transaction of `count` blocks takes.
    fn cost(&self, count: usize) -> usize {
        count + count.div_ceil(self.blocks_per_descriptor()) + 1
    }

    pub(crate) fn blocks_per_descriptor(&self) -> usize {
        let room = self.block_size - HEADER_BYTES - TAIL_BYTES - UUID_BYTES;
        (room / TAG3_BYTES).min(BLOCKS_PER_DESCRIPTOR_MAX)
    }

    /// Whether a transaction of `count` blocks fits now, without a checkpoint.
    pub fn fits(&self, count: usize) -> bool {
        self.cost(count) <= (self.log_blocks() - self.used) as usize
    }

    /// Most blocks that one transaction can ever have.
    ///
    /// Half of the log, so that the next transaction can be written while the last one is still needed.
    pub fn transaction_blocks_max(&self) -> usize {
        let half = self.log_blocks() as usize / 2;
        half.saturating_sub(half.div_ceil(self.blocks_per_descriptor()) + 1)
    }

    /// Share of the log in use, in percent.
    pub fn used_percent(&self) -> u32 {
        (u64::from(self.used) * 100 / u64::from(self.log_blocks())) as u32
    }

    /// Writes one transaction: the blocks `homes`, whose contents `content` fills in.
    ///
    /// When this returns, a process that is killed loses nothing. The transaction survives a power cut
    /// after the next [`BlockDevice::flush`]. A transaction never survives an older one that is lost.
    ///
    /// # Errors
    ///
    /// [`JournalError::Full`] asks for a checkpoint; nothing was written then. After an error of the
    /// device the journal must be opened anew.
    ///
    /// # Panics
    ///
    /// Before [`Journal::start`].
    pub fn commit<D: BlockDevice>(
        &mut self,
        device: &mut D,
        homes: &[u64],
        content: &mut Content<'_, D>,
        seconds: u64,
    ) -> Result<(), JournalError<D::Error>> {
        assert!(self.started, "start first");
        if homes.len() > self.transaction_blocks_max() {
            return Err(JournalError::TooLarge);
        }
        if !self.fits(homes.len()) {
            return Err(JournalError::Full);
        }
        let mut position = self.head;
        let mut done = 0;
        for part in homes.chunks(self.blocks_per_descriptor()) {
            self.describe(device, part, done, content)?;
            let scratch = core::mem::take(&mut self.scratch);
            position = self.write_log(device, position, &scratch)?;
            self.scratch = scratch;
            done += part.len();
        }
        self.seal_transaction(device, position, homes.len(), seconds)
    }

    /// Writes the commit block at `position`.
    pub(crate) fn seal_transaction<D: BlockDevice>(
        &mut self,
        device: &mut D,
        position: u32,
        count: usize,
        seconds: u64,
    ) -> Result<(), JournalError<D::Error>> {
        device.barrier()?;
        let commit = self.commit_block(seconds);
        self.head = self.write_log(device, position, &commit)?;
        self.used += self.cost(count) as u32;
        self.sequence = self.sequence.wrapping_add(1);
        Ok(())
    }

    /// Takes back the last transaction, as far as the device lets us: something of it could not be written.
    /// The journal must be opened anew.
    ///
    /// # Errors
    ///
    /// When the device fails.
    pub fn spoil<D: BlockDevice>(&mut self, device: &mut D) -> Result<(), JournalError<D::Error>> {
        let first = self.superblock.first();
        let last = if self.head == first {
            self.superblock.blocks() - 1
        } else {
            self.head - 1
        };
        let nothing = vec![0; self.block_size];
        self.write_log(device, last, &nothing)?;
        device.flush()?;
        Ok(())
    }

    /// Puts a descriptor and its blocks into `scratch`.
    fn describe<D: BlockDevice>(
        &mut self,
        device: &mut D,
        homes: &[u64],
        first: usize,
        content: &mut Content<'_, D>,
    ) -> Result<(), JournalError<D::Error>> {
        let seed = self.superblock.checksum_seed();
        let size = self.block_size;
        self.scratch.clear();
        self.scratch.resize(size * (homes.len() + 1), 0);
        let (descriptor, blocks) = self.scratch.split_at_mut(size);
        put_header(descriptor, BlockType::Descriptor, self.sequence);
        let mut at = HEADER_BYTES;
        for (index, (home, block)) in homes.iter().zip(blocks.chunks_exact_mut(size)).enumerate() {
            content(device, first + index, block)?;
            let mut flags = if index == 0 { 0 } else { TAG_SAME_UUID };
            if get_u32(block, 0) == MAGIC {
                put_u32(block, 0, 0);
                flags |= TAG_ESCAPED;
            }
            if index + 1 == homes.len() {
                flags |= TAG_LAST;
            }
            put_u32(descriptor, at, *home as u32);
            put_u32(descriptor, at + 4, flags);
            put_u32(descriptor, at + 8, (*home >> 32) as u32);
            put_u32(
                descriptor,
                at + 12,
                data_checksum(seed, self.sequence, block),
            );
            at += TAG3_BYTES;
            if index == 0 {
                descriptor[at..at + UUID_BYTES].copy_from_slice(self.superblock.uuid());
                at += UUID_BYTES;
            }
        }
        let checksum = block_checksum(seed, descriptor, size - TAIL_BYTES);
        put_u32(descriptor, size - TAIL_BYTES, checksum);
        Ok(())
    }

    fn commit_block(&self, seconds: u64) -> Vec<u8> {
        let mut block = vec![0; self.block_size];
        put_header(&mut block, BlockType::Commit, self.sequence);
        block[COMMIT_SECONDS..COMMIT_SECONDS + 8].copy_from_slice(&seconds.to_be_bytes());
        let seed = self.superblock.checksum_seed();
        let checksum = block_checksum(seed, &block, COMMIT_CHECKSUM);
        put_u32(&mut block, COMMIT_CHECKSUM, checksum);
        block
    }

    /// Writes blocks from journal block `position` on; returns the position behind them.
    fn write_log<D: BlockDevice>(
        &self,
        device: &mut D,
        position: u32,
        bytes: &[u8],
    ) -> Result<u32, JournalError<D::Error>> {
        let mut position = position;
        let mut rest = bytes;
        while !rest.is_empty() {
            let (physical, run) = self.map.run(position);
            let to_end = self.superblock.blocks() - position;
            let count = (rest.len() / self.block_size).min(run.min(to_end) as usize);
            let (now, later) = rest.split_at(count * self.block_size);
            device.write(physical, now)?;
            rest = later;
            position = self.wrap(position + count as u32);
        }
        Ok(position)
    }

    pub(crate) fn wrap(&self, position: u32) -> u32 {
        if position >= self.superblock.blocks() {
            self.superblock.first() + (position - self.superblock.blocks())
        } else {
            position
        }
    }

    /// Gives the whole log back, after the caller has written every committed block home.
    ///
    /// The caller must have flushed the device after these writes (and, so that home never has a
    /// block of a transaction that the log may lose, once between the last commit and the first write).
    ///
    /// # Errors
    ///
    /// When the device fails.
    pub fn checkpointed<D: BlockDevice>(
        &mut self,
        device: &mut D,
    ) -> Result<(), JournalError<D::Error>> {
        if self.used == 0 {
            return Ok(());
        }
        // The tail may name a transaction that is not there yet: what is found at `head` is older,
        // and replay ends at a sequence number that it does not expect.
        self.superblock.set_start(self.head, self.sequence);
        self.write_superblock(device)?;
        // Nothing of the old log may be overwritten before the disk has forgotten it.
        device.flush()?;
        self.used = 0;
        Ok(())
    }
}
