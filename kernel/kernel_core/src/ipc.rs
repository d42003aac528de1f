// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Messages: endpoints, reply objects and the chain of scheduling contexts that follows the calls.
//!
//! A queue at an endpoint is ordered by priority, first come first served within one. A message goes
//! straight from sender to receiver; nothing is buffered in the kernel.

use crate::ids::{EndpointId, ReplyId, ThreadId};
use crate::kernel::{Kernel, Next, State};
use crate::machine::Machine;
use crate::message::{BUFFER_MESSAGE, FIRST_REGISTER, MessageInfo, REGISTER_WORDS};
use crate::queue::ThreadQueue;

/// How a message is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SendMode {
    /// Wait for a receiver.
    pub blocking: bool,
    /// Wait for an answer.
    pub call: bool,
}

impl SendMode {
    pub(crate) const FAULT: Self = Self {
        blocking: true,
        call: false,
    };
}

impl Kernel {
    /// Word `index` of the message that `thread` sends.
    pub(crate) fn message_word(&self, m: &impl Machine, thread: ThreadId, index: u64) -> u64 {
        if index < REGISTER_WORDS {
            self.thread(thread).registers.x[FIRST_REGISTER + index as usize]
        } else {
            m.ipc_word(thread, BUFFER_MESSAGE + index as usize)
        }
    }

    /// Sets word `index` of the message that `thread` receives.
    pub(crate) fn set_message_word(
        &mut self,
        m: &mut impl Machine,
        thread: ThreadId,
        index: u64,
        value: u64,
    ) {
        if index < REGISTER_WORDS {
            self.thread_mut(thread).registers.x[FIRST_REGISTER + index as usize] = value;
        } else {
            m.set_ipc_word(thread, BUFFER_MESSAGE + index as usize, value);
        }
    }

    /// Sets badge and message info of a receiver.
    pub(crate) fn deliver(&mut self, receiver: ThreadId, badge: u64, info: MessageInfo) {
        let registers = &mut self.thread_mut(receiver).registers;
        registers.x[0] = badge;
        registers.x[1] = info.word();
    }

    fn transfer_message(
        &mut self,
        m: &mut impl Machine,
        sender: ThreadId,
        badge: u64,
        receiver: ThreadId,
    ) {
        let info = MessageInfo::from_word(self.thread(sender).registers.x[1]);
        for index in 0..info.length() {
            let word = self.message_word(m, sender, index);
            self.set_message_word(m, receiver, index, word);
        }
        self.deliver(
            receiver,
            badge,
            MessageInfo::new(info.label(), info.length()),
        );
    }

    /// Moves a message or a fault from a sender to a receiver.
    fn transfer(&mut self, m: &mut impl Machine, sender: ThreadId, badge: u64, receiver: ThreadId) {
        match self.thread(sender).fault {
            Some(fault) => self.transfer_fault(m, sender, fault, badge, receiver),
            None => self.transfer_message(m, sender, badge, receiver),
        }
    }

    /// Puts a thread into a queue behind those of its priority.
    pub(crate) fn insert_by_priority(&self, queue: &mut ThreadQueue, thread: ThreadId) {
        let priority = self.thread(thread).priority;
        let position = queue
            .iter()
            .take_while(|&other| self.thread(other).priority >= priority);
        queue.insert(position.count(), thread);
    }

    fn block_at(&mut self, thread: ThreadId, endpoint: EndpointId, state: State) {
        let mut queue = self.endpoints[endpoint.index()].queue;
        self.insert_by_priority(&mut queue, thread);
        let object = &mut self.endpoints[endpoint.index()];
        object.queue = queue;
        object.receivers = matches!(state, State::Receiving { .. });
        self.set_state(thread, state);
    }

