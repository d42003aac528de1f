// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Finds what committed transactions say, and writes it home or hands it to a cache.
//!
//! Two passes: the first finds where the log ends and which blocks are revoked, the second finds the
//! newest copy of each block. Then there are two ways to go on:
//! - [`Journal::replay`] writes each block home once, and the log begins anew. Until its superblock says
//!   so, a replay that is cut off can be done again.
//! - [`Journal::resume`] goes on writing behind the last transaction, and the caller keeps the blocks in
//!   memory as if it had just committed them. Nothing is written at all. Only for a log that a
//!   process has left that was killed, see there.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use crate::checksum::crc32c;
use crate::format::{
    BlockType, COMMIT_CHECKSUM, HEADER_BYTES, INCOMPAT_64BIT, INCOMPAT_CSUM_V2, INCOMPAT_CSUM_V3,
    MAGIC, TAG_ESCAPED, TAG_LAST, TAG_SAME_UUID, TAIL_BYTES, UUID_BYTES, block_checksum,
    data_checksum, get_u32, header, put_u32,
};
use crate::{BlockDevice, Journal, JournalError};

/// What a replay did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplayReport {
    /// Committed transactions found.
    pub transactions: u32,
    /// Blocks written home.
    pub blocks: u32,
}

/// Sequence numbers that are never used again after a replay.
///
/// Behind the last committed transaction there can be parts of the next one, and of one more whose
/// predecessor's commit block a power cut lost. A new transaction must not be mistaken for either.
const SEQUENCES_SKIPPED: u32 = 2;

/// One block that a descriptor names.
struct Tag {
    home: u64,
    escaped: bool,
    checksum: u32,
}

/// Newest copy of a block.
struct Copy {
    position: u32,
    escaped: bool,
}

/// What the first pass found.
struct Extent {
    /// Sequence number behind the last committed transaction.
    end: u32,
    /// Block behind it, and how many blocks there are up to there.
    head: u32,
    used: u32,
    /// Block, and the transaction that says that older copies of it do not count.
    revoked: BTreeMap<u64, u32>,
}

/// The committed transactions of a log.
pub struct Survey {
    extent: Extent,
    copies: BTreeMap<u64, Copy>,
    /// Committed transactions.
    pub transactions: u32,
}

impl Survey {
    /// Number of different blocks.
    pub fn blocks(&self) -> usize {
        self.copies.len()
    }
}

/// Takes one block and the number that it has at home.
pub type Take<'a, D> = dyn FnMut(&mut D, u64, &[u8]) -> Result<(), <D as BlockDevice>::Error> + 'a;

/// Blocks of the log that are read at once.
const READ_BLOCKS: u32 = 64;

/// Reads the log in runs: a replay is what a restart waits for, and requests cost more than bytes.
struct LogReader {
    bytes: Vec<u8>,
    first: u32,
    count: u32,
}

impl LogReader {
    fn new(journal: &Journal) -> Self {
        Self {
            bytes: vec![0; READ_BLOCKS as usize * journal.block_size],
            first: 0,
            count: 0,
        }
    }

    /// The block of the log at `position`.
    fn block<D: BlockDevice>(
        &mut self,
        journal: &Journal,
        device: &mut D,
        position: u32,
    ) -> Result<&[u8], D::Error> {
        let size = journal.block_size;
        if !(self.first..self.first + self.count).contains(&position) {
            let (physical, run) = journal.map.run(position);
            let to_end = journal.superblock.blocks() - position;
            let count = READ_BLOCKS.min(run).min(to_end);
            self.count = 0;
            device.read(physical, &mut self.bytes[..count as usize * size])?;
            (self.first, self.count) = (position, count);
        }
        let at = (position - self.first) as usize * size;
        Ok(&self.bytes[at..at + size])
    }
}

impl Journal {
    /// Finds the committed transactions. Writes nothing.
    ///
    /// # Errors
    ///
    /// When the device fails, or a committed transaction is damaged.
    pub fn survey<D: BlockDevice>(&self, device: &mut D) -> Result<Survey, JournalError<D::Error>> {
        let mut log = LogReader::new(self);
        let extent = self.scan(device, &mut log)?;
        let copies = self.newest_copies(device, &mut log, &extent)?;
        let transactions = extent.end.wrapping_sub(self.superblock.sequence());
        Ok(Survey {
            extent,
            copies,
            transactions,
        })
    }

