// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The kernel's objects, and the events that change them.
//!
//! The machine part calls one of [`Kernel::syscall`], [`Kernel::fault`], [`Kernel::interrupt`] and
//! [`Kernel::tick`] with the current thread's registers stored, then [`Kernel::schedule`] to learn whose
//! registers to load and when to interrupt next.
//!
//! Invariants:
//! - A thread is in at most one of: an object's queue, the ready queues, the release queue.
//! - The current thread is in none of them.
//! - `thread.sched_context` and `sched_context.thread` name each other or nothing.

use crate::cap::{Cap, Cspaces};
use crate::fault::Fault;
use crate::ids::{EndpointId, NotificationId, PDS_MAX, ReplyId, SchedContextId, ThreadId};
use crate::machine::Machine;
use crate::queue::ThreadQueue;
use crate::refill::SchedContext;
use crate::registers::Registers;
use crate::schedule::{Action, ReadyQueues};

/// Interrupt lines that a PD may have, and those before them.
pub const IRQS_MAX: usize = 160;

/// What a thread is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Stopped until somebody resumes it.
    Inactive,
    /// Goes on after the system call or exception that it came from.
    Running,
    /// Executes the instruction at `fault_ip` (again).
    Restart,
    /// Waits for a message.
    Receiving {
        endpoint: EndpointId,
        reply: Option<ReplyId>,
    },
    /// Waits for somebody to take its message.
    Sending {
        endpoint: EndpointId,
        badge: u64,
        call: bool,
    },
    /// Waits for the answer.
    Replying { reply: ReplyId },
    /// Waits for a signal.
    Waiting { notification: NotificationId },
}

/// Where a thread's faults are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultHandler {
    /// The parent's endpoint, or the monitor's.
    pub endpoint: EndpointId,
    /// How the parent knows the child.
    pub badge: u64,
}

/// A protection domain as the boot image describes it.
#[derive(Clone, Copy, Debug)]
pub struct PdConfig<'a> {
    /// For messages only.
    pub name: &'a [u8],
    /// 0 to 254.
    pub priority: u8,
    /// Ticks.
    pub budget: u64,
    /// Ticks; at least the budget.
    pub period: u64,
    /// First instruction.
    pub entry: u64,
    /// Initial stack pointer.
    pub stack_top: u64,
    /// Whether floating point is allowed.
    pub fpu: bool,
    /// Who hears of faults.
    pub fault_handler: FaultHandler,
}

#[derive(Clone, Copy)]
pub(crate) struct Thread {
    pub name: [u8; 64],
    pub priority: u8,
    pub state: State,
    pub registers: Registers,
    pub fault: Option<Fault>,
    pub fault_handler: FaultHandler,
    pub sched_context: Option<SchedContextId>,
    pub fpu: bool,
    /// In the ready queue of its priority.
    pub queued: bool,
    /// In the release queue: its budget is used up.
    pub releasing: bool,
}

impl Thread {
    const NONE: Self = Self {
        name: [0; 64],
        priority: 0,
        state: State::Inactive,
        registers: Registers::ZERO,
        fault: None,
        fault_handler: FaultHandler {
            endpoint: EndpointId::MONITOR,
            badge: 0,
        },
        sched_context: None,
        fpu: true,
        queued: false,
        releasing: false,
    };

    pub(crate) fn is_runnable(&self) -> bool {
        matches!(self.state, State::Running | State::Restart)
    }

    pub(crate) fn name(&self) -> &str {
        let end = self
            .name
            .iter()
            .position(|&byte| byte == 0)
            .unwrap_or(self.name.len());
        // A name cut inside a character shows what is whole.
        match core::str::from_utf8(&self.name[..end]) {
            Ok(name) => name,
            Err(error) => core::str::from_utf8(&self.name[..error.valid_up_to()]).unwrap_or("?"),
        }
    }
}

/// Senders or receivers, never both.
#[derive(Clone, Copy)]
pub(crate) struct Endpoint {
    pub queue: ThreadQueue,
    /// What the threads in the queue want; meaningless while it is empty.
    pub receivers: bool,
}

#[derive(Clone, Copy)]
pub(crate) struct Notification {
    pub queue: ThreadQueue,
    /// Bits that nobody has received yet. A badge may be 0, hence the option.
    pub pending: Option<u64>,
    /// Lent to the thread that a signal wakes.
    pub sched_context: Option<SchedContextId>,
}

