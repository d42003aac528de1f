// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Operations on threads, scheduling contexts, interrupts, caches and the secure monitor.
//!
//! Labels are those of seL4's *debug* configuration for this board, because that is the configuration
//! whose answers this kernel gives (release and benchmark count four less from label 16 on).

use crate::cap::Cap;
use crate::ids::{NotificationId, SchedContextId, ThreadId};
use crate::kernel::Kernel;
use crate::machine::{CacheOperation, Machine};
use crate::message::{BUFFER_CAPS, MessageInfo};
use crate::registers::REGISTER_COUNT;

const TCB_READ_REGISTERS: u64 = 2;
const TCB_WRITE_REGISTERS: u64 = 3;
const TCB_SUSPEND: u64 = 12;
const TCB_RESUME: u64 = 13;
const TCB_SET_TLS_BASE: u64 = 20;
const TCB_SET_FLAGS: u64 = 21;
/// First and last label of thread operations, those that we lack included.
const TCB_LABELS: core::ops::RangeInclusive<u64> = 2..=21;
const IRQ_ACK: u64 = 31;
const IRQ_SET_HANDLER: u64 = 32;
const IRQ_CLEAR_HANDLER: u64 = 33;
const SCHED_CONTEXT_BIND: u64 = 38;
const SCHED_CONTEXT_UNBIND: u64 = 39;
const SCHED_CONTEXT_UNBIND_OBJECT: u64 = 40;
const SCHED_CONTEXT_CONSUMED: u64 = 41;
const SCHED_CONTEXT_YIELD_TO: u64 = 42;
const VSPACE_CLEAN: u64 = 43;
const VSPACE_INVALIDATE: u64 = 44;
const VSPACE_CLEAN_INVALIDATE: u64 = 45;
const VSPACE_UNIFY: u64 = 46;
const SMC_CALL: u64 = 47;

/// `TCBSetFlags`: the thread may not use floating point.
const FLAG_FPU_DISABLED: u64 = 1;
/// End of what a PD can map.
const USER_TOP: u64 = 0xff_ffff_ffff;

/// What a successful invocation returns to a caller.
pub(crate) struct Answer {
    words: [u64; REGISTER_COUNT as usize],
    length: usize,
}

impl Answer {
    const EMPTY: Self = Self {
        words: [0; REGISTER_COUNT as usize],
        length: 0,
    };

    fn from_words(words: &[u64]) -> Self {
        let mut answer = Self::EMPTY;
        answer.words[..words.len()].copy_from_slice(words);
        answer.length = words.len();
        answer
    }

    pub(crate) fn words(&self) -> &[u64] {
        &self.words[..self.length]
    }
}

/// Why an invocation failed; the numbers are seL4's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Error {
    InvalidArgument(u64),
    InvalidCapability(u64),
    IllegalOperation,
    Range { min: u64, max: u64 },
    TruncatedMessage,
}

impl Error {
    pub(crate) fn label(self) -> u64 {
        match self {
            Self::InvalidArgument(_) => 1,
            Self::InvalidCapability(_) => 2,
            Self::IllegalOperation => 3,
            Self::Range { .. } => 4,
            Self::TruncatedMessage => 7,
        }
    }

    pub(crate) fn words(self) -> ([u64; 2], usize) {
        match self {
            Self::InvalidArgument(number) | Self::InvalidCapability(number) => ([number, 0], 1),
            Self::Range { min, max } => ([min, max], 2),
            Self::IllegalOperation | Self::TruncatedMessage => ([0, 0], 0),
        }
    }

    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::InvalidArgument(_) => "invocation with an invalid argument",
            Self::InvalidCapability(_) => "invocation of a null or unsuitable capability",
            Self::IllegalOperation => "illegal operation",
            Self::Range { .. } => "invocation with an argument out of range",
            Self::TruncatedMessage => "invocation with too short a message",
        }
    }
}

type Outcome = Result<Answer, Error>;
const DONE: Outcome = Ok(Answer::EMPTY);

impl Kernel {
    pub(crate) fn invoke_object(
        &mut self,
        m: &mut impl Machine,
        current: ThreadId,
        cap: Cap,
        info: MessageInfo,
    ) -> Outcome {
        match cap {
            Cap::Tcb(thread) => self.invoke_tcb(m, current, thread, info),
            Cap::SchedContext(context) => self.invoke_sched_context(m, current, context, info),
            Cap::IrqHandler(irq) => match info.label() {
                IRQ_ACK => {
                    m.unmask_irq(irq);
                    DONE
                }
                IRQ_SET_HANDLER => self.not_implemented(m, current, "IRQSetIRQHandler"),
                IRQ_CLEAR_HANDLER => self.not_implemented(m, current, "IRQClearIRQHandler"),
                _ => Err(Error::IllegalOperation),
            },
            Cap::Vspace(owner) => self.invoke_vspace(m, current, owner, info),
            Cap::Smc => self.invoke_smc(m, current, info),
            Cap::Null => Err(Error::InvalidCapability(0)),
            Cap::Endpoint { .. } | Cap::Notification { .. } | Cap::Reply(_) => {
                unreachable!("handled as messages")
            }
        }
    }

