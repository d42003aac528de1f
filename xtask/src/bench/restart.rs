// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Every service in turn dies and is restarted: instructions from the fault to the first of the next
//! life, beside the floor of what the kernel takes and the bytes restored cost.

use super::{Bench, Run, nothing};

/// See the module.
pub const BENCH: Bench = Bench {
    name: "restart",
    what: "instructions from a fault to the first of the next life",
    runs: &[Run {
        name: "all",
        system: "system.xml",
        overlays: &["pds/bench_restart/overlay.xml"],
        heartbeat_timeout_ms: None,
        minutes_max: u64::MAX,
        may_fail: false,
        prefill: &[],
        disk_megabytes: 64,
        ext4: true,
        drive: "",
        timeout_s: 600,
        count: nothing,
    }],
};
