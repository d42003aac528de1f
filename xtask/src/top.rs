// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! `cargo xtask top`: what the PDs of a running machine are doing, without their help.
//!
//! QEMU tells the contents of physical memory ([`qmp`]); where in it a PD's pages are is read off the
//! kernel's own tables ([`sel4`]) or the image's report ([`dev`]). So it works on any kernel
//! configuration, also when everything in the guest hangs. The guest goes on meanwhile: what is read
//! may be a moment apart, and everything is checked before it is believed.
//!
//! What the columns are made of is [`table`]'s business.

mod dev;
pub mod memory;
pub mod qmp;
mod sel4;
mod table;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::board::Board;
use crate::cli::TopArgs;
use crate::error::{Context, Error, Result};
use crate::kernels;
use crate::symbolize::Filter;
use crate::system::{System, parse};
use crate::{qemu, workspace};
use memory::{Cache, Spaces};
use table::{Files, Snapshot};

/// How often the table is made anew.
const PERIOD: Duration = Duration::from_secs(1);
/// Description of the system whose image was made last, beside the image.
pub const BOOTED: &str = "booted.xml";

/// Runs the command.
///
/// # Errors
///
/// When no machine runs, or its memory says nothing.
pub fn run(args: &TopArgs) -> Result<()> {
    let board = Board::load(&workspace::root(), &args.kernel.board)?;
    let system = system(&args.build_dir, &board)?;
    let files = Files::read(&system, &args.build_dir);
    let sdk = kernels::find_sdk(&args.kernel)?.map(|sdk| sdk.join("board").join(&board.name));
    let mut machine = attach(&args.build_dir)?;
    let mut filter = Filter::new(&args.build_dir);
    loop {
        machine.forget();
        let spaces = find(&mut machine, &files, &args.build_dir, sdk.as_deref());
        let text = spaces.and_then(|spaces| {
            let snapshot = Snapshot::take(&mut machine, &spaces, &system, &files)?;
            Ok(snapshot.render(&mut filter))
        });
        if args.once {
            print!("{}", text?);
            return Ok(());
        }
        match text {
            // Home, text with the rest of each line cleared, rest of the screen cleared.
            Ok(text) => print!("\x1b[H{}\x1b[J", text.replace('\n', "\x1b[K\n")),
            // The machine may be booting again.
            Err(error) => {
                machine.check()?;
                println!("\x1b[H\x1b[J{error}");
            }
        }
        use std::io::Write as _;
        std::io::stdout().flush().context("write to the terminal")?;
        std::thread::sleep(PERIOD);
    }
}

fn system(build_dir: &Path, board: &Board) -> Result<System> {
    let path = build_dir.join(BOOTED);
    let text = std::fs::read_to_string(&path)
        .context(format!("read '{}'", path.display()))
        .map_err(|error| error.help("start the machine first: cargo xtask run"))?;
    // It was checked when the image was made.
    parse::parse(&text, board).map_err(|_| Error::new(format!("'{}' is damaged", path.display())))
}

fn attach(build_dir: &Path) -> Result<Cache<qmp::Qmp>> {
    let folder = build_dir
        .canonicalize()
        .context(format!("find '{}'", build_dir.display()))?;
    let socket = qemu::socket(build_dir).ok_or_else(|| {
        Error::new("the path of the build folder is too long for a socket")
            .help("use another one: --build-dir DIR, for `run` too")
    })?;
    let scratch: PathBuf = folder.join(format!("top.{}.mem", std::process::id()));
    Ok(Cache::new(qmp::Qmp::connect(&socket, scratch)?))
}

/// Finds the PDs' address spaces, whatever kernel runs.
fn find(
    machine: &mut Cache<qmp::Qmp>,
    files: &Files,
    build_dir: &Path,
    sdk: Option<&Path>,
) -> Result<Spaces> {
    let report = std::fs::read_to_string(build_dir.join("report.txt")).unwrap_or_default();
    if let Some(spaces) = dev::spaces(&report) {
        return Ok(spaces);
    }
    let sdk = sdk.ok_or_else(|| {
        Error::new("the image is one of seL4's, and there is no Microkit SDK on this machine")
            .help("the kernel's ELF file in the SDK says where its tables are: give --sdk DIR")
    })?;
    for config in ["release", "debug", "benchmark"] {
        let path = sdk.join(config).join("elf/sel4.elf");
        let Ok(elf) = std::fs::read(&path) else {
            continue;
        };
        let kernel = sel4::Kernel::parse(&elf)
            .map_err(|error| error.help(format!("in '{}'", path.display())))?;
        if kernel.runs(machine)? {
            return kernel.spaces(machine, files, config);
        }
    }
    Err(Error::new(
        "the machine does not run a kernel of this SDK, or has not booted yet",
    ))
}

#[cfg(test)]
mod tests;
