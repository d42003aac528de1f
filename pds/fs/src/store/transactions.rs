// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The way of a block from the running operation to its home on the disk; which copy is read, and
//! where the copies are, is the parent's business.

use core::ops::Range;

use jbd2::InPlace;
use jbd2::checksum::{SEED, behind_zeros};

use super::*;

impl<D: Disk> Store<D> {
    /// Drops what the running operation wrote.
    pub fn abort_operation(&mut self) {
        let mut dropped = core::mem::take(&mut self.operation);
        self.release_all(&dropped);
        dropped.clear();
        self.operation = dropped;
    }

    fn release_all(&mut self, level: &Level) {
        for staged in [&level.journalled, &level.fresh] {
            staged.slots().iter().for_each(|slot| self.release(*slot));
        }
    }

    /// Whether the disk has ever said that it failed.
    pub fn disk_has_failed(&mut self) -> bool {
        self.raw.disk().has_failed()
    }

    /// Drops what is not committed; from now on there are only reads.
    pub fn give_up(&mut self) {
        self.abort_operation();
        let dropped = core::mem::take(&mut self.group);
        self.release_all(&dropped);
        self.failed = true;
    }

    /// Makes what the running operation wrote visible, to be committed with the group.
    ///
    /// # Errors
    ///
    /// [`StoreError::TooLarge`]: the operation was aborted. Otherwise as [`Store::commit`], which it
    /// calls when the group becomes too large.
    pub fn end_operation(&mut self) -> Result<(), StoreError> {
        if self.operation.is_empty() {
            return Ok(());
        }
        let room = self.journal.transaction_blocks_max();
        if self.operation.journalled.len() > room {
            self.abort_operation();
            return Err(StoreError::TooLarge);
        }
        let journalled = self.operation.journalled.len() + self.group.journalled.len();
        let staged = self.operation.len() + self.group.len();
        if journalled > room || staged > self.staged_max() {
            self.commit()?;
        }
        if self.group.is_empty() {
            core::mem::swap(&mut self.operation, &mut self.group);
            return Ok(());
        }
        let mut done = core::mem::take(&mut self.operation);
        for (block, slot) in done.journalled.iter() {
            let old = self.group.journalled.insert(block, slot);
            let old = old.or_else(|| self.group.fresh.remove(block));
            if let Some(old) = old {
                self.release(old);
            }
        }
        for (block, slot) in done.fresh.iter() {
            if let Some(old) = self.group.fresh.insert(block, slot) {
                self.release(old);
            }
        }
        self.group.freed |= done.freed;
        done.clear();
        self.operation = done;
        Ok(())
    }

    /// Writes the group to the journal. When this returns, a restart of ours loses nothing of it.
    ///
    /// # Errors
    ///
    /// When the disk fails; the store is of no use afterwards.
    pub fn commit(&mut self) -> Result<(), StoreError> {
        if self.failed {
            return Err(StoreError::Failed);
        }
        if self.group.is_empty() {
            return Ok(());
        }
        if !self.journal.fits(self.group.journalled.len()) {
            self.checkpoint()?;
        }
        self.write_fresh_home()
            .inspect_err(|_| self.failed = true)?;
        fault_point!("fs.before_journal");
        self.announce();
        fault_point!("fs.after_intent");
        let version = self.version + 1;
        self.write_group(self.seconds)?;
        assert!(
            self.is_committed(version),
            "the transaction was not taken over"
        );
        if self.dirty * 100 > self.slots.len() * DIRTY_PERCENT_MAX {
            self.checkpoint()?;
        }
        Ok(())
    }

    /// Whether a transaction that was written counts, looked at by other code than that which has seen to it:
    /// one that worked on another store is none the wiser, and has stored its results anywhere (campaign on
    /// seL4 release at 9e7fd0d, seed 1, trial 12190).
    #[inline(never)]
    fn is_committed(&self, version: u64) -> bool {
        let index = self.index.as_ref();
        self.version == version
            && self.group.is_empty()
            && index.is_none_or(|index| index.has_version(version))
    }

    /// Puts the group into the index. From the last store on, the next life finishes what we have begun.
    fn announce(&mut self) {
        if self.index.is_none() {
            return;
        }
        let version = self.version + 1;
        let count = self.group.journalled.len();
        for index in 0..count {
            self.enter(self.group.journalled.slots()[index], version);
        }
        fault_point!("fs.before_intent");
        let intent = Intent {
            version,
            seconds: self.seconds,
            blocks: count as u32,
        };
        if let Some(index) = &mut self.index {
            index.set_intent(&intent);
        }
        assert!(self.is_announced(), "the index lacks what is to be written");
    }

