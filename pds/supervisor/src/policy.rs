// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Decides whether a child that faulted is restarted.
//!
//! The strategy is OTP's `one_for_one` with a restart intensity. A root supervisor has nobody to
//! escalate to: beyond the intensity the child stays stopped, and the log says so.
//!
//! Invariants:
//! - The first fault of a child is its boot stub's, and starts its first life (epoch 0).
//! - A child that was stopped stays stopped until the whole system boots again.
//! - A clock that runs backwards grants no extra restart.

/// Restarts of one child granted inside [`WINDOW_MS`].
///
/// A restart costs well under a millisecond, so 50 in a second leave the system at least 95 % of
/// its time, while a child that dies in its start-up code gets there within a few milliseconds.
pub const RESTARTS_MAX: usize = 50;

/// Length of the window in milliseconds.
pub const WINDOW_MS: u64 = 1_000;

/// What to do about a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Load the segments and run the child at its entry. The payload is the new life's epoch.
    Start(u32),
    /// Load and run it again after a fault. The payload is the new life's epoch.
    Restart(u32),
    /// Leave it stopped: it died too often in too short a time.
    Stop,
}

/// One child's history.
#[derive(Clone, Debug)]
pub struct Lives {
    epoch: Option<u32>,
    stopped: bool,
    /// Times of the latest restarts in milliseconds, a ring.
    restarts_ms: [u64; RESTARTS_MAX],
    restarts: usize,
}

impl Default for Lives {
    fn default() -> Self {
        Self { epoch: None, stopped: false, restarts_ms: [0; RESTARTS_MAX], restarts: 0 }
    }
}

impl Lives {
    /// Decides about a fault received at `now_ms` (any monotonic clock).
    pub fn on_fault(&mut self, now_ms: u64) -> Action {
        if self.stopped {
            return Action::Stop;
        }
        let Some(epoch) = self.epoch else {
            self.epoch = Some(0);
            return Action::Start(0);
        };
        let oldest = self.restarts % RESTARTS_MAX;
        let full = self.restarts >= RESTARTS_MAX;
        if full && now_ms.saturating_sub(self.restarts_ms[oldest]) < WINDOW_MS {
            self.stopped = true;
            return Action::Stop;
        }
        self.restarts_ms[oldest] = now_ms;
        self.restarts += 1;
        self.epoch = Some(epoch.wrapping_add(1));
        Action::Restart(epoch.wrapping_add(1))
    }

    /// The current life's epoch; `None` before the first.
    pub fn epoch(&self) -> Option<u32> {
        self.epoch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started() -> Lives {
        let mut lives = Lives::default();
        assert_eq!(lives.on_fault(0), Action::Start(0));
        lives
    }

    #[test]
    fn boot_is_the_first_restart() {
        assert_eq!(Lives::default().on_fault(7), Action::Start(0));
        assert_eq!(started().on_fault(7), Action::Restart(1));
    }

    #[test]
    fn a_crash_loop_is_stopped_and_stays_stopped() {
        let mut lives = started();
        for epoch in 1..=RESTARTS_MAX as u32 {
            assert_eq!(lives.on_fault(1), Action::Restart(epoch));
        }
        assert_eq!(lives.on_fault(1), Action::Stop);
        assert_eq!(lives.on_fault(1_000_000), Action::Stop);
    }

    #[test]
    fn a_steady_rate_below_the_intensity_goes_on_for_ever() {
        let mut lives = started();
        let interval_ms = WINDOW_MS / RESTARTS_MAX as u64;
        for n in 1..100_000 {
            assert_eq!(lives.on_fault(u64::from(n) * interval_ms), Action::Restart(n));
        }
    }

    #[test]
    fn one_restart_too_many_inside_any_window_stops() {
        let mut lives = started();
        for n in 0..RESTARTS_MAX as u64 {
            assert!(matches!(lives.on_fault(10_000 + n), Action::Restart(_)));
        }
        assert_eq!(lives.on_fault(10_000 + WINDOW_MS - 1), Action::Stop);
    }

    #[test]
    fn a_clock_that_runs_backwards_grants_nothing() {
        let mut lives = started();
        for _ in 0..RESTARTS_MAX {
            lives.on_fault(u64::MAX);
        }
        assert_eq!(lives.on_fault(0), Action::Stop);
    }
}