/// What comes after a reply object in the chain of calls: towards the newest callee.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Reply(ReplyId),
    SchedContext(SchedContextId),
}

#[derive(Clone, Copy)]
pub(crate) struct Reply {
    /// The thread that waits for an answer, or that receives with this object.
    pub thread: Option<ThreadId>,
    pub previous: Option<ReplyId>,
    pub next: Option<Next>,
}

/// Whom an interrupt line signals.
#[derive(Clone, Copy)]
pub(crate) struct IrqLine {
    pub notification: NotificationId,
    pub badge: u64,
}

/// All kernel state.
pub struct Kernel {
    pub(crate) threads: [Thread; PDS_MAX],
    pub(crate) sched_contexts: [SchedContext; PDS_MAX],
    pub(crate) endpoints: [Endpoint; PDS_MAX + 1],
    pub(crate) notifications: [Notification; PDS_MAX],
    pub(crate) replies: [Reply; PDS_MAX],
    pub(crate) cspaces: Cspaces,
    pub(crate) irqs: [Option<IrqLine>; IRQS_MAX],
    pub(crate) pd_count: usize,

    pub(crate) current: Option<ThreadId>,
    pub(crate) current_context: Option<SchedContextId>,
    pub(crate) action: Action,
    pub(crate) ready: ReadyQueues,
    pub(crate) release: ThreadQueue,
    pub(crate) now: u64,
    /// Ticks that the current context has used and that are not booked yet.
    pub(crate) consumed: u64,
    pub(crate) ticks_per_us: u64,
    /// A message to the monitor that it has not looked at yet.
    pub(crate) monitor_inbox: Option<crate::monitor::Letter>,
}

/// Why a system cannot be set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetupError {
    /// More PDs than there is room for.
    TooManyPds,
    /// A capability slot that is taken or does not exist, or too many capabilities.
    Slot,
    /// An interrupt number that does not exist.
    Irq,
}

