// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The file service: busy instructions per operation, what its death costs, and how long clients wait for it
//! then.

use super::{Bench, Run, nothing};

/// See the module.
pub const BENCH: Bench = Bench {
    name: "files",
    what: "costs and restart time of the file service",
    runs: &[Run {
        name: "all",
        system: "pds/bench_fs/system.xml",
        overlays: &[],
        heartbeat_timeout_ms: None,
        minutes_max: u64::MAX,
        may_fail: false,
        prefill: &[],
        disk_megabytes: 256,
        ext4: true,
        drive: "",
        timeout_s: 1200,
        count: nothing,
    }],
};
