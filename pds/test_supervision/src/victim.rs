// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! A PD that is attacked: where its memory is, how it is sent to its end, and how it is seen to live.

use alloc::{format, string::String, vec::Vec};

use black_box::{Kind, records_in};
use chaos_service::points::{self, Points};
use microkit_abi::{cache, slots, tcb};
use recovery::{CODE_BASE, DATA_BASE, LastLife, StartInfo};
use sel4_shared_memory::{SharedMut, SharedRef};
use supervisor_service::image::Image;
use test_supervision_service::stub::{Stub, WORDS};
use topology::{Parts, SavedElf, Topology, Window};

/// `udf #0`.
const UNDEFINED: u32 = 0;
/// `brk #1`, which the compiler puts where nothing may come.
const BREAKPOINT: u32 = 0xd420_0020;

pub struct Victim {
    pub name: String,
    tcb: u64,
    pub points: Points,
    code: SharedMut,
    data: SharedRef,
    vitals: SharedRef,
    start_info: usize,
    last_life: usize,
    black_boxes: Vec<SharedRef>,
}

/// What is seen of a victim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sight {
    /// Its life.
    pub epoch: u32,
    /// Counter when its supervisor learned of the end of the last one.
    pub noticed_ticks: u64,
    /// Counter at the last life's end, where a stub has read it.
    pub ended_ticks: u64,
    /// It has answered in this life.
    pub answers: bool,
}

impl Victim {
    pub fn find(topology: &Topology<'static>, name: &str, slot: usize) -> Self {
        let region = |what: &str| {
            let name = format!("{name}_{what}");
            topology
                .region(&name)
                .unwrap_or_else(|| panic!("system.xml: {name} is not mapped"))
        };
        let (saved, code, data) = (region("elf"), region("code"), region("data"));
        let elf = pd_setup::reads(&saved);
        let window = |vaddr_in_child, size| Window {
            vaddr: 0,
            vaddr_in_child,
            size,
        };
        let parts = Parts {
            code: window(CODE_BASE, code.size),
            data: window(DATA_BASE, data.size),
            elf: SavedElf {
                vaddr: saved.vaddr,
                size: saved.size,
                file_len: saved.size,
            },
        };
        let image = Image::parse(&elf, &parts).unwrap_or_else(|error| panic!("{name}: {error}"));
        let boxes = topology
            .regions()
            .filter(|region| region.name.ends_with("_black_box"));
        let data = pd_setup::reads(&data);
        Self {
            name: name.into(),
            tcb: slots::user(slot),
            points: points::find(&elf, CODE_BASE..CODE_BASE + code.size),
            code: pd_setup::writes(&code),
            vitals: pd_setup::reads(&region("vitals")),
            start_info: image.start_info_offset(),
            last_life: image.last_life_offset(&data).expect("in the data region"),
            data,
            black_boxes: boxes.map(|region| pd_setup::reads(&region)).collect(),
        }
    }

    fn write(&mut self, offset: usize, instruction: u32) {
        self.code.store_u32(offset, instruction);
        cache::unify_instructions(self.code.addr() + offset, size_of::<u32>());
    }

    /// Sends the victim to `stub`. It gets there when this PD gives up the processor.
    pub fn attack(&mut self, stub: &Stub) {
        let offset = self.code.len() - WORDS * size_of::<u32>();
        for (index, word) in stub.words().iter().enumerate() {
            self.write(offset + index * size_of::<u32>(), *word);
        }
        let pc = CODE_BASE + offset as u64;
        assert!(
            tcb::restart(self.tcb, pc).is_ok(),
            "no right to {}",
            self.name
        );
    }

    /// The victim dies when it comes to the point with this name.
    pub fn plant(&mut self, name: &str) {
        let mut points = self.points.points.iter();
        let point = points.find(|point| point.name == name);
        let point = point.unwrap_or_else(|| panic!("{} has no {name}", self.name));
        self.write((point.address - CODE_BASE) as usize, UNDEFINED);
    }

    /// Ends the victim at an instruction of its own program, so that its code is found to be sound, and not
    /// restored.
    pub fn end_with_code_intact(&mut self) {
        let mut places = (0..self.code.len()).step_by(size_of::<u32>());
        let at = places.find(|&at| self.code.load_u32(at) == BREAKPOINT);
        let at = at.unwrap_or_else(|| panic!("{} has no breakpoint", self.name));
        let ended = tcb::restart(self.tcb, CODE_BASE + at as u64);
        assert!(ended.is_ok(), "no right to {}", self.name);
    }

    /// Branches from one point to another: what is between them is not done any more.
    pub fn skip(&mut self, from: &str, to: &str) -> bool {
        let address = |name: &str| {
            let mut points = self.points.points.iter();
            points.find(|point| point.name == name).map(|p| p.address)
        };
        let (Some(from), Some(to)) = (address(from), address(to)) else {
            return false;
        };
        let words = (to.wrapping_sub(from) as i64 / 4) as u32;
        self.write(
            (from - CODE_BASE) as usize,
            0x1400_0000 | words & 0x03ff_ffff,
        );
        true
    }

    /// Replaces a word wherever it is in the victim's data and heap; says how often it was there.
    pub fn corrupt(&self, topology: &Topology<'static>, from: u64, to: u64) -> usize {
        let region = topology.region(&format!("{}_data", self.name));
        let mut data = pd_setup::writes(&region.expect("found before"));
        let words = (0..data.len()).step_by(size_of::<u64>());
        let found: Vec<_> = words.filter(|&at| data.load_u64(at) == from).collect();
        found.iter().for_each(|&at| data.store_u64(at, to));
        found.len()
    }

    pub fn sight(&self) -> Sight {
        type Bytes = [u8; size_of::<StartInfo>()];
        let info = StartInfo::parse(&self.data.read::<Bytes>(self.start_info)).ok();
        let (epoch, noticed_ticks) =
            info.map_or((0, 0), |info| (info.epoch.get(), info.fault_ticks.get()));
        let found: LastLife = self.data.read(self.last_life);
        let ended = if found.is_found_by(epoch) {
            found.x[19]
        } else {
            0
        };
        let vitals = vitals::read(&self.vitals);
        Sight {
            epoch,
            noticed_ticks,
            ended_ticks: ended,
            // A page keeps its beats; `busy` ends with the first event, which may be the question.
            answers: vitals.epoch == Some(epoch) && !vitals.runs,
        }
    }

    /// What the black boxes say of the end of the life `epoch`.
    pub fn kind_of_death(&self, epoch: u32) -> Option<Kind> {
        self.black_boxes.iter().find_map(|region| {
            let mut bytes = alloc::vec![0; region.len()];
            region.read_bytes(0, &mut bytes);
            let (boot, records) = records_in(&bytes)?;
            let mut of_life = records.filter(|wire| {
                let head = &wire.head;
                let is_mine = wire.record().name() == self.name;
                is_mine && head.boot == boot && head.epoch == epoch
            });
            of_life.next().map(|wire| wire.head.kind())
        })
    }
}
