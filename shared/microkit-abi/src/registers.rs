// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! A thread's registers in the order of `TCBReadRegisters` and `TCBWriteRegisters`.

/// Words of a register set in the kernel's order: pc, sp, spsr, x0..x8, x16, x17, x18, x29, x30,
/// x9..x15, x19..x28, tpidr_el0, tpidrro_el0.
pub const REGISTER_COUNT: usize = 36;

/// Registers of a thread in the kernel's order.
pub type Registers = [u64; REGISTER_COUNT];

/// Index of the program counter in [`Registers`].
pub const PC: usize = 0;
/// Index of the stack pointer in [`Registers`].
pub const SP: usize = 1;
/// Index of the frame pointer (x29) in [`Registers`].
pub const FP: usize = 15;
/// Index of the link register (x30) in [`Registers`].
pub const LR: usize = 16;
