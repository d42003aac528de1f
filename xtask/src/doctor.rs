// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! `cargo xtask doctor`: what is missing on this machine, and the command that mends it.

use std::process::Command;

use crate::board::Board;
use crate::cli::KernelArgs;
use crate::error::{Error, Result};
use crate::kernels::{self, SDK_VERSION};
use crate::toolchain::{self, Toolchain};
use crate::workspace;

/// One thing that was looked for.
struct Finding {
    what: String,
    /// What was found, or the command that mends it.
    state: std::result::Result<String, String>,
    /// Whether the project works without it.
    optional: bool,
}

/// Runs the command.
///
/// # Errors
///
/// When something is missing that the project does not work without.
pub fn run(args: &KernelArgs) -> Result<()> {
    let board = Board::load(&workspace::root(), &args.board)?;
    let mut findings = vec![compiler()];
    if let Some(qemu) = &board.qemu {
        findings.push(program(
            &qemu.program,
            "--version",
            "qemu-system-arm",
            false,
        ));
    }
    for name in ["mkfs.ext4", "e2fsck", "debugfs"] {
        findings.push(program(name, "-V", "e2fsprogs", false));
    }
    findings.push(program("sqlite3", "-version", "sqlite3", false));
    findings.push(c_compiler());
    findings.push(program("git", "--version", "git", true));
    findings.push(disk());
    findings.push(sdk(args));
    let mut missing = 0;
    for finding in &findings {
        match (&finding.state, finding.optional) {
            (Ok(found), _) => println!("ok        {}: {found}", finding.what),
            (Err(mend), true) => println!("optional  {}: missing\n          {mend}", finding.what),
            (Err(mend), false) => {
                missing += 1;
                println!("MISSING   {}\n          {mend}", finding.what);
            }
        }
    }
    match missing {
        0 => Ok(()),
        _ => Err(Error::new(format!("{missing} things are missing"))
            .help("the commands above mend it; scripts/setup runs them")),
    }
}

fn compiler() -> Finding {
    let state = match Toolchain::find() {
        Ok(found) => Ok(format!("{} ({})", found.version, found.name)),
        Err(_) => Err(format!(
            "{}\n          or as root: {}",
            toolchain::rustup_command(),
            toolchain::debian_command()
        )),
    };
    Finding {
        what: format!("Rust for {}", toolchain::TARGET),
        state,
        optional: false,
    }
}

/// For test PDs in C; crate `c-build` tries the same.
fn c_compiler() -> Finding {
    let gcc = program(
        "aarch64-linux-gnu-gcc",
        "--version",
        "gcc-aarch64-linux-gnu",
        false,
    );
    let clang = program("clang", "--version", "clang", false);
    if gcc.state.is_err() && clang.state.is_ok() {
        clang
    } else {
        gcc
    }
}

/// What all tests leave in `target` and `build`, with room to spare.
const DISK_GIB: u64 = 5;

/// A disk that fills up fails every test with a message about something else.
fn disk() -> Finding {
    let state = match free_gib() {
        Some(free) if free < DISK_GIB => Err(format!(
            "{free} GiB are free; all tests together want {DISK_GIB}. `cargo xtask clean` and \
             `cargo clean` give back what earlier builds took"
        )),
        Some(free) => Ok(format!("{free} GiB are free")),
        None => Ok("free space not known (`df` did not say)".to_owned()),
    };
    Finding {
        what: "disk".to_owned(),
        state,
        optional: false,
    }
}

fn free_gib() -> Option<u64> {
    let output = Command::new("df")
        .arg("-Pk")
        .arg(workspace::root())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let kib: u64 = text
        .lines()
        .nth(1)?
        .split_whitespace()
        .nth(3)?
        .parse()
        .ok()?;
    Some(kib >> 20)
}

/// Says so before all tests when the disk may run full: an earlier build's folder may be there already.
pub fn warn_of_full_disk() {
    if let Err(mend) = disk().state {
        eprintln!("warning: {mend}");
    }
}

fn program(name: &str, version: &str, package: &str, optional: bool) -> Finding {
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new(name)
        .arg(version)
        .env("PATH", format!("{path}:/usr/sbin:/sbin"))
        .output();
    let state = match output {
        Ok(output) => {
            // e2fsprogs print their version on standard error.
            let text = [output.stdout, output.stderr].concat();
            let text = String::from_utf8_lossy(&text).into_owned();
            Ok(text.lines().next().unwrap_or("found").to_owned())
        }
        Err(_) => Err(format!("as root: apt-get install --yes {package}")),
    };
    Finding {
        what: name.to_owned(),
        state,
        optional,
    }
}

fn sdk(args: &KernelArgs) -> Finding {
    let state = match kernels::find_sdk(args) {
        Ok(Some(path)) => Ok(format!("{} (seL4 is the default kernel)", path.display())),
        Ok(None) => Err(format!(
            "{}\n          and set MICROKIT_SDK if it is not unpacked there; until then the \
             development kernel is used",
            kernels::sdk_command()
        )),
        Err(error) => Err(error.to_string()),
    };
    Finding {
        what: format!("Microkit SDK {SDK_VERSION}"),
        state,
        optional: true,
    }
}
