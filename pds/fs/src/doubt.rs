// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! When a life does not believe itself: what says that the disk is broken may come from a life that is.

use alloc::boxed::Box;

use proto::fs::Errno;

use crate::disk::Disk;
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
    fn what_cannot_be_is_broken() {
        for is_read_only in [false, true] {
            assert!(is_broken(Errno::Io, is_read_only));
            assert!(!is_broken(Errno::NoEntry, is_read_only));
            assert_ne!(is_broken(Errno::ReadOnly, is_read_only), is_read_only);
        }
    }
}
