// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! A supervisor: receives its children's faults, notices their hangs, asks the library what to do, and
//! does it.
//!
//! The same program is every supervisor of the tree; which children it has is in its topology
//! table. It may die at any of its fault points: its parent restarts it, and it takes up again
//! what its records say.

#![no_std]
#![no_main]

extern crate alloc;

mod asker;
mod reporter;
mod supervised;
mod ticks;
mod watch;
mod watchdog;

use alloc::{vec, vec::Vec};

use black_box::Action;
use log::{error, info};
use microkit_abi::{first_reply, labels, message, psci, slots, syscalls, tcb};
use policy::Policy;
use recovery::fault_point;
use reporter::Reporter;
use sel4_microkit::{
    ChannelSet, Child, Handler, Infallible, MessageInfo, protection_domain, with_msg_regs,
};
use supervised::{Supervised, supervise};
use supervisor_service::{
    extent::Extent,
    fault::Fault,
    state::State,
    tree::{ChildState, Decision, Phase, Tree},
};
use topology::Topology;
use watch::{Noticed, Watch, now_ms};
use watchdog::Watchdog;

struct Supervisor {
    tree: Tree,
    children: Vec<Supervised>,
    state: Option<State>,
    reporter: Reporter,
    watch: Watch,
    watchdog: Option<Watchdog>,
}

#[protection_domain(stack_size = 0x4000, heap_size = 0x20000)]
fn init() -> impl Handler {
    pd_setup::log();
    first_reply::set_empty();
    let topology = pd_setup::topology();
    let policy = policy(&topology);
    let mut reporter = Reporter::new(&topology);
    let mut watch = Watch::new();
    let (mut children, mut states) = (Vec::new(), Vec::new());
    for child in topology.children() {
        match supervise(&topology, child) {
            Ok(supervised) => {
                let data = supervised.data.as_shared_ref();
                reporter.add(&topology, &child, &supervised.image, data);
                watch.add(&topology, &child, policy.of(child.name));
                children.push(supervised);
                states.push(ChildState::new(policy.of(child.name)));
            }
            Err(cause) => error!("{}: not started: {cause}", child.name),
        }
    }
    watch.start(&topology);
    let tree = Tree {
        strategy: policy.of(topology.name()).strategy,
        children: states,
    };
    let mut supervisor = Supervisor {
        tree,
        children,
        state: None,
        reporter,
        watch,
        watchdog: None,
    };
    supervisor.take_up(&topology);
    info!(
        "supervising {} protection domains",
        supervisor.children.len()
    );
    // Without ticks there would be nobody to remind us of it.
    if supervisor.watch.has_ticks() {
        supervisor.watchdog = Watchdog::start(&topology, now_ms());
    }
    recovery::ready();
    supervisor
}

