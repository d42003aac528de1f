// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Decides which child has stopped working, from its vitals and the passing of time.
//!
//! A supervisor *looks* at its children at every tick. A child that was asked and has not answered
//! grows older with every look, and is hung at its timeout. Three things must not make a child look
//! older than it is:
//!
//! - **Load.** A child below somebody who has the processor cannot answer. So a look at which a
//!   child of higher priority (or somebody below another supervisor) runs or does not answer does
//!   not count for the lower ones. Of several that do not answer, the highest is judged first.
//! - **A machine that stood still** (a stalled emulator, a debugger): a look that comes more than two
//!   periods after the last one does not count.
//! - **Long work.** A child that counts its progress on is alive, answer or not, unless it goes on so
//!   [`DEAF_FACTOR`] times as long as it may be silent: then it cannot answer any more.
//!
//! Work is of two kinds. What waits for somebody else (a disk) may stand still for long: that is no
//! fault of the child. What waits for the child alone may not, and interrupts or signals that the child
//! itself finds missing, twice in a row, are proof enough.

use alloc::vec::Vec;

use policy::ChildPolicy;
use vitals::Seen;

/// A start may take so many times the timeout.
const START_FACTOR: u64 = 10;
/// A child that counts its progress on may be without an answer for so many times the timeout.
const DEAF_FACTOR: u64 = 70;
/// Questions in which a child's own work may stand still, at least.
const ASKED_MIN: u64 = 2;
/// Questions in a row at which a child found something late.
const LATE_MAX: u64 = 2;
/// So many hangs in a row without one answer in between are too many.
const SILENT_LIVES_MAX: u32 = 5;

/// How a child hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hang {
    /// It does not answer.
    Silent,
    /// It waits in the middle of its work for something that does not come.
    Deadlock,
    /// It has work and finishes none.
    StuckQueue,
    /// Its device is done, and it learns of that only because we ask.
    LostInterrupt,
}

/// What a look has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Children to ask, as bits.
    pub ask: u64,
    /// The child that hangs, the one of highest priority if there are several.
    pub hung: Option<(usize, Hang)>,
    /// Highest priority at which somebody runs or does not answer.
    pub occupied: Option<u8>,
}

#[derive(Clone, Debug)]
struct Watched {
    priority: u8,
    policy: ChildPolicy,
    /// What its vitals said at the last look.
    last: Seen,
    /// It was asked, has not answered, and is so old (in milliseconds that count).
    unanswered: Option<u64>,
    /// Milliseconds that count since it was first asked without an answer, whatever it has counted on.
    deaf_ms: u64,
    /// It had not answered at the last look.
    silent: bool,
    /// Milliseconds that count since it finished something, while there was something to finish.
    idle_ms: u64,
    /// The same for work that waits for the child alone.
    own_ms: Option<u64>,
    asked_ms: Option<u64>,
    /// It has not answered in this life.
    starting: bool,
    /// Lives without an answer, one after the other, that ended in a hang.
    silent_lives: u32,
}

/// All children of a supervisor, by their position.
#[derive(Clone, Debug, Default)]
pub struct Liveness {
    children: Vec<Watched>,
    looked_ms: Option<u64>,
}

impl Liveness {
    /// Adds the next child.
    pub fn add(&mut self, priority: u8, policy: ChildPolicy) {
        self.children.push(Watched {
            priority,
            policy,
            last: Seen::default(),
            unanswered: None,
            deaf_ms: 0,
            silent: false,
            idle_ms: 0,
            own_ms: None,
            asked_ms: None,
            starting: true,
            silent_lives: 0,
        });
    }

    /// A new life of the child begins.
    pub fn restarted(&mut self, child: usize) {
        let watched = &mut self.children[child];
        (watched.unanswered, watched.asked_ms, watched.idle_ms) = (None, None, 0);
        (watched.silent, watched.starting, watched.deaf_ms) = (false, true, 0);
        watched.own_ms = None;
    }

    /// Counts a hang of the child; says whether restarting it seems to be of no use.
    pub fn is_hopeless(&mut self, child: usize) -> bool {
        let watched = &mut self.children[child];
        watched.silent_lives = if watched.starting {
            watched.silent_lives + 1
        } else {
            0
        };
        watched.silent_lives >= SILENT_LIVES_MAX
    }

    /// Whether the child had not answered at the last look.
    pub fn is_silent(&self, child: usize) -> bool {
        self.children[child].silent
    }

    /// Whether somebody above `child` was running or not answering at the last look.
    pub fn is_shadowed(&self, child: usize) -> bool {
        let priority = self.children[child].priority;
        self.children
            .iter()
            .any(|other| other.level().is_some_and(|level| level > priority))
    }

