// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Region `<client>_to_timer_control`: sets the wall clock. Who has such a region in `system.xml` may.
//!
//! | word | what |
//! |---|---|
//! | 0..4 | header |
//! | 4 | sequence number of the request; 0: none yet |
//! | 5 | 1: step, 2: slew |
//! | 6 | the wall clock in nanoseconds since 1970 UTC ... |
//! | 7 | ... when the counter showed this |
//! | 8 | CRC-32C of words 4 to 7 |
//!
//! The request names the moment, so carrying it out twice (after a restart) sets the same time. The
//! service answers with the sequence number in word [`CLOCK_SET`](super::firings::CLOCK_SET) of the
//! client's firings.

use shared_words::{Header, Words, WordsMut, crc32c};

/// "KTSETCLK".
pub const HEADER: Header = Header {
    magic: u64::from_le_bytes(*b"KTSETCLK"),
    version: 1,
};
/// Words that the region must have.
pub const REGION_WORDS_MIN: usize = 16;
const REQUEST: usize = 4;

/// A request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetClock {
    /// Counts the client's requests, from 1.
    pub sequence: u64,
    /// Run faster or slower until it is right, instead of jumping.
    pub slew: bool,
    /// The right time ...
    pub wall_ns: u64,
    /// ... when the counter showed this.
    pub ticks: u64,
}

impl SetClock {
    /// Copies a request; `None` when there is none, or it is not whole.
    pub fn read(page: &impl Words) -> Option<Self> {
        let words = [0, 1, 2, 3].map(|word| page.word(REQUEST + word));
        let whole = page.word(REQUEST + 4) == u64::from(crc32c(&words));
        let valid = whole && words[0] != 0 && matches!(words[1], 1 | 2);
        valid.then_some(Self {
            sequence: words[0],
            slew: words[1] == 2,
            wall_ns: words[2],
            ticks: words[3],
        })
    }

    /// Writes a request.
    pub fn write(&self, page: &mut impl WordsMut) {
        let words = [
            self.sequence,
            if self.slew { 2 } else { 1 },
            self.wall_ns,
            self.ticks,
        ];
        let crc = u64::from(crc32c(&words));
        page.set_word(REQUEST + 4, !crc);
        for (index, word) in words.iter().enumerate() {
            page.set_word(REQUEST + index, *word);
        }
        page.set_word(REQUEST + 4, crc);
    }
}
