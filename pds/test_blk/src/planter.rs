// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Puts faulting instructions at fault points of the block service: in its running code, or in the saved
//! ELF, from which every new life is made.

use alloc::vec::Vec;

use chaos_service::plan::NOP;
use chaos_service::points::{self, Point};
use microkit_abi::cache;
use recovery::{CODE_BASE, StartInfo};
use sel4_microkit::var;
use sel4_shared_memory::{SharedMut, SharedRef};

const PAGE: usize = 0x1000;
/// `udf #0`.
const UNDEFINED: u32 = 0;

/// Offsets in an ELF header and in a program header (System V ABI).
const PHOFF: usize = 32;
const PHNUM: usize = 56;
const PROGRAM_HEADER_BYTES: usize = 56;
const SEGMENT_OFFSET: usize = 8;
const SEGMENT_VADDR: usize = 16;
const SEGMENT_FILESZ: usize = 32;

/// Where an instruction is put.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Where {
    /// Into this life.
    Running,
    /// Into every later life.
    Saved,
}

pub struct Planter {
    points: Vec<Point>,
    code: SharedMut,
    elf: SharedMut,
    data: SharedRef,
}

impl Planter {
    /// `None` when system.xml does not map the service's parts.
    pub fn find() -> Option<Self> {
        let (elf, elf_bytes) = (
            *var!(blk_elf_vaddr: usize = 0),
            *var!(blk_elf_size: usize = 0),
        );
        let (code, code_bytes) = (
            *var!(blk_code_vaddr: usize = 0),
            *var!(blk_code_size: usize = 0),
        );
        let (data, data_bytes) = (
            *var!(service_data_vaddr: usize = 0),
            *var!(service_data_size: usize = 0),
        );
        if elf == 0 {
            return None;
        }
        let elf = SharedMut::from_mapped(elf, elf_bytes).expect("blk_elf");
        let range = CODE_BASE..CODE_BASE + code_bytes as u64;
        Some(Self {
            points: points::find(&elf.as_shared_ref(), range).points,
            code: SharedMut::from_mapped(code, code_bytes).expect("blk_code"),
            data: SharedRef::from_mapped(data, data_bytes).expect("blk_data"),
            elf,
        })
    }

    /// The service dies when it comes along there.
    pub fn plant(&mut self, place: Where, name: &str) {
        self.write(place, name, UNDEFINED);
    }

    /// It does so no more.
    pub fn clear(&mut self, place: Where, name: &str) {
        self.write(place, name, NOP);
    }

    fn write(&mut self, place: Where, name: &str, instruction: u32) {
        let mut found = 0;
        for point in self.points.iter().filter(|point| point.name == name) {
            found += 1;
            match place {
                Where::Running => {
                    let offset = (point.address - CODE_BASE) as usize;
                    self.code.store_u32(offset, instruction);
                    cache::unify_instructions(self.code.addr() + offset, size_of::<u32>());
                }
                Where::Saved => {
                    let offset = file_offset(&self.elf, point.address);
                    self.elf
                        .store_u32(offset.expect("in a segment"), instruction);
                }
            }
        }
        assert!(found > 0, "blk has no fault point {name}");
    }

    /// How often the service was restarted.
    pub fn epoch(&self) -> u32 {
        // It comes right after the stack, whose size it states itself: on a page of its own.
        (0..self.data.len())
            .step_by(PAGE)
            .map(|at| self.data.read::<[u8; size_of::<StartInfo>()]>(at))
            .find_map(|bytes| StartInfo::parse(&bytes).ok())
            .map_or(0, |info| info.epoch.get())
    }
}

/// Where the file has the byte that is loaded at `address`.
fn file_offset(elf: &SharedMut, address: u64) -> Option<usize> {
    let table = elf.load_u64(PHOFF) as usize;
    let count = elf.load_u32(PHNUM) as u16;
    (0..usize::from(count)).find_map(|index| {
        let header = table + index * PROGRAM_HEADER_BYTES;
        let field = |at| elf.load_u64(header + at);
        let within = address.checked_sub(field(SEGMENT_VADDR))?;
        (within < field(SEGMENT_FILESZ)).then(|| (field(SEGMENT_OFFSET) + within) as usize)
    })
}
