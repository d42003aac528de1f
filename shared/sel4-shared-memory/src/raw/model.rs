// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The same as `memory.rs`, in loom's model of memory: it runs every interleaving of two programs,
//! with every value that a load may see.
//!
//! Copies are relaxed accesses, word by word, which is the least that the real ones promise.

use core::ptr::NonNull;
use std::sync::Arc;

use loom::sync::atomic::{AtomicU64, Ordering};

use crate::block_sum;
use crate::checksum::Crc32c;
use crate::region::{SharedMut, SharedRef};

const WORD: usize = size_of::<u64>();

/// A shared region inside `loom::model`.
#[derive(Clone)]
pub struct ModelRegion(Raw);

impl ModelRegion {
    /// Makes a region of `len` zero bytes (a multiple of 8).
    #[must_use]
    pub fn new(len: usize) -> Self {
        let words = (0..len / WORD).map(|_| AtomicU64::new(0)).collect();
        Self(Raw {
            words: Arc::new(words),
            base: 0,
            len,
        })
    }

    /// The region as its reader sees it.
    #[must_use]
    pub fn shared_ref(&self) -> SharedRef {
        SharedRef::from_raw(self.0.clone())
    }

    /// The region as its writer sees it.
    #[must_use]
    pub fn shared_mut(&self) -> SharedMut {
        SharedMut::from_raw(self.0.clone())
    }
}

#[derive(Clone)]
pub(crate) struct Raw {
    words: Arc<Vec<AtomicU64>>,
    base: usize,
    len: usize,
}

impl Raw {
    pub(crate) const unsafe fn new(_region: NonNull<[u8]>) -> Self {
        panic!("the model has no real memory")
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn addr(&self) -> usize {
        self.base
    }

    pub(crate) fn subrange(&self, offset: usize, len: usize) -> Option<Self> {
        let inside = offset.checked_add(len)? <= self.len && offset.is_multiple_of(WORD);
        inside.then(|| Self {
            words: Arc::clone(&self.words),
            base: self.base + offset,
            len,
        })
    }

    fn word(&self, offset: usize) -> &AtomicU64 {
        &self.words[(self.base + offset) / WORD]
    }

    pub(crate) fn load_u64(&self, offset: usize) -> u64 {
        assert!(offset.is_multiple_of(WORD));
        self.word(offset).load(Ordering::Acquire)
    }

    pub(crate) fn load_u32(&self, offset: usize) -> u32 {
        (self.word(offset).load(Ordering::Acquire) >> (offset % WORD * 8)) as u32
    }

    pub(crate) fn load_u8(&self, offset: usize) -> u8 {
        (self.word(offset).load(Ordering::Acquire) >> (offset % WORD * 8)) as u8
    }

    pub(crate) fn store_u8(&self, offset: usize, value: u8) {
        self.merge(offset, &[value], Ordering::Release);
    }

    pub(crate) fn store_u16(&self, offset: usize, value: u16) {
        self.merge(offset, &value.to_le_bytes(), Ordering::Release);
    }

    pub(crate) fn copy_out_words(&self, offset: usize, to: &mut [u8]) {
        self.copy_out(offset, to);
    }

    pub(crate) fn checksum(&self, offset: usize, len: usize, crc: Crc32c) -> Crc32c {
        let mut bytes = vec![0; len];
        self.copy_out(offset, &mut bytes);
        crc.bytes(&bytes)
    }

    pub(crate) fn copy_in_words(&self, offset: usize, from: &[u8]) {
        self.copy_in(offset, from);
    }

    pub(crate) fn store_u64(&self, offset: usize, value: u64) {
        assert!(offset.is_multiple_of(WORD));
        self.word(offset).store(value, Ordering::Release);
    }

    pub(crate) fn store_u32(&self, offset: usize, value: u32) {
        self.merge(offset, &value.to_le_bytes(), Ordering::Release);
    }

    /// Stores a part of a word. There is one writer, so nothing comes in between.
    fn merge(&self, offset: usize, part: &[u8], order: Ordering) {
        let at = offset % WORD;
        let word = self.word(offset);
        let mut bytes = if part.len() == WORD {
            [0; WORD]
        } else {
            word.load(Ordering::Relaxed).to_le_bytes()
        };
        bytes[at..at + part.len()].copy_from_slice(part);
        word.store(u64::from_le_bytes(bytes), order);
    }

    pub(crate) fn copy_out(&self, offset: usize, to: &mut [u8]) {
        let mut at = offset;
        let mut rest = to;
        while !rest.is_empty() {
            let (part, more) = rest.split_at_mut((WORD - at % WORD).min(rest.len()));
            let bytes = self.word(at).load(Ordering::Relaxed).to_le_bytes();
            part.copy_from_slice(&bytes[at % WORD..][..part.len()]);
            (at, rest) = (at + part.len(), more);
        }
    }

    pub(crate) fn copy_in(&self, offset: usize, from: &[u8]) {
        let (mut at, mut rest) = (offset, from);
        while !rest.is_empty() {
            let (part, more) = rest.split_at((WORD - at % WORD).min(rest.len()));
            self.merge(at, part, Ordering::Relaxed);
            (at, rest) = (at + part.len(), more);
        }
    }

    pub(crate) fn copy_across(&self, offset: usize, from: &Self, from_offset: usize, len: usize) {
        let mut bytes = vec![0; len];
        from.copy_out(from_offset, &mut bytes);
        self.copy_in(offset, &bytes);
    }

    pub(crate) fn block_sum(&self, offset: usize, len: usize) -> u32 {
        let mut bytes = vec![0; len];
        self.copy_out(offset, &mut bytes);
        block_sum::of(&bytes)
    }

    pub(crate) fn copy_across_summed(
        &self,
        offset: usize,
        from: &Self,
        from_offset: usize,
        len: usize,
    ) -> u32 {
        let mut bytes = vec![0; len];
        from.copy_out(from_offset, &mut bytes);
        self.copy_in_summed(offset, &bytes)
    }

    pub(crate) fn copy_in_summed(&self, offset: usize, from: &[u8]) -> u32 {
        self.copy_in(offset, from);
        block_sum::of(from)
    }

    pub(crate) fn fill(&self, offset: usize, len: usize, byte: u8) {
        self.copy_in(offset, &vec![byte; len]);
    }
}
