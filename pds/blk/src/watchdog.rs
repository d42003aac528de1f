// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Decides when a device has stopped answering.
//!
//! Somebody looks from time to time. The clock runs only between two looks that both see commands at
//! the device, and none completed in between: so it does not matter how seldom they look.

/// Time that a device may take for its next command.
const PATIENCE_MS: u64 = 500;
/// It grows up to so many times that, as long as resets are in vain: the disk may just be slow.
const GROWTH_MAX: u32 = 3;
/// Resets in a row without a command completed, after which the device counts as gone.
const VAIN_RESETS_MAX: u32 = 12;

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// Nothing wrong.
    Fine,
    /// It has to be reset.
    Stuck,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Watchdog {
    /// When the clock began to run.
    since_ms: Option<u64>,
    /// Commands completed at the last look or reset.
    completed: u64,
    vain_resets: u32,
}

impl Watchdog {
    /// Looks.
    pub(crate) fn look(&mut self, now_ms: u64, busy: bool, completed: u64) -> Finding {
        let moved = completed != self.completed;
        if moved {
            self.vain_resets = 0;
        }
        self.completed = completed;
        let since = match self.since_ms {
            Some(since) if busy && !moved => since,
            _ => {
                self.since_ms = busy.then_some(now_ms);
                return Finding::Fine;
            }
        };
        let patience = PATIENCE_MS << self.vain_resets.min(GROWTH_MAX);
        match now_ms.saturating_sub(since) < patience {
            true => Finding::Fine,
            false => Finding::Stuck,
        }
    }

    /// Whether nothing was completed since the last reset.
    pub(crate) fn was_in_vain(&self) -> bool {
        self.vain_resets > 0
    }

    /// The device was reset. Returns whether that has been tried often enough.
    pub(crate) fn reset(&mut self, completed: u64) -> bool {
        if completed != self.completed {
            self.vain_resets = 0;
        }
        self.completed = completed;
        self.since_ms = None;
        self.vain_resets += 1;
        self.vain_resets > VAIN_RESETS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_completes_or_rests_is_fine() {
        let mut watchdog = Watchdog::default();
        for step in 0..1000 {
            assert_eq!(watchdog.look(step * 400, true, step), Finding::Fine);
        }
        // Idle for long, and then something begins.
        assert_eq!(watchdog.look(1_000_000, false, 999), Finding::Fine);
        assert_eq!(watchdog.look(2_000_000, true, 999), Finding::Fine);
        assert_eq!(watchdog.look(2_000_499, true, 999), Finding::Fine);
        assert_eq!(watchdog.look(2_000_499, true, 1000), Finding::Fine);
        assert_eq!(watchdog.look(2_000_900, true, 1000), Finding::Fine);
    }

    #[test]
    fn patience_grows_with_resets_in_vain() {
        let mut watchdog = Watchdog::default();
        let (mut now, mut waits) = (0, Vec::new());
        loop {
            let start = now;
            while watchdog.look(now, true, 7) == Finding::Fine {
                now += 20;
            }
            waits.push(now - start);
            if watchdog.reset(7) {
                break;
            }
        }
        assert_eq!(waits[..5], [500, 1000, 2000, 4000, 4000]);
        assert_eq!(waits.len(), 13);
        // One command is enough to start over.
        assert_eq!(watchdog.look(now, true, 8), Finding::Fine);
        assert!(!watchdog.reset(8));
    }
}
