// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Region `timer_to_<client>_firings`: how often each of a client's timers has fired.
//!
//! | word | what |
//! |---|---|
//! | 0..4 | header; the epoch in it is the service's |
//! | 4 | number of notes so far; the newest is at `NOTES + (n - 1) % NOTE_COUNT` |
//! | 5 | sequence number of the last clock setting that was carried out |
//! | 6 | entries of the client that were nonsense |
//! | 7 | times that the service made the client wait, because it asked for too much |
//! | 1024..2048 | indices of timers that have fired: a hint that spares the client a search |
//! | 2048.. | [`TIMERS`] records of 4 words |
//!
//! | word of a record | what |
//! |---|---|
//! | 0 | generation and number of firings ([`Count`]): the store that makes a firing happen |
//! | 1 | lateness of the last firing in nanoseconds |
//! | 2 | largest lateness since the service accepted this generation |
//! | 3 | monotonic time of the last firing |
//!
//! A client that sees a new epoch of the service looks at all records: the hint for a firing may
//! have died with the last life.

use core::hint::black_box;

use shared_words::{Header, Words, WordsMut};

use super::{Count, TIMERS};

/// "KTFIRING".
pub const HEADER: Header = Header {
    magic: u64::from_le_bytes(*b"KTFIRING"),
    version: 1,
};
/// Words that the region must have.
pub const REGION_WORDS_MIN: usize = RECORDS + TIMERS * RECORD_WORDS;
/// Number of notes so far.
pub const NOTE_TAIL: usize = 4;
/// Sequence number of the last clock setting that was carried out.
pub const CLOCK_SET: usize = 5;
/// Entries of the client that were nonsense.
pub const NONSENSE: usize = 6;
/// Times that the client had to wait.
pub const THROTTLED: usize = 7;
/// First word of the ring of notes.
pub const NOTES: usize = 1024;
/// Places in the ring of notes.
pub const NOTE_COUNT: usize = 1024;
const RECORDS: usize = 2048;
const RECORD_WORDS: usize = 4;

/// First word of the record with this index.
#[must_use]
pub const fn record(index: usize) -> usize {
    assert!(index < TIMERS);
    RECORDS + index * RECORD_WORDS
}

/// What a record says besides its count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lateness {
    /// Of the last firing.
    pub last_ns: u64,
    /// The largest.
    pub max_ns: u64,
    /// Monotonic time of the last firing.
    pub fired_at_ns: u64,
}

/// Reads a record's count.
pub fn count(page: &impl Words, index: usize) -> Count {
    Count::from_word(page.word(record(index)))
}

/// Writes a record's count. This is the store that makes firings happen.
///
/// # Panics
///
/// When the word does not say what was meant: nobody could take it back (campaign on seL4 release at aac7c23,
/// seed 1, trial 4665: one wrong register, and a client was told of 8,192 firings too many).
pub fn set_count(page: &mut impl WordsMut, index: usize, count: Count) {
    // What is compared is what is stored.
    let word = black_box(count.to_word());
    assert!(Count::from_word(word) == count, "a count is packed wrongly");
    page.set_word(record(index), word);
}

/// Reads the rest of a record.
pub fn lateness(page: &impl Words, index: usize) -> Lateness {
    let first = record(index);
    Lateness {
        last_ns: page.word(first + 1),
        max_ns: page.word(first + 2),
        fired_at_ns: page.word(first + 3),
    }
}

/// Writes the rest of a record.
pub fn set_lateness(page: &mut impl WordsMut, index: usize, lateness: Lateness) {
    let first = record(index);
    page.set_word(first + 1, lateness.last_ns);
    page.set_word(first + 2, lateness.max_ns);
    page.set_word(first + 3, lateness.fired_at_ns);
}

/// How many firings are noted, and which timer is the last of them.
pub fn last_noted(page: &impl Words) -> (u64, u64) {
    let tail = page.word(NOTE_TAIL);
    let last = tail.wrapping_sub(1) as usize % NOTE_COUNT;
    (tail, page.word(NOTES + last))
}

/// Notes that a timer has fired.
pub fn note(page: &mut impl WordsMut, index: usize) {
    let tail = page.word(NOTE_TAIL);
    page.set_word(NOTES + tail as usize % NOTE_COUNT, index as u64);
    page.set_word(NOTE_TAIL, tail.wrapping_add(1));
}
