// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The Arm generic timer as EL0 sees it: the physical counter, and the physical timer whose
//! interrupt is INTID 30. Registers and their names are those of the Arm Architecture Reference
//! Manual, section D13.8.
//!
//! seL4 exports the counter on every AArch64 board of Microkit, the timer on QEMU virt only.
//! There is one timer per core, not saved between PDs: exactly one PD may use it.

#![cfg(all(target_arch = "aarch64", target_os = "none"))]
#![no_std]
#![expect(unsafe_code, reason = "system registers")]

use core::arch::asm;

/// CNTP_CTL_EL0.ENABLE
const ENABLE: u64 = 1 << 0;
/// CNTP_CTL_EL0.IMASK
const IMASK: u64 = 1 << 1;

/// The counter, CNTPCT_EL0. Not earlier than any instruction before the call.
#[inline]
pub fn counter() -> u64 {
    let ticks: u64;
    // SAFETY: reads a register. The barrier keeps the read from being done early.
    unsafe { asm!("isb", "mrs {}, cntpct_el0", out(reg) ticks, options(nostack, preserves_flags)) };
    ticks
}

/// Counts per second, CNTFRQ_EL0, as the firmware has set it.
#[inline]
pub fn frequency_hz() -> u64 {
    let frequency: u64;
    // SAFETY: reads a constant register.
    unsafe {
        asm!("mrs {}, cntfrq_el0", out(reg) frequency, options(nomem, nostack, preserves_flags));
    }
    frequency
}

/// Raises the interrupt as long as the counter is not below `ticks` (the line is a level).
#[inline]
pub fn set_compare(ticks: u64) {
    // SAFETY: writes registers that change nothing but the timer's interrupt. Masked first, so that
    // the old comparison cannot raise it in between.
    unsafe {
        asm!(
            "msr cntp_ctl_el0, {masked}",
            "msr cntp_cval_el0, {ticks}",
            "msr cntp_ctl_el0, {enabled}",
            "isb",
            masked = in(reg) ENABLE | IMASK,
            ticks = in(reg) ticks,
            enabled = in(reg) ENABLE,
            options(nostack, preserves_flags)
        );
    }
}

/// Lowers the interrupt until the next [`set_compare`].
#[inline]
pub fn mask() {
    // SAFETY: as above. The barrier has the line low before an acknowledgement that follows.
    unsafe {
        asm!(
            "msr cntp_ctl_el0, {}",
            "isb",
            in(reg) IMASK,
            options(nostack, preserves_flags)
        );
    }
}
