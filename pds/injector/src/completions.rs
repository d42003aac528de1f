// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Faults of a server that answers wrongly: a completion that is taken back, says something else, or comes
//! twice. They are made between the server's store and its client's look.

use alloc::{vec, vec::Vec};

use injector_service::class::Class;
use injector_service::random::Random;
use sel4_shared_memory::{Crc32c, SharedMut};

use crate::inject::Injected;
use crate::look::Machine;

// The layout of a region of completions: `shared/request-table/src/layout.rs`.
const BODY_BYTES: usize = 12;
const SLOT_BYTES: usize = 16;
const VERSION_AND_SLOTS: usize = 8;
const FIRST_SLOT: usize = 256;
const CRC_IN_SLOT: usize = 8;
const SLOT_HEADER: usize = 16;
/// Periods in which the server has to complete something.
const PATIENCE: u32 = 24;

/// Name of the region with the completions of `pd`, and of the fault point right behind its store.
fn place(pd: &str) -> Option<(&'static str, &'static str)> {
    match pd {
        "blk" => Some(("blk_to_fs_completions", "blk.after_complete")),
        "fs" => Some(("fs_to_app_demo_completions", "fs.after_complete")),
        _ => None,
    }
}

/// Makes the fault.
pub fn change(
    machine: &mut Machine,
    victim: usize,
    class: Class,
    random: &mut Random,
) -> Option<Injected> {
    let (region, point) = place(machine.victims[victim].name)?;
    let region = machine
        .shared
        .iter()
        .position(|shared| shared.name == region)?;
    let mut points = machine.victims[victim].points.points.iter();
    let address = points.find(|found| found.name == point)?.address;
    let before = slots(&machine.shared[region].memory);
    let registers = machine.victims[victim].stop_at(address, PATIENCE)?;
    let memory = &mut machine.shared[region].memory;
    let after = slots(memory);
    let changed: Vec<usize> = (0..after.len().min(before.len()))
        .filter(|slot| after[*slot] != before[*slot])
        .collect();
    let chosen = changed.get(random.below(changed.len() as u64) as usize);
    let injected = chosen.map(|&slot| {
        let length = after[slot].len();
        let offset = FIRST_SLOT + slot * length;
        let bytes = match class {
            Class::DroppedCompletion => before[slot].clone(),
            Class::RepeatedCompletion => {
                let other = (slot + 1) % after.len();
                after[other].clone()
            }
            _ => wrong(memory, &after[slot], random),
        };
        memory.write_bytes(offset, &bytes);
        Injected::at((region as u64) << 32 | offset as u64, 0, 0)
    });
    // It goes on in any case.
    machine.victims[victim].set_registers(&registers);
    injected
}

/// The slots as they are; none when the region is not what it should be.
fn slots(memory: &SharedMut) -> Vec<Vec<u8>> {
    let length = memory.load_u32(SLOT_BYTES) as usize;
    let count = (memory.load_u32(VERSION_AND_SLOTS) >> 16) as usize;
    if length < SLOT_HEADER || length > 4096 || FIRST_SLOT + count * length > memory.len() {
        return Vec::new();
    }
    (0..count)
        .map(|slot| {
            let mut bytes = vec![0; length];
            memory.read_bytes(FIRST_SLOT + slot * length, &mut bytes);
            bytes
        })
        .collect()
}

/// The same completion with one bit of its body changed, be it of the answer's own checksum, and the slot's
/// checksum made right.
fn wrong(memory: &SharedMut, slot: &[u8], random: &mut Random) -> Vec<u8> {
    let body = (memory.load_u32(BODY_BYTES) as usize).min(slot.len() - SLOT_HEADER);
    let mut bytes = slot.to_vec();
    if body > 0 {
        bytes[SLOT_HEADER + random.below(body as u64) as usize] ^= 1 << random.below(8);
    }
    let crc = Crc32c::new()
        .bytes(&bytes[..CRC_IN_SLOT])
        .bytes(&bytes[SLOT_HEADER..SLOT_HEADER + body])
        .finish();
    bytes[CRC_IN_SLOT..CRC_IN_SLOT + 4].copy_from_slice(&crc.to_le_bytes());
    bytes
}
