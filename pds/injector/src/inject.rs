// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Makes one fault.

use chaos_service::plan::Death;
use injector_service::class::Class;
use injector_service::instruction::{self, LOOP, NOP, SVC, UNDEFINED};
use injector_service::plan::{Plan, VICTIMS};
use injector_service::random::Random;
use microkit_abi::tcb::{self, Registers};

use crate::look::Machine;
use crate::rest;
use crate::victim::{WRITTEN, general, used_word};

/// A capability number that no CSpace of Microkit's shape can look up, and one whose slot is empty.
const BAD_CAPABILITIES: [u64; 2] = [600, 511];
/// Instructions that are looked at for the next access to memory.
const AHEAD: u64 = 24;
/// Periods in which a victim has to be seen in a system call, and to come back from it.
const CALL_PATIENCE: u32 = 12;

/// What has to be put back when nobody was restarted.
#[derive(Clone, Copy, Debug)]
pub enum Undo {
    /// Nothing.
    Nothing,
    /// An instruction of the victim.
    Code(u64, u32),
    /// A word of the victim's data, when it is still the wrong one.
    Data(usize, u64, u64),
    /// A word of a shared region, likewise.
    Shared(usize, usize, u64, u64),
}

/// What was done.
#[derive(Clone, Copy, Debug)]
pub struct Injected {
    /// Where.
    pub place: u64,
    /// What was there.
    pub old: u64,
    /// What is there now.
    pub new: u64,
    /// Whether the victim is known to have run into it.
    pub reached: bool,
    /// Index of the second victim, plus 1.
    pub second: u64,
    /// How it is taken back.
    pub undo: Undo,
}

impl Injected {
    /// A change that takes effect at once.
    pub const fn at(place: u64, old: u64, new: u64) -> Self {
        Self {
            place,
            old,
            new,
            reached: true,
            second: 0,
            undo: Undo::Nothing,
        }
    }
}

/// Makes the fault; `None` when the victim gave no opportunity.
pub fn inject(machine: &mut Machine, plan: &mut Plan) -> Option<Injected> {
    let random = &mut plan.random;
    let victim = plan.victim;
    match plan.class {
        Class::IllegalInstruction
        | Class::CodeBit
        | Class::CodeWord
        | Class::SkippedInstruction
        | Class::SourceRegister
        | Class::DestinationRegister
        | Class::EndlessLoop => change_code(machine, victim, plan.class, random),
        Class::RegisterBit
        | Class::NullPointer
        | Class::WildPointer
        | Class::WildJump
        | Class::StackOverflow
        | Class::Deadlock => change_registers(machine, victim, plan.class, random),
        Class::BadCapability | Class::SpuriousNotification | Class::LostNotification => {
            change_call(machine, victim, plan.class, random)
        }
        Class::MaskedInterrupt => skip_acknowledgement(machine, victim),
        Class::DataBit | Class::DataWord | Class::StackWord => {
            change_data(machine, victim, plan.class, random)
        }
        Class::SharedHeader | Class::SharedSlot => {
            change_shared(machine, victim, plan.class, random)
        }
        Class::DroppedCompletion | Class::WrongCompletion | Class::RepeatedCompletion => {
            crate::completions::change(machine, victim, plan.class, random)
        }
        Class::TwoAtOnce => two_at_once(machine, victim, random),
        Class::InRecovery => in_recovery(machine, victim, random),
        Class::AfterRecovery => after_recovery(machine, victim, random),
        Class::DeviceError => crate::device_error::change(machine, victim, random),
        // Only the host can.
        Class::SlowDevice | Class::StoppedDevice => None,
    }
}

fn change_code(
    machine: &mut Machine,
    victim: usize,
    class: Class,
    random: &mut Random,
) -> Option<Injected> {
    let victim = &mut machine.victims[victim];
    // Not every instruction can be changed in every way: a few are tried.
    for _ in 0..16 {
        let address = victim.likely_place(random);
        let Some(old) = victim.instruction(address) else {
            continue;
        };
        let new = match class {
            Class::CodeBit => Some(old ^ 1 << random.below(32)),
            Class::CodeWord => Some(random.next() as u32),
            Class::SkippedInstruction => Some(NOP),
            Class::SourceRegister => instruction::with_other_source(old, random),
            Class::DestinationRegister => instruction::with_other_destination(old, random),
            Class::EndlessLoop => Some(LOOP),
            _ => Some(UNDEFINED),
        };
        let Some(new) = new.filter(|new| *new != old) else {
            continue;
        };
        victim.patch(address, new);
        return Some(Injected {
            reached: false,
            undo: Undo::Code(address, old),
            ..Injected::at(address, u64::from(old), u64::from(new))
        });
    }
    None
}