    /// Sends the message (or fault) of `sender`.
    pub(crate) fn send(
        &mut self,
        m: &mut impl Machine,
        sender: ThreadId,
        endpoint: EndpointId,
        badge: u64,
        mode: SendMode,
        can_donate: bool,
    ) {
        if endpoint == EndpointId::MONITOR {
            self.send_to_monitor(m, sender, badge, mode);
            return;
        }
        let object = &mut self.endpoints[endpoint.index()];
        let receiver = object.queue.first().filter(|_| object.receivers);
        let Some(receiver) = receiver else {
            if mode.blocking {
                let state = State::Sending {
                    endpoint,
                    badge,
                    call: mode.call,
                };
                self.block_at(sender, endpoint, state);
            }
            return;
        };
        object.queue.remove(receiver);
        self.transfer(m, sender, badge, receiver);
        let reply = match self.thread(receiver).state {
            State::Receiving { reply, .. } => reply,
            _ => None,
        };
        if let Some(reply) = reply {
            self.unlink_reply(reply, receiver);
        }
        if mode.call || self.thread(sender).fault.is_some() {
            match reply {
                Some(reply) => self.push_reply(sender, receiver, reply, can_donate),
                None => self.set_state(sender, State::Inactive),
            }
        } else if can_donate
            && self.thread(receiver).sched_context.is_none()
            && let Some(context) = self.thread(sender).sched_context
        {
            self.donate(context, receiver);
        }
        self.set_state(receiver, State::Running);
        self.possibly_switch_to(receiver);
    }

    /// Receives a message, or the bound notification's signal if there is one.
    pub(crate) fn receive(
        &mut self,
        m: &mut impl Machine,
        receiver: ThreadId,
        endpoint: EndpointId,
        reply: Option<ReplyId>,
        blocking: bool,
    ) {
        if let Some(reply) = reply
            && let Some(caller) = self.reply_mut(reply).thread
            && caller != receiver
        {
            self.complain(m, receiver, "Reply object already has unexecuted reply!");
            self.cancel_ipc(caller);
        }
        let bound = self.bound_notification(receiver);
        if self.complete_signal(bound, receiver) {
            return;
        }
        if blocking {
            self.return_context(bound, receiver);
        }
        let object = &mut self.endpoints[endpoint.index()];
        let sender = object.queue.first().filter(|_| !object.receivers);
        let Some(sender) = sender else {
            if blocking {
                if let Some(reply) = reply {
                    self.reply_mut(reply).thread = Some(receiver);
                }
                self.block_at(receiver, endpoint, State::Receiving { endpoint, reply });
            } else {
                // Badge 0 says that nothing came.
                self.thread_mut(receiver).registers.x[0] = 0;
            }
            return;
        };
        object.queue.remove(sender);
        let (badge, call) = match self.thread(sender).state {
            State::Sending { badge, call, .. } => (badge, call),
            _ => (0, false),
        };
        self.transfer(m, sender, badge, receiver);
        if call || self.thread(sender).fault.is_some() {
            match reply {
                Some(reply) => {
                    let can_donate = self.thread(sender).sched_context.is_some();
                    self.push_reply(sender, receiver, reply, can_donate);
                }
                None => self.set_state(sender, State::Inactive),
            }
        } else {
            self.set_state(sender, State::Running);
            self.possibly_switch_to(sender);
        }
    }

    /// Answers the caller that `reply` holds; does nothing if there is none.
    pub(crate) fn reply(&mut self, m: &mut impl Machine, sender: ThreadId, reply: ReplyId) {
        let Some(receiver) = self.reply_mut(reply).thread else {
            return;
        };
        if !matches!(self.thread(receiver).state, State::Replying { .. }) {
            return;
        }
        self.remove_reply(reply, receiver);
        match self.thread(receiver).fault {
            None => {
                self.transfer_message(m, sender, 0, receiver);
                self.set_state(receiver, State::Running);
            }
            Some(fault) => {
                let restarts = self.handle_fault_reply(m, receiver, fault, sender);
                self.thread_mut(receiver).fault = None;
                let state = if restarts {
                    State::Restart
                } else {
                    State::Inactive
                };
                self.set_state(receiver, state);
            }
        }
        if self.thread(receiver).is_runnable()
            && let Some(context) = self.thread(receiver).sched_context
        {
            if self.context(context).is_ready(self.now) {
                self.possibly_switch_to(receiver);
            } else {
                self.postpone(context);
            }
        }
    }

