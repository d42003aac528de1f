// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Measures what the death of each service costs until the first instruction of its next life.
//!
//! It runs below everybody, so its victims are idle when it sends them to the runtime's
//! instruction that faults, and it gets the processor back when they are idle again. The victim reads
//! the counter just before it faults, and the entry code of its next life reads it first of all: both
//! are in what a life finds of the last one.
//!
//! Two such instructions take turns, because a supervisor restores all code of a child that dies at the
//! same place twice; `restart.full` is that case.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

use alloc::{format, string::String, vec::Vec};

use chaos_service::points;
use figures::Samples;
use log::{error, info};
use microkit_abi::{slots, tcb};
use recovery::{CODE_BASE, DATA_BASE, LastLife, StartInfo};
use sel4_microkit::{Handler, NullHandler, protection_domain};
use sel4_shared_memory::SharedRef;
use supervisor_service::image::Image;
use topology::{Parts, SavedElf, Topology, Window};

/// Restarts that are measured, of each kind.
const RESTARTS: usize = 12;
/// Time between two, longer than what a supervisor takes for soon, and than a tick.
const PAUSE_MS: u64 = 25;
/// Time until the services have started and the application has done its work.
const START_MS: u64 = 4_000;
/// Bytes from one instruction that faults to the next.
const PLACE_BYTES: u64 = 16;

/// Kernel and switches of a restart without any work of ours, seL4 16.0.0 release.
const FLOOR: u64 = 2_520;
/// Instructions that copying or clearing 64 KiB takes at least.
const COPY_64K: u64 = 6_149;

struct Victim {
    name: String,
    tcb: u64,
    die_now: u64,
    data: SharedRef,
    start_info: usize,
    last_life: usize,
    restored_bytes: u64,
    code_bytes: u64,
}

#[protection_domain(stack_size = 0x8000, heap_size = 0x40000)]
fn init() -> impl Handler {
    pd_setup::log();
    let topology = pd_setup::topology();
    wait_ms(START_MS);
    let data = topology.regions().filter_map(|region| {
        let name = region.name.strip_suffix("_data")?;
        Some((name, region))
    });
    let victims: Vec<_> = data
        .enumerate()
        .map(|(index, (name, region))| Victim::find(&topology, name, &region, index + 1))
        .collect();
    let mut complete = true;
    for victim in &victims {
        complete &= victim.measure("fault_to_entry", victim.restored_bytes, PLACE_BYTES);
        complete &= victim.measure("full", victim.restored_bytes + victim.code_bytes, 0);
    }
    match complete {
        true => info!("KINTSUGI|PASS bench_restart"),
        false => error!("KINTSUGI|FAIL not everybody died as asked"),
    }
    NullHandler::new()
}

fn wait_ms(ms: u64) {
    let end = recovery::ticks() + ms * (recovery::ticks_per_second() / 1_000);
    while recovery::ticks() < end {}
}

impl Victim {
    fn find(
        topology: &Topology<'static>,
        name: &str,
        region: &topology::Region<'static>,
        slot: usize,
    ) -> Self {
        let saved = topology
            .region(&format!("{name}_elf"))
            .expect("system.xml maps it");
        let (elf, data) = (pd_setup::reads(&saved), pd_setup::reads(region));
        let window = |vaddr_in_child, size| Window {
            vaddr: 0,
            vaddr_in_child,
            size,
        };
        let parts = Parts {
            code: window(CODE_BASE, DATA_BASE - CODE_BASE),
            data: window(DATA_BASE, region.size),
            elf: SavedElf {
                vaddr: saved.vaddr,
                size: saved.size,
                file_len: saved.size,
            },
        };
        let image = Image::parse(&elf, &parts).unwrap_or_else(|error| panic!("{name}: {error}"));
        let bytes = |is_data| {
            let wanted = image
                .segments()
                .iter()
                .filter(move |s| s.is_data == is_data);
            wanted.map(|segment| segment.memory_bytes as u64).sum()
        };
        let start_info = image.start_info_offset();
        Self {
            name: name.into(),
            tcb: slots::user(slot),
            die_now: points::find(&elf, CODE_BASE..DATA_BASE)
                .die_now
                .expect("the runtime has one"),
            start_info,
            last_life: image
                .last_life_offset(&data)
                .expect("it is in the data region"),
            data,
            restored_bytes: bytes(true),
            code_bytes: bytes(false),
        }
    }

    fn epoch(&self) -> u32 {
        let bytes = self
            .data
            .read::<[u8; size_of::<StartInfo>()]>(self.start_info);
        StartInfo::parse(&bytes).map_or(0, |info| info.epoch.get())
    }

    /// Kills it again and again; says whether each kill was one.
    fn measure(&self, what: &str, bytes: u64, step: u64) -> bool {
        let mut samples = Samples::with_capacity(RESTARTS);
        // The first two deaths make the supervisor know where the last one was.
        for turn in 0..RESTARTS as u64 + 2 {
            let epoch = self.epoch();
            let pc = self.die_now + turn % 2 * step;
            if tcb::restart(self.tcb, pc).is_err() {
                return false;
            }
            wait_ms(PAUSE_MS);
            let found: LastLife = self.data.read(self.last_life);
            if !found.is_found_by(epoch.wrapping_add(1)) {
                error!("{}: no life after {epoch}", self.name);
                return false;
            }
            if turn >= 2 {
                let ticks = found.entry_ticks.saturating_sub(found.x[0]);
                samples.add(ticks * 1_000_000_000 / recovery::ticks_per_second());
            }
        }
        let name = format!("restart.{what}.{}", self.name);
        info!("{}", samples.summary(&name, "instructions"));
        let mut floor = Samples::default();
        floor.add(FLOOR + bytes * COPY_64K / 0x1_0000);
        let floor_name = match step {
            0 => format!("restart.full_floor.{}", self.name),
            _ => format!("restart.floor.{}", self.name),
        };
        info!("{}", floor.summary(&floor_name, "instructions"));
        true
    }
}
