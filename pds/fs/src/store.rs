// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Blocks with transactions: what an operation writes becomes visible all at once, or not at all.
//!
//! A block is found in the first of these that has it:
//! 1. `operation`: written by the operation that runs now. [`Store::end_operation`] moves it to 2,
//!    [`Store::abort_operation`] drops it.
//! 2. `group`: written by operations that are done, not yet in the journal. [`Store::commit`] writes
//!    it to the journal and moves it to 3. Only then may these operations be acknowledged.
//! 3. `cache`: committed; *dirty* until it is also at home on the disk ([`Store::checkpoint`]),
//!    then *clean*, and evicted when room is needed.
//! 4. the disk.
//!
//! Contents of blocks that were allocated for them go home before their transaction (module `fresh`), and are
//! clean once that is committed. Those of writes that are to be carried out (module `deferred`) are in
//! slots that are no block's yet.
//!
//! All copies live in the memory shared with the disk, in slots of one block. What is in the slots of set 3
//! is also said in an [`Index`] that outlives us: the next life finds everything that was committed, dirty
//! or clean, and drops the rest ([`Store::restore`]). Without it, what counts is in the journal.
//!
//! An error of the disk while a transaction is written leaves us not knowing what is on the disk: the
//! store then refuses everything until it is opened anew.

mod counters;
mod deferred;
mod fresh;
mod preserved;
mod slots;
mod staged;
mod staging;
mod table;
mod transactions;

use alloc::vec::Vec;
use core::ops::Range;

use jbd2::{BlockDevice, Journal, JournalError, Survey};
use recovery::fault_point;
use sel4_shared_memory::{Crc32c, SharedMut};

use crate::disk::{Disk, DiskError};
use crate::index::{Entry, Geometry, Index, Intent, Progress};
use crate::raw::RawBlocks;
pub use counters::Counters;
pub use deferred::LeftBlock;
use staged::Level;
use table::Table;

/// Why a block could not be read, or a transaction not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// The disk failed.
    Disk(DiskError),
    /// One operation changes more than the journal or the cache can hold.
    TooLarge,
    /// A write to the journal's own blocks, or outside of the file system.
    Forbidden,
    /// A transaction failed before; nothing is known until the store is opened anew.
    Failed,
}

impl From<DiskError> for StoreError {
    fn from(error: DiskError) -> Self {
        Self::Disk(error)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Free,
    Clean,
    Dirty,
    Staged,
    /// Of a write that was acknowledged and is carried out later.
    Deferred,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    block: u64,
    state: State,
    /// Used since the clock's hand passed.
    used: bool,
    /// The index says what is in it.
    indexed: bool,
    /// Of an earlier life: the contents are compared with the index before they are used.
    unchecked: bool,
    /// The index says that a write that is to be carried out has put it there. So it is, until that is
    /// committed.
    deferred: bool,
    /// Checksum of the contents, where they are indexed.
    sum: u32,
}

impl Slot {
    const FREE: Self = Self {
        block: 0,
        state: State::Free,
        used: false,
        indexed: false,
        unchecked: false,
        deferred: false,
        sum: 0,
    };

    fn new(block: u64, state: State) -> Self {
        Self {
            block,
            state,
            used: true,
            ..Self::FREE
        }
    }
}

/// Where a block is that was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Its slot, if it is in memory.
    pub slot: Option<u32>,
    /// If it was not, how many of those that were read with it are in the slots behind its own, in their
    /// order.
    pub behind: Option<usize>,
}

/// Longest run of blocks that is read or written at once.
const RUN_BLOCKS_MAX: usize = 64;
/// A checkpoint is made when more than this share of the cache is dirty.
const DIRTY_PERCENT_MAX: usize = 50;
/// A checkpoint is made when no request waits and more than this share of the log is in use.
const IDLE_LOG_PERCENT: u32 = 50;

/// See the head of this file.
#[derive(Debug)]
pub struct Store<D: Disk> {
    raw: RawBlocks<D>,
    journal: Journal,
    block_size: usize,
    blocks: u64,
    slots: Vec<Slot>,
    free: Vec<u32>,
    hand: usize,
    operation: Level,
    group: Level,
    cache: Table,
    index: Option<Index>,
    /// Number of the last committed transaction, and of the last one that is at home.
    version: u64,
    home: u64,
    dirty: usize,
    /// Commit blocks written since the last flush.
    unflushed: bool,
    /// The last transaction has freed blocks, and its commit block may not be durable.
    freed_by_last: bool,
    /// Where the file system's bitmaps of blocks are, once that is known.
    bitmaps: Option<Vec<Range<u64>>>,
    failed: bool,
    /// Enough of the log is in use for a checkpoint when no request waits.
    log_is_full: bool,
    seconds: u64,
    counters: Counters,
    /// What the last life has left of writes that are to be carried out.
    left: Vec<LeftBlock>,
    /// One block.
    scratch: Vec<u8>,
}

