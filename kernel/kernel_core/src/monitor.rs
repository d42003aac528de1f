// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The part of Microkit's monitor, which the kernel plays itself: it hears of faults of root PDs and
//! makes PDs passive.
//!
//! The real monitor has the highest priority and receives again at once, so whoever sends to it has
//! been dealt with before any PD runs. It never answers; its next receive makes a caller (or a PD
//! that faulted) inactive. So the only state is one letter, within one kernel entry.

use crate::fault::Fault;
use crate::ids::{NotificationId, SchedContextId, ThreadId};
use crate::ipc::SendMode;
use crate::kernel::{Kernel, State};
use crate::machine::Machine;
use crate::message::MessageInfo;
use crate::registers::REGISTER_COUNT;

/// A message to the monitor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Letter {
    badge: u64,
    label: u64,
    fault: Option<Fault>,
}

/// Names of the words of a user context, three a line.
const REGISTER_NAMES: [&str; REGISTER_COUNT as usize] = [
    "pc",
    "sp",
    "spsr",
    "x0",
    "x1",
    "x2",
    "x3",
    "x4",
    "x5",
    "x6",
    "x7",
    "x8",
    "x16",
    "x17",
    "x18",
    "x29",
    "x30",
    "x9",
    "x10",
    "x11",
    "x12",
    "x13",
    "x14",
    "x15",
    "x19",
    "x20",
    "x21",
    "x22",
    "x23",
    "x24",
    "x25",
    "x26",
    "x27",
    "x28",
    "tpidr_el0",
    "tpidrro_el0",
];

impl Kernel {
    pub(crate) fn send_to_monitor(
        &mut self,
        m: &mut impl Machine,
        sender: ThreadId,
        badge: u64,
        mode: SendMode,
    ) {
        let fault = self.thread(sender).fault;
        let label = MessageInfo::from_word(self.thread(sender).registers.x[1]).label();
        // One kernel entry sends at most one message to the monitor.
        if self.monitor_inbox.is_some() {
            m.stop(format_args!("two messages to the monitor at once"));
        }
        self.monitor_inbox = Some(Letter {
            badge,
            label,
            fault,
        });
        if mode.call || fault.is_some() {
            self.set_state(sender, State::Inactive);
            self.thread_mut(sender).fault = None;
        }
    }

    /// Runs the monitor, if somebody wrote to it. Called at the end of every kernel entry.
    pub(crate) fn run_monitor(&mut self, m: &mut impl Machine) {
        let Some(letter) = self.monitor_inbox.take() else {
            return;
        };
        let index = letter.badge.wrapping_sub(1);
        if index >= self.pd_count as u64 {
            m.print(format_args!("MON|ERROR: unknown/invalid badge\n"));
            return;
        }
        let thread = ThreadId(index as u8);
        match letter.fault {
            None if letter.label == 0 => self.make_passive(m, thread),
            None => {
                let name = self.name(thread);
                m.print(format_args!(
                    "MON|ERROR: received message {:#x} from PD: {name}\n",
                    letter.label
                ));
            }
            Some(fault) => self.report_fault(m, thread, fault),
        }
    }

    fn make_passive(&mut self, m: &mut impl Machine, thread: ThreadId) {
        let notification = NotificationId(thread.0);
        let context = SchedContextId(thread.0);
        if !self.bind_notification(context, notification) {
            m.print(format_args!(
                "MON|ERROR: could not bind scheduling context to notification object\n"
            ));
            return;
        }
        m.print(format_args!(
            "MON|INFO: PD '{}' is now passive!\n",
            self.name(thread)
        ));
    }

    fn report_fault(&self, m: &mut impl Machine, thread: ThreadId, fault: Fault) {
        let registers = self.registers(thread);
        let name = self.name(thread);
        m.print(format_args!(
            "MON|ERROR: faulting PD: {name}\nMON|ERROR: {fault:x?}\n"
        ));
        for (index, name) in REGISTER_NAMES.iter().enumerate() {
            let end = if index % 3 == 2 { '\n' } else { ' ' };
            m.print(format_args!(
                "{name:>11}: {:#018x}{end}",
                registers.get(index as u64)
            ));
        }
    }
}
