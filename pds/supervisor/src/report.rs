// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The report of a death: collects what the restart would overwrite, in a bounded number of steps.
//!
//! Everything that is read here was the dead PD's to write: frame pointers, return addresses, the
//! paint of its stack, its log ring. So every address is checked against the stack's bounds, the
//! chain of frames may only go up, and each loop has a bound. Garbage makes a short or a silly
//! report, and no harm.
//!
//! **Cost.** The supervisor runs above its children, so whatever it does before it receives again
//! is part of the outage. So a report is made at the next tick, when the child is at work again, from
//! what the new life has found of the last ([`LastLife`]) and what the fault message said; text is
//! made by the console. A stack is painted once, before the first life: repainting what each life has
//! used would cost a store per word of it. So the high-water mark is the deepest use of all lives
//! since boot.

use core::ops::Range;

use black_box::{
    Action, FRAMES_MAX, REGISTER_COUNT, RecordWire, STACK_PAINT, Shown, TEXT_BYTES, to_name,
};
use proto::log::{BODY_WORDS, END, EPOCH_MASK, HEADER, Head as LogHead, START, tail_entry_words};
use recovery::LastLife;
use sel4_shared_memory::{SharedMut, SharedRef};
use shared_words::{Words, unseal};

use crate::fault::Fault;
use crate::id_registers::GENERAL;

/// Index of the program counter in a set of registers.
const PC: usize = 0;
/// Index of the stack pointer.
const SP: usize = 1;
/// Index of the frame pointer, x29.
const FP: usize = 15;
/// Entries of a log that are looked through for the last one of a life.
const ENTRIES_MAX: usize = 64;

const PAINT_WORD: u64 = u64::from_ne_bytes([STACK_PAINT; 8]);
/// The search for the deepest use looks at every fourth word, which is what it costs per death.
const STRIDE_BYTES: u64 = 32;
/// So many painted samples in a row end the search: 256 bytes. A frame can have a larger hole (a
/// buffer that was never filled); then the mark is too high until something is written deeper, or
/// the stack pointer of a death shows it.
const GAP_SAMPLES: usize = 8;
/// Most log entries that are taken into a report.
const LINES_MAX: usize = 6;

/// Where a child's stack and code lie, in the child's own addresses.
#[derive(Clone, Debug)]
pub struct Places {
    /// The stack.
    pub stack: Range<u64>,
    /// Where return addresses can point to.
    pub code: Range<u64>,
    /// Address of the first byte of the data region.
    pub data_base: u64,
}

impl Places {
    /// Offset of the aligned word at `address` in the data region, if it is part of the stack.
    fn word(&self, data: &SharedRef, address: u64) -> Option<usize> {
        let end = address.checked_add(8)?;
        let inside =
            address.is_multiple_of(8) && self.stack.start <= address && end <= self.stack.end;
        let offset = address.checked_sub(self.data_base)?;
        (inside && offset + 8 <= data.len() as u64).then_some(offset as usize)
    }

    fn load(&self, data: &SharedRef, address: u64) -> Option<u64> {
        self.word(data, address).map(|offset| data.load_u64(offset))
    }
}

/// The deepest known use of a child's stack.
#[derive(Clone, Debug)]
pub struct StackMark {
    low: u64,
}

impl StackMark {
    /// Knows nothing yet.
    #[must_use]
    pub fn new(places: &Places) -> Self {
        Self {
            low: places.stack.end,
        }
    }

    /// Paints the stack. The child must not have run yet: later its stack is its own.
    pub fn paint(places: &Places, data: &mut SharedMut) {
        let offset = places.stack.start.checked_sub(places.data_base);
        let length = places.stack.end.saturating_sub(places.stack.start);
        let end = offset.and_then(|offset| offset.checked_add(length));
        if let (Some(offset), Some(_)) = (offset, end.filter(|end| *end <= data.len() as u64)) {
            data.fill(offset as usize, length as usize, STACK_PAINT);
        }
    }

