// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Random operations, and a model that knows what each must return and what must be there afterwards.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use proto::fs::Errno;

/// A small random number generator (xorshift64*), seeded.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Begins the sequence of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// The next number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 11) % bound
    }
}

/// A file's contents, or `None` for a folder.
pub type Tree = BTreeMap<String, Option<Vec<u8>>>;

/// One operation.
#[derive(Clone, Debug)]
#[expect(
    missing_docs,
    reason = "the names are those of POSIX; paths, offsets and bytes"
)]
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

/// Whether a folder is one of those that steps make.
fn tree_has_folders_like(path: &str) -> bool {
    let name = &path[path.rfind('/').map_or(0, |at| at + 1)..];
    name.len() == 2 && name.starts_with('d')
}

fn parent(path: &str) -> &str {
    &path[..path.rfind('/').expect("paths begin with a slash")]
}

/// What the step must return; changes the model accordingly.
///
/// # Errors
///
/// Those that the service must return.
///
/// # Panics
///
/// Never.
pub fn apply(tree: &mut Tree, step: &Step) -> Result<(), Errno> {
    // What is not in the model is above it, and there.
    let folder_is_there = |tree: &Tree, path: &str| {
        !tree_has_folders_like(parent(path)) || tree.get(parent(path)) == Some(&None)
    };
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

/// Says where two trees differ.
pub fn difference(expected: &Tree, found: &Tree) -> String {
    let describe = |entry: Option<&Option<Vec<u8>>>| match entry {
        None => "nothing".to_string(),
        Some(None) => "a folder".to_string(),
        Some(Some(bytes)) => format!("{} bytes", bytes.len()),
    };
    let keys: alloc::collections::BTreeSet<_> = expected.keys().chain(found.keys()).collect();
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