    /// Hands over the newest copy of each block, in the order of the log.
    ///
    /// # Errors
    ///
    /// When the device or `take` fails.
    pub fn read_copies<D: BlockDevice>(
        &self,
        device: &mut D,
        survey: &Survey,
        take: &mut Take<'_, D>,
    ) -> Result<(), JournalError<D::Error>> {
        let mut log = LogReader::new(self);
        let mut in_log_order: Vec<_> = survey.copies.iter().collect();
        in_log_order.sort_unstable_by_key(|(_, copy)| copy.position);
        let mut block = vec![0; self.block_size];
        for (home, copy) in in_log_order {
            block.copy_from_slice(log.block(self, device, copy.position)?);
            if copy.escaped {
                put_u32(&mut block, 0, MAGIC);
            }
            take(device, *home, &block)?;
        }
        Ok(())
    }

    /// Replays all committed transactions; they are durable at home then. [`Journal::start`] comes
    /// next, and makes the disk forget them.
    ///
    /// # Errors
    ///
    /// When the device fails, or a committed transaction is damaged; nothing is written home then.
    pub fn replay<D: BlockDevice>(
        &mut self,
        device: &mut D,
    ) -> Result<ReplayReport, JournalError<D::Error>> {
        if !self.needs_replay() {
            return Ok(ReplayReport::default());
        }
        let survey = self.survey(device)?;
        self.read_copies(device, &survey, &mut |device, home, block| {
            device.write(home, block)
        })?;
        device.flush()?;
        self.begin_anew(survey.extent.end.wrapping_add(SEQUENCES_SKIPPED));
        Ok(ReplayReport {
            transactions: survey.transactions,
            blocks: survey.blocks() as u32,
        })
    }

    /// Whether [`Journal::resume`] is possible: the log has the format that we write.
    pub fn can_resume(&self) -> bool {
        self.needs_replay() && self.has_our_features()
    }

    /// Goes on behind the last committed transaction, which the caller has in memory now.
    ///
    /// Only after a process was killed, with everything that it wrote on the disk: the part of a
    /// transaction that may lie behind the last commit block is overwritten by the next one, which
    /// has the same sequence number. After a power cut there could be more, in any order; replay then.
    pub fn resume(&mut self, survey: &Survey) {
        let extent = &survey.extent;
        self.go_on_at(extent.head, extent.used, extent.end);
    }

    /// Follows the log until something is not the next block of a transaction.
    fn scan<D: BlockDevice>(
        &self,
        device: &mut D,
        log: &mut LogReader,
    ) -> Result<Extent, JournalError<D::Error>> {
        let mut revoked = BTreeMap::new();
        let mut pending: Vec<u64> = Vec::new();
        let mut sequence = self.superblock.sequence();
        let mut position = self.superblock.start();
        let mut walked = 0;
        let (mut head, mut used) = (position, 0);
        while walked < self.superblock.blocks() {
            let block = log.block(self, device, position)?;
            let Some((block_type, found)) = header(block) else {
                break;
            };
            if found != sequence {
                break;
            }
            let mut step = 1;
            let mut committed = false;
            match block_type {
                BlockType::Descriptor if self.has_good_tail(block) => {
                    step += self.tags(block).len() as u32;
                }
                BlockType::Revoke if self.has_good_tail(block) => {
                    pending.extend(self.revoked_blocks(block));
                }
                BlockType::Commit if self.is_good_commit(block) => {
                    for home in pending.drain(..) {
                        revoked.insert(home, sequence);
                    }
                    sequence = sequence.wrapping_add(1);
                    committed = true;
                }
                _ => break,
            }
            walked += step;
            position = self.wrap(position + step);
            if committed {
                (head, used) = (position, walked);
            }
        }
        Ok(Extent {
            end: sequence,
            head,
            used,
            revoked,
        })
    }

