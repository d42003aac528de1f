// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! `cargo xtask image`: makes `loader.img` and `report.txt` from a built system.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::build::{self, Built};
use crate::cli::{Config, SystemArgs};
use crate::error::{Context, Error, Result};
use crate::kernels::{self, Target};
use crate::{compile, dev_image, workspace};

/// Package of the development kernel, and its program; its feature `kernel` builds the program.
const KERNEL_PACKAGE: &str = "kernel-aarch64";

/// Runs the command.
///
/// # Errors
///
/// When the system is refused, or the image cannot be made.
pub fn run(args: &SystemArgs) -> Result<()> {
    let (_, image) = make(args)?;
    println!("{}", image.display());
    Ok(())
}

/// Builds the system and its image; returns the image's path.
///
/// # Errors
///
/// When the system is refused, or the image cannot be made.
pub fn make(args: &SystemArgs) -> Result<(Built, PathBuf)> {
    let choice = kernels::choose(&args.kernel)?;
    eprintln!("kernel: {} ({})", choice.target.name(), choice.reason);
    let built = build::build(args)?;
    let image = make_for(&built, &choice.target)?;
    Ok((built, image))
}

/// Makes the image of a built system for one kernel.
///
/// # Errors
///
/// When the kernel's tool refuses the system.
pub fn make_for(built: &Built, target: &Target) -> Result<PathBuf> {
    let image = built.build_dir.join("loader.img");
    let report = built.build_dir.join("report.txt");
    match target {
        Target::Sel4 { sdk, config } => microkit(built, sdk, *config, &image, &report)?,
        Target::Dev => {
            let made = dev_image::make(built, dev_kernel()?)?;
            workspace::write(&image, &made.image)?;
            workspace::write(&report, made.report.as_bytes())?;
        }
    }
    Ok(image)
}

/// Compiles the development kernel.
fn dev_kernel() -> Result<Vec<u8>> {
    let folder = compile::kernel(&workspace::root(), KERNEL_PACKAGE)?;
    workspace::read(&folder.join(KERNEL_PACKAGE))
}

fn microkit(built: &Built, sdk: &Path, config: Config, image: &Path, report: &Path) -> Result<()> {
    let mut command = Command::new(sdk.join("bin/microkit"));
    command.arg(&built.system_file);
    command.args(["--board", &built.board.name, "--config", config.name()]);
    command.arg("-o").arg(image).arg("-r").arg(report);
    command.arg("--search-path").args(&built.search_path);
    let output = command.output().context("run the Microkit tool")?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let help = "our own checks passed, so this is a rule that they lack: please report it";
    Err(Error::new(format!("the Microkit tool refuses the system:\n{text}")).help(help))
}
