// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Region `<client>_to_timer_timers`: a client's armed timers, and a ring of the last changes.
//!
//! | word | what |
//! |---|---|
//! | 0..4 | header |
//! | 4 | number of changes so far; the newest is at `CHANGES + (n - 1) % CHANGE_COUNT` |
//! | 1024..2048 | indices of the timers that changed: a hint that spares the service a search |
//! | 2048.. | [`TIMERS`] entries of 6 words |
//!
//! | word of an entry | bits | what |
//! |---|---|---|
//! | 0 | 0..20 | generation |
//! |   | 32 | armed |
//! |   | 33 | deadline and period are of the wall clock |
//! | 1 |  | deadline in nanoseconds; the first one of a periodic timer |
//! | 2 |  | period in nanoseconds, 0 for one firing |
//! | 3 |  | the client's own |
//! | 4 |  | firings that the client has seen ([`Count`](super::Count)); else it is notified once more |
//! | 5 |  | CRC-32C of index and words 0 to 3 |
//!
//! A client changes an entry so: word 5 made invalid, words 1 to 3, word 0, word 5, then the ring.
//! An entry whose CRC is wrong is being changed, by a client that lives or has died: not armed.

use shared_words::{Header, Words, WordsMut, crc32c};

use super::{GENERATION_MASK, TIMERS};

/// "KTTIMERS".
pub const HEADER: Header = Header {
    magic: u64::from_le_bytes(*b"KTTIMERS"),
    version: 1,
};
/// Words that the region must have: all of 64 KiB.
pub const REGION_WORDS_MIN: usize = ENTRIES + TIMERS * ENTRY_WORDS;
/// Number of changes so far.
pub const CHANGE_TAIL: usize = 4;
/// First word of the ring of changes.
pub const CHANGES: usize = 1024;
/// Places in the ring. A service that is further behind looks at every entry.
pub const CHANGE_COUNT: usize = 1024;
const ENTRIES: usize = 2048;
const ENTRY_WORDS: usize = 6;
const ARMED: u64 = 1 << 32;
const WALL: u64 = 1 << 33;

/// First word of the entry with this index.
#[must_use]
pub const fn entry(index: usize) -> usize {
    assert!(index < TIMERS);
    ENTRIES + index * ENTRY_WORDS
}

/// The word of seen firings of the entry with this index.
#[must_use]
pub const fn seen(index: usize) -> usize {
    entry(index) + 4
}

/// What an entry says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Changes of this timer, modulo 2^20.
    pub generation: u32,
    /// Whether it is to fire.
    pub armed: bool,
    /// Whether its times are of the wall clock.
    pub wall: bool,
    /// First deadline.
    pub deadline_ns: u64,
    /// 0: fires once.
    pub period_ns: u64,
    /// The client's own.
    pub cookie: u64,
}

impl Entry {
    /// Word 0.
    #[must_use]
    pub fn state_word(&self) -> u64 {
        let armed = if self.armed { ARMED } else { 0 };
        let wall = if self.wall { WALL } else { 0 };
        u64::from(self.generation & GENERATION_MASK) | armed | wall
    }

    /// Copies an entry; `None` when it is not whole.
    pub fn read(page: &impl Words, index: usize) -> Option<Self> {
        let [state, deadline, period, cookie, _, check] = page.words(entry(index));
        let words = [state, deadline, period, cookie];
        let known = u64::from(GENERATION_MASK) | ARMED | WALL;
        if check != checksum(index, &words) || state & !known != 0 {
            return None;
        }
        Some(Self {
            generation: state as u32 & GENERATION_MASK,
            armed: state & ARMED != 0,
            wall: state & WALL != 0,
            deadline_ns: words[1],
            period_ns: words[2],
            cookie: words[3],
        })
    }

    /// Writes an entry, and says so in the ring of changes.
    pub fn write(&self, page: &mut impl WordsMut, index: usize) {
        let first = entry(index);
        let words = [
            self.state_word(),
            self.deadline_ns,
            self.period_ns,
            self.cookie,
        ];
        let crc = checksum(index, &words);
        page.set_word(first + 5, !crc);
        for word in [1, 2, 3, 0] {
            page.set_word(first + word, words[word]);
        }
        page.set_word(first + 5, crc);
        let tail = page.word(CHANGE_TAIL);
        page.set_word(CHANGES + tail as usize % CHANGE_COUNT, index as u64);
        page.set_word(CHANGE_TAIL, tail.wrapping_add(1));
    }
}

fn checksum(index: usize, words: &[u64; 4]) -> u64 {
    let [state, deadline, period, cookie] = *words;
    u64::from(crc32c(&[index as u64, state, deadline, period, cookie]))
}

const _: () = assert!(REGION_WORDS_MIN * 8 == 0x1_0000);
