// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Shared memory as 64-bit words: the view that the log rings and the time service have of it.
//!
//! Every access is one aligned 64-bit load (acquire) or store (release). So a peer, or the next
//! life of the same program, sees a prefix of the stores in program order, and "killed anywhere"
//! means "killed between two stores". Host tests try every such place.
//!
//! Nothing here trusts the contents: a word read is a number, and may be any number.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod header;

pub use header::{HEADER_WORDS, Header, HeaderError};

use sel4_shared_memory::{Crc32c, SharedMut, SharedRef};

/// Memory that this side may read, by index of word.
pub trait Words {
    /// Number of whole words.
    fn word_count(&self) -> usize;

    /// Loads a word, with acquire ordering.
    ///
    /// # Panics
    ///
    /// When `index` is out of range, which is a bug on this side.
    fn word(&self, index: usize) -> u64;

    /// Loads words that follow each other, one after the other, each as [`Words::word`].
    ///
    /// # Panics
    ///
    /// When one of them is out of range, which is a bug on this side.
    #[inline]
    fn words<const N: usize>(&self, first: usize) -> [u64; N] {
        core::array::from_fn(|index| self.word(first + index))
    }
}

/// Memory that this side alone writes.
pub trait WordsMut: Words {
    /// Stores a word, with release ordering.
    ///
    /// # Panics
    ///
    /// When `index` is out of range, which is a bug on this side.
    fn set_word(&mut self, index: usize, value: u64);
}

impl Words for SharedRef {
    #[inline]
    fn word_count(&self) -> usize {
        self.len() / 8
    }
    #[inline]
    fn word(&self, index: usize) -> u64 {
        self.load_u64(index * 8)
    }
    #[inline]
    fn words<const N: usize>(&self, first: usize) -> [u64; N] {
        // The range is checked once.
        let part = self.subregion(first * 8, N * 8);
        let part = part.expect("words are inside the region");
        core::array::from_fn(|index| part.load_u64(index * 8))
    }
}

impl Words for SharedMut {
    #[inline]
    fn word_count(&self) -> usize {
        self.len() / 8
    }
    #[inline]
    fn word(&self, index: usize) -> u64 {
        self.load_u64(index * 8)
    }
}

impl WordsMut for SharedMut {
    #[inline]
    fn set_word(&mut self, index: usize, value: u64) {
        self.store_u64(index * 8, value);
    }
}

/// CRC-32C of words, in little-endian byte order.
#[must_use]
pub fn crc32c(words: &[u64]) -> u32 {
    words
        .iter()
        .fold(Crc32c::new(), |crc, word| crc.word(*word))
        .finish()
}

/// Bits of the number in a sealed word.
const SEALED_BITS: u32 = 48;
/// Largest number that a sealed word can hold.
pub const SEALED_MAX: u64 = (1 << SEALED_BITS) - 1;

/// Packs a 48-bit number and a 16-bit check of it into one word, so that one store commits it and
/// a stray store is found out (all but one in 65,536). Zero is never a sealed word.
///
/// Higher bits of `value` are dropped.
#[must_use]
pub fn seal(value: u64) -> u64 {
    let value = value & SEALED_MAX;
    value | (u64::from(check16(value)) << SEALED_BITS)
}

/// The number in a sealed word, or `None` when the check does not fit.
#[must_use]
pub fn unseal(word: u64) -> Option<u64> {
    (seal(word) == word).then_some(word & SEALED_MAX)
}

/// A cheap hash: this guards against stray stores, not against a peer that wants to deceive.
fn check16(value: u64) -> u16 {
    ((value ^ 0x5a5a_c3c3_9696).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_word_is_found_out_when_changed() {
        assert_eq!(unseal(0), None);
        for value in [0, 1, 2047, 1 << 20, SEALED_MAX] {
            let word = seal(value);
            assert_eq!(unseal(word), Some(value));
            for bit in 0..64 {
                assert_eq!(unseal(word ^ (1 << bit)), None, "bit {bit} of {value}");
            }
        }
    }
}