    /// Takes a thread out of whatever it waits for and forgets its fault.
    pub(crate) fn cancel_ipc(&mut self, thread: ThreadId) {
        self.thread_mut(thread).fault = None;
        match self.thread(thread).state {
            State::Sending { endpoint, .. } => {
                self.endpoints[endpoint.index()].queue.remove(thread);
                self.set_state(thread, State::Inactive);
            }
            State::Receiving { endpoint, reply } => {
                self.endpoints[endpoint.index()].queue.remove(thread);
                if let Some(reply) = reply {
                    self.unlink_reply(reply, thread);
                }
                self.set_state(thread, State::Inactive);
            }
            State::Waiting { notification } => {
                self.notifications[notification.index()]
                    .queue
                    .remove(thread);
                self.set_state(thread, State::Inactive);
            }
            State::Replying { reply } => {
                self.break_chain(reply);
                self.unlink_reply(reply, thread);
            }
            State::Inactive | State::Running | State::Restart => {}
        }
    }

    /// Lets `caller` wait for `callee`, and lends it the caller's time if it has none.
    fn push_reply(&mut self, caller: ThreadId, callee: ThreadId, reply: ReplyId, can_donate: bool) {
        self.reply_mut(reply).thread = Some(caller);
        self.set_state(caller, State::Replying { reply });
        let Some(context) = self.thread(caller).sched_context else {
            return;
        };
        if !can_donate || self.thread(callee).sched_context.is_some() {
            return;
        }
        let previous = self.context(context).reply;
        if let Some(previous) = previous {
            self.reply_mut(previous).next = Some(Next::Reply(reply));
        }
        let object = self.reply_mut(reply);
        object.previous = previous;
        object.next = Some(Next::SchedContext(context));
        self.context_mut(context).reply = Some(reply);
        self.donate(context, callee);
    }

    fn unlink_reply(&mut self, reply: ReplyId, thread: ThreadId) {
        self.reply_mut(reply).thread = None;
        self.set_state(thread, State::Inactive);
    }

    /// Ends a call in the regular way: the newest of a chain gets its scheduling context back.
    fn remove_reply(&mut self, reply: ReplyId, caller: ThreadId) {
        if let Some(Next::SchedContext(context)) = self.reply_mut(reply).next {
            let object = self.reply_mut(reply);
            let previous = object.previous.take();
            object.next = None;
            self.context_mut(context).reply = previous;
            if let Some(previous) = previous {
                self.reply_mut(previous).next = Some(Next::SchedContext(context));
            }
            if self.thread(caller).sched_context.is_none() {
                self.donate(context, caller);
            }
        } else {
            self.break_chain(reply);
        }
        self.unlink_reply(reply, caller);
    }

    /// Cuts a reply object out of its chain; the context stays with whoever has it.
    fn break_chain(&mut self, reply: ReplyId) {
        let object = self.reply_mut(reply);
        let (previous, next) = (object.previous.take(), object.next.take());
        match next {
            Some(Next::SchedContext(context)) => self.context_mut(context).reply = None,
            Some(Next::Reply(next)) => self.reply_mut(next).previous = None,
            None => {}
        }
        if let Some(previous) = previous {
            self.reply_mut(previous).next = None;
        }
    }

    /// Stops a thread wherever it is.
    pub(crate) fn suspend(&mut self, thread: ThreadId) {
        self.cancel_ipc(thread);
        let tcb = self.thread_mut(thread);
        if tcb.state == State::Running {
            tcb.registers.fault_ip = tcb.registers.next_ip;
        }
        self.set_state(thread, State::Inactive);
        self.dequeue(thread);
        self.stop_releasing(thread);
    }

    /// Makes a thread that is stopped or blocked execute the instruction at its restart address.
    pub(crate) fn restart(&mut self, thread: ThreadId) {
        if self.thread(thread).is_runnable() {
            return;
        }
        self.cancel_ipc(thread);
        self.set_state(thread, State::Restart);
        if let Some(context) = self.thread(thread).sched_context {
            self.resume_context(context);
        }
        if self.is_schedulable(thread) {
            self.possibly_switch_to(thread);
        }
    }
}
