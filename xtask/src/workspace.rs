// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Where things are: the repository, the build folder, and files named in a system description.

use std::path::{Path, PathBuf};

use crate::error::{Context, Error, Result};

/// The repository's folder. The host tool is always run out of its own repository.
pub fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_path_buf()
}

/// Looks for `file` as the Microkit tool does: on `paths` in order, then where the user stands.
pub fn find(file: &str, paths: &[PathBuf]) -> Option<PathBuf> {
    let here = PathBuf::from(".");
    paths
        .iter()
        .chain([&here])
        .map(|folder| folder.join(file))
        .find(|path| path.is_file())
}

/// Reads a whole file.
///
/// # Errors
///
/// Names the file.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).context(format!("read '{}'", path.display()))
}

/// Writes a whole file, but leaves it alone when it has these bytes already.
///
/// # Errors
///
/// Names the file.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if std::fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    std::fs::write(path, bytes).context(format!("write '{}'", path.display()))
}

/// Makes a folder and those above it.
///
/// # Errors
///
/// Names the folder.
pub fn make_folder(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).context(format!("make folder '{}'", path.display()))
}

/// Refuses a disk image that is not there, before anything is built.
///
/// # Errors
///
/// When `disk` is given and not a file.
pub fn check_disk(disk: Option<&Path>) -> Result<()> {
    match disk {
        Some(path) if !path.is_file() => {
            let help = "make one: truncate -s 64M disk.img && mkfs.ext4 -q disk.img";
            Err(Error::new(format!("there is no disk image '{}'", path.display())).help(help))
        }
        _ => Ok(()),
    }
}
