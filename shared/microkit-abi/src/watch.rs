// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What a PD shows its supervisor at the moments that only the event loop and its waits know.
//!
//! `pd-setup` sets the hook, which writes the vitals page; the event loop of `sel4-microkit` and
//! `microkit-wait` call it. Without a hook nothing happens. So every PD answers its supervisor,
//! also in the middle of an event, and no service has a line of code for it.

use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The supervisor asks.
    Asked,
    /// An event is going to be handled.
    Busy,
    /// It has been handled.
    Idle,
    /// The PD is going to wait for these channels in the middle of an event; none: it has.
    Waiting(u64),
}

static ASKING: AtomicU64 = AtomicU64::new(0);
static DELIVERED: AtomicU64 = AtomicU64::new(u64::MAX);
static HOOK: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

/// Sets the hook, and the bits with which the supervisor asks. The handler does not get those.
pub fn set(asking: u64, hook: fn(Moment)) {
    HOOK.store(hook as *mut (), Ordering::Relaxed);
    ASKING.store(asking, Ordering::Relaxed);
    DELIVERED.store(!asking, Ordering::Relaxed);
}

/// From now on the handler gets the bits with which the supervisor asks, too.
pub fn deliver() {
    DELIVERED.store(u64::MAX, Ordering::Relaxed);
}

/// Whether the supervisor asks with one of these bits, which the handler may or may not get.
pub fn is_asking(bits: u64) -> bool {
    bits & ASKING.load(Ordering::Relaxed) != 0
}

/// Tells the hook.
pub fn tell(moment: Moment) {
    let hook = HOOK.load(Ordering::Relaxed);
    if !hook.is_null() {
        // SAFETY: `set` alone stores here, and what it stores is such a function.
        let hook = unsafe { core::mem::transmute::<*mut (), fn(Moment)>(hook) };
        hook(moment);
    }
}

/// Notification bits have arrived: answers the supervisor, and returns the bits for the handler.
pub fn received(bits: u64) -> u64 {
    if is_asking(bits) {
        tell(Moment::Asked);
    }
    bits & DELIVERED.load(Ordering::Relaxed)
}
