// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! `cargo xtask bench`: boots a system that measures itself, and collects its figures.
//!
//! A benchmark is a [`Bench`] in a module below this one: systems to boot one after the other, and what
//! the host counts in their output. Figures are lines `FIGURE ...` of the serial output (crate
//! `figures`). QEMU counts instructions, so a figure depends on the programs and the kernel alone, not on
//! this machine.

mod block;
mod detection;
mod files;
mod overhead;
mod restart;
mod timer;

use std::path::{Path, PathBuf};
use std::time::Duration;

use figures::Summary;
use serde_json::json;

use crate::cli::{BenchArgs, SystemArgs};
use crate::error::{Context, Error, Result};
use crate::kernels::{self, Target};
use crate::qemu::{self, End, Machine, Watch};
use crate::{build, disk, image, run, workspace};

/// All benchmarks.
const ALL: &[Bench] = &[
    block::BENCH,
    detection::BENCH,
    files::BENCH,
    overhead::BENCH,
    restart::BENCH,
    timer::BENCH,
];
/// The prefill that tells a run how long to work.
const MINUTES: &str = "bench.minutes";
/// Lines of the serial output that a failure shows.
const TAIL_LINES: usize = 20;

/// A benchmark.
struct Bench {
    /// For selecting it.
    name: &'static str,
    /// For people.
    what: &'static str,
    /// What is booted, in this order.
    runs: &'static [Run],
}

/// One boot. It ends with the line `KINTSUGI|PASS bench`, whatever follows.
struct Run {
    /// Folder of this run, below the benchmark's.
    name: &'static str,
    /// System description, from the repository's folder; a `policy.toml` beside it counts.
    system: &'static str,
    /// Its overlays.
    overlays: &'static [&'static str],
    /// Files of prefilled regions, besides those that every build makes.
    prefill: &'static [(&'static str, &'static [u8])],
    /// In the place of the policy's default: how long an answer may take.
    heartbeat_timeout_ms: Option<u32>,
    /// Minutes that it works at most, where it works for as many as the caller says.
    minutes_max: u64,
    /// A run that ends badly is a result too: `count` says how badly.
    may_fail: bool,
    /// Size of the disk, or 0 for none.
    disk_megabytes: u64,
    /// Whether the disk has a file system; otherwise it is empty.
    ext4: bool,
    /// QEMU's options for the disk besides that it may lose everything; each begins with a comma.
    drive: &'static str,
    /// Seconds after which it has failed: a guard.
    timeout_s: u64,
    /// What the host counts in the output: lines `FIGURE ...`.
    count: fn(&str) -> Vec<String>,
}

impl Run {
    /// The released system as it is, with a disk of 64 MiB that has a file system.
    const PLAIN: Self = Self {
        name: "all",
        system: "system.xml",
        overlays: &[],
        prefill: &[],
        heartbeat_timeout_ms: None,
        minutes_max: u64::MAX,
        may_fail: false,
        disk_megabytes: 64,
        ext4: true,
        drive: "",
        timeout_s: 900,
        count: nothing,
    };
}

/// For a run in which the PDs say everything.
fn nothing(_: &str) -> Vec<String> {
    Vec::new()
}

/// Runs the command.
///
/// # Errors
///
/// When a run fails.
pub fn run(args: &BenchArgs) -> Result<()> {
    let Some(bench) = ALL.iter().find(|bench| bench.name == args.name) else {
        let names: Vec<_> = ALL
            .iter()
            .map(|bench| format!("{}: {}", bench.name, bench.what))
            .collect();
        return Err(
            Error::new(format!("there is no benchmark '{}'", args.name)).help(names.join("; "))
        );
    };
    let choice = kernels::choose(&args.kernel)?;
    eprintln!("kernel: {} ({})", choice.target.name(), choice.reason);
    let mut lines = Vec::new();
    let is_wanted =
        |run: &&Run| (args.run.as_ref()).is_none_or(|part| run.name.contains(part.as_str()));
    for run in bench.runs.iter().filter(is_wanted) {
        let said = boot(args, bench, run, &choice.target)?;
        figures(&said).for_each(print);
        lines.extend(said);
    }
    let percent = overhead::percent(&lines);
    figures(percent.as_slice()).for_each(print);
    lines.extend(percent);
    match &args.json {
        Some(path) => {
            let figures: Vec<_> = figures(&lines).collect();
            workspace::write(path, json(&choice.target, &figures).as_bytes())
        }
        None => Ok(()),
    }
}

fn figures(lines: &[String]) -> impl Iterator<Item = Summary<'_>> {
    lines.iter().filter_map(|line| Summary::parse(line))
}

fn print(figure: Summary<'_>) {
    let Summary {
        name,
        unit,
        n,
        min,
        p50,
        p99,
        max,
    } = figure;
    println!("{name:32} p50 {p50:>9}  p99 {p99:>9}  min {min:>9}  max {max:>9}  n {n:>5}  {unit}");
}

