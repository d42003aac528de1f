// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Kills one service at a fault point that its caller names, and knows when that happened. For benchmarks and
//! tests that are the service's client themselves.

use alloc::{format, string::String, vec::Vec};

use microkit_abi::cache;
use recovery::{CODE_BASE, StartInfo};
use sel4_shared_memory::{SharedMut, SharedRef};
use topology::Topology;

use crate::points::{self, Point};

const PAGE: usize = 0x1000;
/// `udf #0`.
const UNDEFINED: u32 = 0;

/// Hands on one service's code.
pub struct Killer {
    points: Vec<Point>,
    code: SharedMut,
    data: SharedRef,
    start_info: usize,
}

impl Killer {
    /// Takes the regions `NAME_code`, `NAME_data` and `NAME_elf`. The service must have started.
    ///
    /// # Panics
    ///
    /// When system.xml does not map them, or the service has not started.
    pub fn new(topology: &Topology<'static>, service: &str) -> Self {
        let region = |what: &str| pd_setup::region(topology, &format!("{service}_{what}"));
        let code = region("code");
        let elf = pd_setup::reads(&region("elf"));
        let data = pd_setup::reads(&region("data"));
        let start_info = (0..data.len())
            .step_by(PAGE)
            .find(|at| info_at(&data, *at).is_some());
        let found = points::find(&elf, CODE_BASE..CODE_BASE + code.size);
        Self {
            points: found.points,
            code: pd_setup::writes(&code),
            start_info: start_info.expect("start information is on a page of its own"),
            data,
        }
    }

    /// The names of all points.
    pub fn names(&self) -> Vec<String> {
        self.points.iter().map(|point| point.name.clone()).collect()
    }

    /// The next time that the service comes along here, it dies. Its supervisor loads it anew.
    ///
    /// # Panics
    ///
    /// When there is no such point.
    pub fn plant(&mut self, name: &str) {
        assert!(
            self.points.iter().any(|point| point.name == name),
            "no fault point {name}"
        );
        for point in self.points.iter().filter(|point| point.name == name) {
            let offset = (point.address - CODE_BASE) as usize;
            self.code.store_u32(offset, UNDEFINED);
            cache::unify_instructions(self.code.addr() + offset, size_of::<u32>());
        }
    }

    /// Takes back what was planted and not reached.
    pub fn take_back(&mut self, name: &str) {
        for point in self.points.iter().filter(|point| point.name == name) {
            let offset = (point.address - CODE_BASE) as usize;
            self.code.store_u32(offset, crate::plan::NOP);
            cache::unify_instructions(self.code.addr() + offset, size_of::<u32>());
        }
    }

    /// The service's epoch, and when its last life ended.
    pub fn life(&self) -> (u32, u64) {
        info_at(&self.data, self.start_info)
            .map_or((0, 0), |info| (info.epoch.get(), info.fault_ticks.get()))
    }
}

fn info_at(data: &SharedRef, offset: usize) -> Option<StartInfo> {
    let bytes = data.read::<[u8; size_of::<StartInfo>()]>(offset);
    StartInfo::parse(&bytes).ok()
}
