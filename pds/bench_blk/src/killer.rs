// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Kills the block service at one of its fault points, and knows when that happened.

use alloc::vec::Vec;

use chaos_service::points::{self, Point};
use microkit_abi::cache;
use recovery::{CODE_BASE, StartInfo};
use sel4_shared_memory::{SharedMut, SharedRef};
use topology::Topology;

/// Where a request passes on its way to the disk: the service dies as soon as it is notified, with
/// nothing idle in between.
pub const ON_THE_WAY: [&str; 4] = [
    "blk.after_take",
    "blk.after_submit",
    "blk.before_kick",
    "blk.after_kick",
];

const PAGE: usize = 0x1000;
/// `udf #0`.
const UNDEFINED: u32 = 0;

pub struct Killer {
    points: Vec<Point>,
    code: SharedMut,
    data: SharedRef,
    start_info: usize,
}

impl Killer {
    /// The service must have started.
    pub fn new(topology: &Topology<'static>) -> Self {
        let region = |name| topology.region(name).expect("system.xml maps it");
        let code = region("blk_code");
        let elf = pd_setup::reads(&region("blk_elf"));
        let data = pd_setup::reads(&region("blk_data"));
        let start_info = (0..data.len())
            .step_by(PAGE)
            .find(|at| info_at(&data, *at).is_some());
        Self {
            points: points::find(&elf, CODE_BASE..CODE_BASE + code.size).points,
            code: pd_setup::writes(&code),
            start_info: start_info.expect("start information is on a page of its own"),
            data,
        }
    }

    /// The next time that the service comes along here, it dies. Its supervisor loads it anew.
    pub fn plant(&mut self, name: &str) {
        for point in self.points.iter().filter(|point| point.name == name) {
            let offset = (point.address - CODE_BASE) as usize;
            self.code.store_u32(offset, UNDEFINED);
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