    /// Looks for use below the last mark, and at the stack pointer; returns the new mark.
    pub fn deepen(&mut self, places: &Places, data: &SharedRef, sp: u64) -> u64 {
        // An overflow leaves the stack pointer below the bottom: all of the stack is used.
        let sp = sp & !7;
        if sp < self.low && sp != 0 {
            self.low = sp.max(places.stack.start);
        }
        let mut painted = 0;
        let mut at = self.low;
        while painted < GAP_SAMPLES {
            at = at.wrapping_sub(STRIDE_BYTES);
            match places.load(data, at) {
                Some(PAINT_WORD) => painted += 1,
                Some(_) => (self.low, painted) = (at, 0),
                None => break,
            }
        }
        self.low
    }
}

/// Return addresses, innermost first, and how many there are. The first is the program counter.
pub fn backtrace(
    places: &Places,
    data: &SharedRef,
    registers: &[u64; REGISTER_COUNT],
    frames: &mut [u64; FRAMES_MAX],
) -> usize {
    frames[0] = registers[PC];
    let mut count = 1;
    let mut record = registers[FP];
    while count < FRAMES_MAX {
        let Some(outer) = places.load(data, record) else {
            break;
        };
        let Some(address) = places.load(data, record + 8) else {
            break;
        };
        if !places.code.contains(&address) || !address.is_multiple_of(4) {
            break;
        }
        frames[count] = address;
        count += 1;
        // The caller's record is further up. Anything else is the end, or a loop.
        if outer <= record {
            break;
        }
        record = outer;
    }
    count
}

/// Registers and return addresses of a life that has ended.
#[derive(Clone, Debug)]
pub struct Traces {
    registers: [u64; REGISTER_COUNT],
    frames: [u64; FRAMES_MAX],
    count: usize,
}

impl Traces {
    /// Nothing is known.
    pub const NONE: Self = Self {
        registers: [0; REGISTER_COUNT],
        frames: [0; FRAMES_MAX],
        count: 0,
    };

    /// Of a child that has not been restarted.
    #[must_use]
    pub fn of_registers(
        registers: [u64; REGISTER_COUNT],
        places: &Places,
        data: &SharedRef,
    ) -> Self {
        let mut frames = [0; FRAMES_MAX];
        let count = backtrace(places, data, &registers, &mut frames);
        Self {
            registers,
            frames,
            count,
        }
    }

    /// What the next life has found; the program counter is the fault message's.
    #[must_use]
    pub fn of_last_life(found: &LastLife, pc: Option<u64>, places: &Places) -> Self {
        let mut traces = Self::NONE;
        (traces.registers[PC], traces.registers[SP]) = (pc.unwrap_or(0), found.sp);
        for (value, index) in found.x.iter().zip(GENERAL) {
            traces.registers[index] = *value;
        }
        traces.frames[0] = traces.registers[PC];
        traces.count = 1;
        let is_code = |address: &&u64| places.code.contains(*address) && address.is_multiple_of(4);
        for address in found.frames().iter().take_while(is_code) {
            traces.frames[traces.count] = *address;
            traces.count += 1;
        }
        traces
    }
}

/// A death, as far as the supervisor knows of it by itself.
#[derive(Clone, Debug)]
pub struct Death<'a> {
    /// The PD.
    pub name: &'a str,
    /// Why it ended.
    pub fault: Fault,
    /// Epoch of the life that ended.
    pub epoch: u32,
    /// What will be done about it.
    pub action: Action,
    /// Counter when the fault was received.
    pub fault_ticks: u64,
    /// Counts per second.
    pub ticks_per_second: u64,
    /// Registers and return addresses.
    pub traces: Traces,
    /// What it showed.
    pub shown: Shown,
}

