// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Which configuration the running kernel was built in.

use core::sync::atomic::{AtomicU8, Ordering};

use crate::{ipc_buffer, labels, message::MessageInfo, slots, syscalls};

/// What differs between the kernels of Microkit's SDK for a PD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KernelConfig {
    /// Built for debugging: has a console, and four more TCB invocations.
    Debug,
    /// `release` or `benchmark`: the same labels, no console.
    Release,
}

static DETECTED: AtomicU8 = AtomicU8::new(0);

impl KernelConfig {
    /// Finds out once, and remembers.
    ///
    /// The debug kernel's number of "unify a range of my own VSpace" means nothing to a release
    /// kernel, which refuses it. Neither prints anything, and neither changes anything.
    pub fn detect() -> Self {
        match DETECTED.load(Ordering::Relaxed) {
            1 => return Self::Debug,
            2 => return Self::Release,
            _ => {}
        }
        let saved = ipc_buffer::first_registers();
        let start = ipc_buffer::address() as u64;
        ipc_buffer::set_first_registers([start, start + 64, 0, 0]);
        let label = labels::VSPACE_UNIFY + labels::DEBUG_OFFSET;
        let answer = syscalls::call(slots::VSPACE, MessageInfo::new(label, 2));
        ipc_buffer::set_first_registers(saved);
        let config = if answer.label() == 0 {
            Self::Debug
        } else {
            Self::Release
        };
        DETECTED.store(if config == Self::Debug { 1 } else { 2 }, Ordering::Relaxed);
        config
    }

    /// Whether `seL4_DebugPutChar` exists. A kernel without it faults the PD that calls it.
    pub const fn prints(self) -> bool {
        matches!(self, Self::Debug)
    }

    const fn offset(self) -> u64 {
        match self {
            Self::Debug => labels::DEBUG_OFFSET,
            Self::Release => 0,
        }
    }

    /// Label of `IRQAckIRQ`.
    pub const fn irq_ack(self) -> u64 {
        labels::IRQ_ACK + self.offset()
    }

    /// Label of `ARMSMCCall`.
    pub const fn smc_call(self) -> u64 {
        labels::SMC_CALL + self.offset()
    }
}
