// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Contents of blocks that an operation has just allocated: they go home before their transaction is written
//! to the journal, which has only what says whose they are (decision 0037). What must be true for that
//! is decided here.
//!
//! - Such a block is in no transaction that a replay would write home over it: neither in the log, nor in
//!   the group.
//! - Nothing was freed by what is not yet durable: a power cut would give the block back to its old owner.
//!
//! A block of which that cannot be said is written as any other.

use core::ops::Range;

use crate::source::Source;

use super::*;

impl<D: Disk> Store<D> {
    /// Says where the file system has its bitmaps of blocks, so that it is noted when something is freed.
    /// Without this, nothing is ever written past the journal.
    pub fn watch_bitmaps(&mut self, bitmaps: Vec<Range<u64>>) {
        self.bitmaps = Some(bitmaps);
    }

    /// Looks whether a write of the running operation frees blocks; to be called before it.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    pub fn note_freed(&mut self, block: u64, bytes: &[u8]) -> Result<(), StoreError> {
        let Some(bitmaps) = &self.bitmaps else {
            return Ok(());
        };
        let end = block + (bytes.len() / self.block_size) as u64;
        if !bitmaps.iter().any(|run| run.start < end && block < run.end) {
            return Ok(());
        }
        let mut old = alloc::vec![0; bytes.len()];
        self.read(block, &mut old)?;
        // Bits that become clear. What lies between bitmaps counts too: then the journal is used for longer.
        let freed = old.iter().zip(bytes).any(|(old, new)| old & !new != 0);
        self.operation.freed |= freed;
        Ok(())
    }

    /// Writes a run of blocks that the running operation has allocated, past the journal where that may be.
    ///
    /// # Errors
    ///
    /// As [`Self::write`].
    pub fn write_fresh(&mut self, block: u64, bytes: Source<'_>) -> Result<(), StoreError> {
        let (size, count) = (self.block_size, bytes.len() / self.block_size);
        self.check_range(block, count)?;
        for index in 0..count {
            let (block, bytes) = (block + index as u64, bytes.part(index * size, size));
            if !self.may_go_home(block) {
                self.write(block, bytes)?;
                continue;
            }
            self.forget_clean(block);
            let slot = self.take_slot_in_order()?;
            self.slots[slot as usize] = Slot::new(block, State::Staged);
            self.operation.fresh.insert(block, slot);
            let at = self.slot_at(slot);
            bytes.put(self.raw.memory(), at);
        }
        Ok(())
    }

    /// Whether a block that was just allocated may be written past the journal.
    pub(super) fn may_go_home(&self, block: u64) -> bool {
        let freed = self.operation.freed || self.group.freed || self.freed_by_last;
        let must_be_journalled = self.is_in_a_transaction(block) || self.failed || freed;
        self.bitmaps.is_some() && !must_be_journalled && !self.journal.map().contains(block)
    }

    /// What is cached of a block's last owner, clean: the next life must not find it.
    pub(super) fn forget_clean(&mut self, block: u64) {
        if let Some(old) = self.cache.get(block) {
            self.cache.remove(block);
            self.release(old);
        }
    }

    /// Whether a replay could write the block home, now or after the next commit.
    fn is_in_a_transaction(&self, block: u64) -> bool {
        let is_dirty = |slot: u32| self.slots[slot as usize].state == State::Dirty;
        self.operation.get(block).is_some()
            || self.group.get(block).is_some()
            || self.cache.get(block).is_some_and(is_dirty)
    }

    /// Writes the group's fresh blocks home. They are there when this returns, so that whoever finds the
    /// transaction in the index need not know of them. The barrier before the commit block makes them
    /// durable.
    pub(super) fn write_fresh_home(&mut self) -> Result<(), StoreError> {
        if self.group.fresh.is_empty() {
            return Ok(());
        }
        fault_point!("fs.before_fresh");
        let size = self.block_size;
        let fresh: Vec<(u64, u32)> = self.group.fresh.iter().collect();
        let follows =
            |left: &(u64, u32), right: &(u64, u32)| left.0 + 1 == right.0 && left.1 + 1 == right.1;
        let mut written = 0;
        for run in fresh.chunk_by(follows) {
            let (block, at) = (run[0].0, run[0].1 as usize * size);
            self.raw.write_from(block, at, run.len())?;
            written += run.len();
        }
        let wanted = fresh.len();
        assert!(
            written == wanted,
            "{written} of {wanted} fresh blocks written"
        );
        self.raw.wait()?;
        fault_point!("fs.after_fresh");
        self.counters.fresh_blocks += fresh.len() as u64;
        Ok(())
    }
}