    /// Writes the group to the journal and makes it the newest committed transaction.
    pub(super) fn write_group(&mut self, seconds: u64) -> Result<(), StoreError> {
        let before = self.journal.position();
        let group = core::mem::take(&mut self.group.journalled);
        let written = self.write_journal(group.blocks(), group.slots(), seconds);
        let count = group.len();
        self.group.journalled = group;
        let written = written.and_then(|()| Ok(self.raw.wait()?));
        fault_point!("fs.after_commit_block");
        if let Err(error) = written {
            self.failed = true;
            if self.journal.position() != before {
                // The commit block was on its way before we knew: without it, this was no transaction.
                let _ = self.journal.spoil(&mut self.raw);
            }
            return Err(match error {
                JournalError::Device(error) => error.into(),
                _ => StoreError::Failed,
            });
        }
        self.unflushed = true;
        // The barrier has made all before it durable.
        self.freed_by_last = self.group.freed;
        self.counters.commits += 1;
        self.counters.journal_blocks += count as u64;
        self.version += 1;
        self.log_is_full = self.journal.used_percent() >= IDLE_LOG_PERCENT;
        self.keep_progress();
        fault_point!("fs.after_progress");
        self.publish_group();
        Ok(())
    }

    fn write_journal(
        &mut self,
        homes: &[u64],
        slots: &[u32],
        seconds: u64,
    ) -> Result<(), JournalError<DiskError>> {
        let size = self.block_size;
        let (journal, raw) = (&mut self.journal, &mut self.raw);
        let mut in_place = Slots {
            slots,
            known: &self.slots,
            size,
            shift: None,
        };
        if journal.commit_in_place(raw, homes, &mut in_place, seconds)? {
            return Ok(());
        }
        let mut content = |raw: &mut RawBlocks<D>, index: usize, block: &mut [u8]| {
            raw.memory().read_bytes(slots[index] as usize * size, block);
            Ok(())
        };
        journal.commit(raw, homes, &mut content, seconds)
    }

    /// Makes the group a part of the cache. Whatever was committed must be found there: what one wrong
    /// instruction here forgets is allocated twice later on (campaign on seL4 release at bd0a9c3, seed 1,
    /// trial 2932).
    fn publish_group(&mut self) {
        let staged = self.group.len();
        let mut published = 0;
        let mut group = core::mem::take(&mut self.group);
        for (block, slot) in group.journalled.iter() {
            published += 1;
            self.dirty += 1;
            self.publish(block, slot, State::Dirty);
        }
        for (block, slot) in group.fresh.iter() {
            published += 1;
            self.publish(block, slot, State::Clean);
            // It is at home; so the next life may find it here from now on.
            match self.slots[slot as usize].deferred {
                true => self.enter_carried_out(slot),
                false => self.enter(slot, 0),
            }
        }
        assert!(
            published == staged,
            "{published} of {staged} blocks published"
        );
        group.clear();
        self.group = group;
    }

    fn publish(&mut self, block: u64, slot: u32, state: State) {
        assert!(
            self.slots[slot as usize].block == block,
            "slot {slot} is not of block {block}"
        );
        self.slots[slot as usize].state = state;
        if let Some(old) = self.cache.insert(block, slot) {
            if self.slots[old as usize].state == State::Dirty {
                self.dirty -= 1;
            }
            self.release(old);
        }
    }

