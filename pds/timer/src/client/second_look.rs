// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Whether what was just done is what was to be done, looked at by other code than that which has done it: a
//! life whose code is damaged ends here, and the next one has its code from the ELF file.

use proto::timer::timers::Entry;
use proto::timer::{GENERATION_MASK, firings};

use super::Client;

impl Client {
    /// Whether the client's page has the count that we know (campaign on seL4 release, seed 1, trials 21 and
    /// 767).
    #[inline(never)]
    pub(crate) fn is_counted(&self, index: usize) -> bool {
        let armed = &self.armed[index];
        let count = firings::count(&self.pages.firings, index);
        count.generation == armed.state as u32 & GENERATION_MASK && count.fired == armed.fired
    }

    /// Whether an entry is what we know of a timer: one in the wrong queue is missed by nobody but its client
    /// (campaign on seL4 release at d5450e3, seed 1, trial 11119: all of them were, from then on; 18106: one
    /// that had fired before it was armed).
    #[inline(never)]
    pub(crate) fn has_accepted(&self, index: usize, entry: &Entry, rebuilding: bool) -> bool {
        let armed = &self.armed[index];
        let time = armed.next_ns().filter(|_| entry.armed);
        let queue = |wall: bool| &self.queues[usize::from(wall)];
        let is_queued = rebuilding || queue(entry.wall).time(index) == time;
        armed.state == entry.state_word()
            && armed.deadline_ns == entry.deadline_ns
            && (armed.period_ns == entry.period_ns || !entry.armed)
            && is_queued
            && self.is_counted(index)
            && queue(!entry.wall).time(index).is_none()
    }

    /// Whether the client finds the firing (campaign on seL4 release at d5450e3, seed 1, trial 12310: five
    /// were noted at a wrong place).
    #[inline(never)]
    pub(crate) fn is_noted(&self, index: usize) -> bool {
        let last = firings::last_noted(&self.pages.firings);
        last == (self.noted, index as u64)
    }
}
