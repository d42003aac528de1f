// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Panics: say where, then fault, so that the supervisor restarts the PD.

use core::{cell::Cell, fmt, panic::Location};

use crate::debug_println;

/// What a panic hook is told.
pub struct ExternalPanicInfo<'a> {
    info: &'a core::panic::PanicInfo<'a>,
}

impl ExternalPanicInfo<'_> {
    /// Where it happened.
    pub fn location(&self) -> Option<&Location<'_>> {
        self.info.location()
    }
}

impl fmt::Display for ExternalPanicInfo<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.info.fmt(f)
    }
}

/// Called once by a panic, before the PD faults.
pub type PanicHook = dyn Fn(&ExternalPanicInfo<'_>) + Send + Sync;

struct Hook(Cell<Option<&'static PanicHook>>);

// SAFETY: a PD has one thread.
unsafe impl Sync for Hook {}

static HOOK: Hook = Hook(Cell::new(None));

/// Sets what a panic calls instead of printing on the debug kernel's console.
pub fn set_hook(hook: &'static PanicHook) {
    HOOK.0.set(Some(hook));
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    // Taken, so that a panic inside the hook does not call it again.
    match HOOK.0.take() {
        Some(hook) => hook(&ExternalPanicInfo { info }),
        None => debug_println!("{info}"),
    }
    abort()
}

/// Ends this life of the PD with a user exception (`udf #1`): in every kernel configuration the
/// supervisor receives the same fault.
pub(crate) fn abort() -> ! {
    // SAFETY: `udf` always traps; if a supervisor resumes the PD behind it, it traps again.
    unsafe { core::arch::asm!("1: udf #1", "b 1b", options(noreturn, nomem, nostack)) }
}
