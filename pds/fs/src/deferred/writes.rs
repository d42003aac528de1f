// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Which writes wait, and where their blocks are. What is done with them, the parent says.

use alloc::vec::Vec;
use core::ops::Range;

use proto::fs::{CompletionWire, Handle};

use crate::index::DeferredWrite;
use crate::whole::RecordPlace;
use crate::writes::written;

/// What was acknowledged and is not committed.
#[derive(Debug, Default)]
pub(crate) struct Deferred {
    /// Oldest first. The first `carried_out` are in the group.
    pub(super) writes: Vec<DeferredWrite>,
    /// Where their blocks are, in the same order.
    pub(super) slots: Vec<u32>,
    pub(super) carried_out: usize,
    /// Blocks that may be noted before those that are free become few.
    pub(super) room: u64,
    /// Number of the last one.
    pub(super) last: u64,
    /// Some could not be carried out, and nobody was told.
    pub(super) is_lost: bool,
    /// The oldest one could not be carried out.
    pub(super) has_failed: bool,
    pub(super) quiet: u32,
}

impl Deferred {
    pub(super) fn waiting(&self) -> &[DeferredWrite] {
        &self.writes[self.carried_out..]
    }

    /// Counts a wake-up that has found nothing to do; says whether that were enough of them.
    pub(crate) fn is_due(&mut self) -> bool {
        self.quiet = self.quiet.saturating_add(1);
        self.quiet >= super::QUIET_WAKE_UPS && !self.waiting().is_empty()
    }

    /// How many are not committed.
    pub(crate) fn count(&self) -> usize {
        self.writes.len()
    }

    /// Where a file is going to end.
    pub(super) fn end_of(&self, inode: u32) -> Option<u64> {
        let last = self.waiting().iter().rfind(|write| write.inode == inode);
        last.map(|write| write.offset + u64::from(write.length))
    }

    /// The longest run, from the oldest one that waits, of writes behind each other in one file.
    pub(super) fn next_run(&self) -> Range<usize> {
        let follows = |left: &DeferredWrite, right: &DeferredWrite| {
            (left.inode, left.generation) == (right.inode, right.generation)
                && left.offset + u64::from(left.length) == right.offset
        };
        let run = self.waiting().chunk_by(follows).next();
        self.carried_out..self.carried_out + run.map_or(0, <[_]>::len)
    }

    /// Where the blocks of some writes are.
    pub(super) fn slots_of(&self, writes: &Range<usize>, block_size: usize) -> Range<usize> {
        let blocks = |writes: &[DeferredWrite]| -> usize {
            let lengths = writes.iter().map(|write| write.length as usize);
            lengths.map(|length| length / block_size).sum()
        };
        let first = blocks(&self.writes[..writes.start]);
        first..first + blocks(&self.writes[writes.clone()])
    }

    /// Where what waits of a file begins, and its slots from there on: each write begins where the last one
    /// ends.
    pub(super) fn slots_of_file(
        &self,
        handle: &Handle,
        block_size: usize,
    ) -> Option<(u64, Vec<u32>)> {
        let is_of_file = |write: &DeferredWrite| {
            write.inode == handle.inode.get() && write.generation == handle.generation.get()
        };
        let begin = self
            .waiting()
            .iter()
            .find(|write| is_of_file(write))?
            .offset;
        let mut slots = Vec::new();
        for (index, write) in self.writes.iter().enumerate().skip(self.carried_out) {
            if is_of_file(write) {
                let range = self.slots_of(&(index..index + 1), block_size);
                slots.extend_from_slice(&self.slots[range]);
            }
        }
        Some((begin, slots))
    }

    /// What a request returned that waits.
    pub(super) fn result_of(&self, place: &RecordPlace) -> Option<CompletionWire> {
        let found = self.writes.iter().find(|write| {
            write.sequence == place.sequence
                && usize::from(write.client) == place.client
                && usize::from(write.slot) == place.slot
        });
        found.map(result)
    }
}

/// What a write returns.
pub(super) fn result(write: &DeferredWrite) -> CompletionWire {
    let end = write.offset + u64::from(write.length);
    written(write.length as usize, end).decided(write.sequence)
}
