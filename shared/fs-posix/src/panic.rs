// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What a bug in this library does to a program in C: it faults, and its supervisor restarts it.

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: an undefined instruction, which does not return.
    unsafe { core::arch::asm!("udf #0", options(noreturn)) }
}
