// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! `cargo xtask demo`: the system works on a real disk while its services are killed, and the host's
//! own tools judge the result.
//!
//! Before the boot, debugfs lists the disk's files with their hashes; the application must have read
//! the same. After it, debugfs must find what the application says to have written, and fsck
//! nothing to complain about.

mod log;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::build::sha256;
use crate::cli::{DemoArgs, SystemArgs};
use crate::error::{Context, Error, Result};
use crate::kernels;
use crate::qemu::{self, End, Machine, Watch};
use crate::{build, disk, image, run, samples, workspace};
use log::{FileSeen, Report, Service};

/// Services that have to die, and come back, in every demo.
const VICTIMS: [&str; 3] = ["timer", "blk", "fs"];
/// How often each of them at least.
const KILLS_MIN: u64 = 3;
/// Adds the PD that kills.
const OVERLAY: &str = "pds/chaos/overlay.xml";
/// Megabytes of the disk that is made when none is given.
const DISK_MEGABYTES: u64 = 64;
/// A guard against a system that hangs; a run takes seconds.
const TIMEOUT: Duration = Duration::from_secs(300);

/// Runs the command.
///
/// # Errors
///
/// When anything is not as it must be.
pub fn run(args: &DemoArgs) -> Result<()> {
    let given = args.disk.as_ref().map(|path| match &args.from {
        Some(folder) => folder.join(path),
        None => path.clone(),
    });
    workspace::check_disk(given.as_deref())?;
    let choice = kernels::choose(&args.kernel)?;
    println!("kernel: {} ({})", choice.target.name(), choice.reason);
    let root = workspace::root();
    let folder = args.build_dir.join("demo");
    let built = build::build(&SystemArgs {
        kernel: args.kernel.clone(),
        system: root.join("system.xml"),
        overlay: vec![root.join(OVERLAY)],
        search_path: Vec::new(),
        build_dir: folder.clone(),
    })?;
    let image = image::make_for(&built, &choice.target)?;
    let disk = match given {
        Some(disk) => disk,
        None => sample_disk(&folder)?,
    };
    let before = files_on(&disk, &folder.join("before"))?;
    let machine = Machine {
        image,
        disk: Some(disk.clone()),
        icount: args.icount,
    };
    let watch = Watch {
        until: vec![run::PASS.to_owned()],
        all: Vec::new(),
        fail: vec![run::FAIL.to_owned()],
        timeout: Some(TIMEOUT),
        echo: args.verbose,
    };
    let finished = qemu::watch(&built.board, &machine, &watch)?;
    let serial = folder.join("serial.txt");
    workspace::write(&serial, finished.output.as_bytes())?;
    let report = log::parse(&finished.output);
    print(&report);
    println!(
        "serial output: {}; {:.1} s",
        serial.display(),
        finished.elapsed.as_secs_f64()
    );
    judge_end(&finished.end, &finished.output)?;
    judge_kills(&report)?;
    judge_read(&report, &before)?;
    judge_written(&report, &files_on(&disk, &folder.join("after"))?)?;
    disk::check_ext4(&disk)?;
    println!("the host's e2fsck finds nothing in {}", disk.display());
    println!("demo passed on {}", choice.target.name());
    Ok(())
}

fn sample_disk(folder: &Path) -> Result<PathBuf> {
    let files = folder.join("files");
    samples::make(&files)?;
    let disk = folder.join("disk.img");
    disk::make_ext4(&disk, DISK_MEGABYTES, Some(&files))?;
    Ok(disk)
}

/// Absolute path and SHA-256 of every file on the disk, read by the host's tools.
fn files_on(disk: &Path, scratch: &Path) -> Result<BTreeMap<Vec<u8>, String>> {
    use std::os::unix::ffi::OsStrExt;
    disk::extract(disk, scratch)?;
    let mut files = BTreeMap::new();
    for path in samples::list(scratch)? {
        let name = path.strip_prefix(scratch).unwrap_or(&path);
        let inside = [b"/", name.as_os_str().as_bytes()].concat();
        files.insert(inside, sha256(&workspace::read(&path)?));
    }
    std::fs::remove_dir_all(scratch).context(format!("remove '{}'", scratch.display()))?;
    Ok(files)
}