fn change_registers(
    machine: &mut Machine,
    victim: usize,
    class: Class,
    random: &mut Random,
) -> Option<Injected> {
    let victim = &mut machine.victims[victim];
    let (mut registers, reached) = victim.stop_somewhere(random)?;
    let (index, value) = match class {
        Class::RegisterBit => {
            let index = random.below(WRITTEN as u64) as usize;
            (index, registers[index] ^ 1 << random.below(64))
        }
        Class::WildJump => (tcb::PC, wild_address(random, victim.code.len() as u64) & !3),
        Class::StackOverflow => (tcb::SP, victim.stack.0 + 16),
        Class::Deadlock => (tcb::PC, victim.points.block_for_ever?),
        _ => {
            let base = next_base(victim, &registers)?;
            let value = match class {
                Class::NullPointer => 0,
                _ => wild_address(random, victim.data.len() as u64),
            };
            (general(base), value)
        }
    };
    let injected = Injected {
        reached,
        ..Injected::at(registers[tcb::PC], registers[index], value)
    };
    registers[index] = value;
    victim.set_registers(&registers);
    Some(injected)
}

/// Any address, or one in the victim's own memory, where it does more harm.
fn wild_address(random: &mut Random, own_bytes: u64) -> u64 {
    match random.below(3) {
        0 => random.next(),
        1 => recovery::CODE_BASE + random.below(own_bytes),
        _ => recovery::DATA_BASE + random.below(own_bytes),
    }
}

/// The register that the next load or store goes by.
fn next_base(victim: &crate::victim::Victim, registers: &Registers) -> Option<usize> {
    (0..AHEAD)
        .map_while(|step| victim.instruction(registers[tcb::PC] + step * 4))
        .take_while(|word| !instruction::is_branch(*word))
        .find_map(|word| instruction::base_register(word).filter(|base| *base != 31))
        .or(Some(0))
}

/// Waits until the victim is in a system call, and returns its address.
fn call_address(machine: &Machine, victim: usize) -> Option<u64> {
    let victim = &machine.victims[victim];
    (0..CALL_PATIENCE).find_map(|_| {
        let address = tcb::read(victim.tcb).ok()?[tcb::PC];
        if victim.instruction(address) == Some(SVC) {
            return Some(address);
        }
        rest(1);
        None
    })
}

/// Before a system call: what it names. After one: what it brought.
fn change_call(
    machine: &mut Machine,
    victim: usize,
    class: Class,
    random: &mut Random,
) -> Option<Injected> {
    let call = call_address(machine, victim)?;
    let victim = &mut machine.victims[victim];
    let before = class == Class::BadCapability;
    let address = if before { call } else { call + 4 };
    // Whoever waits for a timer or a question waits long: the supervisor asks every 20 ms.
    let mut registers = victim.stop_at(address, CALL_PATIENCE * 2)?;
    let badge = general(0);
    let old = registers[badge];
    let new = match class {
        Class::BadCapability => BAD_CAPABILITIES[random.below(2) as usize],
        // Channels are bits 0 to 61.
        Class::SpuriousNotification => old | 1 << random.below(62) | 1 << random.below(62),
        _ => old & old.wrapping_sub(1),
    };
    registers[badge] = new;
    victim.set_registers(&registers);
    Some(Injected::at(address, old, new))
}

fn skip_acknowledgement(machine: &mut Machine, victim: usize) -> Option<Injected> {
    let victim = &mut machine.victims[victim];
    let (before, after) = match victim.points.place(0, Death::LostIrq) {
        Some((place, target)) => (victim.points.points[place].address, target),
        None => {
            let find = |end: &str| {
                let mut points = victim.points.points.iter();
                points.find(|point| point.name.ends_with(end))
            };
            (find(".irq")?.address, find(".after_irq_ack")?.address)
        }
    };
    let mut registers = victim.stop_at(before, CALL_PATIENCE * 2)?;
    registers[tcb::PC] = after;
    victim.set_registers(&registers);
    Some(Injected::at(before, before, after))
}

