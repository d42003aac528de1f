// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! A range of real memory, and the few ways in which it is touched.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

use crate::block_sum;
use crate::checksum::Crc32c;
use crate::copy::{copy, fill};
#[cfg(any(test, feature = "host"))]
use crate::host::Life;

/// A range of memory. Offsets are checked by every method; a wrong one is our own bug and panics.
#[derive(Clone)]
pub(crate) struct Raw {
    base: NonNull<u8>,
    len: usize,
    /// Counts the stores on the host, and keeps the memory alive.
    #[cfg(any(test, feature = "host"))]
    life: Option<Life>,
}

// SAFETY: the memory is valid from everywhere (promise of `Raw::new`'s caller) and is touched by
// volatile copies and atomics only.
unsafe impl Send for Raw {}
// SAFETY: as above.
unsafe impl Sync for Raw {}

impl Raw {
    /// # Safety
    ///
    /// `region` must be valid for reads (and for writes, if a `store` method will be called) for as
    /// long as the value or a clone of it exists, must not hold Rust objects that are used in any
    /// other way than by this crate, and must be aligned to 8 bytes.
    pub(crate) const unsafe fn new(region: NonNull<[u8]>) -> Self {
        Self {
            base: region.cast(),
            len: region.len(),
            #[cfg(any(test, feature = "host"))]
            life: None,
        }
    }

    #[cfg(any(test, feature = "host"))]
    pub(crate) fn with_life(mut self, life: Life) -> Self {
        self.life = Some(life);
        self
    }

