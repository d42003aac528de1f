// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Every service in turn dies and is restarted: instructions from the fault to the first of the next
//! life, beside the floor of what the kernel takes and the bytes restored cost.

use super::{Bench, Run};

/// See the module.
pub const BENCH: Bench = Bench {
    name: "restart",
    what: "instructions from a fault to the first of the next life",
    runs: &[Run {
        overlays: &["pds/bench_restart/overlay.xml"],
        timeout_s: 600,
        ..Run::PLAIN
    }],
};