/// Fills in `wire`, all but what the black box does itself.
pub fn fill(
    wire: &mut RecordWire,
    death: &Death<'_>,
    places: &Places,
    mark: &mut StackMark,
    data: &SharedRef,
) {
    let Traces {
        registers,
        frames,
        count,
    } = &death.traces;
    (wire.registers, wire.frames) = (*registers, *frames);
    wire.shown = death.shown;
    let (kind, detail) = death.fault.kind.number();
    let head = &mut wire.head;
    head.name = to_name(death.name);
    head.kind = kind as u16;
    head.detail = detail;
    head.action = death.action as u8;
    head.epoch = death.epoch;
    head.fault_ticks = death.fault_ticks;
    head.ticks_per_second = death.ticks_per_second;
    head.address = death.fault.address.unwrap_or(0);
    head.pc = death.fault.pc.unwrap_or(registers[PC]);
    head.stack_bottom = places.stack.start;
    head.stack_top = places.stack.end;
    head.stack_low = mark.deepen(places, data, registers[SP]);
    head.frame_count = *count as u8;
    head.text_bytes = 0;
}

/// Copies the end of the dead life's log into `wire`: the lines of its panic, and what was said before
/// that, as far as there is room.
pub fn last_words(wire: &mut RecordWire, ring: &impl Words, epoch: u32) {
    let mut lines = [(0, 0); LINES_MAX];
    let count = newest_lines(ring, epoch, &mut lines);
    let capacity = (ring.word_count() - BODY_WORDS) as u64;
    let mut length = 0;
    for (position, bytes) in lines[..count].iter().rev() {
        if length > 0 && length < TEXT_BYTES {
            wire.text[length] = b'\n';
            length += 1;
        }
        let bytes = (*bytes).min(TEXT_BYTES - length);
        let target = &mut wire.text[length..length + bytes];
        for (index, part) in target.chunks_mut(8).enumerate() {
            let at = position + 3 + index as u64;
            let word = ring
                .word(BODY_WORDS + (at % capacity) as usize)
                .to_le_bytes();
            match <&mut [u8; 8]>::try_from(&mut *part) {
                Ok(whole) => *whole = word,
                Err(_) => part.copy_from_slice(&word[..part.len()]),
            }
        }
        length += bytes;
    }
    wire.head.text_bytes = length as u16;
}

/// Positions and lengths of the lines to take, newest first.
fn newest_lines(ring: &impl Words, epoch: u32, lines: &mut [(u64, usize); LINES_MAX]) -> usize {
    if HEADER.check(ring).is_err() || ring.word_count() <= BODY_WORDS {
        return 0;
    }
    let capacity = (ring.word_count() - BODY_WORDS) as u64;
    let word = |at: u64| ring.word(BODY_WORDS + (at % capacity) as usize);
    let (Some(start), Some(mut end)) = (unseal(ring.word(START)), unseal(ring.word(END))) else {
        return 0;
    };
    let (mut count, mut bytes) = (0, 0);
    for _ in 0..ENTRIES_MAX {
        if count == LINES_MAX || end <= start {
            break;
        }
        let Some(words) = tail_entry_words(word(end - 1)) else {
            break;
        };
        let Some(first) = end
            .checked_sub(words as u64)
            .filter(|first| *first >= start)
        else {
            break;
        };
        let Some(head) = LogHead::from_words([0, 1, 2].map(|n| word(first + n))) else {
            break;
        };
        if head.entry_words() != words {
            break;
        }
        if head.epoch != epoch & EPOCH_MASK {
            // The next life has written already.
            if count > 0 || head.epoch != epoch.wrapping_add(1) & EPOCH_MASK {
                break;
            }
            end = first;
            continue;
        }
        end = first;
        let emergency = head.kind == proto::log::Kind::Emergency;
        if !emergency && head.kind != proto::log::Kind::Text {
            continue;
        }
        bytes += head.text_bytes + 1;
        if count > 0 && !emergency && bytes > TEXT_BYTES {
            break;
        }
        lines[count] = (first, head.text_bytes);
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests;