    fn invoke_tcb(
        &mut self,
        m: &mut impl Machine,
        current: ThreadId,
        thread: ThreadId,
        info: MessageInfo,
    ) -> Outcome {
        match info.label() {
            TCB_READ_REGISTERS => self.read_registers(m, current, thread, info),
            TCB_WRITE_REGISTERS => self.write_registers(m, current, thread, info),
            TCB_SUSPEND => {
                self.suspend(thread);
                DONE
            }
            TCB_RESUME => {
                self.restart(thread);
                DONE
            }
            TCB_SET_TLS_BASE => {
                let [base] = self
                    .arguments(m, current, info)
                    .ok_or(Error::TruncatedMessage)?;
                self.thread_mut(thread).registers.tpidr = base;
                DONE
            }
            TCB_SET_FLAGS => {
                let [clear, set] = self
                    .arguments(m, current, info)
                    .ok_or(Error::TruncatedMessage)?;
                let tcb = self.thread_mut(thread);
                let flags = if tcb.fpu { 0 } else { FLAG_FPU_DISABLED };
                let flags = ((flags & !clear) | set) & FLAG_FPU_DISABLED;
                tcb.fpu = flags == 0;
                Ok(Answer::from_words(&[flags]))
            }
            label if TCB_LABELS.contains(&label) => {
                m.print(format_args!("KERNEL|DEBUG: TCB invocation {label}\n"));
                self.not_implemented(m, current, "this TCB invocation")
            }
            _ => Err(Error::IllegalOperation),
        }
    }

    fn read_registers(
        &mut self,
        m: &mut impl Machine,
        current: ThreadId,
        thread: ThreadId,
        info: MessageInfo,
    ) -> Outcome {
        let [flags, count] = self
            .arguments(m, current, info)
            .ok_or(Error::TruncatedMessage)?;
        if !(1..=REGISTER_COUNT).contains(&count) {
            return Err(Error::Range {
                min: 1,
                max: REGISTER_COUNT,
            });
        }
        if thread == current {
            return Err(Error::IllegalOperation);
        }
        if flags & 1 != 0 {
            self.suspend(thread);
        }
        let mut answer = Answer::EMPTY;
        answer.length = count as usize;
        for (index, word) in answer.words[..count as usize].iter_mut().enumerate() {
            *word = self.thread(thread).registers.get(index as u64);
        }
        Ok(answer)
    }

    fn write_registers(
        &mut self,
        m: &mut impl Machine,
        current: ThreadId,
        thread: ThreadId,
        info: MessageInfo,
    ) -> Outcome {
        let [flags, count] = self
            .arguments(m, current, info)
            .ok_or(Error::TruncatedMessage)?;
        if info.length() - 2 < count {
            return Err(Error::TruncatedMessage);
        }
        if thread == current {
            return Err(Error::IllegalOperation);
        }
        for index in 0..count.min(REGISTER_COUNT) {
            let value = self.message_word(m, current, index + 2);
            self.thread_mut(thread).registers.set(index, value);
        }
        let registers = &mut self.thread_mut(thread).registers;
        registers.next_ip = registers.fault_ip;
        if flags & 1 != 0 {
            self.restart(thread);
        }
        DONE
    }

    fn invoke_sched_context(
        &mut self,
        m: &mut impl Machine,
        current: ThreadId,
        context: SchedContextId,
        info: MessageInfo,
    ) -> Outcome {
        match info.label() {
            SCHED_CONTEXT_BIND => {
                let object = self.extra_cap(m, current, info)?;
                match object {
                    Cap::Tcb(thread) => self.bind_thread(context, thread),
                    Cap::Notification { notification, .. } => {
                        if self.bind_notification(context, notification) {
                            DONE
                        } else {
                            Err(Error::IllegalOperation)
                        }
                    }
                    _ => Err(Error::InvalidCapability(1)),
                }
            }
            SCHED_CONTEXT_UNBIND => {
                if self.context(context).thread == Some(current) {
                    return Err(Error::IllegalOperation);
                }
                self.unbind(context);
                DONE
            }
            SCHED_CONTEXT_UNBIND_OBJECT => {
                let object = self.extra_cap(m, current, info)?;
                self.unbind_object(context, current, object)
            }
            SCHED_CONTEXT_CONSUMED => {
                let consumed = core::mem::take(&mut self.context_mut(context).consumed);
                Ok(Answer::from_words(&[consumed / self.ticks_per_us]))
            }
            SCHED_CONTEXT_YIELD_TO => self.not_implemented(m, current, "SchedContextYieldTo"),
            _ => Err(Error::IllegalOperation),
        }
    }

