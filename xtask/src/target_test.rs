// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! `cargo xtask test`: system tests in QEMU, the same list on every kernel that is there.
//!
//! A test is a row of [`cases::ALL`] or of an area's own list: a system, a disk, and what its serial
//! output must say. With `--all` the host's tests, the tidy check and the check of system.xml run first
//! and count too.

mod block;
mod cases;
mod deaths;
mod files;
mod hello;
mod host;
mod power;
mod runner;
pub mod sqlite;

use std::path::PathBuf;

use crate::board::Board;
use crate::cli::{Config, DemoArgs, Kernel, KernelArgs, TestArgs};
use crate::doctor;
use crate::error::{Context, Error, Result};
use crate::kernels::{self, Target};
use crate::workspace;
pub use cases::HANG;
use runner::Outcome;

/// What the last lines say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Tests that did what they must.
    pub passed: u64,
    /// Tests that did not.
    pub failed: u64,
    /// Tests that this machine lacks something for.
    pub skipped: u64,
    /// Which failed, and why: said once more at the end, as the end may be all that is kept of a log.
    pub failures: Vec<String>,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.failures.extend(other.failures);
    }

    /// Counts the outcome of a test and prints it.
    fn report(&mut self, name: &str, target: &str, outcome: &Outcome) {
        let test = format!("{name} ({target})");
        match outcome {
            Outcome::Passed => {
                self.passed += 1;
                println!("test {test} ... ok");
            }
            Outcome::Failed(why) => {
                self.failed += 1;
                println!("test {test} ... FAILED\n{why}");
                self.failures.push(format!("{test}: {why}"));
            }
            Outcome::Skipped(why) => {
                self.skipped += 1;
                println!("test {test} ... SKIPPED: {why}");
            }
        }
    }
}

/// Runs the command.
///
/// # Errors
///
/// When a test fails, or nothing could be run.
pub fn run(args: &TestArgs) -> Result<()> {
    if args.list {
        for case in all() {
            println!("{:24} {}", case.name, case.what);
        }
        return Ok(());
    }
    let board = Board::load(&workspace::root(), &args.kernel.board)?;
    let (targets, kernels_line) = targets(args)?;
    let mut tally = Tally::default();
    if args.all {
        doctor::warn_of_full_disk();
        tally.add(host::run()?);
    }
    let selected: Vec<_> = all().filter(|case| wanted(args, case)).collect();
    let campaign = campaign_wanted(args);
    if selected.is_empty() && !campaign {
        return Err(Error::new("no test has such a name").help("cargo xtask test --list"));
    }
    let runner = runner::Runner {
        args,
        board: &board,
        folder: test_folder(args),
    };
    for case in selected {
        for (target, outcome) in runner.run(case, &targets) {
            tally.report(case.name, &target.name(), &outcome);
        }
    }
    if args.all {
        tally.add(demos(args, &targets));
    }
    if campaign && let Some(target) = campaign_target(args, &targets) {
        let kernel = kernel_of(args, target);
        let outcome = Outcome::of(crate::campaign::short(kernel, &test_folder(args)));
        tally.report(CAMPAIGN, &target.name(), &outcome);
    }
    println!("\n{kernels_line}");
    if args.names.is_empty() {
        let left = all().filter(|case| case.by_name);
        let names: Vec<_> = left.map(|case| case.name).collect();
        println!("only run when named: {}", names.join(", "));
    }
    if tally.skipped > 0 {
        println!("{} skipped, for the reasons above", tally.skipped);
    }
    for failure in &tally.failures {
        println!("FAILED {failure}");
    }
    println!("{} passed, {} failed", tally.passed, tally.failed);
    if let Some(path) = &args.summary {
        std::fs::write(path, format!("{} {}\n", tally.passed, tally.failed))
            .context(format!("write '{}'", path.display()))?;
    }
    match tally.failed {
        0 => Ok(()),
        _ => Err(Error::rendered(String::new())),
    }
}

fn all() -> impl Iterator<Item = &'static cases::Case> {
    cases::ALL.iter().chain(block::ALL)
}

fn test_folder(args: &TestArgs) -> PathBuf {
    args.build_dir.join("tests")
}

fn wanted(args: &TestArgs, case: &cases::Case) -> bool {
    match args.names.is_empty() {
        true => !case.by_name,
        false => args
            .names
            .iter()
            .any(|part| case.name.contains(part.as_str())),
    }
}

/// Name of the short campaign of faults.
const CAMPAIGN: &str = "campaign";

fn campaign_wanted(args: &TestArgs) -> bool {
    let named = args
        .names
        .iter()
        .any(|name| CAMPAIGN.contains(name.as_str()));
    named || args.all && args.names.is_empty()
}

/// One kernel is enough for a minute and a half: that which is deployed, where it is there.
fn campaign_target<'a>(args: &TestArgs, targets: &'a [Target]) -> Option<&'a Target> {
    let deployed = |target: &&Target| {
        matches!(
            target,
            Target::Sel4 {
                config: Config::Release,
                ..
            }
        )
    };
    let asked = args.kernel.kernel.is_some();
    let first = targets.first().filter(|_| asked);
    first.or_else(|| targets.iter().find(deployed).or(targets.first()))
}

fn kernel_of(args: &TestArgs, target: &Target) -> KernelArgs {
    let (kernel, config) = match target {
        Target::Dev => (Kernel::Dev, Config::Debug),
        Target::Sel4 { config, .. } => (Kernel::Sel4, *config),
    };
    KernelArgs {
        kernel: Some(kernel),
        config,
        ..args.kernel.clone()
    }
}

/// The demo on each kernel: services killed under a working application, judged by the host's tools.
fn demos(args: &TestArgs, targets: &[Target]) -> Tally {
    let mut tally = Tally::default();
    for target in targets {
        let demo = DemoArgs {
            kernel: kernel_of(args, target),
            disk: None,
            from: None,
            build_dir: test_folder(args),
            verbose: false,
            wall: false,
            seed: 1,
            timeout: 900,
        };
        tally.report(
            "demo",
            &target.name(),
            &Outcome::of(crate::demo::run(&demo)),
        );
    }
    tally
}

/// The kernels to test on, and the line that says so.
fn targets(args: &TestArgs) -> Result<(Vec<Target>, String)> {
    let sel4 = |sdk: &PathBuf, config| Target::Sel4 {
        sdk: sdk.clone(),
        config,
    };
    let mut targets = Vec::new();
    let mut missing = "";
    match args.kernel.kernel {
        Some(_) => targets.push(kernels::choose(&args.kernel)?.target),
        None => {
            targets.push(Target::Dev);
            match kernels::find_sdk(&args.kernel)? {
                Some(sdk) => {
                    targets.push(sel4(&sdk, Config::Debug));
                    targets.push(sel4(&sdk, Config::Release));
                }
                None => missing = "; seL4: skipped, no Microkit SDK",
            }
        }
    }
    if args.kernel.kernel == Some(Kernel::Dev) {
        missing = "; seL4: not asked for";
    }
    let names: Vec<_> = targets.iter().map(Target::name).collect();
    Ok((targets, format!("kernels: {}{missing}", names.join(", "))))
}
