// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Random operations, and a model that knows what each must return and what must be there afterwards.

use std::collections::BTreeMap;

use embedded_io::Write;
use fs_client::{Errno, Error, File, FileSystem, FileType, OpenOptions};

use super::Random;

/// A file's contents, or `None` for a folder.
pub type Tree = BTreeMap<String, Option<Vec<u8>>>;

#[derive(Clone, Debug)]
pub enum Step {
    CreateNew(String),
    Append(String, Vec<u8>),
    Overwrite(String, u64, Vec<u8>),
    Truncate(String, u64),
    Rename(String, String),
    Unlink(String),
    Mkdir(String),
    Rmdir(String),
    Sync,
}

/// Draws a step. Names come from a small set, so that they often exist.
pub fn draw(random: &mut Random, prefix: &str) -> Step {
    let folder = |random: &mut Random| match random.below(4) {
        0 => format!("{prefix}d{}", random.below(2)),
        _ => prefix.trim_end_matches('/').to_string(),
    };
    let name = |random: &mut Random| format!("{}/f{}", folder(random), random.below(4));
    let bytes = |random: &mut Random, most: u64| {
        let length = 1 + random.below(most);
        let first = random.next() as u8;
        (0..length)
            .map(|index| first.wrapping_add((index / 7) as u8))
            .collect()
    };
    match random.below(100) {
        0..20 => Step::CreateNew(name(random)),
        20..45 => Step::Append(name(random), bytes(random, 9000)),
        45..63 => Step::Overwrite(name(random), random.below(20_000), bytes(random, 12_000)),
        63..69 => Step::Truncate(name(random), random.below(20_000)),
        69..78 => Step::Rename(name(random), name(random)),
        78..85 => Step::Unlink(name(random)),
        85..89 => Step::Mkdir(format!("{prefix}d{}", random.below(2))),
        89..91 => Step::Rmdir(format!("{prefix}d{}", random.below(2))),
        _ => Step::Sync,
    }
}

fn parent(path: &str) -> &str {
    &path[..path.rfind('/').expect("paths begin with a slash")]
}

/// What the step must return; changes the model accordingly.
pub fn apply(tree: &mut Tree, step: &Step) -> Result<(), Errno> {
    let folder_is_there =
        |tree: &Tree, path: &str| parent(path).is_empty() || tree.get(parent(path)) == Some(&None);
    match step {
        Step::CreateNew(path) => {
            if !folder_is_there(tree, path) {
                return Err(Errno::NoEntry);
            }
            if tree.contains_key(path) {
                return Err(Errno::Exists);
            }
            tree.insert(path.clone(), Some(Vec::new()));
        }
        Step::Append(path, bytes) => file(tree, path)?.extend_from_slice(bytes),
        Step::Overwrite(path, at, bytes) => {
            let contents = file(tree, path)?;
            let end = *at as usize + bytes.len();
            if contents.len() < end {
                contents.resize(end, 0);
            }
            contents[*at as usize..end].copy_from_slice(bytes);
        }
        Step::Truncate(path, size) => file(tree, path)?.resize(*size as usize, 0),
        Step::Rename(from, to) => {
            file(tree, from)?;
            if !folder_is_there(tree, to) {
                return Err(Errno::NoEntry);
            }
            let contents = tree.remove(from).expect("it is there");
            tree.insert(to.clone(), contents);
        }
        Step::Unlink(path) => {
            file(tree, path)?;
            tree.remove(path);
        }
        Step::Mkdir(path) => {
            if tree.contains_key(path) {
                return Err(Errno::Exists);
            }
            tree.insert(path.clone(), None);
        }
        Step::Rmdir(path) => {
            if !tree.contains_key(path) {
                return Err(Errno::NoEntry);
            }
            if tree.keys().any(|other| parent(other) == path) {
                return Err(Errno::NotEmpty);
            }
            tree.remove(path);
        }
        Step::Sync => {}
    }
    Ok(())
}

fn file<'a>(tree: &'a mut Tree, path: &str) -> Result<&'a mut Vec<u8>, Errno> {
    tree.get_mut(path)
        .and_then(Option::as_mut)
        .ok_or(Errno::NoEntry)
}

/// Runs the step for real.
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
pub fn read_tree(fs: &FileSystem, path: &str) -> Result<Tree, Error> {
    let mut tree = Tree::new();
    let mut folders = vec![path.to_string()];
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

/// Says where two trees differ.
pub fn difference(expected: &Tree, found: &Tree) -> String {
    let describe = |entry: Option<&Option<Vec<u8>>>| match entry {
        None => "nothing".to_string(),
        Some(None) => "a folder".to_string(),
        Some(Some(bytes)) => format!("{} bytes", bytes.len()),
    };
    let keys: std::collections::BTreeSet<_> = expected.keys().chain(found.keys()).collect();
    let lines: Vec<_> = keys
        .into_iter()
        .filter(|key| expected.get(*key) != found.get(*key))
        .map(|key| {
            let (left, right) = (expected.get(key), found.get(key));
            format!(
                "{key}: expected {}, found {}",
                describe(left),
                describe(right)
            )
        })
        .collect();
    lines.join("; ")
}
