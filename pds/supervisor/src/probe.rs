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
    fn a_slow_service_is_asked_less_often() {
        assert_eq!((pause_ms(40, 0), pause_ms(40, 100)), (40, 2_000));
        assert_eq!(pause_ms(40, u64::MAX), u64::MAX);
    }
}
