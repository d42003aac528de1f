// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Decides whether the answer to a question that was asked before is a wrong one.
//!
//! What is right is what the first answer said. Two lives of a child that agree against that are
//! believed: then the first answer was wrong, or what was asked for has changed.

/// Most of a service's time that asking it may take is one part in so many.
const SHARE: u64 = 20;

/// Judges the answers of one child.
#[derive(Clone, Copy, Debug, Default)]
pub struct Judge {
    known: Option<u32>,
    /// The last answer that was called wrong, and the life that gave it.
    disputed: Option<(u32, u32)>,
}

impl Judge {
    /// Whether `answer` (its checksum) of the life `epoch` is wrong.
    pub fn is_wrong(&mut self, answer: u32, epoch: u32) -> bool {
        let known = *self.known.get_or_insert(answer);
        if answer == known {
            self.disputed = None;
            return false;
        }
        match self.disputed {
            Some((disputed, life)) if disputed == answer && life != epoch => {
                (self.known, self.disputed) = (Some(answer), None);
                false
            }
            _ => {
                self.disputed = Some((answer, epoch));
                true
            }
        }
    }
}

/// Two readings of a clock may differ by so much from what the counter says.
const CLOCK_ERROR_NS: u64 = 1_000_000;

/// Compares a clock with the counter that it is made from, from one reading to the next.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClockJudge {
    last: Option<(u64, u64)>,
}

impl ClockJudge {
    /// Whether a clock that says `ns` when the counter says `ticks` has run too fast or too slow since
    /// the last reading. After one that was wrong, the clock is believed again.
    pub fn is_wrong(&mut self, ticks: u64, ns: u64, ticks_per_second: u64) -> bool {
        let Some((last_ticks, last_ns)) = self.last.replace((ticks, ns)) else {
            return false;
        };
        let passed = u128::from(ticks.wrapping_sub(last_ticks)) * 1_000_000_000;
        let passed = passed / u128::from(ticks_per_second.max(1));
        let wrong =
            ns < last_ns || u128::from(ns - last_ns).abs_diff(passed) > u128::from(CLOCK_ERROR_NS);
        if wrong {
            self.last = None;
        }
        wrong
    }
}

/// When to ask again after an answer that took `took_ms`; `period_ms` is the shortest pause.
#[must_use]
pub fn pause_ms(period_ms: u64, took_ms: u64) -> u64 {
    period_ms.max(took_ms.saturating_mul(SHARE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_answer_is_wrong_and_the_old_one_stays_right() {
        let mut judge = Judge::default();
        assert!(!judge.is_wrong(7, 0));
        assert!(judge.is_wrong(8, 0) && judge.is_wrong(8, 0));
        assert!(!judge.is_wrong(7, 1));
    }

    #[test]
    fn two_lives_that_agree_are_believed() {
        let mut judge = Judge::default();
        assert!(!judge.is_wrong(7, 0));
        assert!(judge.is_wrong(8, 0));
        assert!(judge.is_wrong(9, 1));
        assert!(!judge.is_wrong(9, 2));
        assert!(!judge.is_wrong(9, 2));
        assert!(judge.is_wrong(7, 2));
    }

    #[test]
    fn a_clock_that_runs_with_its_counter_is_right() {
        let mut judge = ClockJudge::default();
        let ns = |ticks: u64| ticks * 16 + 5_000;
        for ticks in [7, 8, 1_000_000, 1_000_000_000_000] {
            assert!(!judge.is_wrong(ticks, ns(ticks), 62_500_000));
        }
        let last = 1_000_000_000_000;
        for (ticks, wrong_ns) in [
            (last + 1, ns(last) - 1),
            (last + 1_000_000, ns(last)),
            (last + 1_000_000, ns(last + 2_000_000)),
            (last + 1_000_000, u64::MAX),
        ] {
            let mut judge = judge;
            assert!(judge.is_wrong(ticks, wrong_ns, 62_500_000));
            // What comes then is the next life's, or not to be mended by one more.
            assert!(!judge.is_wrong(ticks + 9, wrong_ns, 62_500_000));
        }
    }

    #[test]
    fn a_slow_service_is_asked_less_often() {
        assert_eq!((pause_ms(40, 0), pause_ms(40, 100)), (40, 2_000));
        assert_eq!(pause_ms(40, u64::MAX), u64::MAX);
    }
}
