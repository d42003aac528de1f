// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Notification bits that arrived while a PD waited for another one.
//!
//! `microkit-wait` notes them here; the event loop of `sel4-microkit` delivers them before it
//! receives again.

use core::sync::atomic::{AtomicU64, Ordering};

static NOTED: AtomicU64 = AtomicU64::new(0);

/// Adds bits.
pub fn note(bits: u64) {
    // A PD has one thread, so load and store need not be one operation.
    NOTED.store(NOTED.load(Ordering::Relaxed) | bits, Ordering::Relaxed);
}

/// Takes the bits that `mask` selects.
pub fn take(mask: u64) -> u64 {
    let bits = NOTED.load(Ordering::Relaxed);
    if bits & mask != 0 {
        NOTED.store(bits & !mask, Ordering::Relaxed);
    }
    bits & mask
}
