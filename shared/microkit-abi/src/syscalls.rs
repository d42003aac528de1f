// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The system calls that a PD needs, one function each.
//!
//! Registers (seL4 16.0.0 MCS, AArch64): x7 number, x0 capability and returned badge, x1 message
//! information, x2..x5 the first four message registers, x6 reply object, x8 destination of a
//! combined send. The kernel preserves everything else.

use core::arch::asm;

use crate::{ipc_buffer, message::MessageInfo, slots};

const CALL: i64 = -1;
const REPLY_RECV: i64 = -2;
const NB_SEND_RECV: i64 = -3;
const SEND: i64 = -5;
const NB_SEND: i64 = -6;
/// Number of the call that receives.
pub const RECV: i64 = -7;
const WAIT: i64 = -9;
const NB_WAIT: i64 = -10;
const YIELD: i64 = -11;
const DEBUG_PUT_CHAR: i64 = -12;

/// Badge and message of a receive.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    /// Who sent it.
    pub badge: u64,
    /// Label and length; meaningless after a notification.
    pub info: MessageInfo,
}

/// A combined send and receive: what to send, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Capability that is invoked.
    pub capability: u64,
    /// Label and length; the message registers are those of the IPC buffer.
    pub info: MessageInfo,
}

/// One `svc` with all registers that a call may use.
fn trap(number: i64, capability: u64, info: MessageInfo, destination: u64) -> Received {
    let [mut mr0, mut mr1, mut mr2, mut mr3] = ipc_buffer::first_registers();
    let (mut x0, mut x1) = (capability, info.0);
    // SAFETY: the kernel promises to write only x0..x5 and, in memory, this PD's IPC buffer; the
    // asm block is a memory clobber, and nobody holds a reference into that buffer across a call
    // (`ipc_buffer` hands out none that outlive its closures).
    unsafe {
        asm!(
            "svc #0",
            in("x7") number,
            inout("x0") x0,
            inout("x1") x1,
            inout("x2") mr0,
            inout("x3") mr1,
            inout("x4") mr2,
            inout("x5") mr3,
            in("x6") slots::REPLY,
            in("x8") destination,
            options(nostack),
        );
    }
    ipc_buffer::set_first_registers([mr0, mr1, mr2, mr3]);
    Received {
        badge: x0,
        info: MessageInfo(x1),
    }
}

/// Calls the object or PD behind `capability` and waits for the answer.
pub fn call(capability: u64, info: MessageInfo) -> MessageInfo {
    trap(CALL, capability, info, 0).info
}

/// Sends without waiting for an answer; blocks until it is received.
pub fn send(capability: u64, info: MessageInfo) {
    trap(SEND, capability, info, 0);
}

/// Sends if somebody waits for it; else nothing happens.
pub fn nb_send(capability: u64, info: MessageInfo) {
    trap(NB_SEND, capability, info, 0);
}

/// Signals a notification.
pub fn signal(capability: u64) {
    let (mut x0, mut x1) = (capability, 0u64);
    // SAFETY: as in `trap`; a signal carries no message registers, so none is loaded or stored.
    unsafe {
        asm!("svc #0", in("x7") SEND, inout("x0") x0, inout("x1") x1, options(nostack));
    }
    let _ = (x0, x1);
}

/// Receives from the PD's input capability with its reply object.
pub fn recv() -> Received {
    trap(RECV, slots::INPUT, MessageInfo(0), 0)
}

/// Replies (if somebody waits for it) and receives.
pub fn reply_recv(info: MessageInfo) -> Received {
    trap(REPLY_RECV, slots::INPUT, info, 0)
}

/// Sends if possible, and receives.
pub fn nb_send_recv(message: Message) -> Received {
    trap(NB_SEND_RECV, slots::INPUT, message.info, message.capability)
}

/// Waits for the PD's notification and returns its bits. Only for a PD without an endpoint: the
/// input capability must be the notification itself.
pub fn wait() -> u64 {
    bare(WAIT, slots::INPUT)
}

/// Takes the PD's pending notification bits without waiting; 0 when there are none.
pub fn poll() -> u64 {
    bare(NB_WAIT, slots::INPUT)
}

/// Gives up the rest of the time slice.
pub fn yield_now() {
    bare(YIELD, 0);
}

/// Prints one byte on the kernel's console. Only the debug kernel has the call: see
/// [`crate::KernelConfig::prints`].
pub fn debug_put_char(byte: u8) {
    bare(DEBUG_PUT_CHAR, u64::from(byte));
}

/// A call that sends no message registers.
fn bare(number: i64, x0_in: u64) -> u64 {
    let mut x0 = x0_in;
    // SAFETY: as in `trap`; registers that the kernel may write are declared.
    unsafe {
        asm!(
            "svc #0",
            in("x7") number,
            inout("x0") x0,
            inout("x1") 0u64 => _,
            lateout("x2") _,
            lateout("x3") _,
            lateout("x4") _,
            lateout("x5") _,
            in("x6") slots::REPLY,
            options(nostack),
        );
    }
    x0
}

/// Sends a message that carries no registers.
pub fn send_message(message: Message) {
    send(message.capability, message.info);
}