    /// Walks the committed transactions again, checks every block, and keeps the newest of each.
    fn newest_copies<D: BlockDevice>(
        &self,
        device: &mut D,
        log: &mut LogReader,
        extent: &Extent,
    ) -> Result<BTreeMap<u64, Copy>, JournalError<D::Error>> {
        let seed = self.superblock.checksum_seed();
        let mut copies = BTreeMap::new();
        let mut sequence = self.superblock.sequence();
        let mut position = self.superblock.start();
        while sequence != extent.end {
            let block = log.block(self, device, position)?;
            let tags = match header(block) {
                Some((BlockType::Descriptor, _)) => self.tags(block),
                Some((BlockType::Commit, _)) => {
                    sequence = sequence.wrapping_add(1);
                    Vec::new()
                }
                _ => Vec::new(),
            };
            position = self.wrap(position + 1);
            for tag in tags {
                let data = log.block(self, device, position)?;
                if !self.is_good_data(&tag, seed, sequence, data) {
                    return Err(JournalError::DamagedTransaction {
                        journal_block: position,
                    });
                }
                // A revoke in the same or a later transaction makes this copy stale.
                let stale = extent
                    .revoked
                    .get(&tag.home)
                    .is_some_and(|revoke| revoke.wrapping_sub(sequence) as i32 >= 0);
                if !stale {
                    let escaped = tag.escaped;
                    copies.insert(tag.home, Copy { position, escaped });
                }
                position = self.wrap(position + 1);
            }
        }
        Ok(copies)
    }

    fn has_good_tail(&self, block: &[u8]) -> bool {
        let field = self.block_size - TAIL_BYTES;
        !self.superblock.has_checksums()
            || get_u32(block, field)
                == block_checksum(self.superblock.checksum_seed(), block, field)
    }

    fn is_good_commit(&self, block: &[u8]) -> bool {
        !self.superblock.has_checksums()
            || get_u32(block, COMMIT_CHECKSUM)
                == block_checksum(self.superblock.checksum_seed(), block, COMMIT_CHECKSUM)
    }

    fn is_good_data(&self, tag: &Tag, seed: u32, sequence: u32, data: &[u8]) -> bool {
        if self.superblock.has_incompat(INCOMPAT_CSUM_V3) {
            tag.checksum == data_checksum(seed, sequence, data)
        } else if self.superblock.has_incompat(INCOMPAT_CSUM_V2) {
            // Version 2 has room for the lower half only.
            let full = crc32c(crc32c(seed, &sequence.to_be_bytes()), data);
            tag.checksum == full & 0xffff
        } else {
            true
        }
    }

    /// Bytes of a tag in this journal, without the UUID.
    fn tag_bytes(&self) -> usize {
        if self.superblock.has_incompat(INCOMPAT_CSUM_V3) {
            return crate::format::TAG3_BYTES;
        }
        // Block number, checksum and flags of 16 bits each; upper half of the number when wide. With
        // version 2, Linux counts two bytes more than it uses.
        let wide = if self.superblock.has_incompat(INCOMPAT_64BIT) {
            4
        } else {
            0
        };
        let v2 = if self.superblock.has_incompat(INCOMPAT_CSUM_V2) {
            2
        } else {
            0
        };
        8 + wide + v2
    }

    /// The tags of a descriptor block.
    fn tags(&self, block: &[u8]) -> Vec<Tag> {
        let v3 = self.superblock.has_incompat(INCOMPAT_CSUM_V3);
        let wide = self.superblock.has_incompat(INCOMPAT_64BIT);
        let tag_bytes = self.tag_bytes();
        let tail = if self.superblock.has_checksums() {
            TAIL_BYTES
        } else {
            0
        };
        let end = self.block_size - tail;
        let mut tags = Vec::new();
        let mut at = HEADER_BYTES;
        while at + tag_bytes <= end {
            let word = get_u32(block, at + 4);
            let (flags, checksum) = if v3 {
                (word, get_u32(block, at + 12))
            } else {
                (word & 0xffff, word >> 16)
            };
            let high = if wide {
                u64::from(get_u32(block, at + 8)) << 32
            } else {
                0
            };
            tags.push(Tag {
                home: high | u64::from(get_u32(block, at)),
                escaped: flags & TAG_ESCAPED != 0,
                checksum,
            });
            at += tag_bytes
                + if flags & TAG_SAME_UUID == 0 {
                    UUID_BYTES
                } else {
                    0
                };
            if flags & TAG_LAST != 0 {
                break;
            }
        }
        tags
    }

    /// The blocks that a revoke block names.
    fn revoked_blocks(&self, block: &[u8]) -> Vec<u64> {
        let wide = self.superblock.has_incompat(INCOMPAT_64BIT);
        let end = (get_u32(block, HEADER_BYTES) as usize).min(self.block_size);
        let entries = block.get(HEADER_BYTES + 4..end).unwrap_or_default();
        let number = |bytes: &[u8]| bytes.iter().fold(0, |n, byte| n << 8 | u64::from(*byte));
        entries
            .chunks_exact(if wide { 8 } else { 4 })
            .map(number)
            .collect()
    }
}
