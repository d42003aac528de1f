// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! A supervisor: receives its children's faults, asks the library what to do, and does it.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;

use log::{error, info, warn};
use microkit_abi::{cache, ipc_buffer, slots, tcb};
use supervisor_service::{
    fault::Fault,
    image::{Image, Life},
    policy::{Action, Lives},
};
use sel4_microkit::{
    ChannelSet, Child, Handler, Infallible, MessageInfo, protection_domain, with_msg_regs,
};
use sel4_shared_memory::{SharedMut, SharedRef};

/// A child and everything that a new life of it is made from.
struct Supervised {
    id: usize,
    name: &'static str,
    lives: Lives,
    elf: SharedRef,
    code: SharedMut,
    data: SharedMut,
    image: Image,
}

struct Supervisor {
    children: Vec<Supervised>,
}

#[protection_domain(heap_size = 0x10000, stack_size = 0x4000)]
fn init() -> impl Handler {
    pd_setup::log();
    let children = pd_setup::topology().children().filter_map(|child| match supervise(child) {
        Ok(child) => Some(child),
        Err(cause) => {
            error!("{}: not started: {cause}", child.name);
            None
        }
    });
    let children: Vec<_> = children.collect();
    info!("supervising {} protection domains", children.len());
    Supervisor { children }
}

fn supervise(child: topology::Child<'static>) -> Result<Supervised, &'static str> {
    let parts = child.parts.ok_or("it has no NAME_code, NAME_data and NAME_elf regions here")?;
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
        lives: Lives::default(),
        elf,
        code: mapped(parts.code.vaddr, parts.code.size).map_err(|_| "its code is not mapped")?,
        data: mapped(parts.data.vaddr, parts.data.size).map_err(|_| "its data is not mapped")?,
        image,
    })
}

impl Supervised {
    /// Loads the segments and runs the child at its entry.
    fn start(&mut self, epoch: u32, fault_ticks: u64) {
        let life = Life { epoch, fault_ticks, ipc_buffer: ipc_buffer::address() as u64 };
        self.image.load(&self.elf, &mut self.code, &mut self.data, life);
        for segment in self.image.segments().iter().filter(|segment| !segment.is_data) {
            cache::unify_instructions(self.code.addr() + segment.offset, segment.memory_bytes);
        }
        if let Err(refused) = tcb::restart(slots::child_tcb(self.id), self.image.entry) {
            error!("{}: restart refused with kernel error {}", self.name, refused.0);
        }
    }

    /// Program counter of a fault whose message has none.
    fn pc(&self) -> u64 {
        tcb::read(slots::child_tcb(self.id)).map_or(0, |registers| registers[tcb::PC])
    }

    fn report(&self, fault: Fault, pc: u64, epoch: u32, action: &str, fault_ticks: u64) {
        let ticks = recovery::ticks() - fault_ticks;
        let after_us = ticks * 1_000_000 / recovery::ticks_per_second();
        warn!(
            "FAULT pd={} kind={} addr={:#x} pc={pc:#x} epoch={epoch} action={action} after_us={after_us}",
            self.name,
            fault.kind,
            fault.address.unwrap_or(0),
        );
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
        let found = self.children.iter_mut().find(|supervised| supervised.id == child.index());
        let Some(supervised) = found else {
            error!("child {} faulted and cannot be started", child.index());
            return Ok(None);
        };
        let fault = with_msg_regs(|registers| {
            Fault::decode(msg_info.label(), &registers[..msg_info.count()])
        });
        let now_ms = fault_ticks / (recovery::ticks_per_second() / 1_000);
        match supervised.lives.on_fault(now_ms) {
            Action::Start(epoch) => supervised.start(epoch, fault_ticks),
            Action::Restart(epoch) => {
                // Read before the restart changes it; the line is written after the restart, when
                // the child waits no longer.
                let pc = fault.pc.unwrap_or_else(|| supervised.pc());
                supervised.start(epoch, fault_ticks);
                supervised.report(fault, pc, epoch, "restart", fault_ticks);
            }
            Action::Stop => {
                let epoch = supervised.lives.epoch().unwrap_or(0);
                let pc = fault.pc.unwrap_or_else(|| supervised.pc());
                supervised.report(fault, pc, epoch, "stop", fault_ticks);
                error!("{}: restarted too often, stopped", supervised.name);
            }
        }
        // No reply: a restart has cancelled the fault, and a stopped child stays where it is.
        Ok(None)
    }

    fn notified(&mut self, _: ChannelSet) -> Result<(), Infallible> {
        Ok(())
    }
}
