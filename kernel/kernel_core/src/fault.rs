// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Faults: what the parent reads about them, and what its reply does to the faulting thread.

use crate::cap::LookupFailure;
use crate::ids::ThreadId;
use crate::kernel::Kernel;
use crate::machine::Machine;
use crate::message::MessageInfo;
use crate::registers::{Registers, sanitised_spsr};

/// What a thread did that it may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Used an address that names no suitable capability.
    Cap {
        /// The address.
        address: u64,
        /// Whether it wanted to receive.
        in_receive: bool,
        /// What is wrong.
        lookup: LookupFailure,
    },
    /// Made a system call that does not exist.
    UnknownSyscall {
        /// Its number.
        number: u64,
    },
    /// Executed something undefined.
    UserException {
        /// The exception syndrome.
        number: u64,
    },
    /// Executed `brk`.
    Breakpoint,
    /// Touched memory that it may not.
    Vm {
        /// The address.
        address: u64,
        /// Whether it was an instruction fetch.
        instruction: bool,
        /// The exception syndrome.
        status: u64,
    },
    /// Did anything else that traps; seL4's hypervisor kernel calls all of this a VCPU fault.
    Vcpu {
        /// The exception syndrome.
        status: u64,
    },
}

/// Reason of a `brk` in a debug exception.
const REASON_SOFTWARE: u64 = 3;
/// Lookup failure types of a capability fault.
const LOOKUP_MISSING: u64 = 2;
const LOOKUP_GUARD: u64 = 4;

impl Fault {
    /// The label of the fault message.
    pub fn label(&self) -> u64 {
        match self {
            Self::Cap { .. } => 1,
            Self::UnknownSyscall { .. } => 2,
            Self::UserException { .. } => 3,
            Self::Breakpoint => 4,
            Self::Vm { .. } => 6,
            Self::Vcpu { .. } => 8,
        }
    }

    /// The words of the fault message and how many there are.
    pub(crate) fn message(&self, registers: &Registers) -> ([u64; 13], usize) {
        let mut words = [0; 13];
        let ip = registers.fault_ip;
        let mut put = |values: &[u64]| {
            words[..values.len()].copy_from_slice(values);
            values.len()
        };
        let length = match *self {
            Self::Cap {
                address,
                in_receive,
                lookup,
            } => {
                let head = [ip, address, u64::from(in_receive)];
                let [a, b, c] = head;
                match lookup {
                    LookupFailure::MissingCapability { bits_left } => {
                        put(&[a, b, c, LOOKUP_MISSING, bits_left])
                    }
                    LookupFailure::GuardMismatch {
                        bits_left,
                        guard,
                        guard_bits,
                    } => put(&[a, b, c, LOOKUP_GUARD, bits_left, guard, guard_bits]),
                }
            }
            Self::UnknownSyscall { number } => {
                put(&registers.x[..8]);
                let tail = [ip, registers.sp, registers.next_ip, registers.spsr, number];
                words[8..].copy_from_slice(&tail);
                words.len()
            }
            Self::UserException { number } => put(&[ip, registers.sp, registers.spsr, number, 0]),
            Self::Breakpoint => put(&[ip, REASON_SOFTWARE]),
            Self::Vm {
                address,
                instruction,
                status,
            } => put(&[ip, address, u64::from(instruction), status]),
            Self::Vcpu { status } => put(&[status]),
        };
        (words, length)
    }

    /// Whether a reply with this label lets the thread run again.
    fn reply_restarts(&self, label: u64) -> bool {
        match self {
            Self::Cap { .. } | Self::Vm { .. } | Self::Vcpu { .. } => true,
            Self::UnknownSyscall { .. } | Self::UserException { .. } | Self::Breakpoint => {
                label == 0
            }
        }
    }

    /// Number of the reply's words that are copied into registers.
    fn reply_words(&self) -> u64 {
        match self {
            Self::UnknownSyscall { .. } => 12,
            Self::UserException { .. } => 3,
            Self::Cap { .. } | Self::Breakpoint | Self::Vm { .. } | Self::Vcpu { .. } => 0,
        }
    }

    /// Copies word `index` of the reply into the register that the fault message took it from.
    fn set_from_reply(&self, registers: &mut Registers, index: u64, value: u64) {
        match (self, index) {
            (Self::UnknownSyscall { .. }, 0..8) => registers.x[index as usize] = value,
            (Self::UnknownSyscall { .. }, 8) | (Self::UserException { .. }, 0) => {
                registers.fault_ip = value;
            }
            (Self::UnknownSyscall { .. }, 9) | (Self::UserException { .. }, 1) => {
                registers.sp = value;
            }
            (Self::UnknownSyscall { .. }, 10) => registers.next_ip = value,
            (Self::UnknownSyscall { .. }, 11) | (Self::UserException { .. }, 2) => {
                registers.spsr = sanitised_spsr(value);
            }
            _ => {}
        }
    }
}

impl Kernel {
    /// Tells the thread's parent about a fault, on the thread's own time.
    pub(crate) fn handle_fault(&mut self, m: &mut impl Machine, thread: ThreadId, fault: Fault) {
        self.thread_mut(thread).fault = Some(fault);
        let handler = self.thread(thread).fault_handler;
        let can_donate = self.thread(thread).sched_context.is_some();
        self.send(
            m,
            thread,
            handler.endpoint,
            handler.badge,
            crate::ipc::SendMode::FAULT,
            can_donate,
        );
    }

    /// Puts the fault of `sender` into the message registers of `receiver`.
    pub(crate) fn transfer_fault(
        &mut self,
        m: &mut impl Machine,
        sender: ThreadId,
        fault: Fault,
        badge: u64,
        receiver: ThreadId,
    ) {
        let (words, length) = fault.message(&self.thread(sender).registers);
        for (index, &word) in words[..length].iter().enumerate() {
            self.set_message_word(m, receiver, index as u64, word);
        }
        self.deliver(
            receiver,
            badge,
            MessageInfo::new(fault.label(), length as u64),
        );
    }

    /// Applies the reply of `replier` to a faulted thread; returns whether the thread runs again.
    pub(crate) fn handle_fault_reply(
        &mut self,
        m: &mut impl Machine,
        faulted: ThreadId,
        fault: Fault,
        replier: ThreadId,
    ) -> bool {
        let info = MessageInfo::from_word(self.thread(replier).registers.x[1]);
        for index in 0..info.length().min(fault.reply_words()) {
            let value = self.message_word(m, replier, index);
            fault.set_from_reply(&mut self.thread_mut(faulted).registers, index, value);
        }
        fault.reply_restarts(info.label())
    }
}