    /// Makes all that was committed durable.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub fn flush(&mut self) -> Result<(), StoreError> {
        if self.unflushed {
            self.raw.flush().inspect_err(|_| self.failed = true)?;
            self.unflushed = false;
            self.freed_by_last = false;
        }
        Ok(())
    }

    /// Writes every dirty block home and gives the log back. Uncommitted blocks are not touched.
    ///
    /// # Errors
    ///
    /// When the disk fails; the store is of no use afterwards.
    pub fn checkpoint(&mut self) -> Result<(), StoreError> {
        if self.failed {
            return Err(StoreError::Failed);
        }
        self.write_home().inspect_err(|_| self.failed = true)
    }

    fn write_home(&mut self) -> Result<(), StoreError> {
        fault_point!("fs.before_checkpoint");
        // Home must never have what the log may still lose.
        self.flush()?;
        let dirty = self.dirty_blocks();
        let size = self.block_size;
        let mut written = 0;
        for run in dirty.chunk_by(|left, right| left.0 + 1 == right.0) {
            let in_order = run.windows(2).all(|pair| pair[0].1 + 1 == pair[1].1);
            if in_order {
                let at = run[0].1 as usize * size;
                self.raw.write_from(run[0].0, at, run.len())?;
            } else {
                self.raw
                    .write_each(run[0].0, run.len(), &mut |memory, index, at| {
                        let from = memory.as_shared_ref();
                        memory.copy_from(at, &from, run[index].1 as usize * size, size);
                    })?;
            }
            written += run.len();
            fault_point!("fs.in_checkpoint");
        }
        // What is left out here is called clean, and the log gives it back.
        let known = self.dirty;
        assert!(
            written == known,
            "{written} of {known} dirty blocks written"
        );
        self.raw.flush()?;
        fault_point!("fs.before_tail");
        self.journal
            .checkpointed(&mut self.raw)
            .map_err(|error| match error {
                JournalError::Device(error) => StoreError::Disk(error),
                _ => StoreError::Failed,
            })?;
        self.home = self.version;
        self.log_is_full = false;
        self.keep_progress();
        fault_point!("fs.after_checkpoint");
        for (_, slot) in &dirty {
            self.slots[*slot as usize].state = State::Clean;
        }
        self.dirty = 0;
        self.counters.checkpoints += 1;
        self.counters.home_blocks += dirty.len() as u64;
        Ok(())
    }

    /// Dirty blocks and their slots, in the order of the disk.
    fn dirty_blocks(&mut self) -> Vec<(u64, u32)> {
        for slot in 0..self.slots.len() {
            // What goes home must be what was committed.
            if self.slots[slot].state == State::Dirty && self.slots[slot].unchecked {
                self.check_contents(slot as u32);
            }
        }
        let mut dirty: Vec<(u64, u32)> = (self.slots.iter().enumerate())
            .filter(|(_, slot)| slot.state == State::Dirty)
            .map(|(index, slot)| (slot.block, index as u32))
            .collect();
        dirty.sort_unstable();
        dirty
    }

    /// Whether there is something to do ahead of time that would otherwise delay a later request.
    pub fn has_idle_work(&self) -> bool {
        self.log_is_full && !self.failed
    }

    /// Does it.
    ///
    /// # Errors
    ///
    /// As [`Store::checkpoint`].
    pub fn idle(&mut self) -> Result<(), StoreError> {
        if self.has_idle_work() {
            self.checkpoint()?;
        }
        Ok(())
    }
}

/// The blocks of a transaction in their slots.
struct Slots<'a> {
    slots: &'a [u32],
    known: &'a [Slot],
    size: usize,
    /// For this seed: the difference between the checksum of a block in the index and in the journal.
    shift: Option<(u32, u32)>,
}

impl Slots<'_> {
    fn at(&self, index: usize) -> usize {
        self.slots[index] as usize * self.size
    }
}

impl<D: Disk> InPlace<RawBlocks<D>> for Slots<'_> {
    fn first_word(&mut self, raw: &mut RawBlocks<D>, index: usize) -> u32 {
        raw.memory().load_u32(self.at(index)).swap_bytes()
    }

    fn checksum(&mut self, raw: &mut RawBlocks<D>, index: usize, seed: u32) -> u32 {
        let slot = &self.known[self.slots[index] as usize];
        let shift = match self.shift {
            Some((of, shift)) if of == seed => shift,
            _ => {
                // Two checksums of the same bytes differ by that of zeros from the seeds' difference.
                let shift = behind_zeros(seed ^ SEED, self.size);
                self.shift = Some((seed, shift));
                shift
            }
        };
        if slot.indexed {
            return !slot.sum ^ shift;
        }
        let sum = raw
            .memory()
            .checksum(self.at(index), self.size, Crc32c::new());
        sum.register() ^ shift
    }

    fn write(
        &mut self,
        raw: &mut RawBlocks<D>,
        block: u64,
        descriptor: Option<&[u8]>,
        blocks: Range<usize>,
    ) -> Result<(), DiskError> {
        let heads = usize::from(descriptor.is_some());
        let count = heads + blocks.len();
        raw.write_each(block, count, &mut |memory, index, at| match descriptor {
            Some(bytes) if index == 0 => memory.write_bytes(at, bytes),
            _ => {
                let from = memory.as_shared_ref();
                memory.copy_from(at, &from, self.at(blocks.start + index - heads), self.size);
            }
        })
    }
}
