// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Changes one thing in a PD that a debugger has stopped in the middle of its work.

use injector_service::class::Class;
use injector_service::instruction::{self, LOOP, NOP, SVC, UNDEFINED};
use injector_service::plan::Plan;
use injector_service::random::Random;
use recovery::{CODE_BASE, DATA_BASE, StartInfo};

use super::Program;
use crate::campaign::gdb::{Gdb, PC, REGISTERS, SP};
use crate::error::Result;

/// Instructions that are executed until one comes that the fault needs.
const AHEAD: u64 = 40;
/// No capability has this number.
const NO_CAPABILITY: u64 = 600;
/// Bytes that are looked at for a word of data that is not zero.
const WINDOW_BYTES: u64 = 4096;

/// What was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Address of the instruction, or of the word.
    pub place: u64,
    /// What was there.
    pub old: u64,
    /// What is there now.
    pub new: u64,
    /// Whether memory was changed, and has to be put back when nobody dies of it.
    pub is_memory: bool,
    /// Bytes of memory before and after.
    pub old_bytes: Vec<u8>,
    /// See `old_bytes`.
    pub new_bytes: Vec<u8>,
}

impl Change {
    /// Of a register, at `place`.
    pub fn register(place: u64, old: u64, new: u64) -> Self {
        Self {
            place,
            old,
            new,
            is_memory: false,
            old_bytes: Vec::new(),
            new_bytes: Vec::new(),
        }
    }
}

/// Makes the fault after `steps` instructions, or before the next system call if that comes first; `None`
/// when the victim gave no opportunity.
pub fn make(
    gdb: &mut Gdb,
    plan: &mut Plan,
    program: &Program,
    steps: u64,
) -> Result<Option<Change>> {
    let mut left = steps;
    while left > 0 && at(gdb)?.1 != SVC {
        gdb.step()?;
        left -= 1;
    }
    match plan.class {
        Class::DataBit | Class::DataWord | Class::StackWord => data(gdb, plan, program),
        Class::RegisterBit
        | Class::NullPointer
        | Class::WildPointer
        | Class::WildJump
        | Class::StackOverflow
        | Class::BadCapability
        | Class::SkippedInstruction => register(gdb, plan, program),
        _ => code(gdb, plan),
    }
}

/// Program counter and the instruction there.
fn at(gdb: &mut Gdb) -> Result<(u64, u32)> {
    let pc = gdb.registers()?[PC];
    Ok((pc, gdb.word(pc)? as u32))
}

/// Goes on to an instruction for which `wanted` holds.
fn seek(gdb: &mut Gdb, wanted: impl Fn(u32) -> bool) -> Result<Option<u32>> {
    for _ in 0..AHEAD {
        let (_, instruction) = at(gdb)?;
        if wanted(instruction) {
            return Ok(Some(instruction));
        }
        if instruction == SVC {
            break;
        }
        gdb.step()?;
    }
    Ok(None)
}

fn wild_address(random: &mut Random, program: &Program) -> u64 {
    match random.below(3) {
        0 => random.next(),
        1 => CODE_BASE + random.below(0x8_0000),
        _ => DATA_BASE + random.below(program.data_bytes),
    }
}

fn register(gdb: &mut Gdb, plan: &mut Plan, program: &Program) -> Result<Option<Change>> {
    let random = &mut plan.random;
    let has_base = |instruction| instruction::base_register(instruction).is_some();
    let (number, value) = match plan.class {
        Class::RegisterBit => {
            let number = random.below(REGISTERS as u64) as usize;
            (number, gdb.registers()?[number] ^ 1 << random.below(64))
        }
        Class::WildJump => (PC, wild_address(random, program) & !3),
        Class::SkippedInstruction => (PC, gdb.registers()?[PC] + 4),
        Class::StackOverflow => {
            let offset = core::mem::offset_of!(StartInfo, stack_bottom) as u64;
            (SP, gdb.word(program.start_info + offset)? + 16)
        }
        Class::BadCapability => {
            if seek_far(gdb, |instruction| instruction == SVC)?.is_none() {
                return Ok(None);
            }
            (0, NO_CAPABILITY)
        }
        _ => {
            let Some(instruction) = seek(gdb, has_base)? else {
                return Ok(None);
            };
            let base = instruction::base_register(instruction).unwrap_or(SP);
            let value = match plan.class {
                Class::NullPointer => 0,
                _ => wild_address(random, program),
            };
            (base, value)
        }
    };
    let registers = gdb.registers()?;
    gdb.set_register(number, value)?;
    Ok(Some(Change::register(
        registers[PC],
        registers[number],
        value,
    )))
}

