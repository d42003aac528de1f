// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Invocations on the TCB of a child (or of a PD listed in `<cspace>`).

pub use crate::registers::{FP, LR, PC, REGISTER_COUNT, Registers, SP};
use crate::{ipc_buffer, labels, message::MessageInfo, syscalls};

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
    result(syscalls::call(
        tcb,
        MessageInfo::new(labels::TCB_WRITE_REGISTERS, 3),
    ))
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
    result(syscalls::call(
        tcb,
        MessageInfo::new(labels::TCB_WRITE_REGISTERS, 2 + count),
    ))
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
    result(syscalls::call(
        tcb,
        MessageInfo::new(labels::TCB_SUSPEND, 0),
    ))
}

/// Lets a stopped thread go on (Microkit's `microkit_pd_resume`).
pub fn resume(tcb: u64) -> Result<(), InvocationError> {
    result(syscalls::call(tcb, MessageInfo::new(labels::TCB_RESUME, 0)))
}