    #[inline]
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) fn addr(&self) -> usize {
        self.base.addr().get()
    }

    pub(crate) fn subrange(&self, offset: usize, len: usize) -> Option<Self> {
        if offset.checked_add(len)? > self.len || !offset.is_multiple_of(align_of::<u64>()) {
            return None;
        }
        let mut part = self.clone();
        // SAFETY: `offset <= self.len`, so the result stays inside the region or at its end.
        part.base = unsafe { self.base.add(offset) };
        part.len = len;
        Some(part)
    }

    #[inline]
    fn at(&self, offset: usize, len: usize) -> *mut u8 {
        assert!(
            offset <= self.len && len <= self.len - offset,
            "outside of the shared region"
        );
        // SAFETY: just checked to be inside the region.
        unsafe { self.base.as_ptr().add(offset) }
    }

    #[inline]
    fn aligned<T>(&self, offset: usize) -> *mut T {
        assert!(
            offset.is_multiple_of(align_of::<T>()),
            "misaligned in the shared region"
        );
        self.at(offset, size_of::<T>()).cast()
    }

    #[inline]
    fn step(&self) {
        #[cfg(any(test, feature = "host"))]
        if let Some(life) = &self.life {
            life.step();
        }
    }

    #[inline]
    pub(crate) fn load_u64(&self, offset: usize) -> u64 {
        // SAFETY: in range and aligned (`aligned`; the base is aligned to 8). Everyone who touches
        // this memory does it by atomics or by copies that stand for relaxed accesses.
        unsafe { AtomicU64::from_ptr(self.aligned(offset)) }.load(Ordering::Acquire)
    }

    #[inline]
    pub(crate) fn load_u32(&self, offset: usize) -> u32 {
        // SAFETY: as in `load_u64`.
        unsafe { AtomicU32::from_ptr(self.aligned(offset)) }.load(Ordering::Acquire)
    }

    #[inline]
    pub(crate) fn load_u8(&self, offset: usize) -> u8 {
        // SAFETY: as in `load_u64`.
        unsafe { AtomicU8::from_ptr(self.aligned(offset)) }.load(Ordering::Acquire)
    }

    #[inline]
    pub(crate) fn store_u8(&self, offset: usize, value: u8) {
        self.step();
        // SAFETY: as in `load_u64`, and writable (promise to `new`).
        unsafe { AtomicU8::from_ptr(self.aligned(offset)) }.store(value, Ordering::Release);
    }

    #[inline]
    pub(crate) fn store_u16(&self, offset: usize, value: u16) {
        self.step();
        // SAFETY: as in `load_u64`, and writable (promise to `new`).
        unsafe { AtomicU16::from_ptr(self.aligned(offset)) }.store(value, Ordering::Release);
    }

    /// As `copy_out`, but whole words only, which the compiler keeps in registers.
    #[inline(always)]
    pub(crate) fn copy_out_words(&self, offset: usize, to: &mut [u8]) {
        let from = self.words(offset, to.len());
        for (index, word) in to.chunks_exact_mut(size_of::<u64>()).enumerate() {
            // SAFETY: `index` is below the number of words that `words` has checked.
            let at = unsafe { from.add(index) };
            // SAFETY: in range and aligned (`words`); accessed by everyone as in `load_u64`.
            let value = unsafe { AtomicU64::from_ptr(at) }.load(Ordering::Relaxed);
            word.copy_from_slice(&value.to_ne_bytes());
        }
    }

    /// Continues a checksum over whole words, without a copy.
    #[cfg(all(target_arch = "aarch64", target_os = "none"))]
    pub(crate) fn checksum(&self, offset: usize, len: usize, crc: Crc32c) -> Crc32c {
        let from = self.words(offset, len);
        // SAFETY: in range (`words`), and accessed by assembly, which assumes nothing about other writers.
        unsafe { crc.memory(from.cast(), len) }
    }

    /// Continues a checksum over whole words, without a copy.
    #[cfg(not(all(target_arch = "aarch64", target_os = "none")))]
    pub(crate) fn checksum(&self, offset: usize, len: usize, mut crc: Crc32c) -> Crc32c {
        let from = self.words(offset, len);
        for index in 0..len / size_of::<u64>() {
            // SAFETY: `index` is below the number of words that `words` has checked.
            let at = unsafe { from.add(index) };
            // SAFETY: in range and aligned (`words`); accessed by everyone as in `load_u64`.
            crc = crc.word(unsafe { AtomicU64::from_ptr(at) }.load(Ordering::Relaxed));
        }
        crc
    }

    /// As `copy_in`, but whole words only, which the compiler keeps in registers.
    #[inline(always)]
    pub(crate) fn copy_in_words(&self, offset: usize, from: &[u8]) {
        let to = self.words(offset, from.len());
        for (index, word) in from.chunks_exact(size_of::<u64>()).enumerate() {
            self.step();
            let mut bytes = [0; size_of::<u64>()];
            bytes.copy_from_slice(word);
            // SAFETY: `index` is below the number of words that `words` has checked.
            let at = unsafe { to.add(index) };
            let value = u64::from_ne_bytes(bytes);
            // SAFETY: as in `copy_out_words`, and writable (promise to `new`).
            unsafe { AtomicU64::from_ptr(at) }.store(value, Ordering::Relaxed);
        }
    }

    /// The words of `[offset, offset + len)`.
    #[inline(always)]
    fn words(&self, offset: usize, len: usize) -> *mut u64 {
        assert!(
            offset.is_multiple_of(size_of::<u64>()) && len.is_multiple_of(size_of::<u64>()),
            "misaligned in the shared region"
        );
        self.at(offset, len).cast()
    }

    #[inline]
    pub(crate) fn store_u64(&self, offset: usize, value: u64) {
        self.step();
        // SAFETY: as in `load_u64`, and writable (promise to `new`).
        unsafe { AtomicU64::from_ptr(self.aligned(offset)) }.store(value, Ordering::Release);
    }

    #[inline]
    pub(crate) fn store_u32(&self, offset: usize, value: u32) {
        self.step();
        // SAFETY: as in `load_u64`, and writable (promise to `new`).
        unsafe { AtomicU32::from_ptr(self.aligned(offset)) }.store(value, Ordering::Release);
    }

    #[inline]
    pub(crate) fn copy_out(&self, offset: usize, to: &mut [u8]) {
        let from = self.at(offset, to.len());
        // SAFETY: `from` is in range; a `&mut` cannot overlap memory of a region (promise to `new`).
        unsafe { copy(to.as_mut_ptr(), from, to.len()) }
    }

    #[inline]
    pub(crate) fn copy_in(&self, offset: usize, from: &[u8]) {
        #[cfg(any(test, feature = "host"))]
        if self.life.is_some() {
            // Word by word, so that a writer can die between any two words.
            let (mut at, mut rest) = (offset, from);
            while !rest.is_empty() {
                let (word, more) = rest.split_at(rest.len().min(8 - at % 8));
                self.step();
                // SAFETY: `at` is in range for `word.len()` bytes (`self.at`); `word` is a slice.
                unsafe { copy(self.at(at, word.len()), word.as_ptr(), word.len()) };
                (at, rest) = (at + word.len(), more);
            }
            return;
        }
        let to = self.at(offset, from.len());
        // SAFETY: as in `copy_out`, and writable (promise to `new`).
        unsafe { copy(to, from.as_ptr(), from.len()) }
    }

    /// Copies between two regions. Overlap gives unspecified bytes, as with any racing writer.
    #[inline]
    pub(crate) fn copy_across(&self, offset: usize, from: &Self, from_offset: usize, len: usize) {
        self.step();
        let src = from.at(from_offset, len);
        let dst = self.at(offset, len);
        // SAFETY: both ranges are in range and valid; the copy is opaque to the compiler, so that
        // even an overlap only mixes up bytes.
        unsafe { copy(dst, src, len) }
    }

    /// The sum of whole rounds, without a copy.
    pub(crate) fn block_sum(&self, offset: usize, len: usize) -> u32 {
        let from = self.rounds(offset, len);
        // SAFETY: in range, and whole rounds (`rounds`); it assumes nothing about other writers.
        unsafe { block_sum::sum(from, len) }
    }

    /// As `copy_across`, and returns the sum of what was stored.
    pub(crate) fn copy_across_summed(
        &self,
        offset: usize,
        from: &Self,
        from_offset: usize,
        len: usize,
    ) -> u32 {
        self.step();
        let src = from.rounds(from_offset, len);
        let dst = self.rounds(offset, len);
        // SAFETY: as in `copy_across`, and whole rounds (`rounds`).
        unsafe { block_sum::copy_and_sum(dst, src, len) }
    }

    /// As `copy_in`, and returns the sum of what was stored.
    pub(crate) fn copy_in_summed(&self, offset: usize, from: &[u8]) -> u32 {
        let to = self.rounds(offset, from.len());
        #[cfg(any(test, feature = "host"))]
        if self.life.is_some() {
            // Word by word, as there; nobody else writes to a slice, so it may be read twice.
            self.copy_in(offset, from);
            return block_sum::of(from);
        }
        // SAFETY: as in `copy_in`, and whole rounds (`rounds`).
        unsafe { block_sum::copy_and_sum(to, from.as_ptr(), from.len()) }
    }

    /// The bytes of `[offset, offset + len)`, as many as a block sum takes.
    #[inline]
    fn rounds(&self, offset: usize, len: usize) -> *mut u8 {
        block_sum::check(len);
        self.at(offset, len)
    }

    pub(crate) fn fill(&self, offset: usize, len: usize, byte: u8) {
        // On the host every 64 bytes are a store of their own, so that one may die between them.
        let part_max = if cfg!(any(test, feature = "host")) {
            64
        } else {
            len.max(1)
        };
        let mut done = 0;
        while done < len {
            let part = (len - done).min(part_max);
            self.step();
            // SAFETY: in range and valid.
            unsafe { fill(self.at(offset + done, part), part, byte) };
            done += part;
        }
    }
}
