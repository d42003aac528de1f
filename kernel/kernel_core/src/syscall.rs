// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! System calls: numbers, registers and what each does, as in seL4's MCS debug kernel.

use crate::cap::{Cap, LookupFailure};
use crate::fault::Fault;
use crate::ids::{ReplyId, ThreadId};
use crate::ipc::SendMode;
use crate::kernel::{Kernel, State};
use crate::machine::Machine;
use crate::message::{BUFFER_CAPS, LENGTH_MAX, MessageInfo};

const CALL: i64 = -1;
const REPLY_RECEIVE: i64 = -2;
const NB_SEND_RECEIVE: i64 = -3;
const NB_SEND_WAIT: i64 = -4;
const SEND: i64 = -5;
const NB_SEND: i64 = -6;
const RECEIVE: i64 = -7;
const NB_RECEIVE: i64 = -8;
const WAIT: i64 = -9;
const NB_WAIT: i64 = -10;
const YIELD: i64 = -11;
const DEBUG_PUT_CHAR: i64 = -12;
const DEBUG_DUMP_SCHEDULER: i64 = -13;
const DEBUG_HALT: i64 = -14;
const DEBUG_CAP_IDENTIFY: i64 = -15;
const DEBUG_SNAPSHOT: i64 = -16;
const DEBUG_NAME_THREAD: i64 = -17;

/// Register of the reply object, and of the destination of NBSendWait.
const REPLY_REGISTER: usize = 6;
/// Register of the destination of NBSendRecv.
const DESTINATION_REGISTER: usize = 8;

/// How a capability is used.
#[derive(Clone, Copy)]
struct Invoke {
    mode: SendMode,
    /// The call is the first half of a send-and-receive.
    first_phase: bool,
}

const AS_CALL: Invoke = Invoke {
    mode: SendMode {
        blocking: true,
        call: true,
    },
    first_phase: false,
};
const AS_SEND: Invoke = Invoke {
    mode: SendMode {
        blocking: true,
        call: false,
    },
    first_phase: false,
};
const AS_NB_SEND: Invoke = Invoke {
    mode: SendMode {
        blocking: false,
        call: false,
    },
    first_phase: false,
};
const AS_FIRST_PHASE: Invoke = Invoke {
    mode: SendMode {
        blocking: false,
        call: false,
    },
    first_phase: true,
};

impl Kernel {
    /// The current thread executed `svc` with this number in x7.
    pub fn syscall(&mut self, m: &mut impl Machine, now: u64, number: u64) {
        self.enter(now);
        let Some(current) = self.current else { return };
        // The debug calls do not count as work of the thread.
        if self.debug_call(m, current, number.cast_signed()) || !self.check_budget_or_restart() {
            return;
        }
        let x = self.thread(current).registers.x;
        match number.cast_signed() {
            CALL => self.invoke(m, current, x[0], AS_CALL),
            SEND => self.invoke(m, current, x[0], AS_SEND),
            NB_SEND => self.invoke(m, current, x[0], AS_NB_SEND),
            RECEIVE => self.receive_from(m, current, true, true),
            NB_RECEIVE => self.receive_from(m, current, false, true),
            WAIT => self.receive_from(m, current, true, false),
            NB_WAIT => self.receive_from(m, current, false, false),
            REPLY_RECEIVE => {
                self.invoke(m, current, x[REPLY_REGISTER], AS_FIRST_PHASE);
                self.receive_from(m, current, true, true);
            }
            NB_SEND_RECEIVE => {
                self.invoke(m, current, x[DESTINATION_REGISTER], AS_FIRST_PHASE);
                self.receive_from(m, current, true, true);
            }
            NB_SEND_WAIT => {
                self.invoke(m, current, x[REPLY_REGISTER], AS_FIRST_PHASE);
                self.receive_from(m, current, true, false);
            }
            YIELD => self.yield_slice(),
            _ => self.handle_fault(m, current, Fault::UnknownSyscall { number }),
        }
        self.run_monitor(m);
    }