    /// Looks at the children; `seen` has what the vitals of each say, or nothing for one that is
    /// not watched now. `period_ms` is how often this is called; 0 makes a look that does not count.
    /// `caller` is the child that has caused this look: it runs because it did so, which keeps the
    /// processor from nobody.
    ///
    /// # Panics
    ///
    /// When these are not all of the children: the others would be watched by nobody (campaign on seL4
    /// release at d5450e3, seed 1, trial 12714).
    pub fn look(
        &mut self,
        seen: &[Option<Seen>],
        caller: Option<usize>,
        now_ms: u64,
        period_ms: u64,
    ) -> Findings {
        let (children, looked_at) = (self.children.len(), seen.len());
        assert!(
            children == looked_at,
            "{looked_at} of {children} children are looked at"
        );
        let since = now_ms.saturating_sub(self.looked_ms.unwrap_or(now_ms));
        self.looked_ms = Some(now_ms);
        let step_ms = if since > 2 * period_ms { 0 } else { since };
        for (index, (watched, seen)) in self.children.iter_mut().zip(seen).enumerate() {
            watched.take(seen.as_ref());
            watched.last.runs &= caller != Some(index);
        }
        let mut findings = Findings::default();
        for (index, seen) in seen.iter().enumerate() {
            findings.occupied = findings.occupied.max(self.children[index].level());
            if seen.is_none() {
                continue;
            }
            let counted = if self.is_shadowed(index) { 0 } else { step_ms };
            let watched = &mut self.children[index];
            if let Some(hang) = watched.age(counted, period_ms) {
                let above = |other: usize| self.children[other].priority;
                let first = findings
                    .hung
                    .is_none_or(|(other, _)| above(other) < above(index));
                findings.hung = if first {
                    Some((index, hang))
                } else {
                    findings.hung
                };
            } else if watched.is_due(now_ms, period_ms) {
                // Asked again, it is as old as it was: only the question may have been lost.
                watched.unanswered = watched.unanswered.or(Some(0));
                watched.asked_ms = Some(now_ms);
                findings.ask |= 1 << index;
            }
        }
        findings
    }
}

impl Watched {
    /// Priority at which it or somebody below it has the processor, or ought to.
    fn level(&self) -> Option<u8> {
        let own = (self.silent || self.last.runs).then_some(self.priority);
        own.max(self.last.occupied)
    }

    /// Takes what the vitals say now.
    fn take(&mut self, seen: Option<&Seen>) {
        let Some(seen) = seen else {
            (self.unanswered, self.silent, self.last) = (None, false, Seen::default());
            self.deaf_ms = 0;
            return;
        };
        if seen.beats != self.last.beats && seen.epoch == self.last.epoch {
            self.unanswered = None;
            (self.starting, self.silent_lives, self.deaf_ms) = (false, 0, 0);
        } else if seen.progress != self.last.progress {
            self.unanswered = self.unanswered.map(|_| 0);
        }
        let works = seen.outstanding > 0 && seen.done == self.last.done;
        let waits = seen.waits && seen.progress == self.last.progress;
        if !works && !waits {
            self.idle_ms = 0;
        }
        if seen.own == 0 || seen.done != self.last.done {
            self.own_ms = None;
        }
        self.silent = self.unanswered.is_some();
        self.last = *seen;
    }

    /// Lets the child grow older; says how it hangs if that is too old.
    fn age(&mut self, counted_ms: u64, period_ms: u64) -> Option<Hang> {
        let factor = if self.starting { START_FACTOR } else { 1 };
        let timeout = u64::from(self.policy.heartbeat_timeout_ms) * factor;
        // The nearest look: they are not exactly a period apart.
        let is_over =
            |age_ms: u64| timeout > 0 && age_ms + (period_ms / 2).min(timeout / 4) >= timeout;
        let progress_timeout = u64::from(self.policy.progress_timeout_ms);
        self.unanswered = self.unanswered.map(|age| age + counted_ms);
        self.deaf_ms += self.unanswered.map_or(0, |_| counted_ms);
        let is_deaf = timeout > 0 && self.deaf_ms >= timeout * DEAF_FACTOR;
        if is_deaf || self.unanswered.is_some_and(is_over) {
            return Some(Hang::Silent);
        }
        if timeout > 0 && self.last.late_interrupts >= LATE_MAX {
            return Some(Hang::LostInterrupt);
        }
        let own_ms = self.own_ms.map_or(0, |age| age + counted_ms);
        self.own_ms = (self.last.own > 0).then_some(own_ms);
        // Children say so when they are asked.
        let is_asked = own_ms >= ASKED_MIN * u64::from(self.policy.heartbeat_ms);
        let own_is_over = is_asked && is_over(own_ms);
        if (timeout > 0 && self.last.late_work >= LATE_MAX) || own_is_over {
            return Some(Hang::StuckQueue);
        }
        if !self.last.waits && self.last.outstanding == 0 {
            return None;
        }
        self.idle_ms += counted_ms;
        let stuck = progress_timeout > 0 && self.idle_ms >= progress_timeout;
        let kind = if self.last.waits {
            Hang::Deadlock
        } else {
            Hang::StuckQueue
        };
        stuck.then_some(kind)
    }

    fn is_due(&self, now_ms: u64, period_ms: u64) -> bool {
        let heartbeat_ms = u64::from(self.policy.heartbeat_ms);
        // Nearest tick: ticks are not exactly a period apart.
        let rested = self
            .asked_ms
            .is_none_or(|asked| now_ms.saturating_sub(asked) + period_ms / 2 >= heartbeat_ms);
        heartbeat_ms > 0 && rested
    }
}

#[cfg(test)]
mod tests;
