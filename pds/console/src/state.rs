// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What the console must know after a restart: its cursor in each ring, and the line in hand.
//!
//! Region `console_state`, the first [`STATE_BYTES`], in 64-bit words:
//!
//! | word | what |
//! |---|---|
//! | 0..4 | header |
//! | 4 | length of the staged line in bytes, sealed; 0: none |
//! | 5 | bytes of it that have gone out, sealed |
//! | 6..9 | the move that belongs to it: slot, position, sequence |
//! | 9 | CRC-32C of words 6..9 and of the text |
//! | 16.. | for each ring: hash of the PD's name, position (sealed), sequence (sealed) |
//! | 256..512 | text of the staged line |
//!
//! Word 4 commits. A line is staged with everything needed to finish it, so a restart that finds
//! one repeats the move (which changes nothing when it was made) and sends the rest.

use alloc::{string::String, vec::Vec};

use log_ring::Cursor;
use recovery::fault_point;
use sel4_shared_memory::SharedMut;
use shared_words::{Header, Words, WordsMut, crc32c, seal, unseal};

const HEADER: Header = Header {
    magic: u64::from_le_bytes(*b"KCONSOLE"),
    version: 1,
};
const LENGTH: usize = 4;
const DONE: usize = 5;
const MOVE: usize = 6;
const CRC: usize = 9;
const RINGS: usize = 16;
const RING_WORDS: usize = 3;
const TEXT: usize = 256;
const WORDS: usize = 512;

/// Bytes of the state. What follows in the region is not touched.
pub const STATE_BYTES: usize = WORDS * 8;
const RINGS_MAX: usize = (TEXT - RINGS) / RING_WORDS;
const TEXT_BYTES_MAX: usize = (WORDS - TEXT) * 8;

/// The region is too small, or there are too many rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateTooSmall;

/// A line in hand, and where its ring's cursor is after it.
#[derive(Debug)]
pub struct Staged {
    pub slot: usize,
    pub cursor: Cursor,
    pub text: String,
    /// Bytes that have gone out.
    pub done: usize,
}

/// See the module.
#[derive(Debug)]
pub struct State {
    memory: SharedMut,
}

impl State {
    /// Attaches; formats the region when there is nothing valid in it.
    pub fn attach(memory: SharedMut, epoch: u32) -> Result<Self, StateTooSmall> {
        if memory.word_count() < WORDS {
            return Err(StateTooSmall);
        }
        let mut state = Self { memory };
        if HEADER.check(&state.memory).is_err() {
            HEADER.begin(&mut state.memory);
            for word in LENGTH..TEXT {
                state.memory.set_word(word, 0);
            }
            HEADER.finish(&mut state.memory);
        }
        Header::set_epoch(&mut state.memory, epoch);
        Ok(state)
    }

    /// The cursor of the ring of `pd`, which has this slot. A slot that belonged to another PD, or
    /// that a stray store hit, begins at the oldest line again.
    pub fn cursor(&mut self, slot: usize, pd: &str) -> Result<Cursor, StateTooSmall> {
        if slot >= RINGS_MAX {
            return Err(StateTooSmall);
        }
        let first = RINGS + slot * RING_WORDS;
        let name = name_hash(pd);
        let position = unseal(self.memory.word(first + 1));
        let sequence = unseal(self.memory.word(first + 2));
        match (position, sequence) {
            (Some(position), Some(sequence)) if self.memory.word(first) == name => {
                Ok(Cursor { position, sequence })
            }
            _ => {
                self.memory.set_word(first, 0);
                self.move_cursor(slot, Cursor::default());
                self.memory.set_word(first, name);
                Ok(Cursor::default())
            }
        }
    }

    /// Writes a ring's cursor.
    pub fn move_cursor(&mut self, slot: usize, cursor: Cursor) {
        if slot >= RINGS_MAX {
            return;
        }
        let first = RINGS + slot * RING_WORDS;
        // Sequence first: dying in between repeats a `Skip`, and a staged line repeats both.
        self.memory.set_word(first + 2, seal(cursor.sequence));
        self.memory.set_word(first + 1, seal(cursor.position));
    }

    /// Whether a ring's cursor is what was written last.
    pub fn is_at(&self, slot: usize, cursor: Cursor) -> bool {
        let first = RINGS + slot * RING_WORDS;
        self.memory.word(first + 1) == seal(cursor.position)
            && self.memory.word(first + 2) == seal(cursor.sequence)
    }

    /// Stages a line.
    pub fn stage(&mut self, staged: &Staged) {
        let bytes = &staged.text.as_bytes()[..staged.text.len().min(TEXT_BYTES_MAX)];
        let moved = [
            staged.slot as u64,
            staged.cursor.position,
            staged.cursor.sequence,
        ];
        let text = text_words(bytes);
        for (index, word) in moved.iter().enumerate() {
            self.memory.set_word(MOVE + index, *word);
        }
        for (index, word) in text.iter().enumerate() {
            self.memory.set_word(TEXT + index, *word);
        }
        self.memory.set_word(CRC, checksum(&moved, &text));
        self.memory.set_word(DONE, seal(0));
        fault_point!("console.before_commit");
        self.memory.set_word(LENGTH, seal(bytes.len() as u64));
    }

    /// Notes that so many bytes have gone out.
    pub fn set_done(&mut self, bytes: usize) {
        self.memory.set_word(DONE, seal(bytes as u64));
    }

    /// Forgets the staged line.
    pub fn unstage(&mut self) {
        self.memory.set_word(LENGTH, seal(0));
    }

    /// The line that an earlier life had in hand.
    pub fn staged(&self) -> Option<Staged> {
        let length = unseal(self.memory.word(LENGTH))? as usize;
        if length == 0 || length > TEXT_BYTES_MAX {
            return None;
        }
        let moved = [0, 1, 2].map(|index| self.memory.word(MOVE + index));
        let text: Vec<u64> = (0..length.div_ceil(8))
            .map(|index| self.memory.word(TEXT + index))
            .collect();
        if self.memory.word(CRC) != checksum(&moved, &text) {
            return None;
        }
        let bytes: Vec<u8> = text
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .take(length)
            .collect();
        Some(Staged {
            slot: moved[0] as usize,
            cursor: Cursor {
                position: moved[1],
                sequence: moved[2],
            },
            text: String::from_utf8(bytes).ok()?,
            done: unseal(self.memory.word(DONE))? as usize,
        })
    }
}

fn text_words(bytes: &[u8]) -> Vec<u64> {
    let padded = |chunk: &[u8]| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        u64::from_le_bytes(word)
    };
    bytes.chunks(8).map(padded).collect()
}

fn checksum(moved: &[u64; 3], text: &[u64]) -> u64 {
    u64::from(crc32c(moved)) << 32 | u64::from(crc32c(text))
}

/// FNV-1a, never 0.
fn name_hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    }) | 1
}
