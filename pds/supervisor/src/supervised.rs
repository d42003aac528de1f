// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! One child: its memory, its thread, and what a restart does to both. Decides nothing.

use alloc::format;

use log::error;
use microkit_abi::{cache, ipc_buffer, slots, tcb};
use recovery::fault_point;
use sel4_shared_memory::{SharedMut, SharedRef};
use supervisor_service::{
    extent::{Doubts, Extent, Place},
    fault::{Fault, Kind},
    id_registers,
    image::{Image, Life},
};
use topology::Topology;

/// What a child's lives are made from.
pub struct Supervised {
    /// Its child id.
    pub id: usize,
    /// Its name.
    pub name: &'static str,
    elf: SharedRef,
    code: SharedMut,
    /// Its data region.
    pub data: SharedMut,
    /// Its program.
    pub image: Image,
    doubts: Doubts,
    /// Its other program, if it has one.
    fallback: Option<(SharedRef, Image)>,
    /// Counter at which it is to be restarted, and the siblings with it.
    pub due: Option<(u64, u64)>,
}

/// `svc #0`, the instruction of every system call.
const SVC_0: u32 = 0xd400_0001;

/// Prepares a child; says why when it cannot be one.
pub fn supervise(
    topology: &Topology<'static>,
    child: topology::Child<'static>,
) -> Result<Supervised, &'static str> {
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
        doubts: Doubts::default(),
        fallback: fallback(topology, &child, &parts),
        due: None,
    })
}

/// The child's other program, in region `NAME_fallback_elf`.
fn fallback(
    topology: &Topology<'static>,
    child: &topology::Child<'static>,
    parts: &topology::Parts,
) -> Option<(SharedRef, Image)> {
    let elf = pd_setup::reads(&topology.region(&format!("{}_fallback_elf", child.name))?);
    match Image::parse(&elf, parts) {
        Ok(image) => Some((elf, image)),
        Err(error) => {
            error!("{}: its other program: {error}", child.name);
            None
        }
    }
}

impl Supervised {
    /// From now on it is loaded from its other program.
    pub fn use_fallback(&mut self) {
        if let Some((elf, image)) = self.fallback.take() {
            (self.elf, self.image) = (elf, image);
        }
    }

    /// Its thread.
    pub fn tcb(&self) -> u64 {
        slots::child_tcb(self.id)
    }

    /// The instruction at `pc`, if that is in the child's code.
    fn instruction(&self, pc: u64) -> Option<u32> {
        let offset = self.image.code_offset(pc)?;
        Some(self.code.load_u32(offset))
    }

    /// Looks at the instruction that the processor did not take. `None`: the child only asked for
    /// the processor's features, has its answer and runs.
    ///
    /// # Panics
    ///
    /// When it asked and was not answered ([`id_registers::assert_answered`]).
    pub fn look_at(&self, fault: Fault) -> Option<Fault> {
        let pc = fault.pc.filter(|_| fault.kind == Kind::IllegalInstruction);
        let Some(instruction) = pc.and_then(|pc| self.instruction(pc)) else {
            return Some(fault);
        };
        let answered = id_registers::is_read(instruction)
            && tcb::read(self.tcb()).is_ok_and(|mut registers| {
                id_registers::emulate(instruction, &mut registers)
                    && tcb::write(self.tcb(), &registers, tcb::REGISTER_COUNT, true).is_ok()
            });
        id_registers::assert_answered(answered, instruction);
        (!answered).then(|| fault.with_instruction(instruction))
    }

    /// How much a restart after `fault` restores.
    pub fn extent(&mut self, fault: Fault, ticks: u64) -> Extent {
        // Where a child hangs says nothing of how it got there. Nor does a panic: what it found wrong may
        // come from damaged code elsewhere (campaign on seL4 release, seed 1, trial 42).
        let says_where = !fault.kind.is_hang() && fault.kind != Kind::Panic;
        let pc = fault.pc.filter(|_| says_where);
        let place = pc.and_then(|pc| {
            let offset = self.image.code_offset(pc)?;
            let is_intact = self.image.is_intact(&self.elf, &self.code, offset);
            Some(Place {
                pc,
                offset,
                is_intact,
            })
        });
        let ticks_per_us = (recovery::ticks_per_second() / 1_000_000).max(1);
        self.doubts.on_death(place, ticks / ticks_per_us)
    }

    /// How a stopped child hangs, if that is not known: it is in a system call, or it was running.
    ///
    /// # Panics
    ///
    /// As [`Self::look_at`].
    pub fn hang(&self, known: Option<Kind>) -> Fault {
        let pc = tcb::read(self.tcb())
            .ok()
            .map(|registers| registers[tcb::PC]);
        let offset = pc.and_then(|pc| self.image.region_offset(pc, &self.code));
        let instruction = offset.map(|offset| self.code.load_u32(offset));
        id_registers::assert_answered(false, instruction.unwrap_or(0));
        let seems = match instruction {
            Some(SVC_0) => Kind::Deadlock,
            _ => Kind::BusyLoop,
        };
        Fault::hang(known.unwrap_or(seems), pc)
    }

    /// Loads the segments and runs the child at its entry.
    pub fn start(&mut self, epoch: u32, fault_ticks: u64, extent: Extent) {
        let life = Life {
            epoch,
            fault_ticks,
            ipc_buffer: ipc_buffer::address() as u64,
        };
        let (code, data) = (&mut self.code, &mut self.data);
        let written = self.image.load(&self.elf, code, data, life, extent);
        fault_point!("supervisor.loaded");
        if !written.is_empty() {
            cache::unify_instructions(self.code.addr() + written.start, written.len());
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
