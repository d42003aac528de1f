// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! A queue of threads. Bounded by the number of threads, so it never overflows.

use crate::ids::{PDS_MAX, ThreadId};

/// Threads in order; each at most once.
///
/// An array that is shifted rather than a linked list: a queue longer than two or three is rare, and
/// there is no link to corrupt.
#[derive(Clone, Copy)]
pub(crate) struct ThreadQueue {
    threads: [u8; PDS_MAX],
    length: u8,
}

impl ThreadQueue {
    pub(crate) const EMPTY: Self = Self {
        threads: [0; PDS_MAX],
        length: 0,
    };

    pub(crate) fn is_empty(&self) -> bool {
        self.length == 0
    }

    pub(crate) fn first(&self) -> Option<ThreadId> {
        self.iter().next()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = ThreadId> + '_ {
        self.threads[..usize::from(self.length)]
            .iter()
            .copied()
            .map(ThreadId)
    }

    /// Puts `thread` before the one that is now at `position`.
    pub(crate) fn insert(&mut self, position: usize, thread: ThreadId) {
        let length = usize::from(self.length);
        assert!(length < PDS_MAX, "each thread is in a queue at most once");
        self.threads.copy_within(position..length, position + 1);
        self.threads[position] = thread.0;
        self.length += 1;
    }

    pub(crate) fn push(&mut self, thread: ThreadId) {
        self.insert(usize::from(self.length), thread);
    }

    /// Takes `thread` out, if it is there.
    pub(crate) fn remove(&mut self, thread: ThreadId) -> bool {
        let Some(position) = self.iter().position(|other| other == thread) else {
            return false;
        };
        let length = usize::from(self.length);
        self.threads.copy_within(position + 1..length, position);
        self.length -= 1;
        true
    }
}
