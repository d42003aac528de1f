// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Numbers of the invocations and faults (seL4 16.0.0, AArch64, MCS, hypervisor configuration).

/// `TCBReadRegisters`.
pub const TCB_READ_REGISTERS: u64 = 2;
/// `TCBWriteRegisters`.
pub const TCB_WRITE_REGISTERS: u64 = 3;
/// `TCBSuspend`.
pub const TCB_SUSPEND: u64 = 12;
/// `TCBResume`.
pub const TCB_RESUME: u64 = 13;

/// `IRQAckIRQ` of the release and benchmark kernels; the debug kernel's is [`DEBUG_OFFSET`] higher.
pub const IRQ_ACK: u64 = 27;
/// `ARMSMCCall`, likewise.
pub const SMC_CALL: u64 = 43;
/// `ARMVSpaceUnify_Instruction` of the release kernel, likewise.
pub const VSPACE_UNIFY: u64 = 42;
/// The debug kernel has four more TCB invocations, so every later label is higher by this.
pub const DEBUG_OFFSET: u64 = 4;

/// Label of the message with which a restarted PD wakes a caller that its earlier life left
/// without a reply. All 52 bits are set: no protocol uses it.
pub const RESTARTED: u64 = (1 << 52) - 1;

/// Label of the message with which a supervisor gives up and leaves the rest to its own parent.
pub const ESCALATED: u64 = RESTARTED - 1;

/// Label of a capability fault.
pub const FAULT_CAP: u64 = 1;
/// Label of an unknown system call.
pub const FAULT_UNKNOWN_SYSCALL: u64 = 2;
/// Label of a user exception.
pub const FAULT_USER_EXCEPTION: u64 = 3;
/// Label of a debug exception (debug kernel only).
pub const FAULT_DEBUG_EXCEPTION: u64 = 4;
/// Label of a timeout fault; Microkit binds no timeout endpoint.
pub const FAULT_TIMEOUT: u64 = 5;
/// Label of a virtual memory fault.
pub const FAULT_VM: u64 = 6;
/// Label of a vCPU fault: on this kernel, of every other synchronous trap of an ordinary PD too.
pub const FAULT_VCPU: u64 = 8;
