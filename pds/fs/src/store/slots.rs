// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Which slot a block gets, and which block has to leave for it. What is in the slots, the parent knows.

use super::*;

/// So many free slots are taken to be those that were never used, one behind the other.
const FREE_IN_ORDER_MIN: usize = 64;

impl<D: Disk> Store<D> {
    /// Finds a slot for a block that is to be stored, evicting if need be.
    pub(super) fn take_slot(&mut self) -> Result<u32, StoreError> {
        if let Some(slot) = self.free.pop().or_else(|| self.evict()) {
            return Ok(slot);
        }
        if self.dirty == 0 || self.failed {
            return Err(StoreError::TooLarge);
        }
        // Only committed blocks go home here, so this is allowed in the middle of an operation.
        self.checkpoint()?;
        self.take_slot()
    }

    /// The same for one of several blocks that are to lie behind each other: a few slots that are free lie
    /// anywhere.
    pub(super) fn take_slot_in_order(&mut self) -> Result<u32, StoreError> {
        let evicted = match self.free.len() {
            ..FREE_IN_ORDER_MIN => self.evict(),
            _ => None,
        };
        evicted.map_or_else(|| self.take_slot(), Ok)
    }

    /// Takes the slot of a block that is at home and was not used for some time.
    fn evict(&mut self) -> Option<u32> {
        // Twice around: the first round only clears the marks.
        for _ in 0..2 * self.slots.len() {
            let index = self.hand;
            self.hand = (self.hand + 1) % self.slots.len();
            let slot = &mut self.slots[index];
            if slot.state != State::Clean {
                continue;
            }
            if core::mem::take(&mut slot.used) {
                continue;
            }
            let block = slot.block;
            self.cache.remove(block);
            self.leave(index as u32);
            return Some(index as u32);
        }
        None
    }

    pub(super) fn release(&mut self, slot: u32) {
        let known = &mut self.slots[slot as usize];
        if known.deferred {
            // Still the only copy of what was acknowledged.
            known.state = State::Deferred;
            return;
        }
        self.leave(slot);
        self.free.push(slot);
    }
}
