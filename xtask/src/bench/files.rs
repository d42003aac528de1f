// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The file service: busy instructions per operation, what its death costs, and how long clients wait for it
//! then.

use super::{Bench, Run};

/// See the module.
pub const BENCH: Bench = Bench {
    name: "files",
    what: "costs and restart time of the file service",
    runs: &[Run {
        system: "pds/bench_fs/system.xml",
        disk_megabytes: 256,
        timeout_s: 1200,
        ..Run::PLAIN
    }],
};
