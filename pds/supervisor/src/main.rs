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

mod reporter;
mod ticks;
mod watch;

use alloc::{vec, vec::Vec};

use black_box::Action;
use log::{error, info};
use microkit_abi::{cache, first_reply, ipc_buffer, labels, message, psci, slots, syscalls, tcb};
use policy::Policy;
use recovery::fault_point;
use reporter::Reporter;
use sel4_microkit::{
    ChannelSet, Child, Handler, Infallible, MessageInfo, protection_domain, with_msg_regs,
};
use sel4_shared_memory::{SharedMut, SharedRef};
use supervisor_service::{
    fault::{Fault, Kind},
    id_registers,
    image::{Image, Life},
    state::State,
    tree::{ChildState, Decision, Phase, Tree},
};
use topology::Topology;
use watch::{Noticed, Watch};

/// What a child's lives are made from.
struct Supervised {
    id: usize,
    name: &'static str,
    elf: SharedRef,
    code: SharedMut,
    data: SharedMut,
    image: Image,
}

/// `svc #0`, the instruction of every system call.
const SVC_0: u32 = 0xd400_0001;

struct Supervisor {
    tree: Tree,
    children: Vec<Supervised>,
    state: Option<State>,
    reporter: Reporter,
    watch: Watch,
}

#[protection_domain(stack_size = 0x4000, heap_size = 0x20000)]
fn init() -> impl Handler {
    pd_setup::log();
    first_reply::set_empty();
    let topology = pd_setup::topology();
    let policy = policy(&topology);
    let mut reporter = Reporter::new(&topology);
    let mut watch = Watch::new(&topology);
    let (mut children, mut states) = (Vec::new(), Vec::new());
    for child in topology.children() {
        match supervise(child) {
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
    };
    supervisor.take_up(&topology);
    info!(
        "supervising {} protection domains",
        supervisor.children.len()
    );
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

fn supervise(child: topology::Child<'static>) -> Result<Supervised, &'static str> {
    let parts = child
        .parts
        .ok_or("it has no NAME_code, NAME_data and NAME_elf regions here")?;
    let mapped = |vaddr: u64, size: u64| SharedMut::from_mapped(vaddr as usize, size as usize);
    let elf = SharedRef::from_mapped(parts.elf.vaddr as usize, parts.elf.file_len as usize)
        .map_err(|_| "its saved ELF is not mapped")?;
    let image = Image::parse(&elf, &parts).map_err(|error| {
        error!("{}: {error}", child.name);
        "its saved ELF cannot be loaded"
    })?;
    Ok(Supervised {
        id: usize::from(child.id),
        name: child.name,
        elf,
        code: mapped(parts.code.vaddr, parts.code.size).map_err(|_| "its code is not mapped")?,
        data: mapped(parts.data.vaddr, parts.data.size).map_err(|_| "its data is not mapped")?,
        image,
    })
}

impl Supervised {
    fn tcb(&self) -> u64 {
        slots::child_tcb(self.id)
    }

    /// Whether the child only asked for the processor's features; then it has its answer and runs.
    fn answers(&self, fault: Fault) -> bool {
        let Some(pc) = fault.pc.filter(|_| fault.kind == Kind::IllegalInstruction) else {
            return false;
        };
        let offset = self.image.code_offset(pc);
        let Some(instruction) = offset.map(|offset| self.code.load_u32(offset)) else {
            return false;
        };
        tcb::read(self.tcb()).is_ok_and(|mut registers| {
            id_registers::emulate(instruction, &mut registers)
                && tcb::write(self.tcb(), &registers, tcb::REGISTER_COUNT, true).is_ok()
        })
    }

    /// How a stopped child came to be silent: it is in a system call, or it was running.
    fn silence(&self) -> Kind {
        let Ok(registers) = tcb::read(self.tcb()) else {
            return Kind::BusyLoop;
        };
        let offset = self.image.code_offset(registers[tcb::PC]);
        match offset.map(|offset| self.code.load_u32(offset)) {
            Some(SVC_0) => Kind::Deadlock,
            _ => Kind::BusyLoop,
        }
    }

    /// Loads the segments and runs the child at its entry.
    fn start(&mut self, epoch: u32, fault_ticks: u64) {
        let life = Life {
            epoch,
            fault_ticks,
            ipc_buffer: ipc_buffer::address() as u64,
        };
        self.image
            .load(&self.elf, &mut self.code, &mut self.data, life);
        fault_point!("supervisor.loaded");
        for segment in self
            .image
            .segments()
            .iter()
            .filter(|segment| !segment.is_data)
        {
            cache::unify_instructions(self.code.addr() + segment.offset, segment.memory_bytes);
        }
        fault_point!("supervisor.before_restart");
        if let Err(refused) = tcb::restart(self.tcb(), self.image.entry) {
            error!(
                "{}: restart refused with kernel error {}",
                self.name, refused.0
            );
        }
    }
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

    fn set_phase(&mut self, child: usize, phase: Phase) {
        self.tree.children[child].record.phase = phase;
        if let Some(state) = &mut self.state {
            state.store(self.children[child].id, &self.tree.children[child].record);
        }
    }

    /// One child: from here on it is loaded again, whatever happens to this supervisor.
    fn start(&mut self, child: usize, fault_ticks: u64) {
        self.set_phase(child, Phase::Loading);
        fault_point!("supervisor.loading");
        let epoch = self.tree.children[child].record.epoch;
        self.children[child].start(epoch, fault_ticks);
        fault_point!("supervisor.restarted");
        self.watch.restarted(child);
        self.set_phase(child, Phase::Running);
    }

    fn restart(&mut self, mask: u64, fault_ticks: u64) {
        let affected = || (0..u64::BITS as usize).filter(move |child| mask & 1 << child != 0);
        for child in affected() {
            self.tree.children[child].record.epoch =
                self.tree.children[child].record.epoch.wrapping_add(1);
            self.set_phase(child, Phase::Loading);
            if mask.count_ones() > 1 {
                let _ = tcb::suspend(self.children[child].tcb());
            }
        }
        fault_point!("supervisor.stopped");
        affected().for_each(|child| self.start(child, fault_ticks));
    }

    /// Stores the time of the child's latest restart, which the decision has just counted.
    fn store_history(&mut self, child: usize) {
        let state = &self.tree.children[child];
        let position = state.record.restarts.wrapping_sub(1) as usize % state.history.len();
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

    fn reset(&self) {
        error!("resetting the machine");
        psci::system_reset();
        error!("this PD may not reset the machine: smc=\"true\" is missing in system.xml");
    }

    fn on_fault(&mut self, child: usize, fault: Fault, fault_ticks: u64) {
        let now_ms = fault_ticks / (recovery::ticks_per_second() / 1_000);
        let decision = self.tree.on_fault(child, now_ms);
        self.carry_out(decision, child, fault, fault_ticks);
    }

    fn carry_out(&mut self, decision: Decision, child: usize, fault: Fault, fault_ticks: u64) {
        let action = match decision {
            Decision::Start(child) => {
                self.reporter
                    .first_life(child, &mut self.children[child].data);
                return self.start(child, fault_ticks);
            }
            Decision::Restart(_) => Action::Restart,
            Decision::Stop => Action::Stop,
            Decision::Escalate => Action::Escalate,
            Decision::Reset => Action::Reset,
        };
        // Taken before a restart overwrites what it is made of.
        let epoch = self.tree.children[child].record.epoch;
        self.reporter.take(child, fault, epoch, action, fault_ticks);
        if let Decision::Restart(mask) = decision {
            self.store_history(child);
            self.restart(mask, fault_ticks);
        }
        self.reporter.log();
        match decision {
            Decision::Start(_) | Decision::Restart(_) => {}
            Decision::Stop => {
                self.set_phase(child, Phase::Stopped);
                let _ = tcb::suspend(self.children[child].tcb());
            }
            Decision::Escalate => self.escalate(),
            Decision::Reset => self.reset(),
        }
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
        let fault = Fault::hang(
            noticed
                .kind
                .unwrap_or_else(|| self.children[child].silence()),
        );
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
        match self
            .children
            .iter()
            .position(|supervised| supervised.id == child.index())
        {
            Some(found) if self.children[found].answers(fault) => {}
            Some(found) => self.on_fault(found, fault, fault_ticks),
            None => error!(
                "child {} faulted ({}), not supervised",
                child.index(),
                fault.kind
            ),
        }
        // No reply: a restart has cancelled the fault, and a stopped child stays where it is.
        Ok(None)
    }

    fn notified(&mut self, channels: ChannelSet) -> Result<(), Infallible> {
        fault_point!("supervisor.notified");
        let epochs = self
            .tree
            .children
            .iter()
            .map(|child| (child.record.phase == Phase::Running).then_some(child.record.epoch));
        if let Some(noticed) = self.watch.notified(channels, epochs) {
            self.on_hang(&noticed);
        }
        Ok(())
    }
}
