// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Decides which children are started or restarted after a fault, and when it is too much.
//!
//! Strategies and restart intensity are Erlang/OTP's; the policies come from `policy.toml`. The
//! supervisor can itself be restarted at any moment, so what it must not forget is in
//! [`Record`]s that it keeps in memory which survives it (`state.rs`).
//!
//! Invariants:
//! - The first fault of a child is its boot stub's, and starts its first life (epoch 0).
//! - A child that was stopped stays stopped until its supervisor is restarted by escalation.
//! - A clock that runs backwards grants no extra restart.
//! - A child that fails too often and has another program gets that one first, and keeps it.
//! - A child is `Loading` from before its memory is touched until after it has been restarted.

use policy::{Beyond, ChildPolicy, RESTARTS_MAX_MAX, Strategy};

/// Where a child is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Its boot stub has not been heard of yet.
    #[default]
    New = 0,
    /// Its memory is being loaded: if the supervisor dies now, this must be done again.
    Loading = 1,
    /// It runs, or its next fault is on its way.
    Running = 2,
    /// It failed too often and is left alone.
    Stopped = 3,
}

/// What a supervisor must remember about one child across its own restarts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Where the child is.
    pub phase: Phase,
    /// How often it has been restarted.
    pub epoch: u32,
    /// Restarts that count for the intensity, ever; the latest are in the history.
    pub restarts: u32,
    /// It is loaded from its other program.
    pub fallback: bool,
}

/// What tells a child's state from whatever else a wrong address leads to.
const MARK: u32 = 0x3f1d_6a29;

/// Restarts of each child that are remembered.
const REMEMBERED: u32 = RESTARTS_MAX_MAX + 1;

/// Times of a child's latest restarts in milliseconds, a ring indexed by [`Record::restarts`].
pub type History = [u64; REMEMBERED as usize];

/// A child as the decisions see it.
#[derive(Clone, Debug)]
pub struct ChildState {
    /// Its policy.
    pub policy: ChildPolicy,
    /// What survives the supervisor.
    pub record: Record,
    /// What also survives it.
    pub history: History,
    mark: u32,
}

/// What to do about a fault. Children are bits, by their position in the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Start the first life of this child.
    Start(usize),
    /// Stop all of these but the one that failed, then load and run them in order.
    Restart(u64),
    /// The same, from now on with the child's other program.
    Fallback(u64),
    /// The same after a pause of so many milliseconds; until then the child stays as it is.
    Later(u64, u64),
    /// Leave the child stopped.
    Stop,
    /// Fail too.
    Escalate,
    /// Reset the machine.
    Reset,
}

/// A supervisor's children in the order of system.xml, at most 62.
#[derive(Clone, Debug)]
pub struct Tree {
    /// What is done for the siblings of a failed child.
    pub strategy: Strategy,
    /// The children.
    pub children: alloc::vec::Vec<ChildState>,
}

impl ChildState {
    /// A child that nothing is known about.
    pub const fn new(policy: ChildPolicy) -> Self {
        let record = Record {
            phase: Phase::New,
            epoch: 0,
            restarts: 0,
            fallback: false,
        };
        Self {
            policy,
            record,
            history: [0; REMEMBERED as usize],
            mark: MARK,
        }
    }

    /// The epoch of a child that is to be watched.
    ///
    /// # Panics
    ///
    /// When this is no child's state: a supervisor that takes something else for its children would watch
    /// nobody, and answer its own supervisor all the time.
    pub fn watched(&self) -> Option<u32> {
        assert!(self.mark == MARK, "the list of children is damaged");
        (self.record.phase == Phase::Running).then_some(self.record.epoch)
    }

    /// Position in the history of the latest restart.
    pub fn latest(&self) -> usize {
        (self.record.restarts.wrapping_sub(1) % REMEMBERED) as usize
    }

    /// Position in the history of the restart before which `restarts_max` others happened.
    fn oldest(&self) -> Option<usize> {
        let before = self.record.restarts.checked_sub(self.policy.restarts_max)?;
        Some((before % REMEMBERED) as usize)
    }

    fn exceeded(&self, now_ms: u64) -> bool {
        self.oldest().is_some_and(|oldest| {
            now_ms.saturating_sub(self.history[oldest]) < u64::from(self.policy.window_ms)
        })
    }

    /// Pause before a restart that has just been counted.
    fn pause_ms(&self, now_ms: u64) -> u64 {
        let (backoff, window) = (self.policy.backoff_ms, u64::from(self.policy.window_ms));
        if backoff == 0 {
            // The child need not wait for the counting either.
            return 0;
        }
        let known = self.record.restarts.min(REMEMBERED);
        let recent = self.history[..known as usize]
            .iter()
            .filter(|&&time| now_ms.saturating_sub(time) < window)
            .count() as u32;
        let doublings = recent.saturating_sub(2).min(31);
        let pause = u64::from(backoff) << doublings;
        if recent < 2 { 0 } else { pause.min(window) }
    }

    fn count(&mut self, now_ms: u64) {
        self.history[(self.record.restarts % REMEMBERED) as usize] = now_ms;
        self.record.restarts = self.record.restarts.wrapping_add(1);
    }
}

impl Tree {
    /// Decides about a fault of `child` received at `now_ms` (any monotonic clock), and counts it.
    pub fn on_fault(&mut self, child: usize, now_ms: u64) -> Decision {
        let failed = &mut self.children[child];
        match failed.record.phase {
            Phase::New => return Decision::Start(child),
            Phase::Stopped => return Decision::Stop,
            Phase::Loading | Phase::Running => {}
        }
        if failed.exceeded(now_ms) {
            return self.give_up(child);
        }
        failed.count(now_ms);
        let pause_ms = failed.pause_ms(now_ms);
        let mask = self.affected(child);
        match pause_ms {
            0 => Decision::Restart(mask),
            _ => Decision::Later(mask, pause_ms),
        }
    }

    /// Decides about a child that restarts do not help.
    pub fn give_up(&mut self, child: usize) -> Decision {
        let failed = &mut self.children[child];
        if failed.policy.has_fallback && !failed.record.fallback {
            // The other program begins without a past.
            (failed.record.fallback, failed.record.restarts) = (true, 0);
            return Decision::Fallback(self.affected(child));
        }
        match failed.policy.beyond {
            Beyond::Escalate => Decision::Escalate,
            Beyond::Reset => Decision::Reset,
            Beyond::Stop => {
                failed.record.phase = Phase::Stopped;
                Decision::Stop
            }
        }
    }

    /// Children that a restart of `child` takes along: those that have been started and not stopped.
    fn affected(&self, child: usize) -> u64 {
        let range = match self.strategy {
            Strategy::OneForOne => child..child + 1,
            Strategy::RestForOne => child..self.children.len(),
            Strategy::OneForAll => 0..self.children.len(),
        };
        let alive = |&index: &usize| {
            matches!(
                self.children[index].record.phase,
                Phase::Loading | Phase::Running
            )
        };
        range.filter(alive).fold(0, |mask, index| mask | 1 << index)
    }

    /// What a restarted supervisor has to do before it receives: run again every child whose
    /// loading its last life did not finish; all of them after an escalation, which also forgets
    /// their history.
    pub fn on_own_restart(&mut self, escalated: bool) -> u64 {
        let mut mask = 0;
        for (index, child) in self.children.iter_mut().enumerate() {
            let started = child.record.phase != Phase::New;
            if escalated {
                child.record.restarts = 0;
            }
            if child.record.phase == Phase::Loading || (escalated && started) {
                mask |= 1 << index;
            }
        }
        mask
    }
}

#[cfg(test)]
mod tests;
