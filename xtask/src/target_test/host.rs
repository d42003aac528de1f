// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The tests that need no target: `cargo test`, the tidy check, the check of system.xml.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::cli::CheckArgs;
use crate::error::{Context, Result};
use crate::target_test::{Tally, runner::Outcome};
use crate::{check, tidy, workspace};

/// Runs them all, with their output on this terminal.
///
/// # Errors
///
/// When cargo cannot be started.
pub fn run() -> Result<Tally> {
    let mut tally = cargo_test()?;
    let check_args = CheckArgs {
        file: PathBuf::from("system.xml"),
        search_path: Vec::new(),
        board: "qemu_virt_aarch64".to_owned(),
    };
    for (name, result) in [("tidy", tidy::run()), ("check", check::run(&check_args))] {
        tally.report(name, "host", &Outcome::of(result));
    }
    Ok(tally)
}

fn cargo_test() -> Result<Tally> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .args(["test", "--workspace", "--no-fail-fast"])
        .current_dir(workspace::root());
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .context("run cargo test")?;
    let mut tally = Tally::default();
    let Some(output) = child.stdout.take() else {
        return Ok(tally);
    };
    for line in BufReader::new(output).lines() {
        let line = line.context("read the output of cargo test")?;
        tally.add(result_line(&line).unwrap_or_default());
        tally.failures.extend(failure(&line));
        println!("{line}");
    }
    let status = child.wait().context("wait for cargo test")?;
    if !status.success() && tally.failed == 0 {
        // Something did not compile; cargo has said what.
        tally.failed = 1;
        tally.failures.push("cargo test: see its output".into());
    }
    Ok(tally)
}

/// Reads `test result: ok. 7 passed; 0 failed; 1 ignored; ...`.
fn result_line(line: &str) -> Option<Tally> {
    let numbers = line.strip_prefix("test result: ")?.split_once(". ")?.1;
    let number = |what: &str| {
        let part = numbers.split("; ").find(|part| part.ends_with(what))?;
        part.split(' ').next()?.parse().ok()
    };
    Some(Tally {
        passed: number("passed")?,
        failed: number("failed")?,
        ..Tally::default()
    })
}

/// Reads `test NAME ... FAILED`.
fn failure(line: &str) -> Option<String> {
    let name = line.strip_prefix("test ")?.strip_suffix(" ... FAILED")?;
    Some(format!("{name} (host)"))
}

#[cfg(test)]
mod tests {
    use super::{Tally, failure, result_line};

    #[test]
    fn reads_cargos_result_line() {
        let line = "test result: FAILED. 7 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out";
        assert_eq!(
            result_line(line),
            Some(Tally {
                passed: 7,
                failed: 2,
                ..Tally::default()
            })
        );
        assert_eq!(result_line("test a ... ok"), None);
        assert_eq!(failure("test a::b ... FAILED"), Some("a::b (host)".into()));
        assert_eq!(failure("test a::b ... ok"), None);
    }
}