    fn debug_call(&mut self, m: &mut impl Machine, current: ThreadId, number: i64) -> bool {
        match number {
            DEBUG_PUT_CHAR => {
                let byte = self.thread(current).registers.x[0] as u8;
                m.put_char(byte);
            }
            DEBUG_DUMP_SCHEDULER => self.dump_scheduler(m),
            DEBUG_HALT => {
                let name = self.name(current);
                m.stop(format_args!("{name} called seL4_DebugHalt"));
            }
            DEBUG_CAP_IDENTIFY => {
                let address = self.thread(current).registers.x[0];
                let tag = self.cspaces.lookup(current, address).map_or(0, tag);
                self.thread_mut(current).registers.x[0] = tag;
            }
            DEBUG_SNAPSHOT => self.not_implemented(m, current, "seL4_DebugSnapshot"),
            DEBUG_NAME_THREAD => self.not_implemented(m, current, "seL4_DebugNameThread"),
            _ => return false,
        }
        true
    }

    /// Stops the machine at something that seL4 has and we do not.
    pub(crate) fn not_implemented(&self, m: &mut impl Machine, thread: ThreadId, call: &str) -> ! {
        let tcb = self.thread(thread);
        let (name, ip) = (tcb.name(), tcb.registers.fault_ip);
        m.stop(format_args!(
            "{call} is not implemented; PD {name}, pc {ip:#x}"
        ));
    }

    fn dump_scheduler(&self, m: &mut impl Machine) {
        m.print(format_args!("KERNEL|DEBUG: name, state, ip, priority\n"));
        for tcb in &self.threads[..self.pd_count] {
            m.print(format_args!(
                "{:<20} {:?} {:#x} {}\n",
                tcb.name(),
                tcb.state,
                tcb.registers.fault_ip,
                tcb.priority,
            ));
        }
    }

    fn invoke(&mut self, m: &mut impl Machine, current: ThreadId, address: u64, how: Invoke) {
        let cap = match self.cspaces.lookup(current, address) {
            Ok(cap) => cap,
            Err(lookup) => {
                self.complain(m, current, "invocation of an invalid capability address");
                if how.mode.blocking {
                    let fault = Fault::Cap {
                        address,
                        in_receive: false,
                        lookup,
                    };
                    self.handle_fault(m, current, fault);
                }
                return;
            }
        };
        let info = MessageInfo::from_word(self.thread(current).registers.x[1]);
        if self.refuse_extra_caps(m, current, info, cap, how) {
            return;
        }
        match cap {
            Cap::Endpoint { endpoint, badge } => {
                let can_donate = how.mode.call || how.first_phase;
                self.send(m, current, endpoint, badge, how.mode, can_donate);
            }
            Cap::Notification {
                notification,
                badge,
            } => {
                self.signal(notification, badge);
                if how.mode.call {
                    self.answer_success(current);
                }
            }
            Cap::Reply(reply) => {
                self.reply(m, current, reply);
                if how.mode.call {
                    self.answer_success(current);
                }
            }
            _ => {
                let result = self.invoke_object(m, current, cap, info);
                if how.mode.call {
                    self.answer(m, current, result);
                } else if result.is_err() {
                    self.complain(
                        m,
                        current,
                        "invocation without a caller to tell of its error",
                    );
                }
            }
        }
    }

    /// Looks at the capabilities that a message names. An address that does not resolve is a fault;
    /// sending a capability is not part of Microkit, but empty slots send nothing, on seL4 as here.
    fn refuse_extra_caps(
        &mut self,
        m: &mut impl Machine,
        current: ThreadId,
        info: MessageInfo,
        target: Cap,
        how: Invoke,
    ) -> bool {
        for index in 0..info.extra_caps() {
            let address = m.ipc_word(current, BUFFER_CAPS + index as usize);
            match self.cspaces.lookup(current, address) {
                Ok(cap) => {
                    if cap != Cap::Null && matches!(target, Cap::Endpoint { .. }) {
                        self.not_implemented(m, current, "sending a capability in a message");
                    }
                }
                Err(lookup) => {
                    if how.mode.blocking {
                        let fault = Fault::Cap {
                            address,
                            in_receive: false,
                            lookup,
                        };
                        self.handle_fault(m, current, fault);
                    }
                    return true;
                }
            }
        }
        false
    }

