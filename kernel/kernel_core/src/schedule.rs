// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Who runs next: fixed priorities, preemption at every entry, round robin among equals, budgets.

use crate::ids::{SchedContextId, ThreadId};
use crate::kernel::{Kernel, State};
use crate::queue::ThreadQueue;

/// Least budget with which it is worth to run a thread, as in seL4.
const BUDGET_MIN_US: u64 = 20;
const PRIORITIES: usize = 256;

/// What the scheduler has to do when the kernel is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Go on with the current thread.
    Resume,
    /// Consider one thread that became runnable.
    Candidate(ThreadId),
    /// Look through the queues.
    Choose,
}

/// Runnable threads by priority.
pub(crate) struct ReadyQueues {
    queues: [ThreadQueue; PRIORITIES],
    /// Bit p of word p / 64: queue p is not empty.
    occupied: [u64; PRIORITIES / 64],
}

impl ReadyQueues {
    pub(crate) const EMPTY: Self = Self {
        queues: [ThreadQueue::EMPTY; PRIORITIES],
        occupied: [0; PRIORITIES / 64],
    };

    fn highest(&self) -> Option<u8> {
        let word = self.occupied.iter().rposition(|&word| word != 0)?;
        Some((word * 64 + 63 - self.occupied[word].leading_zeros() as usize) as u8)
    }

    fn queue(&mut self, priority: u8) -> &mut ThreadQueue {
        &mut self.queues[usize::from(priority)]
    }

    fn note(&mut self, priority: u8) {
        let (word, bit) = (usize::from(priority) / 64, priority % 64);
        if self.queues[usize::from(priority)].is_empty() {
            self.occupied[word] &= !(1 << bit);
        } else {
            self.occupied[word] |= 1 << bit;
        }
    }
}

/// What the machine shall do until the next event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    /// Run this thread, or wait for an interrupt.
    pub thread: Option<ThreadId>,
    /// Call [`Kernel::tick`] at this time at the latest.
    pub deadline: Option<u64>,
}

impl Kernel {
    pub(crate) fn budget_min(&self) -> u64 {
        BUDGET_MIN_US * self.ticks_per_us
    }

    /// Books the time since the last event on the current context.
    pub(crate) fn enter(&mut self, now: u64) {
        if self.current_context.is_some() {
            self.consumed += now.saturating_sub(self.now);
        }
        self.now = self.now.max(now);
    }

    /// Ends the current thread's slice if its budget is used up. Returns whether it goes on.
    pub(crate) fn check_budget(&mut self) -> bool {
        let Some(context) = self.current_context else {
            return true;
        };
        if self.context(context).is_sufficient(self.consumed) {
            return true;
        }
        self.charge(context, self.consumed);
        false
    }

    /// Like [`Kernel::check_budget`]; a thread whose time is over repeats its system call later.
    pub(crate) fn check_budget_or_restart(&mut self) -> bool {
        let goes_on = self.check_budget();
        if let Some(current) = self.current
            && !goes_on
            && self.thread(current).is_runnable()
        {
            self.set_state(current, State::Restart);
        }
        goes_on
    }

    fn charge(&mut self, context: SchedContextId, usage: u64) {
        let consumed = self.consumed;
        let sched_context = self.context_mut(context);
        sched_context.charge(usage);
        sched_context.consumed += consumed;
        self.consumed = 0;
        let Some(current) = self.current else { return };
        if !self.is_schedulable(current) {
            return;
        }
        if self.context(context).is_ready(self.now) {
            self.enqueue_last(current);
        } else {
            self.postpone(context);
        }
        self.reschedule();
    }

    /// The current thread gives the rest of its slice away.
    pub(crate) fn yield_slice(&mut self) {
        let Some(context) = self.current_context else {
            return;
        };
        self.charge(context, self.context(context).head_amount());
    }

    pub(crate) fn is_schedulable(&self, thread: ThreadId) -> bool {
        let tcb = self.thread(thread);
        tcb.is_runnable() && tcb.sched_context.is_some() && !tcb.releasing
    }

    pub(crate) fn set_state(&mut self, thread: ThreadId, state: State) {
        self.thread_mut(thread).state = state;
        if self.current == Some(thread)
            && self.action == Action::Resume
            && !self.is_schedulable(thread)
        {
            self.reschedule();
        }
    }

    /// Drops the idea of whom to run: the queues decide.
    pub(crate) fn reschedule(&mut self) {
        if let Action::Candidate(candidate) = self.action
            && self.is_schedulable(candidate)
        {
            self.enqueue_first(candidate);
        }
        self.action = Action::Choose;
    }

    /// A thread became runnable.
    pub(crate) fn possibly_switch_to(&mut self, thread: ThreadId) {
        let tcb = self.thread(thread);
        if tcb.sched_context.is_none() || tcb.releasing {
            return;
        }
        if self.action == Action::Resume {
            self.action = Action::Candidate(thread);
        } else {
            self.reschedule();
            self.enqueue_first(thread);
        }
    }

    pub(crate) fn enqueue_first(&mut self, thread: ThreadId) {
        self.enqueue(thread, true);
    }

    pub(crate) fn enqueue_last(&mut self, thread: ThreadId) {
        self.enqueue(thread, false);
    }

