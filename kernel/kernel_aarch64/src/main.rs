// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The development kernel for QEMU `virt`: the machine half.
//!
//! Performs what `kernel_core` decides: loads registers and address spaces, masks interrupt lines,
//! sets the timer. What a system consists of is in the table behind the kernel (`boot_image`).
//!
//! All `unsafe` of the kernel is in this crate, and it rests on three facts: one core; interrupts
//! masked while the kernel runs, so that nothing is re-entered; and the address space that `entry.s`
//! makes, in which all RAM and the two devices used here are mapped at a constant offset.

#![no_std]
#![no_main]
#![expect(
    unsafe_code,
    reason = "registers, devices and physical memory; see the module header"
)]

mod boot;
mod cpu;
mod gic;
mod memory;
mod platform;
mod trap;
mod uart;

use core::fmt::Write;
use core::panic::PanicInfo;

core::arch::global_asm!(
    include_str!("entry.s"),
    frame_size = const size_of::<trap::TrapFrame>(),
    stack_size = const 0x1_0000,
    sctlr_off = const cpu::SCTLR_OFF,
    sctlr_on = const cpu::SCTLR_ON,
    mair = const cpu::MAIR,
    tcr = const cpu::TCR,
);

/// A bug of the kernel: says where and stops.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let _ = writeln!(uart::Uart, "\nKERNEL|PANIC: {info}");
    cpu::halt()
}