fn change_data(
    machine: &mut Machine,
    victim: usize,
    class: Class,
    random: &mut Random,
) -> Option<Injected> {
    let victim = &mut machine.victims[victim];
    let offset = match class {
        Class::StackWord => {
            let (registers, _) = victim.stop_somewhere(random)?;
            let (bottom, top) = victim.stack;
            let used = registers[tcb::SP].clamp(bottom, top.saturating_sub(8));
            let words = (top - used) / 8;
            let address = used + random.below(words.max(1)) * 8;
            usize::try_from(address.checked_sub(recovery::DATA_BASE)?).ok()? & !7
        }
        _ => victim.used_word(random),
    };
    if offset + 8 > victim.data.len() {
        return None;
    }
    let old = victim.data.load_u64(offset);
    let new = match class {
        Class::DataBit => old ^ 1 << random.below(64),
        _ => random.next(),
    };
    victim.data.store_u64(offset, new);
    Some(Injected {
        reached: false,
        undo: Undo::Data(offset, old, new),
        ..Injected::at(recovery::DATA_BASE + offset as u64, old, new)
    })
}

fn change_shared(
    machine: &mut Machine,
    victim: usize,
    class: Class,
    random: &mut Random,
) -> Option<Injected> {
    let mine = machine.shared.iter().enumerate();
    let mine = mine.filter(|(_, shared)| shared.victim == victim);
    let count = mine.clone().count() as u64;
    let (index, _) = mine.clone().nth(random.below(count) as usize)?;
    let memory = &mut machine.shared[index].memory;
    // Headers of all our protocols are within the first 64 bytes.
    let range = match class {
        Class::SharedHeader => 0..64.min(memory.len()),
        _ => 64.min(memory.len() - 8)..memory.len(),
    };
    let offset = used_word(memory, range, random);
    let old = memory.load_u64(offset);
    let new = match random.one_in(2) {
        true => old ^ 1 << random.below(64),
        false => random.next(),
    };
    memory.store_u64(offset, new);
    Some(Injected {
        reached: false,
        undo: Undo::Shared(index, offset, old, new),
        ..Injected::at((index as u64) << 32 | offset as u64, old, new)
    })
}

fn two_at_once(machine: &Machine, victim: usize, random: &mut Random) -> Option<Injected> {
    let others = VICTIMS.len() as u64;
    let second = (victim + 1 + random.below(others - 1) as usize) % VICTIMS.len();
    machine.victims[victim].kill();
    machine.victims[second].kill();
    Some(Injected {
        second: second as u64 + 1,
        ..Injected::at(0, 0, 0)
    })
}

/// The parent dies at one of the steps of the restart.
fn in_recovery(machine: &mut Machine, victim: usize, random: &mut Random) -> Option<Injected> {
    let parent = VICTIMS[victim].1?;
    let points = &machine.victims[parent].points.points;
    let steps = points
        .iter()
        .filter(|point| point.name.starts_with("supervisor."));
    let count = steps.clone().count() as u64;
    let step = steps.clone().nth(random.below(count) as usize)?.address;
    let old = machine.victims[parent].instruction(step)?;
    machine.victims[parent].patch(step, UNDEFINED);
    machine.victims[victim].kill();
    Some(Injected {
        second: parent as u64 + 1,
        // Of the parent: see `take_back`.
        undo: Undo::Code(step, old),
        ..Injected::at(step, u64::from(old), u64::from(UNDEFINED))
    })
}

/// The victim dies again while it starts.
fn after_recovery(machine: &Machine, victim: usize, random: &mut Random) -> Option<Injected> {
    let victim = &machine.victims[victim];
    let epoch = victim.epoch();
    victim.kill();
    let mut waited = 0;
    while victim.epoch() == epoch && waited < 40 {
        rest(1);
        waited += 1;
    }
    let again = random.below(3);
    rest(again as u32);
    victim.kill();
    Some(Injected::at(0, 0, again))
}

/// Puts back what a fault has left, when its victim lives on: the next trial begins with a whole system.
pub fn take_back(machine: &mut Machine, victim: usize, injected: &Injected) {
    let owner = match injected.second {
        0 => victim,
        second => second as usize - 1,
    };
    match injected.undo {
        Undo::Nothing => {}
        Undo::Code(address, old) => {
            let wrong = machine.victims[owner].instruction(address);
            if wrong.map(u64::from) == Some(injected.new) {
                machine.victims[owner].patch(address, old);
            }
        }
        Undo::Data(offset, old, new) => {
            let data = &mut machine.victims[victim].data;
            if data.load_u64(offset) == new {
                data.store_u64(offset, old);
            }
        }
        Undo::Shared(index, offset, old, new) => {
            let memory = &mut machine.shared[index].memory;
            if memory.load_u64(offset) == new {
                memory.store_u64(offset, old);
            }
        }
    }
}