    /// The first extra capability of a message to the kernel.
    fn extra_cap(
        &self,
        m: &impl Machine,
        current: ThreadId,
        info: MessageInfo,
    ) -> Result<Cap, Error> {
        if info.extra_caps() == 0 {
            return Err(Error::TruncatedMessage);
        }
        let address = m.ipc_word(current, BUFFER_CAPS);
        self.cspaces
            .lookup(current, address)
            .map_err(|_| Error::InvalidCapability(1))
    }

    fn bind_thread(&mut self, context: SchedContextId, thread: ThreadId) -> Outcome {
        let released = self.context(context).is_ready(self.now);
        let tcb = self.thread(thread);
        let taken = self.context(context).thread.is_some() || tcb.sched_context.is_some();
        let blocked = !tcb.is_runnable() && !self.is_inactive(thread);
        if taken || (blocked && !released) {
            return Err(Error::IllegalOperation);
        }
        self.context_mut(context).thread = Some(thread);
        self.thread_mut(thread).sched_context = Some(context);
        let now = self.now;
        self.context_mut(context).unblock(now);
        self.resume_context(context);
        if self.is_schedulable(thread) {
            self.enqueue_first(thread);
            self.reschedule();
        }
        DONE
    }

    /// Lets whoever the notification wakes run on the context. False if either has a partner.
    pub(crate) fn bind_notification(
        &mut self,
        context: SchedContextId,
        notification: NotificationId,
    ) -> bool {
        let object = &mut self.notifications[notification.index()];
        let sched_context = &mut self.sched_contexts[context.index()];
        if object.sched_context.is_some() || sched_context.notification.is_some() {
            return false;
        }
        object.sched_context = Some(context);
        sched_context.notification = Some(notification);
        true
    }

    fn unbind_notification(&mut self, context: SchedContextId) {
        if let Some(notification) = self.context_mut(context).notification.take() {
            self.notifications[notification.index()].sched_context = None;
        }
    }

    fn unbind(&mut self, context: SchedContextId) {
        if let Some(thread) = self.context(context).thread {
            self.take_context(thread);
        }
        self.unbind_notification(context);
        if let Some(reply) = self.context_mut(context).reply.take() {
            self.reply_mut(reply).next = None;
        }
    }

    fn unbind_object(
        &mut self,
        context: SchedContextId,
        current: ThreadId,
        object: Cap,
    ) -> Outcome {
        match object {
            Cap::Tcb(thread) => {
                if self.context(context).thread != Some(thread) || thread == current {
                    return Err(Error::IllegalOperation);
                }
                self.take_context(thread);
                DONE
            }
            Cap::Notification { notification, .. } => {
                if self.context(context).notification != Some(notification) {
                    return Err(Error::IllegalOperation);
                }
                self.unbind_notification(context);
                DONE
            }
            _ => Err(Error::InvalidCapability(1)),
        }
    }

    fn invoke_vspace(
        &mut self,
        m: &mut impl Machine,
        current: ThreadId,
        owner: ThreadId,
        info: MessageInfo,
    ) -> Outcome {
        let operation = match info.label() {
            VSPACE_CLEAN => CacheOperation::Clean,
            VSPACE_INVALIDATE => CacheOperation::Invalidate,
            VSPACE_CLEAN_INVALIDATE => CacheOperation::CleanInvalidate,
            VSPACE_UNIFY => CacheOperation::Unify,
            _ => return Err(Error::IllegalOperation),
        };
        let [start, end] = self
            .arguments(m, current, info)
            .ok_or(Error::TruncatedMessage)?;
        if end <= start {
            return Err(Error::InvalidArgument(1));
        }
        if end > USER_TOP {
            return Err(Error::IllegalOperation);
        }
        let Some(size) = m.page_size(owner, start) else {
            return DONE;
        };
        let page = start & !(size - 1);
        if end > page + size {
            return Err(Error::Range {
                min: start,
                max: page + size - 1,
            });
        }
        m.maintain_caches(operation, owner, start, end);
        DONE
    }

    fn invoke_smc(
        &mut self,
        m: &mut impl Machine,
        current: ThreadId,
        info: MessageInfo,
    ) -> Outcome {
        if info.label() != SMC_CALL {
            return Err(Error::IllegalOperation);
        }
        let arguments = self
            .arguments(m, current, info)
            .ok_or(Error::TruncatedMessage)?;
        Ok(Answer::from_words(&m.secure_monitor_call(arguments)))
    }
}
