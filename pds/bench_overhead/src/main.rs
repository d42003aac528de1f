// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Measures the instructions that a fixed piece of the demo's work takes, everybody's included.
//!
//! The time that passes less what `test_spin` counts is the work of application, services, driver,
//! supervisors and kernel together. That is only true under QEMU's `-icount shift=0`. The host boots this
//! with supervision and without it and compares the two.
//!
//! Where `bench_overhead_minutes` is mapped, it counts nothing and works for that long: a load under which
//! nobody must be taken for hung.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

use core::time::Duration;

use app_demo_service::Extent;
use app_demo_service::watch::Watch;
use app_demo_service::work::Failure;
use figures::Samples;
use log::{error, info};
use pd_clients::{files, timers};
use pd_setup::region;
use sel4_microkit::{Handler, NullHandler, protection_domain};
use sel4_shared_memory::SharedRef;
use topology::Topology;

/// `app_demo` has done its work by then.
const START_MS: u64 = 5_000;
/// The same on a throttled disk, where its work takes a minute. Waiting costs the host nothing.
const SLOW_START_MS: u64 = 300_000;
/// Rounds of the demo's work.
const EXTENT: Extent = Extent {
    rounds_min: 2,
    work_min: Duration::ZERO,
    rounds_max: 2,
};
/// What is done again and again where false restarts are counted.
const MINUTE: Extent = Extent {
    rounds_min: 1,
    work_min: Duration::from_secs(60),
    rounds_max: u32::MAX,
};
/// How often they are done and counted.
const RUNS: u32 = 11;
const INSTRUCTIONS_PER_COUNT: u64 = 3;

/// What has passed and what of it was idle, in instructions.
struct Moment {
    time: u64,
    idle: u64,
}

impl Moment {
    fn now(spin: &SharedRef) -> Self {
        let ns_per_tick = 1_000_000_000 / recovery::ticks_per_second();
        Self {
            time: recovery::ticks() * ns_per_tick,
            idle: spin.load_u64(0) * INSTRUCTIONS_PER_COUNT,
        }
    }
}

#[protection_domain(stack_size = 0x10000, heap_size = 0x100000)]
fn init() -> impl Handler {
    pd_setup::log();
    let topology = pd_setup::topology();
    if let Some(minutes) = topology.region("bench_overhead_minutes") {
        match steady(&topology, pd_setup::reads(&minutes).load_u64(0)) {
            Ok(()) => info!("KINTSUGI|PASS bench_overhead"),
            Err(failure) => error!("KINTSUGI|FAIL bench_overhead: {failure}"),
        }
        return NullHandler::new();
    }
    let start = START_MS * (recovery::ticks_per_second() / 1_000);
    while recovery::ticks() < start {}
    let spin = pd_setup::reads(&region(&topology, "spin_counter"));
    let mut samples = Samples::default();
    for run in 0..=RUNS {
        let (files, timers) = (files(&topology), timers(&topology));
        let before = Moment::now(&spin);
        let result = app_demo_service::run(files, timers, EXTENT);
        let after = Moment::now(&spin);
        if let Err(failure) = result {
            error!("KINTSUGI|FAIL bench_overhead: {failure}");
            return NullHandler::new();
        }
        let busy = (after.time - before.time).saturating_sub(after.idle - before.idle);
        // The first one makes the folder and fills the caches.
        if run > 0 {
            samples.add(busy);
        }
    }
    info!(
        "{}",
        samples.summary("supervision.demo_work", "instructions")
    );
    info!("KINTSUGI|PASS bench_overhead");
    NullHandler::new()
}

/// Works for some minutes, each of which the log shows; the host looks at what the supervisors say.
fn steady(topology: &Topology<'static>, minutes: u64) -> Result<(), Failure> {
    let mut watch = Watch::start(timers(topology))?;
    watch.sleep(Duration::from_millis(SLOW_START_MS))?;
    watch.finish()?;
    for minute in 1..=minutes {
        app_demo_service::run(files(topology), timers(topology), MINUTE)?;
        info!("worked for {minute} minutes");
    }
    Ok(())
}