    fn enqueue(&mut self, thread: ThreadId, first: bool) {
        let tcb = self.thread_mut(thread);
        if tcb.queued {
            return;
        }
        tcb.queued = true;
        let priority = tcb.priority;
        let queue = self.ready.queue(priority);
        if first {
            queue.insert(0, thread);
        } else {
            queue.push(thread);
        }
        self.ready.note(priority);
    }

    /// Takes a thread out of the ready queues.
    pub(crate) fn dequeue(&mut self, thread: ThreadId) {
        let tcb = self.thread_mut(thread);
        if !tcb.queued {
            return;
        }
        tcb.queued = false;
        let priority = tcb.priority;
        self.ready.queue(priority).remove(thread);
        self.ready.note(priority);
    }

    /// Takes a thread out of the release queue.
    pub(crate) fn stop_releasing(&mut self, thread: ThreadId) {
        if core::mem::take(&mut self.thread_mut(thread).releasing) {
            self.release.remove(thread);
        }
    }

    /// Lets the context's thread wait for its next refill.
    pub(crate) fn postpone(&mut self, context: SchedContextId) {
        let Some(thread) = self.context(context).thread else {
            return;
        };
        self.dequeue(thread);
        if !self.thread(thread).releasing {
            self.thread_mut(thread).releasing = true;
            self.release.push(thread);
        }
        if self.current == Some(thread) || self.action == Action::Candidate(thread) {
            self.reschedule();
        }
    }

    /// Checks whether a context that got a runnable thread may run at once.
    pub(crate) fn resume_context(&mut self, context: SchedContextId) {
        if let Some(thread) = self.context(context).thread
            && self.is_schedulable(thread)
            && !self.context(context).is_ready(self.now)
        {
            self.postpone(context);
        }
    }

    /// Gives a context to a thread, taking it from whoever has it.
    pub(crate) fn donate(&mut self, context: SchedContextId, to: ThreadId) {
        if let Some(from) = self.context(context).thread {
            self.take_context(from);
        }
        self.context_mut(context).thread = Some(to);
        self.thread_mut(to).sched_context = Some(context);
    }

    /// Leaves a thread without a scheduling context.
    pub(crate) fn take_context(&mut self, thread: ThreadId) {
        self.dequeue(thread);
        self.stop_releasing(thread);
        if let Some(context) = self.thread_mut(thread).sched_context.take() {
            self.context_mut(context).thread = None;
        }
        if self.current == Some(thread) || self.action == Action::Candidate(thread) {
            self.reschedule();
        }
    }

    /// Decides who runs. The machine loads that thread's registers and sets its timer.
    pub fn schedule(&mut self) -> Next {
        self.awaken();
        self.choose();
        self.action = Action::Resume;
        self.switch_context();
        if let Some(current) = self.current
            && self.thread(current).state == State::Restart
        {
            let tcb = self.thread_mut(current);
            tcb.registers.next_ip = tcb.registers.fault_ip;
            tcb.state = State::Running;
        }
        Next {
            thread: self.current,
            deadline: self.deadline(),
        }
    }

    /// Releases the threads whose budget has come back.
    fn awaken(&mut self) {
        while let Some(thread) = self.released() {
            self.stop_releasing(thread);
            self.possibly_switch_to(thread);
        }
    }

    fn released(&self) -> Option<ThreadId> {
        self.release.iter().find(|&thread| {
            let context = self.thread(thread).sched_context;
            context.is_some_and(|context| self.context(context).is_ready(self.now))
        })
    }

    fn choose(&mut self) {
        if self.action == Action::Resume {
            return;
        }
        let runnable = self.current.filter(|&current| self.is_schedulable(current));
        if let Some(current) = runnable {
            self.enqueue_first(current);
        }
        if let Action::Candidate(candidate) = self.action
            && self.is_schedulable(candidate)
        {
            let priority = self.thread(candidate).priority;
            let current_priority = self.current.map(|current| self.thread(current).priority);
            if runnable.is_some() && current_priority == Some(priority) {
                self.enqueue_last(candidate);
            } else {
                self.enqueue_first(candidate);
            }
        }
        self.current = None;
        if let Some(priority) = self.ready.highest()
            && let Some(thread) = self.ready.queue(priority).first()
        {
            self.dequeue(thread);
            self.current = Some(thread);
        }
    }

    /// Books the used time if another context begins to run.
    fn switch_context(&mut self) {
        let new = self
            .current
            .and_then(|current| self.thread(current).sched_context);
        if new == self.current_context {
            return;
        }
        let consumed = core::mem::take(&mut self.consumed);
        if let Some(old) = self.current_context {
            self.context_mut(old).commit(consumed);
        }
        if let Some(new) = new {
            let now = self.now;
            self.context_mut(new).unblock(now);
        }
        self.current_context = new;
    }

    fn deadline(&self) -> Option<u64> {
        let slice = self.current_context.map(|context| {
            let amount = self.context(context).head_amount();
            self.now + amount.saturating_sub(self.consumed)
        });
        let released = self
            .release
            .iter()
            .filter_map(|thread| self.thread(thread).sched_context)
            .map(|context| self.context(context).release_time())
            .min();
        slice.into_iter().chain(released).min()
    }
}
