// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Slots of writes that were acknowledged and are carried out later (`crate::deferred`, decision 0079).
//! They are entered in the index under their file and their place in it, because no block of the disk is
//! theirs yet.
//!
//! Such an entry stays until the transaction that carries the write out is committed, whatever is done with
//! the slot meanwhile: until then the next life has to begin from it. So [`Store::release`] frees no such
//! slot, and where its contents go through the journal, they go from a copy.

use crate::index::{DEFERRED, DeferredWrite};
use crate::source::Source;

use super::*;

/// A block that the last life has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeftBlock {
    /// The file.
    pub inode: u32,
    /// Number of the block in the file.
    pub logical: u64,
    /// Where it is.
    pub slot: u32,
}

/// Most blocks that wait at once: the longer they do, the more a power cut takes.
const BLOCKS_MAX: usize = 1024;

impl<D: Disk> Store<D> {
    /// How many blocks may wait at once: an eighth of the cache, and no more than one transaction can hold,
    /// should they have to go through the journal after all.
    pub fn deferred_max(&self) -> usize {
        if self.index.is_none() || self.bitmaps.is_none() || self.failed {
            return 0;
        }
        let room = self.journal.transaction_blocks_max() / 2;
        BLOCKS_MAX.min(room).min(self.slots.len() / 8)
    }

    /// Takes whole blocks for a file, from its block `logical` on; their slots are added to `slots`, also
    /// when this fails.
    ///
    /// # Errors
    ///
    /// When there is no room.
    pub fn defer(
        &mut self,
        inode: u32,
        logical: u64,
        data: Source<'_>,
        slots: &mut Vec<u32>,
    ) -> Result<(), StoreError> {
        let size = self.block_size;
        for index in 0..data.len() / size {
            let slot = self.take_slot_in_order()?;
            let at = self.slot_at(slot);
            let sum = data
                .part(index * size, size)
                .put_summed(self.raw.memory(), at);
            self.slots[slot as usize] = Slot {
                deferred: true,
                ..Slot::new(DEFERRED | u64::from(inode), State::Deferred)
            };
            slots.push(slot);
            self.enter_known(slot, logical + index as u64, sum);
        }
        Ok(())
    }

    /// Says that the write and its blocks, the first of which is `first` in the file, count from now on.
    ///
    /// # Panics
    ///
    /// When the next life would not find them: it is looked at by other code than that which has entered
    /// them.
    pub fn keep_deferred(&mut self, write: &DeferredWrite, first: u64, slots: &[u32]) {
        if let Some(index) = &mut self.index {
            index.set_deferred(write);
        }
        self.counters.deferred += 1;
        assert!(
            self.is_deferred(write, first, slots),
            "the index lacks what is to be written"
        );
    }

    #[inline(never)]
    fn is_deferred(&self, write: &DeferredWrite, first: u64, slots: &[u32]) -> bool {
        let sums = slots.iter().map(|slot| self.slots[*slot as usize].sum);
        let index = self.index.as_ref();
        write.length as usize == slots.len() * self.block_size
            && index.is_some_and(|index| index.has_deferred(write, first, slots, sums))
    }

    /// The writes that the last life has noted, those that it has carried out among them, and what it has
    /// left.
    pub fn take_left(&mut self) -> (Vec<DeferredWrite>, Vec<LeftBlock>) {
        let writes = self.index.as_ref().map(Index::deferred);
        (writes.unwrap_or_default(), core::mem::take(&mut self.left))
    }

    /// Counts that some are carried out.
    pub fn count_carried_out(&mut self) {
        self.counters.carried_out += 1;
    }

    /// Looks whether a slot has what was put there.
    pub fn is_whole(&mut self, slot: u32) -> bool {
        !self.slots[slot as usize].unchecked || self.check_contents(slot)
    }

    /// Reads what is in a slot.
    pub fn read_slot(&mut self, slot: u32, bytes: &mut [u8]) {
        let at = self.slot_at(slot);
        self.raw.memory().read_bytes(at, bytes);
    }

    /// Copies a part of what is in a slot to a client's region; `to` is region, place and length.
    pub fn copy_slot(&mut self, slot: u32, skip: usize, to: (&mut SharedMut, usize, usize)) {
        let at = self.slot_at(slot) + skip;
        let memory = self.raw.memory().as_shared_ref();
        to.0.copy_from(to.1, &memory, at, to.2);
    }

    /// Makes a slot's contents those of a block that the running operation has allocated.
    ///
    /// # Errors
    ///
    /// As [`Self::write`].
    pub fn write_deferred(&mut self, block: u64, slot: u32) -> Result<(), StoreError> {
        self.check_range(block, 1)?;
        if !self.may_go_home(block) {
            let region = self.raw.memory().as_shared_ref();
            let (at, length) = (self.slot_at(slot), self.block_size);
            let region = &region;
            return self.write(block, Source::Shared { region, at, length });
        }
        self.forget_clean(block);
        let known = &mut self.slots[slot as usize];
        known.block = block;
        known.state = State::Staged;
        self.operation.fresh.insert(block, slot);
        Ok(())
    }

    /// The write that has put something into a slot is committed, or has never been acknowledged.
    pub fn end_deferred(&mut self, slot: u32) {
        let known = &mut self.slots[slot as usize];
        // What has become a block's own is in the cache.
        if core::mem::take(&mut known.deferred) {
            self.release(slot);
        }
    }

    /// A slot's contents are at home, and the transaction that says so is committed.
    pub(super) fn enter_carried_out(&mut self, slot: u32) {
        let known = &mut self.slots[slot as usize];
        known.deferred = false;
        let sum = known.sum;
        if let Some(index) = &mut self.index {
            // A life that ends in the middle leaves no entry.
            index.free(slot as usize);
        }
        self.enter_known(slot, 0, sum);
    }

    /// Keeps a slot of an earlier life that has something of a write that is to be carried out.
    pub(super) fn keep_left(&mut self, slot: u32, entry: &Entry) -> bool {
        if entry.block & DEFERRED == 0 {
            return false;
        }
        self.slots[slot as usize] = Slot {
            indexed: true,
            unchecked: true,
            deferred: true,
            sum: entry.contents,
            ..Slot::new(entry.block, State::Deferred)
        };
        self.left.push(LeftBlock {
            inode: entry.block as u32,
            logical: entry.version,
            slot,
        });
        true
    }

    /// The rest of an index of no use: what is to be carried out is nowhere else. To be called before any
    /// slot is taken.
    pub fn keep_all_left(&mut self) {
        let Some(index) = self.index.take() else {
            return;
        };
        let slots = 0..self.slots.len() as u32;
        for slot in slots {
            if let Ok(Some(entry)) = index.get(slot as usize) {
                self.keep_left(slot, &entry);
            }
        }
        self.index = Some(index);
        let slots = &self.slots;
        self.free.retain(|slot| !slots[*slot as usize].deferred);
    }
}
