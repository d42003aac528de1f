// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! `cargo xtask demo`: the system works on a real disk while its services are killed, and the host's
//! own tools judge the result.
//!
//! Before the boot, debugfs lists the disk's files with their hashes; the application must have read
//! the same. After it, debugfs must find what the application says to have written, and fsck
//! nothing to complain about.

pub mod judge;
pub mod log;
mod table;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::build::sha256;
use crate::cli::{DemoArgs, SystemArgs};
use crate::error::{Context, Error, Result};
use crate::kernels::{self, Choice};
use crate::qemu::{self, End, Finished, Machine, Watch};
use crate::{build, disk, image, run, samples, workspace};
use judge::{FileOnDisk, Tree};
use log::Report;
use table::Unit;

/// Adds the PD that kills, and its seed.
const OVERLAYS: [&str; 2] = ["pds/chaos/overlay.xml", "pds/chaos/seed.xml"];
/// Adds a PD that keeps the processor busy. When instructions are counted, an idle guest's clock would jump
/// to the next timer, as if the disk had taken so long.
const SPIN_OVERLAY: &str = "pds/test_spin/overlay.xml";
/// The seed's file, as the overlay calls it.
const SEED_FILE: &str = "chaos.seed";
/// Periods of the killer (5 ms): before the first kill, of patience with a point that the victim does not
/// reach (many never are: start-up, errors), and of rest after a kill.
const PACE: [u32; 3] = [5, 6, 1];
/// The same by the host's clock: there a restart may take longer than the victim's turn.
const PACE_WALL: [u32; 3] = [5, 40, 1];
/// Megabytes of the disk that is made when none is given.
const DISK_MEGABYTES: u64 = 64;
/// Size of its largest file.
const LARGEST_BYTES: usize = 8 << 20;
/// Lines of the output that are shown when it ended badly.
const TAIL_LINES: usize = 25;
/// After a reset, the record of the death that led to it has this.
const RESET: &str = " action=reset";

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
    let folder = args.build_dir.join("demo");
    workspace::make_folder(&folder)?;
    let disk = match given {
        Some(disk) => disk,
        None => sample_disk(&folder)?,
    };
    let before = tree(&disk, &folder.join("before"))?;
    println!("kernel: {} ({})", choice.target.name(), choice.reason);
    println!("disk: {}", disk.display());
    let (finished, pds) = boot(args, &choice, &folder, &disk)?;
    let serial = folder.join("serial.txt");
    workspace::write(&serial, finished.output.as_bytes())?;
    let pds: Vec<_> = pds.iter().map(String::as_str).collect();
    let report = log::parse(&finished.output, &pds);
    print(&report, args, &finished);
    println!("serial output: {}\n", serial.display());
    judge_end(&finished, args.timeout)?;
    // So that whoever looks at the image next finds it as a mount would.
    disk::replay(&disk)?;
    let after = tree(&disk, &folder.join("after"))?;
    judge(&report, &before, &after)?;
    disk::check_ext4(&disk)?;
    println!("  e2fsck -fn finds nothing in {}", disk.display());
    println!("\ndemo passed on {}", choice.target.name());
    Ok(())
}

/// Builds the system with the killer in it, and runs it to its end.
fn boot(
    args: &DemoArgs,
    choice: &Choice,
    folder: &Path,
    disk: &Path,
) -> Result<(Finished, Vec<String>)> {
    let root = workspace::root();
    let spin = (!args.wall).then_some(SPIN_OVERLAY);
    let overlays = OVERLAYS.into_iter().chain(spin);
    let pace = if args.wall { PACE_WALL } else { PACE };
    let pace = pace.into_iter().flat_map(u32::to_le_bytes);
    let settings: Vec<u8> = args.seed.to_le_bytes().into_iter().chain(pace).collect();
    workspace::write(&folder.join(SEED_FILE), &settings)?;
    let built = build::build(&SystemArgs {
        kernel: args.kernel.clone(),
        system: root.join("system.xml"),
        overlay: overlays.map(|path| root.join(path)).collect(),
        search_path: Vec::new(),
        build_dir: folder.to_path_buf(),
    })?;
    let machine = Machine {
        image: image::make_for(&built, &choice.target)?,
        disk: Some(disk.to_path_buf()),
        icount: !args.wall,
        extra: &[],
    };
    let watch = Watch {
        until: vec![run::PASS.to_owned()],
        all: Vec::new(),
        fail: vec![run::FAIL.to_owned(), RESET.to_owned()],
        timeout: Some(Duration::from_secs(args.timeout)),
        echo: args.verbose,
        each_line: (!args.verbose).then_some(show_progress),
        linger: Duration::ZERO,
    };
    let pds = built
        .loaded
        .system
        .pds
        .iter()
        .map(|pd| pd.name.clone())
        .collect();
    Ok((qemu::watch(&built.board, &machine, &watch)?, pds))
}