impl Kernel {
    /// A kernel without PDs.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            threads: [Thread::NONE; PDS_MAX],
            sched_contexts: [SchedContext::NONE; PDS_MAX],
            endpoints: [Endpoint {
                queue: ThreadQueue::EMPTY,
                receivers: false,
            }; PDS_MAX + 1],
            notifications: [Notification {
                queue: ThreadQueue::EMPTY,
                pending: None,
                sched_context: None,
            }; PDS_MAX],
            replies: [Reply {
                thread: None,
                previous: None,
                next: None,
            }; PDS_MAX],
            cspaces: Cspaces::EMPTY,
            irqs: [None; IRQS_MAX],
            pd_count: 0,
            current: None,
            current_context: None,
            action: Action::Choose,
            ready: ReadyQueues::EMPTY,
            release: ThreadQueue::EMPTY,
            now: 0,
            consumed: 0,
            ticks_per_us: 1,
            monitor_inbox: None,
        }
    }

    /// Sets the time at boot and the system counter's rate. Call before adding PDs.
    pub fn set_clock(&mut self, now: u64, ticks_per_us: u64) {
        self.now = now;
        self.ticks_per_us = ticks_per_us.max(1);
    }

    /// Adds a PD, ready to run. Call in the image's order: PDs of equal priority start in it.
    ///
    /// # Errors
    /// If there are too many.
    pub fn add_pd(&mut self, pd: &PdConfig<'_>) -> Result<ThreadId, SetupError> {
        if self.pd_count == PDS_MAX {
            return Err(SetupError::TooManyPds);
        }
        let index = self.pd_count as u8;
        self.pd_count += 1;
        let (thread, context) = (ThreadId(index), SchedContextId(index));
        let budget_min = self.budget_min();
        let mut sched_context = SchedContext::new(pd.budget, pd.period, budget_min, self.now);
        sched_context.thread = Some(thread);
        self.sched_contexts[context.index()] = sched_context;
        let tcb = self.thread_mut(thread);
        let length = pd.name.len().min(tcb.name.len());
        tcb.name[..length].copy_from_slice(&pd.name[..length]);
        tcb.priority = pd.priority;
        tcb.registers.sp = pd.stack_top;
        tcb.registers.fault_ip = pd.entry;
        tcb.registers.next_ip = pd.entry;
        tcb.fault_handler = pd.fault_handler;
        tcb.sched_context = Some(context);
        tcb.fpu = pd.fpu;
        tcb.state = State::Restart;
        self.enqueue_last(thread);
        Ok(thread)
    }

    /// Puts a capability into a PD's slot; user slot `s` is 512 plus `s`.
    ///
    /// # Errors
    /// If the slot is not free.
    pub fn install_cap(&mut self, pd: ThreadId, slot: usize, cap: Cap) -> Result<(), SetupError> {
        if self.cspaces.install(pd, slot, cap) {
            Ok(())
        } else {
            Err(SetupError::Slot)
        }
    }

    /// Makes an interrupt line signal a PD's notification.
    ///
    /// # Errors
    /// If there is no such line.
    pub fn add_irq(&mut self, irq: u32, pd: ThreadId, badge: u64) -> Result<(), SetupError> {
        let line = self.irqs.get_mut(irq as usize).ok_or(SetupError::Irq)?;
        *line = Some(IrqLine {
            notification: NotificationId(pd.0),
            badge,
        });
        Ok(())
    }

    /// The thread whose registers are on the processor, unless it idles.
    #[must_use]
    pub fn current(&self) -> Option<ThreadId> {
        self.current
    }

    /// A thread's saved registers.
    #[must_use]
    pub fn registers(&self, thread: ThreadId) -> &Registers {
        &self.threads[thread.index()].registers
    }

    /// A thread's saved registers, for the machine part to store them.
    pub fn registers_mut(&mut self, thread: ThreadId) -> &mut Registers {
        &mut self.threads[thread.index()].registers
    }

    /// Whether a thread may use floating point now.
    #[must_use]
    pub fn may_use_fpu(&self, thread: ThreadId) -> bool {
        self.threads[thread.index()].fpu
    }

    /// A thread's PD name.
    #[must_use]
    pub fn name(&self, thread: ThreadId) -> &str {
        self.threads[thread.index()].name()
    }

    /// The current thread trapped.
    pub fn fault(&mut self, m: &mut impl Machine, now: u64, fault: Fault) {
        self.enter(now);
        if let Some(current) = self.current
            && self.check_budget_or_restart()
        {
            self.handle_fault(m, current, fault);
        }
        self.run_monitor(m);
    }

    /// An interrupt line wants attention. It stays masked until a PD acknowledges it.
    pub fn interrupt(&mut self, m: &mut impl Machine, now: u64, irq: u32) {
        self.enter(now);
        self.check_budget();
        m.mask_irq(irq);
        match self.irqs.get(irq as usize).copied().flatten() {
            Some(line) => self.signal(line.notification, line.badge),
            None => m.print(format_args!(
                "KERNEL|DEBUG: interrupt {irq} belongs to nobody\n"
            )),
        }
    }

    /// The time that [`Kernel::schedule`] named has come.
    pub fn tick(&mut self, now: u64) {
        self.enter(now);
        self.check_budget();
    }

    pub(crate) fn thread(&self, thread: ThreadId) -> &Thread {
        &self.threads[thread.index()]
    }

    pub(crate) fn thread_mut(&mut self, thread: ThreadId) -> &mut Thread {
        &mut self.threads[thread.index()]
    }

    pub(crate) fn context(&self, context: SchedContextId) -> &SchedContext {
        &self.sched_contexts[context.index()]
    }

    pub(crate) fn context_mut(&mut self, context: SchedContextId) -> &mut SchedContext {
        &mut self.sched_contexts[context.index()]
    }

    pub(crate) fn reply_mut(&mut self, reply: ReplyId) -> &mut Reply {
        &mut self.replies[reply.index()]
    }

    /// Says on the debug console what a thread did wrong, as seL4's debug kernel does.
    pub(crate) fn complain(&self, m: &mut impl Machine, thread: ThreadId, text: &str) {
        let tcb = self.thread(thread);
        let (name, ip) = (tcb.name(), tcb.registers.fault_ip);
        m.print(format_args!("KERNEL|DEBUG: {name} at {ip:#x}: {text}\n"));
    }
}

impl Default for Kernel {
    fn default() -> Self {
        Self::new()
    }
}
