// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The ring of slot numbers: where to look next. Only a hint.
//!
//! The writer stores a slot number and then a new tail. A writer that starts anew moves the tail so
//! far ahead that the reader sees the ring as overrun, and an overrun ring means: look everywhere.
//! So nothing needs to be repaired in it, ever.

use sel4_shared_memory::{SharedMut, SharedRef};

use crate::layout::{RING, SLOTS, Slot, TAIL};

/// Twice the ring: seen from any position that a reader can be at, that is an overrun.
const OVERRUN: u64 = 2 * SLOTS as u64;

/// The writer's end.
pub(crate) struct RingWriter {
    /// The tail when this life began.
    start: u64,
    tail: u64,
}

impl RingWriter {
    /// Takes over a ring, whatever is in it, and makes the reader look everywhere.
    pub(crate) fn attach(region: &mut SharedMut) -> Self {
        let tail = region.load_u64(TAIL).wrapping_add(OVERRUN);
        region.store_u64(TAIL, tail);
        Self { start: tail, tail }
    }

    #[inline]
    pub(crate) fn push(&mut self, region: &mut SharedMut, slot: Slot) {
        let at = RING + (self.tail % SLOTS as u64) as usize;
        region.store_u8(at, slot.index() as u8);
        self.tail = self.tail.wrapping_add(1);
        region.store_u64(TAIL, self.tail);
    }

    /// Whether the reader can see so many hints of this life. Who pushes them counts too: a tail that was
    /// not moved on would be the same here and there.
    #[inline]
    pub(crate) fn has_published(&self, region: &SharedRef, count: u64) -> bool {
        region.load_u64(TAIL) == self.start.wrapping_add(count)
    }
}

/// What the reader's end found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hint {
    Nothing,
    Look(Slot),
    LookEverywhere,
    /// A number that is no slot.
    Impossible,
}

/// The reader's end.
pub(crate) struct RingReader {
    head: u64,
}

impl RingReader {
    pub(crate) const fn new() -> Self {
        Self { head: 0 }
    }

    /// Forgets all hints so far. The caller is going to look everywhere.
    pub(crate) fn skip(&mut self, region: &SharedRef) {
        self.head = region.load_u64(TAIL);
    }

    #[inline]
    pub(crate) fn next(&mut self, region: &SharedRef, slots: usize) -> Hint {
        let tail = region.load_u64(TAIL);
        match tail.wrapping_sub(self.head) {
            0 => Hint::Nothing,
            distance if distance > SLOTS as u64 => {
                self.head = tail;
                Hint::LookEverywhere
            }
            _ => {
                let at = RING + (self.head % SLOTS as u64) as usize;
                let index = usize::from(region.load_u8(at));
                self.head = self.head.wrapping_add(1);
                if index < slots {
                    Hint::Look(Slot::new(index))
                } else {
                    Hint::Impossible
                }
            }
        }
    }
}
