// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Cache maintenance that EL0 may do itself (Arm ARM D7.4: DC CVAU, DC CVAC, IC IVAU).
//!
//! QEMU does not model incoherent caches, so nothing here has been proved by running it.

use core::arch::asm;

/// Bytes in the smallest data cache line, from CTR_EL0.DminLine.
fn line_bytes() -> usize {
    let ctr: u64;
    // SAFETY: reads a register that EL0 may read; no memory is touched.
    unsafe { asm!("mrs {}, ctr_el0", out(reg) ctr, options(nomem, nostack, preserves_flags)) };
    4 << (ctr >> 16 & 0xf)
}

/// Writes `[start, start + length)` back to memory, so that it survives a reset of the processor.
pub fn clean(start: usize, length: usize) {
    let line = line_bytes();
    for address in (start & !(line - 1)..start + length).step_by(line) {
        // SAFETY: cleaning a line changes no value; an unmapped address would fault this PD, and
        // no other.
        unsafe { asm!("dc cvac, {}", in(reg) address, options(nostack, preserves_flags)) };
    }
    // SAFETY: a barrier.
    unsafe { asm!("dsb sy", options(nostack, preserves_flags)) };
}

/// Makes instructions that were written to `[start, start + length)` visible to instruction
/// fetches, also through other mappings of the same memory.
pub fn unify_instructions(start: usize, length: usize) {
    let line = line_bytes();
    let first = start & !(line - 1);
    for address in (first..start + length).step_by(line) {
        // SAFETY: cleaning a line changes no value; an unmapped address would fault this PD, and
        // no other.
        unsafe { asm!("dc cvau, {}", in(reg) address, options(nostack, preserves_flags)) };
    }
    // SAFETY: a barrier.
    unsafe { asm!("dsb ish", options(nostack, preserves_flags)) };
    for address in (first..start + length).step_by(line) {
        // SAFETY: as above, for the instruction side.
        unsafe { asm!("ic ivau, {}", in(reg) address, options(nostack, preserves_flags)) };
    }
    // SAFETY: barriers.
    unsafe { asm!("dsb ish", "isb", options(nostack, preserves_flags)) };
}
