// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Steps on the file service, through its client library.

use alloc::format;
use alloc::string::ToString;

use embedded_io::Write;
use fs_client::{Error, File, FileSystem, FileType, OpenOptions};

use crate::model::{Step, Tree};

/// Runs the step for real.
///
/// # Errors
///
/// As the service says.
pub fn run(fs: &FileSystem, step: &Step) -> Result<(), Error> {
    let open = |path: &str| OpenOptions::new().write(true).open(fs, path);
    match step {
        Step::CreateNew(path) => OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(fs, path)
            .map(|_| ()),
        Step::Append(path, bytes) => OpenOptions::new()
            .append(true)
            .open(fs, path)?
            .write_all(bytes),
        Step::Overwrite(path, at, bytes) => open(path)?.write_all_at(*at, bytes),
        Step::Truncate(path, size) => open(path)?.set_len(*size),
        Step::Rename(from, to) => fs.rename(from, to),
        Step::Unlink(path) => fs.remove_file(path),
        Step::Mkdir(path) => fs.create_dir(path),
        Step::Rmdir(path) => fs.remove_dir(path),
        Step::Sync => fs.sync(),
    }
}

/// Reads everything below `path` ("" is the root).
///
/// # Errors
///
/// As the service says.
///
/// # Panics
///
/// When a name is listed twice.
pub fn read_tree(fs: &FileSystem, path: &str) -> Result<Tree, Error> {
    let mut tree = Tree::new();
    let mut folders = alloc::vec![path.to_string()];
    while let Some(folder) = folders.pop() {
        let listed = if folder.is_empty() { "/" } else { &folder };
        for entry in fs.read_dir(listed)? {
            let entry = entry?;
            let path = format!("{folder}/{}", entry.file_name());
            if path == "/lost+found" {
                continue;
            }
            let found = match entry.file_type() {
                FileType::Directory => {
                    folders.push(path.clone());
                    None
                }
                _ => {
                    let file = File::open(fs, &path)?;
                    assert_eq!(file.metadata()?.links(), 1, "{path}");
                    Some(fs.read(&path)?)
                }
            };
            assert!(
                tree.insert(path.clone(), found).is_none(),
                "{path} is listed twice"
            );
        }
    }
    Ok(tree)
}