/// As [`seek`], with more patience: system calls are rare.
fn seek_far(gdb: &mut Gdb, wanted: impl Fn(u32) -> bool) -> Result<Option<u32>> {
    for _ in 0..100 {
        if let Some(found) = seek(gdb, &wanted)? {
            return Ok(Some(found));
        }
        if at(gdb)?.1 == SVC {
            break;
        }
    }
    Ok(None)
}

fn code(gdb: &mut Gdb, plan: &mut Plan) -> Result<Option<Change>> {
    for _ in 0..AHEAD {
        let (pc, old) = at(gdb)?;
        let random = &mut plan.random;
        let new = match plan.class {
            Class::CodeBit => Some(old ^ 1 << random.below(32)),
            Class::CodeWord => Some(random.next() as u32),
            Class::SourceRegister => instruction::with_other_source(old, random),
            Class::DestinationRegister => instruction::with_other_destination(old, random),
            Class::EndlessLoop => Some(LOOP),
            Class::IllegalInstruction => Some(UNDEFINED),
            _ => Some(NOP),
        };
        if let Some(new) = new.filter(|new| *new != old) {
            return memory(gdb, pc, &old.to_le_bytes(), &new.to_le_bytes());
        }
        if old == SVC {
            break;
        }
        gdb.step()?;
    }
    Ok(None)
}

fn memory(gdb: &mut Gdb, place: u64, old: &[u8], new: &[u8]) -> Result<Option<Change>> {
    gdb.write(place, new)?;
    let number = |bytes: &[u8]| {
        let mut word = [0; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        u64::from_le_bytes(word)
    };
    Ok(Some(Change {
        place,
        old: number(old),
        new: number(new),
        is_memory: true,
        old_bytes: old.to_vec(),
        new_bytes: new.to_vec(),
    }))
}

fn data(gdb: &mut Gdb, plan: &mut Plan, program: &Program) -> Result<Option<Change>> {
    let random = &mut plan.random;
    let place = match plan.class {
        Class::StackWord => {
            let offset = core::mem::offset_of!(StartInfo, stack_top) as u64;
            let top = gdb.word(program.start_info + offset)?;
            let sp = gdb.registers()?[SP];
            sp.wrapping_add(random.below(top.saturating_sub(sp) / 8) * 8) & !7
        }
        _ => match used_word(gdb, random, program)? {
            Some(place) => place,
            None => return Ok(None),
        },
    };
    let old = gdb.word(place)?;
    let new = match plan.class {
        Class::DataBit => old ^ 1 << random.below(64),
        _ => random.next(),
    };
    memory(gdb, place, &old.to_le_bytes(), &new.to_le_bytes())
}

/// A word of the victim's data, bss, heap or stack that is not zero.
fn used_word(gdb: &mut Gdb, random: &mut Random, program: &Program) -> Result<Option<u64>> {
    let pages = (program.data_bytes / WINDOW_BYTES).max(1);
    let first = random.below(pages);
    let word = random.below(WINDOW_BYTES / 8);
    for step in 0..pages {
        let page = DATA_BASE + (first + step) % pages * WINDOW_BYTES;
        let Some(bytes) = gdb.read(page, WINDOW_BYTES as usize)? else {
            continue;
        };
        let words = WINDOW_BYTES / 8;
        let found = (0..words)
            .map(|offset| (word + offset) % words * 8)
            .find(|offset| {
                let at = *offset as usize;
                bytes[at..at + 8].iter().any(|byte| *byte != 0)
            });
        if let Some(offset) = found {
            return Ok(Some(page + offset));
        }
    }
    Ok(None)
}
