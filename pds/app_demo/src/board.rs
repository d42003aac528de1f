// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The score board: what a fault-injection campaign sees of the application while it works.
//!
//! The application writes one page of words, the injector reads them; the injector tells in a page of its
//! own which trial it is at, and when to end. Neither page is there in the product. What the numbers mean
//! for a trial is the injector's business.

use sel4_shared_memory::{SharedMut, SharedRef};

/// First word of a board that somebody writes.
pub const MAGIC: u64 = u64::from_le_bytes(*b"KSCORE01");

/// Index of each word.
pub mod word {
    /// [`super::MAGIC`].
    pub const MAGIC: usize = 0;
    /// Operations that were answered.
    pub const OPERATIONS: usize = 1;
    /// Operations that failed and must not.
    pub const ERRORS: usize = 2;
    /// Contents or names that are not what was acknowledged.
    pub const WRONG: usize = 3;
    /// Files that are missing or cut off although they were acknowledged.
    pub const LOST: usize = 4;
    /// Rounds that were written and compared, with everything from the round before.
    pub const ROUNDS: usize = 5;
    /// Timers: firings before their deadline.
    pub const EARLY: usize = 6;
    /// Timers: deadlines without a firing.
    pub const TIMERS_LOST: usize = 7;
    /// Timers: firings that nobody asked for.
    pub const EXTRA: usize = 8;
    /// Readings of the clock that were before the last one.
    pub const BACKWARDS: usize = 9;
    /// Longest operation of this trial, in nanoseconds.
    pub const SLOWEST_NS: usize = 10;
    /// The trial that it belongs to.
    pub const TRIAL: usize = 11;
    /// Bytes that were compared.
    pub const BYTES: usize = 12;
    /// How often the application itself was started.
    pub const LIVES: usize = 13;
    /// Timers: all firings of this life.
    pub const FIRED: usize = 14;
    /// The injector's page: the trial it is at.
    pub const CONTROL_TRIAL: usize = 0;
    /// The injector's page: not 0 when the application is to end.
    pub const CONTROL_END: usize = 1;
    /// The injector's page, for the host alone: a trial begins.
    pub const BEGIN: usize = 64;
    /// The injector's page, for the host alone: a period has passed.
    pub const TICK: usize = 65;
}

/// Words of a board.
pub const WORDS: usize = 16;
/// Where the latest trouble stands as text, in bytes.
pub const TEXT: usize = WORDS * 8;
/// Bytes of that text.
pub const TEXT_BYTES: usize = 120;

/// What went wrong, as the application sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// An operation failed.
    Error,
    /// Something is there that was not written.
    Wrong,
    /// Something is not there that was.
    Lost,
}

/// The application's side.
pub struct Board {
    page: SharedMut,
    control: SharedRef,
}

impl Board {
    /// Takes the pages; what an earlier life counted stays.
    ///
    /// # Panics
    ///
    /// When a page is too small.
    pub fn new(page: SharedMut, control: SharedRef) -> Self {
        assert!(page.len() >= TEXT + TEXT_BYTES && control.len() >= 16);
        let mut board = Self { page, control };
        if board.page.load_u64(0) != MAGIC {
            board.page.fill(0, TEXT + TEXT_BYTES, 0);
            board.page.store_u64(0, MAGIC);
        }
        board.add(word::LIVES, 1);
        board
    }

    fn add(&mut self, word: usize, count: u64) {
        let value = self.page.load_u64(word * 8);
        self.page.store_u64(word * 8, value.wrapping_add(count));
    }

    fn set(&mut self, word: usize, value: u64) {
        self.page.store_u64(word * 8, value);
    }

    /// An operation was answered.
    pub fn operation(&mut self, took_ns: u64) {
        let trial = self.control.load_u64(word::CONTROL_TRIAL * 8);
        if self.page.load_u64(word::TRIAL * 8) != trial {
            self.set(word::SLOWEST_NS, 0);
            self.set(word::TRIAL, trial);
        }
        if took_ns > self.page.load_u64(word::SLOWEST_NS * 8) {
            self.set(word::SLOWEST_NS, took_ns);
        }
        self.add(word::OPERATIONS, 1);
    }

    /// Something went wrong.
    pub fn trouble(&mut self, kind: Trouble, text: &str) {
        let bytes = &text.as_bytes()[..text.len().min(TEXT_BYTES)];
        self.page.fill(TEXT, TEXT_BYTES, 0);
        self.page.write_bytes(TEXT, bytes);
        self.add(
            match kind {
                Trouble::Error => word::ERRORS,
                Trouble::Wrong => word::WRONG,
                Trouble::Lost => word::LOST,
            },
            1,
        );
    }

    /// A round is right.
    pub fn round(&mut self, bytes_compared: u64) {
        self.set(word::BYTES, bytes_compared);
        self.add(word::ROUNDS, 1);
    }

    /// So often timers have fired in this life.
    pub fn fired(&mut self, count: u64) {
        self.set(word::FIRED, count);
    }

    /// What the timers did in a round.
    pub fn timers(&mut self, before: [u64; 4], now: [u64; 4]) {
        let words = [word::EARLY, word::TIMERS_LOST, word::EXTRA, word::BACKWARDS];
        for (word, (before, now)) in words.into_iter().zip(before.into_iter().zip(now)) {
            if now != before {
                self.add(word, now.wrapping_sub(before));
            }
        }
    }

    /// Whether the application is to end.
    pub fn is_over(&self) -> bool {
        self.control.load_u64(word::CONTROL_END * 8) != 0
    }
}

#[cfg(test)]
mod tests {
    use sel4_shared_memory::host::{HostRegion, Life};

    use super::*;

    #[test]
    fn counts_go_on_over_lives_and_the_slowest_is_of_the_trial() {
        let (page, control) = (HostRegion::new(0x1000), HostRegion::new(0x1000));
        let board = || Board::new(page.shared_mut(&Life::endless()), control.shared_ref());
        let read = |word: usize| page.shared_ref().load_u64(word * 8);
        let mut first = board();
        first.operation(7);
        first.operation(5);
        assert_eq!((read(word::OPERATIONS), read(word::SLOWEST_NS)), (2, 7));
        let mut injector = control.shared_mut(&Life::endless());
        injector.store_u64(word::CONTROL_TRIAL * 8, 3);
        let mut second = board();
        second.operation(1);
        assert_eq!((read(word::OPERATIONS), read(word::SLOWEST_NS)), (3, 1));
        assert_eq!((read(word::LIVES), read(word::TRIAL)), (2, 3));
        second.trouble(Trouble::Lost, "gone");
        second.timers([0; 4], [0, 2, 0, 1]);
        assert_eq!(
            [word::LOST, word::TIMERS_LOST, word::BACKWARDS].map(read),
            [1, 2, 1]
        );
        assert!(!second.is_over());
        injector.store_u64(word::CONTROL_END * 8, 1);
        assert!(second.is_over());
    }
}
