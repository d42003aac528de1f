// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Shared regions for tests on the host, and writers that die in the middle of their work.
//!
//! A [`Life`] is one incarnation of a protection domain. Every store that it makes to a shared
//! region is one step (copies: one step per 8 bytes), and it can be told after how many steps to
//! die. Death unwinds, so that nothing after the last store happens, just as on the target:
//! [`Life::run`] catches it. The memory keeps what was stored.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use crate::raw::Raw;
use crate::region::{SharedMut, SharedRef};

/// The payload with which a life unwinds when its steps are used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Died;

/// One incarnation of a protection domain in a test.
#[derive(Clone, Debug)]
pub struct Life {
    /// Steps left, and steps made.
    counters: Arc<(AtomicU64, AtomicU64)>,
    memory: Option<Arc<[AtomicU64]>>,
}

impl Life {
    /// A life that does not end.
    #[must_use]
    pub fn endless() -> Self {
        Self::of_steps(u64::MAX)
    }

    /// A life that dies in place of its step number `steps` (counted from 0).
    #[must_use]
    pub fn of_steps(steps: u64) -> Self {
        Self {
            counters: Arc::new((AtomicU64::new(steps), AtomicU64::new(0))),
            memory: None,
        }
    }

    /// Makes one step, or dies. Fake devices call this too, for their own effects.
    pub fn step(&self) {
        let (left, made) = &*self.counters;
        match left.load(Ordering::Relaxed) {
            0 => resume_unwind(Box::new(Died)),
            steps => left.store(steps - 1, Ordering::Relaxed),
        }
        made.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the number of steps made so far.
    #[must_use]
    pub fn steps_made(&self) -> u64 {
        self.counters.1.load(Ordering::Relaxed)
    }

    /// Runs `work` until it returns or the life ends.
    ///
    /// # Errors
    ///
    /// [`Died`] when the steps were used up.
    ///
    /// # Panics
    ///
    /// With whatever else `work` panics with.
    pub fn run<T>(&self, work: impl FnOnce() -> T) -> Result<T, Died> {
        match catch_unwind(AssertUnwindSafe(work)) {
            Ok(value) => Ok(value),
            Err(payload) if payload.is::<Died>() => Err(Died),
            Err(payload) => resume_unwind(payload),
        }
    }
}

/// A shared region on the heap of the test. Zero at first, as the kernel gives them.
#[derive(Clone, Debug)]
pub struct HostRegion {
    words: Arc<[AtomicU64]>,
}

impl HostRegion {
    /// Makes a region of `len` zero bytes (a multiple of 8).
    ///
    /// # Panics
    ///
    /// When `len` is no multiple of 8.
    #[must_use]
    pub fn new(len: usize) -> Self {
        assert!(len.is_multiple_of(8), "a region is a whole number of words");
        Self {
            words: (0..len / 8).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    fn raw(&self, life: &Life) -> Raw {
        let bytes = NonNull::from(&*self.words).cast::<u8>();
        let region = NonNull::slice_from_raw_parts(bytes, self.words.len() * 8);
        let mut life = life.clone();
        life.memory = Some(Arc::clone(&self.words));
        // SAFETY: `life` keeps the allocation alive for as long as the value. Atomics may be
        // written through shared references, and are aligned to 8.
        unsafe { Raw::new(region) }.with_life(life)
    }

    /// The region as its reader sees it.
    #[must_use]
    pub fn shared_ref(&self) -> SharedRef {
        SharedRef::from_raw(self.raw(&Life::endless()))
    }

    /// The region as its writer sees it, while it lives.
    #[must_use]
    pub fn shared_mut(&self, life: &Life) -> SharedMut {
        SharedMut::from_raw(self.raw(life))
    }

    /// Returns a copy of what is there.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.words
            .iter()
            .flat_map(|w| w.load(Ordering::SeqCst).to_ne_bytes())
            .collect()
    }

    /// Puts `bytes` there, as a hostile writer or a bit flip would.
    pub fn set_bytes(&self, offset: usize, bytes: &[u8]) {
        self.shared_mut(&Life::endless()).write_bytes(offset, bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_ends_between_two_words() {
        for steps in 0..4 {
            let region = HostRegion::new(64);
            let life = Life::of_steps(steps);
            let mut writer = region.shared_mut(&life);
            let end = life.run(|| {
                writer.write_bytes(0, &[0xff; 16]);
                writer.store_u64(16, u64::MAX);
                writer.store_u32(24, 1);
            });
            assert_eq!(end, Err(Died));
            assert_eq!(life.steps_made(), steps);
            let written = region.bytes().iter().filter(|b| **b != 0).count() as u64;
            assert_eq!(written, (8 * steps).min(24));
        }
    }
}
