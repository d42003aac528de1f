// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! `cargo xtask tidy`: the project's rules that no compiler checks.
//!
//! - every source file opens with copyright, SPDX line and, in Rust, a `//!` header;
//! - lines, functions and files have a largest length;
//! - `unsafe` stands only in the crates of [`FENCED`], with a SAFETY comment;
//! - no path of somebody's machine, no unfinished work;
//! - rustfmt has nothing to change.

mod functions;
mod text;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Context, Error, Result};
use crate::toolchain::output;
use crate::workspace;

/// Crates that may contain `unsafe`, each with a reason in its own `#![expect(unsafe_code)]`.
const FENCED: &[&str] = &[
    "kernel/kernel_aarch64",
    "pds/test_report",
    "shared/arm-generic-timer",
    "shared/c-library",
    "shared/c-program",
    "shared/fs-posix",
    "shared/microkit-abi",
    "shared/mmio",
    "shared/recovery",
    "shared/sel4-microkit",
    "shared/sel4-microkit-macros",
    "shared/sel4-shared-memory",
    "shared/sel4-shared-ring-buffer",
    "shared/shared-words",
    "shared/timer-posix",
];

/// Something against a rule, at a line of a file.
#[derive(Debug)]
pub struct Finding {
    /// Line, counted from 1.
    pub line: usize,
    /// What is wrong, and what to do.
    pub message: String,
}

/// Runs the command.
///
/// # Errors
///
/// With everything that is against a rule.
pub fn run() -> Result<()> {
    let root = workspace::root();
    let files = files(&root)?;
    let mut found = Vec::new();
    for file in &files {
        let Ok(text) = std::fs::read_to_string(root.join(file)) else {
            continue;
        };
        for finding in check(file, &text) {
            found.push(format!(
                "{}:{}: {}",
                file.display(),
                finding.line,
                finding.message
            ));
        }
    }
    found.extend(formatting(&root));
    if found.is_empty() {
        println!("tidy: {} files, nothing to complain about", files.len());
        return Ok(());
    }
    let count = found.len();
    Err(Error::new(format!(
        "{count} things are against the rules\n{}",
        found.join("\n")
    )))
}

/// Files that git tracks, and new ones that it would.
fn files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut command = Command::new("git");
    command
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root);
    let list = output(&mut command).context("list the repository's files")?;
    let mut files: Vec<PathBuf> = list.lines().map(PathBuf::from).collect();
    files.sort();
    files.dedup();
    Ok(files)
}

fn check(path: &Path, text: &str) -> Vec<Finding> {
    let mut found = text::machine_paths(text);
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let ending = path
        .extension()
        .and_then(|ending| ending.to_str())
        .unwrap_or_default();
    if ending == "rs" {
        found.extend(text::rust_header(text));
        found.extend(text::long_lines(text));
        found.extend(text::unfinished(text));
        if name != "tests.rs" && !path.components().any(|part| part.as_os_str() == "tests") {
            found.extend(text::long_file(text));
        }
        let fenced = FENCED.iter().any(|folder| path.starts_with(folder));
        found.extend(functions::check(text, fenced));
    } else if is_commented(name, ending) || (ending.is_empty() && text.starts_with("#!")) {
        found.extend(text::spdx(text));
    }
    found
}

/// Whether the file is of a kind that has room for a licence.
fn is_commented(name: &str, ending: &str) -> bool {
    name == "Makefile" || ["c", "h", "toml", "xml", "sh", "ld", "s", "yml"].contains(&ending)
}

/// Files that rustfmt would change; nothing when there is no rustfmt.
fn formatting(root: &Path) -> Vec<String> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .args(["fmt", "--all", "--", "--check", "-l"])
        .current_dir(root);
    match command.output() {
        Ok(output) if output.status.success() => Vec::new(),
        Ok(output) if !output.stdout.is_empty() => String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(|file| format!("{}: run `cargo fmt`", relative(root, file)))
            .collect(),
        _ => {
            println!(
                "tidy: SKIPPED formatting, there is no rustfmt (rustup component add rustfmt)"
            );
            Vec::new()
        }
    }
}

fn relative(root: &Path, file: &str) -> String {
    Path::new(file)
        .strip_prefix(root)
        .map_or(file.to_owned(), |path| path.display().to_string())
}
