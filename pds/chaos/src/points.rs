// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Finds the fault points of a program in section `.fault_points` of its saved ELF.
//!
//! An entry is the address of the `nop` as `u64`, then the point's name ended by a zero byte, padded
//! to eight bytes. The linker writes address 0 (or a small offset) for a point in a function that it
//! has dropped: those are left out.

use alloc::{string::String, vec, vec::Vec};

use sel4_shared_memory::SharedRef;

use crate::plan::Death;

/// A place in a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// Address of the `nop`.
    pub address: u64,
    /// Its name.
    pub name: String,
}

/// Where the runtime blocks for ever; not a place to kill at.
const BLOCK_FOR_EVER: &str = "runtime.block_for_ever";
/// Where it would die at once, for measurements; nobody comes along there.
const DIE_NOW: &str = "runtime.die_now";
/// Endings of the names of the points around an acknowledgement.
const AROUND_ACK: (&str, &str) = (".before_ack", ".after_ack");

/// The fault points of a program, and the places that a kill can branch to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Points {
    /// Where it can be killed.
    pub points: Vec<Point>,
    /// Where it would block for ever.
    pub block_for_ever: Option<u64>,
    /// Where it would die at once, with the counter of that time in x0.
    pub die_now: Option<u64>,
}

impl Points {
    /// Where to kill, and where to branch to, for a kill planned at `point`; `None`: this program cannot
    /// die so.
    pub fn place(&self, point: usize, death: Death) -> Option<(usize, u64)> {
        match death {
            Death::Deadlock => Some((point, self.block_for_ever?)),
            Death::LostIrq => {
                let with = |end: &str| self.points.iter().position(|p| p.name.ends_with(end));
                let (before, after) = (with(AROUND_ACK.0)?, with(AROUND_ACK.1)?);
                Some((before, self.points[after].address))
            }
            _ => Some((point, 0)),
        }
    }
}

const SECTION: &[u8] = b".fault_points";
const SECTION_HEADER_BYTES: usize = 64;

fn number(bytes: &[u8], offset: usize, length: usize) -> Option<usize> {
    let mut value = [0; 8];
    value[..length].copy_from_slice(bytes.get(offset..offset + length)?);
    usize::try_from(u64::from_le_bytes(value)).ok()
}

fn part(elf: &SharedRef, offset: usize, length: usize) -> Option<Vec<u8>> {
    (offset.checked_add(length)? <= elf.len()).then(|| {
        let mut bytes = vec![0; length];
        elf.read_bytes(offset, &mut bytes);
        bytes
    })
}

/// Bytes of the section with index `index`.
fn section(elf: &SharedRef, headers: &[u8], index: usize) -> Option<Vec<u8>> {
    let header = headers.chunks_exact(SECTION_HEADER_BYTES).nth(index)?;
    part(elf, number(header, 24, 8)?, number(header, 32, 8)?)
}

/// The points of the program in `elf` that lie in `code` (addresses), without repetitions.
pub fn find(elf: &SharedRef, code: core::ops::Range<u64>) -> Points {
    let mut points = entries(elf).map_or_else(Vec::new, |bytes| parse(&bytes, code));
    let block = points.iter().position(|point| point.name == BLOCK_FOR_EVER);
    let block_for_ever = block.map(|index| points.remove(index).address);
    let die = points.iter().position(|point| point.name == DIE_NOW);
    let die_now = die.map(|index| points.remove(index).address);
    Points {
        points,
        block_for_ever,
        die_now,
    }
}

fn entries(elf: &SharedRef) -> Option<Vec<u8>> {
    let header = part(elf, 0, 64)?;
    let count = number(&header, 60, 2)?;
    let headers = part(elf, number(&header, 40, 8)?, count * SECTION_HEADER_BYTES)?;
    let names = section(elf, &headers, number(&header, 62, 2)?)?;
    let index = headers
        .chunks_exact(SECTION_HEADER_BYTES)
        .position(|header| {
            let name = number(header, 0, 4).and_then(|start| names.get(start..));
            name.is_some_and(|name| {
                name.strip_prefix(SECTION)
                    .is_some_and(|rest| rest.first() == Some(&0))
            })
        })?;
    section(elf, &headers, index)
}

fn parse(bytes: &[u8], code: core::ops::Range<u64>) -> Vec<Point> {
    let mut points: Vec<Point> = Vec::new();
    let mut rest = bytes;
    while let Some(address) = number(rest, 0, 8) {
        let text = &rest[8..];
        let Some(length) = text.iter().position(|&byte| byte == 0) else {
            break;
        };
        let point = Point {
            address: address as u64,
            name: String::from_utf8_lossy(&text[..length]).into_owned(),
        };
        if code.contains(&point.address) && !points.contains(&point) {
            points.push(point);
        }
        let used = (8 + length + 1).next_multiple_of(8);
        rest = rest.get(used..).unwrap_or_default();
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(address: u64, name: &str) -> Vec<u8> {
        let mut bytes = address.to_le_bytes().to_vec();
        bytes.extend(name.as_bytes());
        bytes.push(0);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }

    #[test]
    fn entries_of_every_length_are_found() {
        let bytes = [
            entry(0x100, "a"),
            entry(0x104, "1234567"),
            entry(0x108, "12345678"),
        ]
        .concat();
        let names: Vec<_> = parse(&bytes, 0x100..0x200)
            .into_iter()
            .map(|p| p.name)
            .collect();
        assert_eq!(names, ["a", "1234567", "12345678"]);
    }

    #[test]
    fn dropped_and_repeated_points_are_left_out() {
        let bytes = [entry(0, "gone"), entry(0x100, "a"), entry(0x100, "a")].concat();
        assert_eq!(parse(&bytes, 0x100..0x200).len(), 1);
    }

    #[test]
    fn a_cut_section_ends_the_list() {
        let bytes = entry(0x100, "a long name indeed");
        for length in 0..bytes.len() {
            assert!(parse(&bytes[..length], 0x100..0x200).len() <= 1);
        }
    }
}
