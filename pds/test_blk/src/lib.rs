// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! A client of the block service whose every result can be checked.
//!
//! It reads and writes blocks at random, many at a time, and knows what each block must hold. The
//! block service may die as often as it likes meanwhile: a wrong word, a completion that nobody
//! waits for, or a failure is a bug.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::{vec, vec::Vec};
use core::fmt;

use proto::blk::{CompletionWire, Operation, RequestWire, SECTOR_BYTES, Segment, Status};
use request_table::{Client, SLOTS, Slot};
use sel4_shared_memory::SharedMut;

/// Bytes of a block: what a file system's page has.
pub const BLOCK_BYTES: u32 = 4096;
const SECTORS_PER_BLOCK: u64 = (BLOCK_BYTES / SECTOR_BYTES) as u64;
const WORDS_PER_BLOCK: usize = BLOCK_BYTES as usize / 8;

/// The block service as seen by a client.
pub type Blocks = Client<RequestWire, CompletionWire>;

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// A block does not hold what was written.
    Contents {
        /// Number of the block.
        block: u32,
        /// Word within the block.
        word: usize,
        /// What it should be.
        expected: u64,
        /// What it is.
        found: u64,
    },
    /// A request failed for a reason that is not the medium's.
    Failed(Operation, Status),
    /// A completion came for a slot without a request, or with another sequence number.
    Unexpected(Slot),
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Contents {
                block,
                word,
                expected,
                found,
            } => write!(
                f,
                "block {block} word {word}: {found:#x} instead of {expected:#x}"
            ),
            Self::Failed(operation, status) => write!(f, "{operation:?} failed: {status:?}"),
            Self::Unexpected(slot) => write!(f, "unexpected completion in slot {}", slot.index()),
        }
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// Returns the next number below `bound`.
    pub fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((word ^ word >> 31) % u64::from(bound)) as u32
    }
}

#[derive(Clone, Copy, Debug)]
struct Outstanding {
    operation: Operation,
    block: u32,
    sequence: u64,
}

/// The workload.
pub struct Exerciser {
    table: Blocks,
    data: SharedMut,
    random: Random,
    /// Version of each block's contents; 0 was never written by us.
    versions: Vec<u32>,
    busy: Vec<bool>,
    outstanding: [Option<Outstanding>; SLOTS],
    depth: usize,
    /// Block of the disk that is our number 0.
    first_block: u64,
    flushing: bool,
    /// Requests completed.
    pub completed: u32,
    /// Reads whose every word was right.
    pub verified_blocks: u32,
    /// Flushes completed.
    pub flushes: u32,
    /// Requests that failed on the medium.
    pub failures: u32,
    /// The block that they were for.
    pub failed_block: Option<u32>,
}

/// What a word of a block holds.
#[must_use]
pub fn contents(block: u32, version: u32, word: usize) -> u64 {
    let seed = u64::from(block) << 32 | u64::from(version);
    seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ word as u64
}

impl Exerciser {
    /// Makes a workload on the first `blocks` blocks of the disk, with `depth` requests at a time.
    #[must_use]
    pub fn new(table: Blocks, data: SharedMut, blocks: u32, depth: usize, seed: u64) -> Self {
        assert!(depth <= SLOTS && data.len() >= SLOTS * BLOCK_BYTES as usize);
        Self {
            table,
            data,
            random: Random(seed),
            versions: vec![0; blocks as usize],
            busy: vec![false; blocks as usize],
            outstanding: [None; SLOTS],
            depth,
            first_block: 0,
            flushing: false,
            completed: 0,
            verified_blocks: 0,
            flushes: 0,
            failures: 0,
            failed_block: None,
        }
    }

    /// Works from this block of the disk on.
    #[must_use]
    pub const fn starting_at(mut self, block: u64) -> Self {
        self.first_block = block;
        self
    }

    /// What a block holds is not known any more: after [`Wrong::Contents`], to be told of it once.
    pub fn forget(&mut self, block: u32) {
        self.versions[block as usize] = 0;
    }

    /// For a caller that has waited for long, as [`Client::remind`].
    pub fn remind(&mut self) -> bool {
        self.table.remind()
    }

    /// Makes requests up to the depth. Returns whether it made any.
    pub fn submit(&mut self) -> bool {
        let mut any = false;
        while self.table.outstanding_count() < self.depth && !self.flushing {
            if !self.submit_one() {
                break;
            }
            any = true;
        }
        any
    }