    fn receive_from(
        &mut self,
        m: &mut impl Machine,
        current: ThreadId,
        blocking: bool,
        with_reply: bool,
    ) {
        // The first half may have faulted or stopped the thread.
        if !self.thread(current).is_runnable() {
            return;
        }
        let address = self.thread(current).registers.x[0];
        let missing = LookupFailure::MissingCapability { bits_left: 0 };
        let fault = |address, lookup| Fault::Cap {
            address,
            in_receive: true,
            lookup,
        };
        match self.cspaces.lookup(current, address) {
            Ok(Cap::Endpoint { endpoint, .. }) => {
                let reply = if with_reply {
                    match self.lookup_reply(current) {
                        Ok(reply) => Some(reply),
                        Err((address, lookup)) => {
                            self.handle_fault(m, current, fault(address, lookup));
                            return;
                        }
                    }
                } else {
                    None
                };
                self.receive(m, current, endpoint, reply, blocking);
            }
            Ok(Cap::Notification { notification, .. })
                if self.bound_notification(current) == notification =>
            {
                self.wait(current, notification, blocking);
            }
            Ok(_) => {
                self.complain(m, current, "receive from what cannot be received from");
                self.handle_fault(m, current, fault(address, missing));
            }
            Err(lookup) => {
                self.complain(m, current, "receive from an invalid capability address");
                self.handle_fault(m, current, fault(address, lookup));
            }
        }
    }

    fn lookup_reply(&self, current: ThreadId) -> Result<ReplyId, (u64, LookupFailure)> {
        let address = self.thread(current).registers.x[REPLY_REGISTER];
        match self.cspaces.lookup(current, address) {
            Ok(Cap::Reply(reply)) => Ok(reply),
            Ok(_) => Err((address, LookupFailure::MissingCapability { bits_left: 0 })),
            Err(lookup) => Err((address, lookup)),
        }
    }

    fn answer_success(&mut self, current: ThreadId) {
        // A caller that stopped itself or now waits gets no answer.
        if self.thread(current).is_runnable() {
            self.deliver(current, 0, MessageInfo::new(0, 0));
        }
    }

    fn answer(
        &mut self,
        m: &mut impl Machine,
        current: ThreadId,
        result: Result<crate::invoke::Answer, crate::invoke::Error>,
    ) {
        match result {
            Ok(answer) => {
                for (index, &word) in answer.words().iter().enumerate() {
                    self.set_message_word(m, current, index as u64, word);
                }
                let length = answer.words().len() as u64;
                self.deliver(current, 0, MessageInfo::new(0, length));
            }
            Err(error) => {
                self.complain(m, current, error.text());
                let (words, length) = error.words();
                for (index, &word) in words[..length].iter().enumerate() {
                    self.set_message_word(m, current, index as u64, word);
                }
                self.deliver(current, 0, MessageInfo::new(error.label(), length as u64));
            }
        }
    }

    /// Arguments of an invocation: `count` words, if the message is that long.
    pub(crate) fn arguments<const N: usize>(
        &self,
        m: &impl Machine,
        thread: ThreadId,
        info: MessageInfo,
    ) -> Option<[u64; N]> {
        (info.length().min(LENGTH_MAX) >= N as u64)
            .then(|| core::array::from_fn(|index| self.message_word(m, thread, index as u64)))
    }

    /// The thread's state for tests and the debug console.
    #[must_use]
    pub fn is_inactive(&self, thread: ThreadId) -> bool {
        self.thread(thread).state == State::Inactive
    }
}

/// seL4's number for a kind of capability.
fn tag(cap: Cap) -> u64 {
    match cap {
        Cap::Null => 0,
        Cap::Endpoint { .. } => 4,
        Cap::Notification { .. } => 6,
        Cap::Reply(_) => 8,
        Cap::Tcb(_) => 12,
        Cap::IrqHandler(_) => 16,
        Cap::SchedContext(_) => 22,
        Cap::Vspace(_) => 9,
        Cap::Smc => 25,
    }
}
