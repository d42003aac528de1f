// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! A victim: its code, data and registers, and how to stop it at one instruction.

use alloc::format;

use chaos_service::points::{self, Points};
use injector_service::instruction::LOOP;
use injector_service::random::Random;
use microkit_abi::tcb::{self, Registers};
use microkit_abi::{cache, slots};
use recovery::StartInfo;
use sel4_shared_memory::SharedMut;
use topology::Topology;

use crate::rest;

/// Registers that are written: all but the two thread pointers, which the victims do not use.
pub const WRITTEN: usize = tcb::REGISTER_COUNT - 2;
/// Places that are tried until the victim comes along one.
const TRIES: usize = 3;
/// Periods that it gets for each.
const PATIENCE: u32 = 5;

/// One victim.
pub struct Victim {
    /// Its name in system.xml.
    pub name: &'static str,
    /// Its capability.
    pub tcb: u64,
    /// Where it can be killed.
    pub points: Points,
    /// Its instructions and constants.
    pub code: SharedMut,
    /// Its stack, data, bss and heap.
    pub data: SharedMut,
    /// Its answers to its supervisor.
    pub vitals: Option<SharedMut>,
    /// Where in its data the start information is.
    start_info: usize,
    /// Bounds of its stack, as addresses.
    pub stack: (u64, u64),
}

/// Where the general register `number` is in [`Registers`].
pub fn general(number: usize) -> usize {
    match number {
        0..=8 => 3 + number,
        9..=15 => 17 + number - 9,
        16..=18 => 12 + number - 16,
        19..=28 => 24 + number - 19,
        29 => tcb::FP,
        30 => tcb::LR,
        _ => tcb::SP,
    }
}

impl Victim {
    /// The victim called `name`, whose TCB is in user slot `slot`.
    pub fn new(topology: &Topology<'static>, name: &'static str, slot: usize) -> Self {
        let region = |what: &str| {
            topology
                .region(&format!("{name}_{what}"))
                .unwrap_or_else(|| panic!("overlay.xml does not map {name}_{what}"))
        };
        let code = region("code");
        let range = recovery::CODE_BASE..recovery::CODE_BASE + code.size;
        let data = pd_setup::writes(&region("data"));
        let (start_info, stack) = start_info(&data);
        Self {
            name,
            tcb: slots::user(slot),
            points: points::find(&pd_setup::reads(&region("elf")), range),
            code: pd_setup::writes(&code),
            data,
            vitals: topology
                .region(&format!("{name}_vitals"))
                .map(|region| pd_setup::writes(&region)),
            start_info,
            stack,
        }
    }

    /// Looks for the start information again: before a PD's first life it is not there.
    pub fn locate(&mut self) {
        (self.start_info, self.stack) = start_info(&self.data);
    }

    /// How often it has been restarted.
    pub fn epoch(&self) -> u32 {
        self.data.load_u32(self.start_info + 12)
    }

    /// How often it has answered its supervisor.
    pub fn beats(&self) -> u64 {
        self.vitals
            .as_ref()
            .map_or(0, |page| vitals::read(&page.as_shared_ref()).beats)
    }

    /// The instruction at `address`, if that is in its code.
    pub fn instruction(&self, address: u64) -> Option<u32> {
        let offset = self.offset(address)?;
        Some(self.code.load_u32(offset))
    }

    fn offset(&self, address: u64) -> Option<usize> {
        let offset = usize::try_from(address.checked_sub(recovery::CODE_BASE)?).ok()?;
        (address.is_multiple_of(4) && offset + 4 <= self.code.len()).then_some(offset)
    }

    /// Puts another instruction to `address`, which is in its code.
    pub fn patch(&mut self, address: u64, instruction: u32) {
        if let Some(offset) = self.offset(address) {
            self.code.store_u32(offset, instruction);
            cache::unify_instructions(self.code.addr() + offset, size_of::<u32>());
        }
    }

    /// Lets it run into nothing now, whatever it does.
    pub fn kill(&self) {
        let _ = tcb::restart(self.tcb, 4);
    }

    /// Waits until it is about to execute the instruction at `address`; then it stands there until its
    /// registers are written, and its code is as it was.
    pub fn stop_at(&mut self, address: u64, patience: u32) -> Option<Registers> {
        let original = self.instruction(address)?;
        let epoch = self.epoch();
        self.patch(address, LOOP);
        let mut found = None;
        for _ in 0..patience {
            rest(1);
            if self.epoch() != epoch {
                // It died of something else, and its code is fresh.
                return None;
            }
            found = tcb::read(self.tcb)
                .ok()
                .filter(|registers| registers[tcb::PC] == address);
            if found.is_some() {
                break;
            }
        }
        self.patch(address, original);
        found
    }

    /// A place in its code where it probably comes along.
    pub fn likely_place(&self, random: &mut Random) -> u64 {
        let points = &self.points.points;
        let Some(point) = points.get(random.below(points.len() as u64) as usize) else {
            return recovery::CODE_BASE;
        };
        // Some instructions before or after a fault point.
        let distance = random.below(40) as i64 - 12;
        let place = point.address.wrapping_add_signed(distance * 4);
        self.offset(place).map_or(point.address, |_| place)
    }

    /// Stops it somewhere in its work. When it does not come along, its registers are those that it has now,
    /// and the answer says so.
    pub fn stop_somewhere(&mut self, random: &mut Random) -> Option<(Registers, bool)> {
        for _ in 0..TRIES {
            let place = self.likely_place(random);
            if let Some(registers) = self.stop_at(place, PATIENCE) {
                return Some((registers, true));
            }
        }
        let registers = tcb::read(self.tcb).ok()?;
        Some((registers, false))
    }

    /// Gives it these registers.
    pub fn set_registers(&self, registers: &Registers) {
        let _ = tcb::write(self.tcb, registers, WRITTEN, false);
    }

    /// A place in its data, from a random one on, whose word is not zero.
    pub fn used_word(&self, random: &mut Random) -> usize {
        used_word(&self.data, 0..self.data.len(), random)
    }
}

/// The first word that is not zero from a random place in `range` on.
pub fn used_word(memory: &SharedMut, range: core::ops::Range<usize>, random: &mut Random) -> usize {
    let words = ((range.end - range.start) / 8).max(1);
    let first = random.below(words as u64) as usize;
    (0..words)
        .map(|step| range.start + (first + step) % words * 8)
        .find(|&offset| memory.load_u64(offset) != 0)
        .unwrap_or(range.start + first * 8)
}

/// Start information comes right after the stack, at a page boundary.
fn start_info(data: &SharedMut) -> (usize, (u64, u64)) {
    (0..data.len())
        .step_by(0x1000)
        .find_map(|offset| {
            let bytes = data.read::<[u8; size_of::<StartInfo>()]>(offset);
            let info = StartInfo::parse(&bytes).ok()?;
            Some((offset, (info.stack_bottom.get(), info.stack_top.get())))
        })
        .unwrap_or((0, (recovery::DATA_BASE, recovery::DATA_BASE)))
}