fn json(target: &Target, figures: &[Summary<'_>]) -> String {
    let (kernel, config) = match target {
        Target::Dev => ("dev", "release"),
        Target::Sel4 { config, .. } => ("sel4", config.name()),
    };
    let figures: Vec<_> = figures
        .iter()
        .map(|figure| {
            let Summary { name, unit, n, min, p50, p99, max } = figure;
            json!({"name": name, "unit": unit, "n": n, "min": min, "p50": p50, "p99": p99, "max": max})
        })
        .collect();
    format!(
        "{:#}\n",
        json!({"kernel": kernel, "config": config, "figures": figures})
    )
}

/// The disk of a run. It may lose everything when the host fails, which makes it as fast as it gets.
fn make_disk(run: &Run, folder: &Path) -> Result<Option<PathBuf>> {
    if run.disk_megabytes == 0 {
        return Ok(None);
    }
    let path = folder.join("disk.img");
    if run.ext4 {
        disk::make_ext4(&path, run.disk_megabytes, None)?;
    } else {
        disk::make_blank(&path, run.disk_megabytes)?;
    }
    let options = format!("cache=unsafe{}", run.drive);
    Ok(Some(qemu::with_options(&path, &options)))
}

/// The overlays of a run, and one more for a timeout of its own.
fn overlays(run: &Run, folder: &Path) -> Result<Vec<PathBuf>> {
    let root = workspace::root();
    let mut overlays: Vec<_> = run.overlays.iter().map(|file| root.join(file)).collect();
    if let Some(timeout_ms) = run.heartbeat_timeout_ms {
        let mut rules = overlays
            .iter()
            .rev()
            .map(|file| file.with_extension("policy.toml"));
        let rules = rules.find(|file| file.exists());
        let rules = rules.unwrap_or_else(|| root.join("policy.toml"));
        let text =
            std::fs::read_to_string(&rules).context(format!("read '{}'", rules.display()))?;
        let overlay = folder.join("timeout.xml");
        workspace::write(&overlay, b"<overlay>\n</overlay>\n")?;
        let text = with_timeout(&text, timeout_ms);
        workspace::write(&overlay.with_extension("policy.toml"), text.as_bytes())?;
        overlays.push(overlay);
    }
    Ok(overlays)
}

/// A policy with another default timeout.
fn with_timeout(policy: &str, timeout_ms: u32) -> String {
    let key = "heartbeat_timeout_ms =";
    let others = policy.lines().filter(|line| !line.starts_with(key));
    let mut text: String = others.map(|line| format!("{line}\n")).collect();
    text = text.replace("[defaults]\n", &format!("[defaults]\n{key} {timeout_ms}\n"));
    text
}

/// Boots one system and returns the lines with its figures.
fn boot(args: &BenchArgs, bench: &Bench, run: &Run, target: &Target) -> Result<Vec<String>> {
    let root = workspace::root();
    let folder = args.build_dir.join("bench").join(bench.name).join(run.name);
    workspace::make_folder(&folder)?;
    for (file, bytes) in run.prefill {
        workspace::write(&folder.join(file), bytes)?;
    }
    let minutes = args.false_restart_minutes.min(run.minutes_max);
    workspace::write(&folder.join(MINUTES), &minutes.to_le_bytes())?;
    let system = SystemArgs {
        kernel: args.kernel.clone(),
        system: root.join(run.system),
        overlay: overlays(run, &folder)?,
        search_path: Vec::new(),
        build_dir: folder.clone(),
    };
    let built = build::build(&system)?;
    let machine = Machine {
        image: image::make_for(&built, target)?,
        disk: make_disk(run, &folder)?,
        icount: true,
        extra: &[],
    };
    let watch = Watch {
        until: vec![format!("{} bench", run::PASS)],
        fail: vec![run::FAIL.to_owned()],
        timeout: Some(Duration::from_secs(run.timeout_s)),
        echo: args.verbose,
        ..Watch::default()
    };
    let finished = qemu::watch(&built.board, &machine, &watch)?;
    workspace::write(&folder.join("serial.txt"), finished.output.as_bytes())?;
    let has_ended = run.may_fail && matches!(finished.end, End::Failed(_));
    if !has_ended && !matches!(finished.end, End::Seen) {
        let lines: Vec<_> = finished.output.lines().collect();
        let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n  | ");
        let message = format!(
            "benchmark '{}', run '{}': {:?}",
            bench.name, run.name, finished.end
        );
        return Err(Error::new(message).help(format!("the last lines:\n  | {tail}")));
    }
    let said = finished
        .output
        .lines()
        .filter(|line| Summary::parse(line).is_some());
    Ok(said
        .map(str::to_owned)
        .chain((run.count)(&finished.output))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_gets_another_timeout() {
        let policy = "# x\n[defaults]\nwindow_ms = 1\nheartbeat_timeout_ms = 60  # y\n[pd.a]\n";
        assert_eq!(
            with_timeout(policy, 20),
            "# x\n[defaults]\nheartbeat_timeout_ms = 20\nwindow_ms = 1\n[pd.a]\n"
        );
    }

    #[test]
    fn figures_are_written_as_json() {
        let line = "[ 1.0] x: FIGURE name=a.b unit=ns_guest n=3 min=1 p50=2 p99=3 max=3";
        let figures: Vec<_> = Summary::parse(line).into_iter().collect();
        let value: serde_json::Value = serde_json::from_str(&json(&Target::Dev, &figures)).unwrap();
        assert_eq!(value["kernel"], "dev");
        assert_eq!(value["figures"][0]["name"], "a.b");
        assert_eq!(value["figures"][0]["p50"], 2);
    }
}