impl<D: Disk> Store<D> {
    /// Takes a journal, to be started or resumed next, and `slot_bytes` of shared memory from its start.
    pub fn new(
        raw: RawBlocks<D>,
        journal: Journal,
        blocks: u64,
        slot_bytes: usize,
        index: Option<Index>,
    ) -> Self {
        let block_size = raw.block_size();
        let count = slot_bytes / block_size;
        // The index must have room for all slots, or for none.
        let index = index.filter(|index| index.slots_max() >= count);
        Self {
            raw,
            journal,
            block_size,
            blocks,
            slots: alloc::vec![Slot::FREE; count],
            free: (0..count as u32).rev().collect(),
            hand: 0,
            operation: Level::default(),
            group: Level::default(),
            cache: Table::new(count),
            index,
            version: 0,
            home: 0,
            dirty: 0,
            unflushed: false,
            freed_by_last: false,
            bitmaps: None,
            failed: false,
            log_is_full: false,
            seconds: 0,
            counters: Counters::default(),
            left: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// Takes over what an earlier life of ours has committed: its blocks are dirty in the cache again,
    /// and the journal goes on where it was. Says false, and changes nothing, when there are too many.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub fn resume(&mut self, survey: &Survey) -> Result<bool, JournalError<DiskError>> {
        if survey.blocks() * 100 > self.slots.len() * DIRTY_PERCENT_MAX {
            return Ok(false);
        }
        let Self {
            raw,
            journal,
            slots,
            free,
            cache,
            block_size,
            ..
        } = self;
        journal.read_copies(raw, survey, &mut |raw, block, bytes| {
            let slot = free.pop().expect("the cache is empty");
            raw.memory().write_bytes(slot as usize * *block_size, bytes);
            slots[slot as usize] = Slot::new(block, State::Dirty);
            cache.insert(block, slot);
            Ok(())
        })?;
        journal.resume(survey);
        self.dirty = survey.blocks();
        // Whether the last life has flushed, nobody knows.
        self.unflushed = true;
        self.freed_by_last = true;
        Ok(true)
    }

    /// The journal and the device, for a replay in place of [`Store::resume`].
    pub fn journal(&mut self) -> (&mut Journal, &mut RawBlocks<D>) {
        (&mut self.journal, &mut self.raw)
    }

    /// Bytes of a block.
    pub fn block_size(&self) -> usize {
        self.block_size
    }

    /// Blocks of the file system.
    pub fn blocks(&self) -> u64 {
        self.blocks
    }

    /// Counters since the store was opened.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Whether a transaction failed.
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    /// Sets the time that commit blocks carry.
    pub fn set_time(&mut self, seconds: u64) {
        self.seconds = seconds;
    }

    /// Gives the disk back; what was not committed is lost.
    pub fn into_disk(self) -> D {
        self.raw.into_disk()
    }

    fn slot_at(&self, slot: u32) -> usize {
        slot as usize * self.block_size
    }

    fn find(&self, block: u64) -> Option<u32> {
        let found = self.operation.get(block);
        found.or_else(|| self.find_before(block))
    }

    fn find_before(&self, block: u64) -> Option<u32> {
        let found = self.group.get(block);
        found.or_else(|| self.cache.get(block))
    }

    /// Finds a block in memory, and makes sure of its contents.
    fn find_checked(&mut self, block: u64) -> Option<u32> {
        let slot = self.find(block)?;
        self.slots[slot as usize].used = true;
        if self.slots[slot as usize].unchecked && !self.check_contents(slot) {
            return None;
        }
        Some(slot)
    }

    /// Reads a run of blocks.
    ///
    /// # Errors
    ///
    /// When the disk fails, or has no such blocks.
    pub fn read(&mut self, block: u64, bytes: &mut [u8]) -> Result<(), StoreError> {
        let count = bytes.len() / self.block_size;
        self.check_range(block, count)?;
        let mut index = 0;
        while index < count {
            let at = index * self.block_size;
            if let Some(slot) = self.find_checked(block + index as u64) {
                let memory = self.slot_at(slot);
                let to = &mut bytes[at..at + self.block_size];
                self.raw.memory().read_bytes(memory, to);
                self.counters.hits += 1;
                index += 1;
                continue;
            }
            let missing = (index + 1..count.min(index + RUN_BLOCKS_MAX))
                .take_while(|next| self.find(block + *next as u64).is_none())
                .count();
            let run = 1 + missing;
            self.fill(block + index as u64, run)?;
            self.copy_missing(
                block + index as u64,
                &mut bytes[at..at + run * self.block_size],
            )?;
            index += run;
        }
        Ok(())
    }

    /// Reads a part of a block.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    pub fn read_part(&mut self, block: u64, skip: usize, to: &mut [u8]) -> Result<(), StoreError> {
        if let Some(slot) = self.find_checked(block) {
            let at = self.slot_at(slot) + skip;
            self.raw.memory().read_bytes(at, to);
            self.counters.hits += 1;
            return Ok(());
        }
        let mut whole = alloc::vec![0; self.block_size];
        self.read(block, &mut whole)?;
        to.copy_from_slice(&whole[skip..skip + to.len()]);
        Ok(())
    }

