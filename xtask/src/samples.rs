// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Files for a test's or demo's disk: small and large, in nested folders, with long names.

use std::path::{Path, PathBuf};

use crate::error::{Context, Result};
use crate::workspace;

/// Bytes of the largest file.
const LARGEST: u32 = 1_000_003;

/// Fills `folder` with sample files.
///
/// # Errors
///
/// When a file cannot be written.
pub fn make(folder: &Path) -> Result<()> {
    let deep = folder.join("nested/folders");
    workspace::make_folder(&deep)?;
    // A multiplicative hash: no block equals another, and no run of zeros hides a hole.
    let byte = |n: u32| n.wrapping_mul(2_654_435_761).to_be_bytes()[0];
    let bytes: Vec<u8> = (0..LARGEST).map(byte).collect();
    let long = format!("{}.txt", "long-name-".repeat(20));
    for (path, length) in [
        (folder.join("empty"), 0),
        (folder.join("small file.txt"), 13),
        (deep.join("block.bin"), 4096),
        (deep.join("large.bin"), bytes.len()),
        (deep.join(long), 100_000),
    ] {
        std::fs::write(&path, &bytes[..length]).context(format!("write '{}'", path.display()))?;
    }
    Ok(())
}

/// Every regular file below `folder`.
///
/// # Errors
///
/// When a folder cannot be read.
pub fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(current) = folders.pop() {
        for entry in std::fs::read_dir(&current).context(format!("list '{}'", current.display()))? {
            let entry = entry.context("list a folder")?;
            let kind = entry.file_type().context("look at a file")?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    Ok(files)
}
