// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What a life does not believe at once: it ends, and a fresh one is to find the same (decision 0072).

use alloc::boxed::Box;

use proto::fs::Errno;

/// Asked whether this life may end, so that another one answers the request at hand.
pub type SecondOpinion = Box<dyn FnMut(Doubt) -> bool>;

/// What a life doubts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// Its own answer.
    Answer,
    /// The disk's word that it has failed: its driver may have been at fault, and well again since.
    Disk,
}

/// Whether an answer says that the disk or the file system is broken.
pub fn is_broken(errno: Errno) -> bool {
    matches!(errno, Errno::NeedsCleaning | Errno::Io)
}

/// Ends this life where another one is to see or do what this one says to be impossible.
pub fn ask_another(
    second_opinion: &mut Option<SecondOpinion>,
    doubt: Doubt,
    errno: Errno,
    what: &str,
) {
    if let Some(wanted) = second_opinion {
        assert!(!wanted(doubt), "{errno}: let another life {what}");
    }
}
