// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Reads this PD's own start information and the counter.

use core::arch::asm;

use crate::StartInfo;

unsafe extern "C" {
    /// Defined by the entry code of `sel4-microkit`.
    static __start_info: StartInfo;
}

/// This life's start information.
pub fn start_info() -> StartInfo {
    // SAFETY: the entry code defines the symbol with this type's size and any bits are valid for
    // it. Volatile, because the supervisor wrote it, not this program.
    unsafe { core::ptr::read_volatile(&raw const __start_info) }
}

/// How often this PD has been restarted: 0 in its first life.
pub fn epoch() -> u32 {
    start_info().epoch.get()
}

/// Counter when the fault that ended the last life was received, if there was one.
pub fn fault_ticks() -> Option<u64> {
    let info = start_info();
    (info.epoch.get() != 0).then(|| info.fault_ticks.get())
}

/// The system counter, CNTPCT_EL0. Exported to PDs on every AArch64 board of Microkit.
pub fn ticks() -> u64 {
    let ticks: u64;
    // SAFETY: reads a register; the barrier keeps the read where the program has it.
    unsafe { asm!("isb", "mrs {}, cntpct_el0", out(reg) ticks, options(nostack, preserves_flags)) };
    ticks
}

/// Counts per second, CNTFRQ_EL0.
pub fn ticks_per_second() -> u64 {
    let frequency: u64;
    // SAFETY: reads a constant register.
    unsafe {
        asm!("mrs {}, cntfrq_el0", out(reg) frequency, options(nomem, nostack, preserves_flags));
    }
    frequency
}

/// Says in the log that this PD serves again, and how long after the fault.
///
/// The line is what tests and the demo look for: `ready epoch=E after_ns=N` (N is 0 in the first
/// life). Under `-icount shift=0` one nanosecond is one instruction.
pub fn ready() {
    ready_since(ticks());
}

/// As [`ready`], for a PD that first serves and then says so; `now` is when it was ready.
pub fn ready_since(now: u64) {
    let after = fault_ticks().map_or(0, |fault| now.saturating_sub(fault));
    let after_ns = u128::from(after) * 1_000_000_000 / u128::from(ticks_per_second().max(1));
    log::info!("ready epoch={} after_ns={}", epoch(), after_ns);
}