fn print(report: &Report) {
    println!();
    println!(
        "{:<12} {:>5} {:>8}  fault to ready in us: least, median, most",
        "service", "kills", "restarts"
    );
    for (name, service) in &report.services {
        println!(
            "{name:<12} {:>5} {:>8}  {}",
            service.kill_count(),
            service.restarts,
            ready_times(service)
        );
    }
    println!("\nhow they were killed:");
    for (name, service) in &report.services {
        let list = |counts: &BTreeMap<String, u64>| {
            let words: Vec<_> = counts
                .iter()
                .map(|(what, n)| format!("{what} {n}"))
                .collect();
            words.join(", ")
        };
        if !service.kills.is_empty() {
            println!(
                "  {name}: {}; by {}",
                list(&service.kills),
                list(&service.deaths)
            );
        }
    }
    println!("\nwhat the application saw:");
    for line in &report.summary {
        println!("  {line}");
    }
    for file in &report.read {
        println!("  {}  {}", file.sha256, String::from_utf8_lossy(&file.path));
    }
    println!(
        "  {} files written, {} removed\n",
        report.written.len(),
        report.removed.len()
    );
}

fn ready_times(service: &Service) -> String {
    let mut times = service.ready_after_ns.clone();
    times.sort_unstable();
    let us = |ns: &u64| format!("{:.1}", *ns as f64 / 1000.0);
    match (times.first(), times.get(times.len() / 2), times.last()) {
        (Some(least), Some(median), Some(most)) => {
            format!("{}, {}, {}", us(least), us(median), us(most))
        }
        _ => "-".to_owned(),
    }
}

fn judge_end(end: &End, output: &str) -> Result<()> {
    let tail = || {
        let lines: Vec<_> = output.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n  | ")
    };
    match end {
        End::Seen => Ok(()),
        End::Failed(line) => Err(Error::new(format!("the system failed: {line}"))),
        End::Exited(status) => Err(Error::new(format!(
            "QEMU ended too early ({status}); the last lines:\n  | {}",
            tail()
        ))),
        End::TimedOut => Err(Error::new(format!(
            "not finished after {TIMEOUT:?}; the last lines:\n  | {}",
            tail()
        ))),
    }
}

fn judge_kills(report: &Report) -> Result<()> {
    for victim in VICTIMS {
        let service = report.services.get(victim).cloned().unwrap_or_default();
        let (kills, restarts) = (service.kill_count(), service.restarts);
        if kills < KILLS_MIN || restarts < KILLS_MIN {
            let message =
                format!("'{victim}' was killed {kills} times and restarted {restarts} times");
            return Err(Error::new(message).help(format!("a demo needs {KILLS_MIN} of each")));
        }
    }
    Ok(())
}

fn judge_read(report: &Report, before: &BTreeMap<Vec<u8>, String>) -> Result<()> {
    let old_output = |path: &[u8]| path.starts_with(b"/kintsugi-out/");
    let mut seen = BTreeMap::new();
    for file in &report.read {
        seen.insert(file.path.clone(), file.sha256.clone());
    }
    for (path, hash) in before {
        let name = String::from_utf8_lossy(path);
        match seen.get(path) {
            Some(read) if read == hash => {}
            Some(read) => {
                let message = format!("'{name}' was read as {read}, the host reads {hash}");
                return Err(Error::new(message));
            }
            None if old_output(path) => {}
            None => return Err(Error::new(format!("the application has not read '{name}'"))),
        }
    }
    println!("{} files read, each with the host's SHA-256", before.len());
    Ok(())
}

fn judge_written(report: &Report, after: &BTreeMap<Vec<u8>, String>) -> Result<()> {
    for FileSeen { path, sha256, .. } in &report.written {
        let name = String::from_utf8_lossy(path);
        match after.get(path) {
            Some(hash) if hash == sha256 => {}
            Some(hash) => {
                let message = format!("'{name}' was written as {sha256}, the host reads {hash}");
                return Err(Error::new(message));
            }
            None => return Err(Error::new(format!("the host does not find '{name}'"))),
        }
    }
    for path in &report.removed {
        let inside = [path.as_slice(), b"/"].concat();
        if after
            .keys()
            .any(|found| found == path || found.starts_with(&inside))
        {
            let name = String::from_utf8_lossy(path);
            return Err(Error::new(format!(
                "'{name}' was removed, but the host still finds it"
            )));
        }
    }
    let count = report.written.len();
    println!("{count} written files found by the host's debugfs, each with its SHA-256");
    Ok(())
}
