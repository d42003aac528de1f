// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! `cargo xtask simulate`: builds the simulation optimized and runs it. What is simulated is the business
//! of crate `simulation`.

use std::process::Command;

use crate::cli::SimulateArgs;
use crate::error::{Context, Error, Result};
use crate::workspace;

/// Runs the command.
///
/// # Errors
///
/// When there was a violation, which the simulation has printed.
pub fn run(args: &SimulateArgs) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(workspace::root()).args([
        "run",
        "--quiet",
        "--profile",
        "simulation",
        "--package",
        "simulation",
        "--",
    ]);
    command.args(["--crashes", &args.crashes.to_string()]);
    command.args(["--seed", &args.seed.to_string()]);
    if let Some(run) = args.run {
        command.args(["--run", &run.to_string()]);
    }
    let status = command.status().context("run cargo")?;
    match status.success() {
        true => Ok(()),
        false => Err(Error::new("the simulation has failed")),
    }
}
