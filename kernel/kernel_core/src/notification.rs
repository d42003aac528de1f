// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Notifications: words of bits, bound to the thread of the same PD.

use crate::ids::{NotificationId, ThreadId};
use crate::kernel::{Kernel, State};

impl Kernel {
    /// Microkit binds every PD's notification to its thread.
    pub(crate) fn bound_notification(&self, thread: ThreadId) -> NotificationId {
        NotificationId(thread.0)
    }

    fn bound_thread(&self, notification: NotificationId) -> ThreadId {
        ThreadId(notification.0)
    }

    /// Sets bits, or hands them to whoever waits.
    pub(crate) fn signal(&mut self, notification: NotificationId, badge: u64) {
        let object = &mut self.notifications[notification.index()];
        if let Some(pending) = &mut object.pending {
            *pending |= badge;
            return;
        }
        if let Some(waiter) = object.queue.first() {
            object.queue.remove(waiter);
            self.wake_by_signal(notification, waiter, badge);
            return;
        }
        let bound = self.bound_thread(notification);
        if matches!(self.thread(bound).state, State::Receiving { .. }) {
            self.cancel_ipc(bound);
            self.wake_by_signal(notification, bound, badge);
        } else {
            self.notifications[notification.index()].pending = Some(badge);
        }
    }

    fn wake_by_signal(&mut self, notification: NotificationId, thread: ThreadId, badge: u64) {
        self.set_state(thread, State::Running);
        self.thread_mut(thread).registers.x[0] = badge;
        self.lend_context(notification, thread);
        if self.is_schedulable(thread) {
            self.possibly_switch_to(thread);
        }
    }

    /// Receives pending bits, if there are any.
    pub(crate) fn complete_signal(
        &mut self,
        notification: NotificationId,
        thread: ThreadId,
    ) -> bool {
        let Some(badge) = self.notifications[notification.index()].pending.take() else {
            return false;
        };
        self.thread_mut(thread).registers.x[0] = badge;
        self.lend_context(notification, thread);
        true
    }

    /// Waits for a signal.
    pub(crate) fn wait(&mut self, thread: ThreadId, notification: NotificationId, blocking: bool) {
        if self.complete_signal(notification, thread) {
            return;
        }
        if !blocking {
            self.thread_mut(thread).registers.x[0] = 0;
            return;
        }
        self.return_context(notification, thread);
        let mut queue = self.notifications[notification.index()].queue;
        self.insert_by_priority(&mut queue, thread);
        self.notifications[notification.index()].queue = queue;
        self.set_state(thread, State::Waiting { notification });
    }

    /// Gives the notification's scheduling context to a thread that has none.
    fn lend_context(&mut self, notification: NotificationId, thread: ThreadId) {
        if self.thread(thread).sched_context.is_some() {
            return;
        }
        if let Some(context) = self.notifications[notification.index()].sched_context
            && self.context(context).thread.is_none()
        {
            self.donate(context, thread);
            if Some(context) != self.current_context {
                let now = self.now;
                self.context_mut(context).unblock(now);
            }
            self.resume_context(context);
        }
    }

    /// Takes back what [`Kernel::lend_context`] gave, when the thread goes to wait again.
    pub(crate) fn return_context(&mut self, notification: NotificationId, thread: ThreadId) {
        let lent = self.notifications[notification.index()].sched_context;
        if lent.is_some() && lent == self.thread(thread).sched_context {
            self.take_context(thread);
        }
    }
}
