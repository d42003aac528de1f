// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! An application that uses files and timers, and checks everything that it is told.
//!
//! It knows the client libraries only. Services that die under it are none of its business: if it
//! notices one, by an error, a wrong byte, a timer that fires twice, that is a failure. What it says in
//! the log is what the host compares with the disk:
//!
//! - `file sha256=H size=N path=P`: a file that was there before
//! - `wrote sha256=H size=N seed=S path=P`: a file that has to be there afterwards
//! - `removed path=P`: a name that must not be there afterwards
//! - `demo: ops=N errors=N ...`: what it came to
//! - `KINTSUGI|PASS demo` or `KINTSUGI|FAIL reason`: the end

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod alive;
pub mod board;
pub mod content;
pub mod endless;
pub mod escape;
pub mod round;
pub mod walk;
pub mod watch;
pub mod work;

use alloc::format;
use core::time::Duration;

use fs_client::FileSystem;
use log::info;
use timer_client::{Service, Timers};

use crate::work::{Failure, Work};

/// How much the application works.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Rounds of writing, at least.
    pub rounds_min: u32,
    /// More rounds follow until this time has passed ...
    pub work_min: Duration,
    /// ... but never more than these.
    pub rounds_max: u32,
}

impl Extent {
    /// Of the demo: who wants to see it at work in bad times should have the time to make them bad.
    pub const DEMO: Self = Self {
        rounds_min: 5,
        work_min: Duration::from_secs(3),
        rounds_max: 100,
    };

    fn go_on(&self, rounds: u32, worked: Duration) -> bool {
        rounds < self.rounds_min || rounds < self.rounds_max && worked < self.work_min
    }
}

/// Pause between two rounds.
const PAUSE: Duration = Duration::from_millis(3);

/// Runs the application from its start to its end; `Ok` says that nothing was wrong.
///
/// # Errors
///
/// The first thing that was wrong.
pub fn run<S: Service>(
    files: FileSystem,
    timers: Timers<S>,
    extent: Extent,
) -> Result<(), Failure> {
    let start = timers.clock().now();
    let watch = watch::Watch::start(timers)?;
    let mut work = Work::new(files, watch);
    let result = work_through(&mut work, extent);
    let Work { watch, tally, .. } = work;
    let clock = watch.clock().clone();
    let timers = watch.finish()?;
    info!(
        "demo: ops={} errors={} slowest_us={} slowest={} read_bytes={} written_bytes={} elapsed_us={}",
        tally.operations,
        tally.errors,
        tally.slowest_ns / 1_000,
        tally.slowest,
        tally.bytes_read,
        tally.bytes_written,
        clock.elapsed(start).as_micros(),
    );
    info!(
        "demo: timers_fired={} early={} lost={} extra={} clock_backwards={} late_us_max={}",
        timers.fired,
        timers.early,
        timers.lost,
        timers.extra,
        timers.clock_backwards,
        timers.late_ns_max / 1_000,
    );
    result?;
    if tally.errors > 0 {
        return Err(Failure::new(format!("{} errors, see above", tally.errors)));
    }
    if !timers.is_right() {
        return Err(Failure::new("timers did not do what they were asked"));
    }
    Ok(())
}

fn work_through<S: Service>(work: &mut Work<S>, extent: Extent) -> Result<(), Failure> {
    let space = work.run("statfs", "/", FileSystem::space)?;
    info!(
        "file system: {} blocks of {} bytes, {} free",
        space.blocks, space.block_bytes, space.blocks_free
    );
    let found = walk::walk(work, "/")?;
    info!(
        "walked: files={} folders={} others={} bytes={}",
        found.files, found.folders, found.others, found.bytes
    );
    let output = round::OUTPUT;
    if work.run("stat", output, |files| files.exists(output))? {
        round::remove_tree(work, output)?;
    }
    work.run("mkdir", output, |files| files.create_dir(output))?;
    let mut last: Option<round::Left> = None;
    let start = work.watch.now();
    let mut number = 0;
    while extent.go_on(number, work.watch.clock().elapsed(start)) {
        number += 1;
        let left = round::write(work, number, &round::Shape::DEMO)?;
        if let Some(last) = &last {
            round::remove_tree(work, &last.folder)?;
        }
        round::check(work, &left)?;
        info!("round {number} is right");
        let mut left = left;
        left.removed.extend(last.map(|last| last.folder));
        last = Some(left);
        work.watch.sleep(PAUSE)?;
    }
    if let Some(left) = &last {
        round::announce(work, left)?;
    }
    work.run("fsync", "/", FileSystem::sync)
}
