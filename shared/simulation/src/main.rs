// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Simulates the services on the host, with crashes between any two of their steps, as fast as it goes.
//!
//! `cargo xtask simulate` runs it. Every run follows from its seed and number alone, so a violation is
//! repeated by `--seed S --run N`.

#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use clap::Parser;
use simulation::run;

/// Crashes between two lines of progress.
const PROGRESS_EVERY: u64 = 50_000;

/// Simulates the services with crashes between any two steps.
#[derive(Parser)]
struct Arguments {
    /// End when so many crashes were simulated.
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    crashes: u64,
    /// Number that everything follows from.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Only this run.
    #[arg(long, value_name = "N")]
    run: Option<u64>,
    /// Begin with this run, to go on where an earlier command ended.
    #[arg(long, value_name = "N", default_value_t = 0)]
    from: u64,
    /// Threads [default: as many as there are processors].
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

#[derive(Default)]
struct Progress {
    next: AtomicU64,
    crashes: AtomicU64,
    cuts: AtomicU64,
    operations: AtomicU64,
    runs: AtomicU64,
    stop: AtomicBool,
    violations: Mutex<Vec<(u64, String)>>,
}

impl Progress {
    fn work(&self, arguments: &Arguments, disk: &[u8], started: Instant) {
        while !self.stop.load(Ordering::Relaxed) {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            match run::run(disk, arguments.seed, number, run::ROUNDS) {
                Ok(tally) => {
                    let before = self.crashes.fetch_add(tally.crashes, Ordering::Relaxed);
                    self.cuts.fetch_add(tally.cuts, Ordering::Relaxed);
                    self.operations
                        .fetch_add(tally.operations, Ordering::Relaxed);
                    self.runs.fetch_add(1, Ordering::Relaxed);
                    let now = before + tally.crashes;
                    if before / PROGRESS_EVERY != now / PROGRESS_EVERY {
                        let rate = now as f64 / started.elapsed().as_secs_f64();
                        eprintln!("{now} crashes, {rate:.0} per second");
                    }
                    if now >= arguments.crashes {
                        self.stop.store(true, Ordering::Relaxed);
                    }
                }
                Err(what) => {
                    if let Ok(mut violations) = self.violations.lock() {
                        violations.push((number, what));
                    }
                    self.stop.store(true, Ordering::Relaxed);
                }
            }
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if !run::have_tools() {
        return ExitCode::FAILURE;
    }
    let disk = run::disk();
    let seed = arguments.seed;
    if let Some(number) = arguments.run {
        return match run::run(&disk, seed, number, run::ROUNDS) {
            Ok(tally) => {
                println!("seed {seed} run {number}: {tally:?}, no violation");
                ExitCode::SUCCESS
            }
            Err(what) => {
                println!("seed {seed} run {number}: {what}");
                ExitCode::FAILURE
            }
        };
    }
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = arguments.threads.unwrap_or(processors).max(1);
    let (progress, started) = (Progress::default(), Instant::now());
    progress.next.store(arguments.from, Ordering::Relaxed);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| progress.work(&arguments, &disk, started));
        }
    });
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let violations = progress.violations.into_inner().unwrap_or_default();
    for (number, what) in &violations {
        println!("VIOLATION: {what}\n  again: cargo xtask simulate --seed {seed} --run {number}");
    }
    println!(
        "{} crashes ({} power cuts) in {} runs, {} operations, {:.0} s \
         on {threads} threads, seed {seed}: {} violations",
        count(&progress.crashes),
        count(&progress.cuts),
        count(&progress.runs),
        count(&progress.operations),
        started.elapsed().as_secs_f64(),
        violations.len()
    );
    match violations.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