/// The system's policy, or the defaults where system.xml gives this PD none.
fn policy(topology: &Topology<'static>) -> Policy<'static> {
    let Some(region) = topology.region("policy") else {
        return Policy::EMPTY;
    };
    let region = pd_setup::reads(&region);
    let mut bytes = vec![0; region.len()];
    region.read_bytes(0, &mut bytes);
    Policy::parse(bytes.leak()).unwrap_or_else(|error| panic!("policy table: {error:?}"))
}

impl Supervisor {
    /// Attaches to the records of earlier lives and finishes what they had begun.
    fn take_up(&mut self, topology: &Topology<'_>) {
        // The root of the tree is never restarted, and needs none.
        let region = topology.regions().find(|region| {
            region.name.strip_suffix("_state") == Some(topology.name()) && region.perms.write
        });
        let Some(region) = region else { return };
        let (state, known) = State::attach(pd_setup::writes(&region));
        if known {
            for (child, supervised) in self.tree.children.iter_mut().zip(&self.children) {
                (child.record, child.history) = state.load(supervised.id);
            }
            for index in 0..self.children.len() {
                if self.tree.children[index].record.fallback {
                    self.use_fallback(index);
                }
            }
            for (index, supervised) in self.children.iter().enumerate() {
                if let Some(death) = state.load_death(supervised.id) {
                    self.reporter.take_over(index, death);
                }
            }
        }
        let escalated = state.escalated();
        let mask = self.tree.on_own_restart(escalated);
        self.state = Some(state);
        fault_point!("supervisor.taking_up");
        self.restart(mask, recovery::ticks());
        if let Some(state) = self.state.as_mut() {
            state.set_escalated(false);
        }
    }

    fn use_fallback(&mut self, child: usize) {
        self.children[child].use_fallback();
        let image = &self.children[child].image;
        self.reporter.replace(child, image);
    }

    /// Restarts whose pause is over.
    fn restart_due(&mut self) {
        let now = recovery::ticks();
        for child in 0..self.children.len() {
            if let Some((_, mask)) = self.children[child].due.filter(|(due, _)| *due <= now) {
                self.restart(mask, now);
            }
        }
    }

    fn set_phase(&mut self, child: usize, phase: Phase) {
        self.tree.children[child].record.phase = phase;
        if let Some(state) = &mut self.state {
            state.store(self.children[child].id, &self.tree.children[child].record);
        }
    }

    /// One child: from here on it is loaded again, whatever happens to this supervisor.
    fn start(&mut self, child: usize, fault_ticks: u64, extent: Extent) {
        self.set_phase(child, Phase::Loading);
        self.children[child].due = None;
        fault_point!("supervisor.loading");
        let epoch = self.tree.children[child].record.epoch;
        self.children[child].start(epoch, fault_ticks, extent);
        fault_point!("supervisor.restarted");
        self.watch.restarted(child);
        self.set_phase(child, Phase::Running);
    }

    fn next_epoch(&mut self, child: usize) {
        let record = &mut self.tree.children[child].record;
        record.epoch = record.epoch.wrapping_add(1);
    }

    /// Several children, or one of which nothing is known.
    fn restart(&mut self, mask: u64, fault_ticks: u64) {
        let affected = || (0..u64::BITS as usize).filter(move |child| mask & 1 << child != 0);
        for child in affected() {
            self.next_epoch(child);
            self.set_phase(child, Phase::Loading);
            if mask.count_ones() > 1 {
                let _ = tcb::suspend(self.children[child].tcb());
            }
        }
        fault_point!("supervisor.stopped");
        affected().for_each(|child| self.start(child, fault_ticks, Extent::All));
    }

    /// Stores the time of the child's latest restart, which the decision has just counted.
    fn store_history(&mut self, child: usize) {
        let state = &self.tree.children[child];
        let position = state.latest();
        if let Some(preserved) = &mut self.state {
            preserved.store_time(self.children[child].id, position, state.history[position]);
        }
    }

    /// Leaves the rest to the parent. A root supervisor has none, and resets the machine.
    fn escalate(&mut self) {
        let Some(state) = &mut self.state else {
            return self.reset();
        };
        state.set_escalated(true);
        fault_point!("supervisor.escalating");
        syscalls::call(
            slots::FAULT,
            message::MessageInfo::new(labels::ESCALATED, 0),
        );
    }

    fn reset(&mut self) {
        error!("resetting the machine");
        psci::system_reset();
        // Then the watchdog will, if there is one.
        self.watchdog = None;
        error!("this PD may not reset the machine: smc=\"true\" is missing in system.xml");
    }

    fn on_fault(&mut self, child: usize, fault: Fault, fault_ticks: u64) {
        let now_ms = fault_ticks / (recovery::ticks_per_second() / 1_000);
        let decision = self.tree.on_fault(child, now_ms);
        self.carry_out(decision, child, fault, fault_ticks);
    }

    fn carry_out(&mut self, decision: Decision, child: usize, fault: Fault, fault_ticks: u64) {
        let action = match decision {
            Decision::Start(child) if self.watch.is_idle_clock(child) => {
                return self.set_phase(child, Phase::Stopped);
            }
            Decision::Start(child) => {
                self.reporter
                    .first_life(child, &mut self.children[child].data);
                return self.start(child, fault_ticks, Extent::All);
            }
            Decision::Restart(mask) => return self.on_death(mask, child, fault, fault_ticks),
            Decision::Later(mask, _) if !self.watch.has_ticks() => {
                return self.on_death(mask, child, fault, fault_ticks);
            }
            Decision::Later(..) => Action::Backoff,
            Decision::Fallback(_) => Action::Fallback,
            Decision::Stop => Action::Stop,
            Decision::Escalate => Action::Escalate,
            Decision::Reset => Action::Reset,
        };
        self.report_all(false);
        let epoch = self.tree.children[child].record.epoch;
        self.reporter
            .report_now(child, fault, epoch, action, fault_ticks);
        match decision {
            Decision::Escalate => self.escalate(),
            Decision::Reset => self.reset(),
            Decision::Fallback(mask) => {
                self.use_fallback(child);
                self.restart(mask, fault_ticks);
            }
            Decision::Later(mask, pause_ms) => {
                self.store_history(child);
                // Whoever is restarted now, or dies, does not wait for that.
                self.set_phase(child, Phase::Loading);
                let pause = pause_ms * (recovery::ticks_per_second() / 1_000);
                self.children[child].due = Some((fault_ticks + pause, mask));
            }
            _ => {
                self.set_phase(child, Phase::Stopped);
                let _ = tcb::suspend(self.children[child].tcb());
            }
        }
    }

    /// Restarts the children in `mask` because `child` has died.
    fn on_death(&mut self, mask: u64, child: usize, fault: Fault, fault_ticks: u64) {
        let epoch = self.tree.children[child].record.epoch;
        if self.watch.has_ticks() {
            // The finding of the life that has ended will be overwritten by that of the next.
            self.report(child, false);
            let words = self.reporter.note(child, fault, epoch, fault_ticks);
            if let Some(state) = &mut self.state {
                state.store_death(self.children[child].id, &words);
            }
        } else {
            let action = Action::Restart;
            self.reporter
                .report_now(child, fault, epoch, action, fault_ticks);
        }
        fault_point!("supervisor.noted");
        self.store_history(child);
        if mask == 1 << child {
            self.next_epoch(child);
            let extent = self.children[child].extent(fault, fault_ticks);
            self.start(child, fault_ticks, extent);
        } else {
            self.restart(mask, fault_ticks);
        }
    }

    /// Reports the noted death of a child, if there is one.
    fn report(&mut self, child: usize, may_wait: bool) {
        if self.reporter.report_noted(child, may_wait)
            && let Some(state) = &mut self.state
        {
            state.clear_death(self.children[child].id);
        }
    }

    fn report_all(&mut self, may_wait: bool) {
        (0..self.children.len()).for_each(|child| self.report(child, may_wait));
    }

    /// A hang is a fault that the supervisor finds by itself: the child is stopped, and then treated
    /// like any that died.
    fn on_hang(&mut self, noticed: &Noticed) {
        let ticks = recovery::ticks();
        let child = noticed.child;
        if let Err(refused) = tcb::suspend(self.children[child].tcb()) {
            error!(
                "{}: stop refused with kernel error {}",
                self.children[child].name, refused.0
            );
        }
        fault_point!("supervisor.hang");
        let fault = self.children[child].hang(noticed.kind);
        if noticed.hopeless {
            let decision = self.tree.give_up(child);
            return self.carry_out(decision, child, fault, ticks);
        }
        self.on_fault(child, fault, ticks);
    }
}

impl Handler for Supervisor {
    type Error = Infallible;

    fn fault(
        &mut self,
        child: Child,
        msg_info: MessageInfo,
    ) -> Result<Option<MessageInfo>, Infallible> {
        let fault_ticks = recovery::ticks();
        fault_point!("supervisor.fault");
        let fault = with_msg_regs(|registers| {
            Fault::decode(msg_info.label(), &registers[..msg_info.count()])
        });
        let mut children = self.children.iter();
        let Some(found) = children.position(|supervised| supervised.id == child.index()) else {
            let (id, kind) = (child.index(), fault.kind);
            error!("child {id} faulted ({kind}), not supervised");
            return Ok(None);
        };
        if let Some(fault) = self.children[found].look_at(fault) {
            self.on_fault(found, fault, fault_ticks);
        }
        // No reply: a restart has cancelled the fault, and a stopped child stays where it is.
        Ok(None)
    }

    fn notified(&mut self, channels: ChannelSet) -> Result<(), Infallible> {
        fault_point!("supervisor.notified");
        let epochs = self.tree.children.iter().map(ChildState::watched);
        if let Some(noticed) = self.watch.notified(channels, epochs) {
            self.on_hang(&noticed);
        }
        self.restart_due();
        self.report_all(true);
        if let Some(watchdog) = &mut self.watchdog {
            watchdog.feed(now_ms());
        }
        Ok(())
    }
}
