// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Log ring: from each PD (the only writer of its region) to the console.
//!
//! A region is a stream of entries, kept as long as there is room. A *position* counts words since
//! the stream began; the word at position p is word `BODY_WORDS + p % capacity` of the region, so an
//! entry may wrap. Two sealed positions bound what is there: `START` is the oldest entry that is
//! still whole, `END` is where the next one will begin. The writer moves `START` before it
//! overwrites, and `END` after it has written. So a reader that copies an entry and *then* finds
//! its position not below `START` has copied it whole.
//!
//! Restart of the writer: an entry that `END` does not cover was never written. The new life goes on
//! at `END`. Restart of the reader: its position is its own affair.
//!
//! An entry is at least [`ENTRY_WORDS_MIN`] words:
//!
//! | word | bits | what |
//! |---|---|---|
//! | 0 | 0..16 | [`HEAD_MARK`] |
//! |   | 16..24 | length of the entry in words |
//! |   | 24..32 | level, 1 (error) to 5 (trace) |
//! |   | 32..48 | length of the text in bytes |
//! |   | 48..64 | kind, see [`Kind`] |
//! | 1 | 0..40 | sequence number: lines since the stream began |
//! |   | 40..64 | epoch of the writer, low 24 bits |
//! | 2 |  | counter (CNTPCT_EL0) |
//! | 3.. |  | text, padded with zeroes |
//! | last | 0..16 | [`TAIL_MARK`] |
//! |   | 16..24 | length of the entry in words |
//! |   | 32..64 | CRC-32C over position and the words before |

use shared_words::{Header, crc32c};

/// "KLOGRING" and the version of this layout.
pub const HEADER: Header = Header {
    magic: u64::from_le_bytes(*b"KLOGRING"),
    version: 1,
};

/// Word of the header: sealed position of the oldest whole entry.
pub const START: usize = 4;
/// Word of the header: sealed position behind the newest entry.
pub const END: usize = 5;
/// First word of the stream's storage.
pub const BODY_WORDS: usize = 8;

/// Words of an entry without text: three at its head, one at its tail.
pub const ENTRY_WORDS_MIN: usize = 4;
/// Longest text of one entry. A longer line goes into several entries.
pub const TEXT_BYTES_MAX: usize = 512;
/// Longest entry.
pub const ENTRY_WORDS_MAX: usize = ENTRY_WORDS_MIN + TEXT_BYTES_MAX / 8;
/// Smallest region that makes sense: it holds two of the longest entries.
pub const REGION_WORDS_MIN: usize = BODY_WORDS + 2 * ENTRY_WORDS_MAX;

/// Marks the first word of an entry.
pub const HEAD_MARK: u16 = 0x474c;
/// Marks the last word of an entry.
pub const TAIL_MARK: u16 = 0x454c;
/// Sequence numbers count modulo 2^40.
pub const SEQUENCE_MASK: u64 = (1 << 40) - 1;
/// Epochs in entries count modulo 2^24.
pub const EPOCH_MASK: u32 = (1 << 24) - 1;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Kind {
    /// A line of text.
    Text = 1,
    /// Text that goes on in the next entry.
    Part = 2,
    /// A line from the panic handler.
    Emergency = 3,
    /// The report of a death (crate `black-box`): bytes that the console makes lines of.
    Report = 4,
}

impl Kind {
    /// The kind with this number.
    pub fn from_number(number: u16) -> Option<Self> {
        [Self::Text, Self::Part, Self::Emergency, Self::Report]
            .into_iter()
            .find(|kind| *kind as u16 == number)
    }
}

/// What the head of an entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Text, part of a text, ...
    pub kind: Kind,
    /// 1 (error) to 5 (trace), as in crate `log`.
    pub level: u8,
    /// Bytes of text.
    pub text_bytes: usize,
    /// Lines before this one, modulo 2^40.
    pub sequence: u64,
    /// Writer's epoch, modulo 2^24.
    pub epoch: u32,
    /// Counter when the line was written.
    pub ticks: u64,
}

impl Head {
    /// Words of the whole entry.
    pub fn entry_words(&self) -> usize {
        ENTRY_WORDS_MIN + self.text_bytes.div_ceil(8)
    }

    /// First three words of the entry.
    pub fn to_words(&self) -> [u64; 3] {
        let first = u64::from(HEAD_MARK)
            | (self.entry_words() as u64 & 0xff) << 16
            | u64::from(self.level) << 24
            | (self.text_bytes as u64 & 0xffff) << 32
            | (self.kind as u64) << 48;
        let second = self.sequence & SEQUENCE_MASK | u64::from(self.epoch & EPOCH_MASK) << 40;
        [first, second, self.ticks]
    }

    /// Checks the first three words of an entry, but not its CRC.
    pub fn from_words(words: [u64; 3]) -> Option<Self> {
        let [first, second, ticks] = words;
        let head = Self {
            kind: Kind::from_number((first >> 48) as u16)?,
            level: (first >> 24) as u8,
            text_bytes: (first >> 32) as usize & 0xffff,
            sequence: second & SEQUENCE_MASK,
            epoch: (second >> 40) as u32,
            ticks,
        };
        let valid = first as u16 == HEAD_MARK
            && head.text_bytes <= TEXT_BYTES_MAX
            && (first >> 16) as u8 as usize == head.entry_words()
            && (1..=5).contains(&head.level);
        valid.then_some(head)
    }
}

/// Last word of an entry at `position` whose other words are `words`.
pub fn tail(position: u64, words: &[u64]) -> u64 {
    // The position makes an entry of an earlier lap invalid, should a reader stray onto it.
    let crc = crc32c(&[position, u64::from(crc32c(words))]);
    u64::from(TAIL_MARK) | ((words.len() as u64 + 1) & 0xff) << 16 | u64::from(crc) << 32
}

/// Length in words of the entry that ends with this word, as far as one can tell from it alone.
pub fn tail_entry_words(word: u64) -> Option<usize> {
    let words = (word >> 16) as u8 as usize;
    let plausible =
        word as u16 == TAIL_MARK && (ENTRY_WORDS_MIN..=ENTRY_WORDS_MAX).contains(&words);
    plausible.then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: Head = Head {
        kind: Kind::Text,
        level: 3,
        text_bytes: 9,
        sequence: 0x12_3456_789a,
        epoch: 0x00ab_cdef,
        ticks: 77,
    };

    #[test]
    fn golden_words() {
        let words = HEAD.to_words();
        assert_eq!(words, [0x0001_0009_0306_474c, 0xabcd_ef12_3456_789a, 77]);
        assert_eq!(Head::from_words(words), Some(HEAD));
        assert_eq!(tail(5, &words) & 0xffff_ffff, 0x0004_454c);
        assert_ne!(tail(5, &words), tail(6, &words));
    }

    #[test]
    fn wrong_heads_are_refused() {
        let [first, second, third] = HEAD.to_words();
        for bit in 0..64 {
            let head = Head::from_words([first ^ (1 << bit), second, third]);
            // Another level, kind or count of bytes in the last word: the CRC is for those.
            let caught = bit < 24 || (35..48).contains(&bit);
            assert!(head.is_none() || !caught, "bit {bit}");
        }
    }
}