    /// Copies a part of a block to a client's region; `to` is region, place and length. When the block is not
    /// in memory, up to `run` blocks from it on are read at once.
    ///
    /// # Errors
    ///
    /// When the disk fails, or has no such blocks.
    pub fn copy_block(
        &mut self,
        block: u64,
        run: usize,
        skip: usize,
        to: (&mut SharedMut, usize, usize),
    ) -> Result<Copied, StoreError> {
        let (region, place, length) = to;
        let mut behind = None;
        let mut found = self.find_checked(block);
        if found.is_none() {
            self.check_range(block, 1)?;
            let most = run.min(RUN_BLOCKS_MAX).min(self.slots.len() / 4).max(1);
            let missing = (1..most).take_while(|next| self.find(block + *next as u64).is_none());
            let missing = 1 + missing.count();
            behind = Some(self.fill(block, missing)?);
            found = self.find(block);
        }
        let Some(slot) = found else {
            let mut bytes = alloc::vec![0; self.block_size];
            BlockDevice::read(&mut self.raw, block, &mut bytes)?;
            region.write_bytes(place, &bytes[skip..skip + length]);
            return Ok(Copied::default());
        };
        let at = self.slot_at(slot) + skip;
        let memory = self.raw.memory().as_shared_ref();
        region.copy_from(place, &memory, at, length);
        Ok(Copied {
            slot: Some(slot),
            behind,
        })
    }

    /// Brings a run of blocks that are nowhere into the cache, as far as there is room. Says how many are
    /// behind the first one, in slots behind its slot.
    fn fill(&mut self, block: u64, run: usize) -> Result<usize, StoreError> {
        let mut slots = Vec::with_capacity(run);
        for _ in 0..run {
            let Ok(slot) = self.take_slot_in_order() else {
                break;
            };
            slots.push(slot);
        }
        self.counters.misses += slots.len() as u64;
        let size = self.block_size;
        let follows = slots.windows(2).take_while(|pair| pair[0] + 1 == pair[1]);
        let behind = follows.count();
        let read = match slots.first() {
            Some(first) if behind + 1 == slots.len() => {
                self.raw.read_to(block, *first as usize * size, slots.len())
            }
            _ => self
                .raw
                .read_each(block, slots.len(), &mut |memory, index, at| {
                    let from = memory.as_shared_ref();
                    memory.copy_from(slots[index] as usize * size, &from, at, size);
                }),
        };
        if let Err(error) = read {
            self.free.extend(slots);
            return Err(error.into());
        }
        for (index, slot) in slots.into_iter().enumerate() {
            let block = block + index as u64;
            self.slots[slot as usize] = Slot::new(block, State::Clean);
            self.enter(slot, 0);
            self.cache.insert(block, slot);
        }
        Ok(behind)
    }

    /// Copies blocks out of the cache, or from the disk where the cache had no room.
    fn copy_missing(&mut self, block: u64, bytes: &mut [u8]) -> Result<(), StoreError> {
        for (index, chunk) in bytes.chunks_exact_mut(self.block_size).enumerate() {
            let block = block + index as u64;
            match self.find(block) {
                Some(slot) => {
                    let memory = self.slot_at(slot);
                    self.raw.memory().read_bytes(memory, chunk);
                }
                None => BlockDevice::read(&mut self.raw, block, chunk)?,
            }
        }
        Ok(())
    }

    fn check_range(&self, block: u64, count: usize) -> Result<(), StoreError> {
        match block.checked_add(count as u64) {
            Some(end) if end <= self.blocks => Ok(()),
            _ => Err(StoreError::Forbidden),
        }
    }

    /// Whether the running operation has written anything.
    pub fn has_staged(&self) -> bool {
        !self.operation.is_empty()
    }

    /// Whether something waits for [`Store::commit`].
    pub fn has_uncommitted(&self) -> bool {
        !self.group.is_empty()
    }

    /// Most slots that may wait for a commit.
    fn staged_max(&self) -> usize {
        (self.slots.len() / 2).max(1)
    }

    /// Blocks that wait for [`Store::commit`], in percent of the largest transaction, or of the slots for
    /// them.
    pub fn group_percent(&self) -> usize {
        if self.group.is_empty() {
            return 0;
        }
        let room = self.journal.transaction_blocks_max().max(1);
        let of_room = self.group.journalled.len() * 100 / room;
        of_room.max(self.group.len() * 100 / self.staged_max())
    }
}
