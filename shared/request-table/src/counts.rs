// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! How often a request was taken, and how often a life of the server died with it in hand.

use sel4_shared_memory::SharedMut;

use crate::layout::{IN_HAND, Layout, Slot, Stamp};

/// Of a request's two counts, lives that took it; the other 8 bits are the deaths with it in hand.
pub(crate) const ATTEMPTS: u32 = 0xff;
pub(crate) const DEATHS_SHIFT: u32 = 8;
pub(crate) const COUNTS_BITS: u32 = 16;
pub(crate) const COUNTS: u32 = (1 << COUNTS_BITS) - 1;
/// In a ticket, beside its counts.
pub(crate) const MAY_HAVE_RUN: u32 = 1 << COUNTS_BITS;
pub(crate) const SLOT_SHIFT: u32 = COUNTS_BITS + 1;

/// The word that names a request in hand: never 0, as sequence numbers begin at 1.
#[inline]
pub(crate) fn in_hand(stamp: Stamp, slot: Slot) -> u64 {
    stamp.sequence() << 8 | slot.index() as u64
}

/// Whose counts they are: 16 bits of the sequence number. Every request that is taken overwrites
/// what its slot's last one left, so that a mistake would need 65,535 others to pass by untaken.
pub(crate) fn whose(stamp: Stamp) -> u32 {
    stamp.sequence() as u32 & COUNTS
}

/// Counts the death of the last life against the request that it had in hand.
///
/// Whoever dies in between forgets the blame, rather than count it twice.
pub(crate) fn blame<C>(completions: &mut SharedMut, layout: Layout<C>) {
    let word = completions.load_u64(IN_HAND);
    completions.store_u64(IN_HAND, 0);
    let index = (word & 0xff) as usize;
    if word == 0 || index >= layout.slots {
        return;
    }
    let stamp = Stamp::pending(word >> 8);
    let at = layout.attempts(Slot::new(index));
    let counts = completions.load_u32(at);
    // It was counted when it was taken: otherwise the word is damaged, and nobody is to blame.
    let known = counts >> COUNTS_BITS == whose(stamp);
    if known && counts & COUNTS < COUNTS - ATTEMPTS {
        completions.store_u32(at, counts + (1 << DEATHS_SHIFT));
    }
}
