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

/// Applies an operation to every line from `first` to `end`, in rounds of sixteen lines as long as that
/// does not pass the last one: a restart does this to all code of a PD.
macro_rules! for_each_line {
    ($operation:literal, $first:expr, $end:expr, $line:expr) => {
        asm!(
            "2:",
            "add {ahead}, {at}, {line}, lsl #4",
            "cmp {ahead}, {end}",
            "b.hi 3f",
            ".rept 16",
            concat!($operation, ", {at}"),
            "add {at}, {at}, {line}",
            ".endr",
            "b 2b",
            "3:",
            "cmp {at}, {end}",
            "b.hs 4f",
            concat!($operation, ", {at}"),
            "add {at}, {at}, {line}",
            "b 3b",
            "4:",
            at = inout(reg) $first => _,
            ahead = out(reg) _,
            line = in(reg) $line,
            end = in(reg) $end,
            options(nostack),
        )
    };
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
    let (first, end) = (start & !(line - 1), start + length);
    // SAFETY: cleaning a line changes no value; an unmapped address would fault this PD, and no other.
    unsafe { for_each_line!("dc cvau", first, end, line) };
    // SAFETY: a barrier.
    unsafe { asm!("dsb ish", options(nostack, preserves_flags)) };
    // SAFETY: as above, for the instruction side.
    unsafe { for_each_line!("ic ivau", first, end, line) };
    // SAFETY: barriers.
    unsafe { asm!("dsb ish", "isb", options(nostack, preserves_flags)) };
}
