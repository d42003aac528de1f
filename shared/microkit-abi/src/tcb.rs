// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Invocations on the TCB of a child (or of a PD listed in `<cspace>`).

use crate::{ipc_buffer, labels, message::MessageInfo, syscalls};

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

/// Error code of an invocation (`seL4_Error`), never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvocationError(pub u64);

fn result(answer: MessageInfo) -> Result<(), InvocationError> {
    match answer.label() {
        0 => Ok(()),
        code => Err(InvocationError(code)),
    }
}

/// Makes the thread run at `pc`, whatever it was doing; its other registers stay (Microkit's
/// `microkit_pd_restart`).
pub fn restart(tcb: u64, pc: u64) -> Result<(), InvocationError> {
    ipc_buffer::set_first_registers([1, 1, pc, 0]);
    result(syscalls::call(tcb, MessageInfo::new(labels::TCB_WRITE_REGISTERS, 3)))
}

/// Writes the first `count` registers; the thread is resumed when `resume` says so.
pub fn write(
    tcb: u64,
    registers: &Registers,
    count: usize,
    resume: bool,
) -> Result<(), InvocationError> {
    let count = count.min(REGISTER_COUNT);
    ipc_buffer::with_mut(|buffer| {
        buffer[0] = u64::from(resume);
        buffer[1] = count as u64;
        buffer[2..2 + count].copy_from_slice(&registers[..count]);
    });
    result(syscalls::call(tcb, MessageInfo::new(labels::TCB_WRITE_REGISTERS, 2 + count)))
}

/// Reads all registers without disturbing the thread.
pub fn read(tcb: u64) -> Result<Registers, InvocationError> {
    ipc_buffer::set_first_registers([0, REGISTER_COUNT as u64, 0, 0]);
    let answer = syscalls::call(tcb, MessageInfo::new(labels::TCB_READ_REGISTERS, 2));
    result(answer)?;
    let mut registers = [0; REGISTER_COUNT];
    ipc_buffer::with(|buffer| registers.copy_from_slice(&buffer[..REGISTER_COUNT]));
    Ok(registers)
}

/// Stops the thread (Microkit's `microkit_pd_stop`).
pub fn suspend(tcb: u64) -> Result<(), InvocationError> {
    result(syscalls::call(tcb, MessageInfo::new(labels::TCB_SUSPEND, 0)))
}

/// Lets a stopped thread go on (Microkit's `microkit_pd_resume`).
pub fn resume(tcb: u64) -> Result<(), InvocationError> {
    result(syscalls::call(tcb, MessageInfo::new(labels::TCB_RESUME, 0)))
}