/// What happens, while it happens.
fn show_progress(line: &str) {
    let shown = ["chaos: KILL ", "app_demo: walked", "app_demo: round "];
    if shown.iter().any(|text| line.contains(text)) {
        println!("  {}", line.trim_end());
    }
}

fn sample_disk(folder: &Path) -> Result<PathBuf> {
    let files = folder.join("files");
    samples::make(&files)?;
    let mut bytes = vec![0; LARGEST_BYTES];
    app_demo_service::content::fill(LARGEST_BYTES as u64, 0, &mut bytes);
    workspace::write(&files.join("nested/folders/eight mebibytes.bin"), &bytes)?;
    let disk = folder.join("disk.img");
    disk::make_ext4(&disk, DISK_MEGABYTES, Some(&files))?;
    Ok(disk)
}

/// Everything on the disk, read by the host's tools.
///
/// # Errors
///
/// When they cannot read it.
pub fn tree(disk: &Path, scratch: &Path) -> Result<Tree> {
    use std::os::unix::ffi::OsStrExt;
    disk::extract(disk, scratch)?;
    let mut found = Tree::new();
    let mut folders = vec![scratch.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).context(format!("list '{}'", folder.display()))? {
            let entry = entry.context("list a folder")?;
            let (path, kind) = (entry.path(), entry.file_type().context("look at a file")?);
            let name = path.strip_prefix(scratch).unwrap_or(&path).as_os_str();
            let file = if kind.is_file() {
                let bytes = workspace::read(&path)?;
                Some(FileOnDisk {
                    size: bytes.len() as u64,
                    sha256: sha256(&bytes),
                })
            } else {
                None
            };
            found.insert([b"/", name.as_bytes()].concat(), file);
            if kind.is_dir() {
                folders.push(path);
            }
        }
    }
    std::fs::remove_dir_all(scratch).context(format!("remove '{}'", scratch.display()))?;
    Ok(found)
}

fn print(report: &Report, args: &DemoArgs, finished: &Finished) {
    if report.services.is_empty() {
        return;
    }
    let unit = if args.wall {
        Unit::Microseconds
    } else {
        Unit::Instructions
    };
    println!("\n{}", table::services(report, unit));
    if args.verbose {
        println!("{}", table::points(report));
    }
    println!("the application saw:\n{}", table::application(report));
    let seconds = finished.elapsed.as_secs_f64();
    println!("seed {}, {seconds:.1} s on this machine", args.seed);
}

/// The application's words, and with them those of the file service, which knows more.
fn failed(line: &str, output: &str) -> Error {
    if line.contains(RESET) {
        let why = "a PD was killed more often than policy.toml grants restarts";
        return Error::new(format!("the machine was reset: {}", line.trim())).help(why);
    }
    let reason = line
        .split_once(run::FAIL)
        .map_or(line, |(_, reason)| reason);
    let error = Error::new(format!("the application failed: {}", reason.trim()));
    let words = output
        .lines()
        .find_map(|line| line.split_once("] fs: error: "));
    match words {
        Some((_, words)) => error.help(format!("the file service says: {}", words.trim())),
        None => error,
    }
}

fn judge_end(finished: &Finished, timeout: u64) -> Result<()> {
    let message = match &finished.end {
        End::Seen => return Ok(()),
        End::Failed(line) => return Err(failed(line, &finished.output)),
        End::Exited(status) => format!("QEMU ended too early ({status})"),
        End::TimedOut => format!("not finished after {timeout} s"),
    };
    let lines: Vec<_> = finished.output.lines().collect();
    let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n  | ");
    Err(Error::new(format!(
        "{message}; the last lines:\n  | {tail}"
    )))
}

fn judge(report: &Report, before: &Tree, after: &Tree) -> Result<()> {
    judge::kills(report)?;
    let read = judge::files_read(report, before)?;
    println!("read by the application under these kills, each with the host's SHA-256:");
    for file in &read {
        println!("  {}  {}", file.sha256, judge::printable(&file.path));
    }
    let written = judge::files_written(report, after)?;
    judge::files_kept(before, after)?;
    println!("read back by the host:");
    println!("  {written} files that the application wrote, each with the right contents");
    println!("  {} names that it removed are gone", report.removed.len());
    println!("  everything else is as it was");
    Ok(())
}
