// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The block service: busy instructions per request at queue depths 1 and 32, what its death costs, and
//! how long clients wait for it then.

use super::{Bench, Run};

/// See the module.
pub const BENCH: Bench = Bench {
    name: "block",
    what: "costs and restart time of the block service",
    runs: &[
        Run {
            name: "costs",
            overlays: &[],
            ..KILLS
        },
        KILLS,
    ],
};

const KILLS: Run = Run {
    name: "kills",
    system: "pds/bench_blk/system.xml",
    overlays: &["pds/bench_blk/kills.xml"],
    disk_megabytes: 256,
    ext4: false,
    ..Run::PLAIN
};
