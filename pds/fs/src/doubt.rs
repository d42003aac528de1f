// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! When a life does not believe itself: what says that the disk is broken may come from a life that is.

use alloc::boxed::Box;

use proto::fs::Errno;

use crate::disk::Disk;
use crate::mount::ReadOnly;
use crate::volume::Volume;

/// Asked whether this life may end, so that another one answers the request at hand.
pub type SecondOpinion = Box<dyn FnMut() -> bool>;

/// Whether an answer says that the disk or the file system is broken, or read-only when it is not (campaign
/// on seL4 release at d5450e3, seed 1, trial 16851).
pub(crate) fn is_broken(errno: Errno, is_read_only: bool) -> bool {
    matches!(errno, Errno::NeedsCleaning | Errno::Io) || (errno == Errno::ReadOnly && !is_read_only)
}

/// Ends this life where another one is to see or do what this one says to be impossible.
pub(crate) fn ask_another(second_opinion: &mut Option<SecondOpinion>, errno: Errno, what: &str) {
    if let Some(wanted) = second_opinion {
        assert!(!wanted(), "{errno}: let another life {what}");
    }
}

/// Why nothing is written, in two words: with one wrong bit every change would be refused, and nobody would
/// have a doubt (campaign on seL4 release at 9e7fd0d, seed 1, trial 14418).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Why {
    word: u64,
    inverse: u64,
}

const REASONS: [Option<ReadOnly>; 4] = [
    None,
    Some(ReadOnly::Disk),
    Some(ReadOnly::Errors),
    Some(ReadOnly::Failed),
];

impl Why {
    /// Keeps the reason.
    pub(crate) fn new(reason: Option<ReadOnly>) -> Self {
        let word = REASONS.iter().position(|known| *known == reason);
        let word = word.expect("it is one of them") as u64;
        let inverse = !word;
        Self { word, inverse }
    }

    /// The reason.
    pub(crate) fn get(&self) -> Option<ReadOnly> {
        assert!(
            self.word == !self.inverse,
            "why nothing is written is damaged"
        );
        REASONS[self.word as usize]
    }
}

/// Goes on with what was committed, after something has failed.
pub(crate) fn go_read_only<D: Disk>(
    volume: &mut Volume<D>,
    second_opinion: &mut Option<SecondOpinion>,
    what: &str,
    errno: Errno,
) {
    // Not of the disk: so it is our own fault (campaign on seL4 release, seed 1, trial 175).
    if !volume.disk_has_failed() {
        ask_another(second_opinion, errno, "see");
    }
    log::error!("{what} failed: {errno}; read-only until a restart");
    if let Err(errno) = volume.go_read_only() {
        log::error!("what was committed cannot be read: {errno}");
    }
}

/// What was taken for a failure by mistake, and undone, would be called done (campaign on seL4 release at
/// d5450e3, seed 1, trial 18340).
pub(crate) fn assert_failure(number: u32) {
    assert!(number != 0, "a failure without an error");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "a failure without an error")]
    fn success_is_no_failure() {
        assert_failure(Errno::Io as u32);
        assert_failure(0);
    }

    #[test]
    fn a_wrong_bit_is_no_reason() {
        for reason in REASONS {
            let why = Why::new(reason);
            assert_eq!(why.get(), reason);
            for bit in 0..64 {
                let (mut one, mut other) = (why, why);
                one.word ^= 1 << bit;
                other.inverse ^= 1 << bit;
                for damaged in [one, other] {
                    assert!(std::panic::catch_unwind(|| damaged.get()).is_err());
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_is_broken() {
        for is_read_only in [false, true] {
            assert!(is_broken(Errno::Io, is_read_only));
            assert!(!is_broken(Errno::NoEntry, is_read_only));
            assert_ne!(is_broken(Errno::ReadOnly, is_read_only), is_read_only);
        }
    }
}
