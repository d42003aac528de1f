// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! `cargo xtask clean`: removes what the other commands have put into the build folder.

use std::path::Path;

use crate::error::{Context, Error, Result};

/// Endings of files that we make. Nothing else is touched: the folder is the user's choice.
const ENDINGS: [&str; 4] = ["elf", "points", "topology", "xml"];
/// Files that we make, by name.
const NAMES: [&str; 2] = ["loader.img", "report.txt"];

/// Runs the command.
///
/// # Errors
///
/// When a file cannot be removed, or the folder holds something that is not ours.
pub fn run(folder: &Path) -> Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    let tests = folder.join("tests");
    if tests.is_dir() {
        std::fs::remove_dir_all(&tests).context(format!("remove '{}'", tests.display()))?;
    }
    let mut foreign = Vec::new();
    for entry in std::fs::read_dir(folder).context(format!("list '{}'", folder.display()))? {
        let path = entry.context("list the build folder")?.path();
        let ours = path
            .extension()
            .is_some_and(|end| ENDINGS.iter().any(|ours| end == *ours))
            || path
                .file_name()
                .is_some_and(|name| NAMES.iter().any(|ours| name == *ours));
        if ours && path.is_file() {
            std::fs::remove_file(&path).context(format!("remove '{}'", path.display()))?;
        } else {
            foreign.push(path.display().to_string());
        }
    }
    if foreign.is_empty() {
        return std::fs::remove_dir(folder).context(format!("remove '{}'", folder.display()));
    }
    Err(Error::new(format!(
        "not ours, so left alone: {}",
        foreign.join(", ")
    )))
}