    fn submit_one(&mut self) -> bool {
        let block = self.random.below(self.versions.len() as u32);
        if self.busy[block as usize] {
            return false;
        }
        let operation = match self.random.below(64) {
            0 => Operation::Flush,
            1..40 => Operation::Write,
            _ if self.versions[block as usize] == 0 => Operation::Write,
            _ => Operation::Read,
        };
        // The table gives the lowest free slot; its page is ours as long as it is free.
        let free = self.outstanding.iter().position(Option::is_none);
        let slot = free.expect("depth is at most the number of slots");
        let place = Segment {
            offset: slot as u32 * BLOCK_BYTES,
            bytes: BLOCK_BYTES,
        };
        let sector = (self.first_block + u64::from(block)) * SECTORS_PER_BLOCK;
        let request = match operation {
            Operation::Flush => RequestWire::plain(operation),
            Operation::Write => {
                self.versions[block as usize] += 1;
                self.fill(slot, block);
                // In two pieces, so that more than one segment is tried too.
                let first = Segment {
                    bytes: SECTOR_BYTES,
                    ..place
                };
                let rest = Segment {
                    offset: place.offset + SECTOR_BYTES,
                    bytes: BLOCK_BYTES - SECTOR_BYTES,
                };
                RequestWire::transfer(operation, sector, &[first, rest])
            }
            _ => RequestWire::read(sector, place),
        };
        let taken = self.table.submit(&request).expect("there is a free slot");
        assert!(
            taken.index() == slot,
            "the table gave slot {} for {slot}",
            taken.index()
        );
        self.busy[block as usize] = true;
        self.flushing = operation == Operation::Flush;
        let sequence = self.table.sequence(taken);
        self.outstanding[slot] = Some(Outstanding {
            operation,
            block,
            sequence,
        });
        true
    }

    fn fill(&mut self, slot: usize, block: u32) {
        let version = self.versions[block as usize];
        for word in 0..WORDS_PER_BLOCK {
            let at = slot * BLOCK_BYTES as usize + word * 8;
            self.data.store_u64(at, contents(block, version, word));
        }
    }

    /// Consumes completions and checks them. Returns how many there were.
    ///
    /// # Errors
    ///
    /// What is wrong.
    pub fn consume(&mut self) -> Result<u32, Wrong> {
        let mut count = 0;
        while let Some((slot, sequence, completion)) = self.table.next_completion() {
            let outstanding = self.outstanding[slot.index()].take();
            let Some(done) = outstanding.filter(|done| done.sequence == sequence) else {
                return Err(Wrong::Unexpected(slot));
            };
            self.busy[done.block as usize] = false;
            match (done.operation, completion.check().status) {
                (Operation::Read, Status::Done) => self.verify(slot, done.block)?,
                (Operation::Flush, Status::Done) => {
                    self.flushing = false;
                    self.flushes += 1;
                }
                (Operation::Write, Status::Done) => {}
                (Operation::Read | Operation::Write, Status::Io) => {
                    self.failures += 1;
                    self.versions[done.block as usize] = 0;
                    // Tests break one block: an error for another one is misdelivered.
                    if *self.failed_block.get_or_insert(done.block) != done.block {
                        return Err(Wrong::Failed(done.operation, Status::Io));
                    }
                }
                (operation, status) => return Err(Wrong::Failed(operation, status)),
            }
            // A page must not keep what it held: a read that is skipped would go unnoticed.
            self.data.fill(
                slot.index() * BLOCK_BYTES as usize,
                BLOCK_BYTES as usize,
                0xee,
            );
            count += 1;
        }
        self.completed += count;
        Ok(count)
    }

    fn verify(&mut self, slot: Slot, block: u32) -> Result<(), Wrong> {
        let version = self.versions[block as usize];
        for word in 0..WORDS_PER_BLOCK {
            let found = self
                .data
                .load_u64(slot.index() * BLOCK_BYTES as usize + word * 8);
            let expected = contents(block, version, word);
            if found != expected {
                return Err(Wrong::Contents {
                    block,
                    word,
                    expected,
                    found,
                });
            }
        }
        self.verified_blocks += 1;
        Ok(())
    }

    /// Returns the version of each block; 0 where its contents are not known.
    #[must_use]
    pub fn versions(&self) -> &[u32] {
        &self.versions
    }

    /// Returns how many requests are in progress.
    #[must_use]
    pub const fn outstanding_count(&self) -> usize {
        self.table.outstanding_count()
    }

    /// Returns how often the service was restarted.
    #[must_use]
    pub fn server_epoch(&self) -> u32 {
        self.table.server_epoch().unwrap_or(0)
    }

    /// Returns how often the service's region held something impossible.
    #[must_use]
    pub const fn misbehaviour_count(&self) -> u64 {
        self.table.misbehaviour_count()
    }
}
