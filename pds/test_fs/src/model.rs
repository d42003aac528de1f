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
    #[expect(clippy::should_implement_trait, reason = "it never ends")]
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

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// A folder.
    Folder,
    /// A regular file.
    File {
        /// Its contents.
        bytes: Vec<u8>,
        /// Its permission bits.
        mode: u32,
        /// When it was last changed, in seconds; only where a step has set that, see [`set_time`].
        mtime: Option<i64>,
    },
    /// A symbolic link.
    Link(String),
    /// Another name of what the first of its names stands for.
    Same(String),
}

impl Node {
    /// A file with the permission bits of a new one.
    pub fn file(bytes: Vec<u8>) -> Self {
        Self::File {
            bytes,
            mode: NEW_FILE_MODE,
            mtime: None,
        }
    }
}

/// Permission bits of a new file.
pub const NEW_FILE_MODE: u32 = 0o644;
/// Steps set times from here on, in 2001: no clock says that.
const TIMES_FROM: i64 = 1_000_000_000;
const TIMES: i64 = 100_000;

/// A file's time of change in seconds, if it is one that steps set.
pub fn set_time(seconds: i64) -> Option<i64> {
    (TIMES_FROM..TIMES_FROM + TIMES)
        .contains(&seconds)
        .then_some(seconds)
}

/// What every name stands for.
pub type Tree = BTreeMap<String, Node>;

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
    /// Opens the file, removes the name, and then goes on with the file; see [`crate::run::run`].
    UnlinkOpen(String),
    Link(String, String),
    Symlink(String, String),
    Chmod(String, u32),
    Touch(String, i64),
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
    let last = |random: &mut Random| match random.below(8) {
        0 => format!("l{}", random.below(2)),
        _ => format!("f{}", random.below(4)),
    };
    let name = |random: &mut Random| format!("{}/{}", folder(random), last(random));
    let bytes = |random: &mut Random, most: u64| {
        let length = 1 + random.below(most);
        let first = random.next() as u8;
        (0..length)
            .map(|index| first.wrapping_add((index / 7) as u8))
            .collect()
    };
    match random.below(100) {
        0..18 => Step::CreateNew(name(random)),
        18..32 => Step::Append(name(random), bytes(random, 9000)),
        32..39 => {
            // Whole blocks, which the service may carry out later.
            let name = name(random);
            let mut blocks = bytes(random, 1);
            blocks.resize(4096 * (1 + random.below(5) as usize), blocks[0]);
            Step::Append(name, blocks)
        }
        39..55 => Step::Overwrite(name(random), random.below(20_000), bytes(random, 12_000)),
        55..58 => Step::Truncate(name(random), random.below(20_000)),
        58..61 => Step::Truncate(name(random), random.below(5) * 4096),
        61..69 => Step::Rename(name(random), name(random)),
        69..74 => Step::Unlink(name(random)),
        74..78 => Step::UnlinkOpen(name(random)),
        78..81 => Step::Link(name(random), name(random)),
        81..84 => match random.below(2) {
            0 => Step::Symlink(last(random), name(random)),
            _ => Step::Symlink(name(random), name(random)),
        },
        84..86 => Step::Chmod(name(random), random.below(0o1000) as u32),
        86..88 => Step::Touch(name(random), TIMES_FROM + random.below(TIMES as u64) as i64),
        88..91 => Step::Mkdir(format!("{prefix}d{}", random.below(2))),
        91..93 => Step::Rmdir(format!("{prefix}d{}", random.below(2))),
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

/// What is not in the model is above it, and there.
fn folder_is_there(tree: &Tree, path: &str) -> bool {
    !tree_has_folders_like(parent(path)) || tree.get(parent(path)) == Some(&Node::Folder)
}

fn check_folder(tree: &Tree, path: &str) -> Result<(), Errno> {
    match folder_is_there(tree, path) {
        true => Ok(()),
        false => Err(Errno::NoEntry),
    }
}

/// A place where nothing is yet.
fn check_new(tree: &Tree, path: &str) -> Result<(), Errno> {
    check_folder(tree, path)?;
    match tree.contains_key(path) {
        true => Err(Errno::Exists),
        false => Ok(()),
    }
}

/// The first of the names of what this name stands for.
fn first(tree: &Tree, path: &str) -> Result<String, Errno> {
    match tree.get(path) {
        None | Some(Node::Folder) => Err(Errno::NoEntry),
        Some(Node::Same(first)) => Ok(first.clone()),
        Some(_) => Ok(path.to_string()),
    }
}

/// The same, of the file at the end of symbolic links.
fn follow(tree: &Tree, path: &str) -> Result<String, Errno> {
    let mut path = path.to_string();
    for _ in 0..=LINKS_MAX {
        check_folder(tree, &path)?;
        let name = first(tree, &path)?;
        let Some(Node::Link(target)) = tree.get(&name) else {
            return Ok(name);
        };
        path = match target.starts_with('/') {
            true => target.clone(),
            false => format!("{}/{target}", parent(&path)),
        };
    }
    Err(Errno::Loop)
}

/// As the service counts.
const LINKS_MAX: usize = 40;

fn aliases(tree: &Tree, path: &str) -> Vec<String> {
    let is_alias = |node: &Node| matches!(node, Node::Same(first) if first == path);
    let names = tree.iter().filter(|(_, node)| is_alias(node));
    names.map(|(name, _)| name.clone()).collect()
}

/// Takes a name away; what it stands for stays with its other names.
fn remove_name(tree: &mut Tree, path: &str) {
    let node = tree.remove(path);
    let mut others = aliases(tree, path).into_iter();
    if let (Some(node), Some(next)) = (node, others.next()) {
        for other in others {
            tree.insert(other, Node::Same(next.clone()));
        }
        tree.insert(next, node);
    }
}

/// Gives what has the first name `name` one more.
fn add_name(tree: &mut Tree, name: &str, path: &str) {
    if name < path {
        tree.insert(path.to_string(), Node::Same(name.to_string()));
        return;
    }
    let node = tree.remove(name).expect("it has that name");
    for other in aliases(tree, name) {
        tree.insert(other, Node::Same(path.to_string()));
    }
    tree.insert(name.to_string(), Node::Same(path.to_string()));
    tree.insert(path.to_string(), node);
}

/// What the step must return; changes the model accordingly.
///
/// # Errors
///
/// Those that the service must return.
pub fn apply(tree: &mut Tree, step: &Step) -> Result<(), Errno> {
    match step {
        Step::CreateNew(path) => {
            check_new(tree, path)?;
            tree.insert(path.clone(), Node::file(Vec::new()));
        }
        Step::Append(path, added) => change(tree, path, |bytes| bytes.extend_from_slice(added))?,
        Step::Overwrite(path, at, written) => change(tree, path, |bytes| {
            let end = *at as usize + written.len();
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[*at as usize..end].copy_from_slice(written);
        })?,
        Step::Truncate(path, size) => {
            // Cutting a file to the size that it has changes nothing.
            let name = follow(tree, path)?;
            if contents(tree, &name).is_some_and(|bytes| bytes.len() as u64 != *size) {
                change(tree, path, |bytes| bytes.resize(*size as usize, 0))?;
            }
        }
        Step::Rename(from, to) => rename(tree, from, to)?,
        Step::Unlink(path) => {
            first(tree, path)?;
            remove_name(tree, path);
        }
        Step::UnlinkOpen(path) => {
            follow(tree, path)?;
            remove_name(tree, path);
        }
        Step::Link(from, to) => {
            let name = first(tree, from)?;
            check_new(tree, to)?;
            add_name(tree, &name, to);
        }
        Step::Symlink(target, path) => {
            check_new(tree, path)?;
            tree.insert(path.clone(), Node::Link(target.clone()));
        }
        Step::Chmod(path, bits) => {
            if let Node::File { mode, .. } = file(tree, path)? {
                *mode = *bits;
            }
        }
        Step::Touch(path, time) => {
            if let Node::File { mtime, .. } = file(tree, path)? {
                *mtime = Some(*time);
            }
        }
        Step::Mkdir(path) => {
            check_new(tree, path)?;
            tree.insert(path.clone(), Node::Folder);
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

fn rename(tree: &mut Tree, from: &str, to: &str) -> Result<(), Errno> {
    let name = first(tree, from)?;
    check_folder(tree, to)?;
    match first(tree, to) {
        // Two names of one file: nothing happens.
        Ok(other) if other == name => return Ok(()),
        Ok(_) => remove_name(tree, to),
        Err(_) => {}
    }
    add_name(tree, &name, to);
    remove_name(tree, from);
    Ok(())
}

fn file<'a>(tree: &'a mut Tree, path: &str) -> Result<&'a mut Node, Errno> {
    let name = follow(tree, path)?;
    tree.get_mut(&name).ok_or(Errno::NoEntry)
}

fn change(tree: &mut Tree, path: &str, work: impl FnOnce(&mut Vec<u8>)) -> Result<(), Errno> {
    if let Node::File { bytes, mtime, .. } = file(tree, path)? {
        work(bytes);
        *mtime = None;
    }
    Ok(())
}

/// The contents of the file of this name, where it is one.
pub fn contents<'a>(tree: &'a Tree, path: &str) -> Option<&'a [u8]> {
    match tree.get(path)? {
        Node::File { bytes, .. } => Some(bytes),
        Node::Same(first) => contents(tree, first),
        Node::Folder | Node::Link(_) => None,
    }
}

/// Says where two trees differ.
pub fn difference(expected: &Tree, found: &Tree) -> String {
    let describe = |entry: Option<&Node>| match entry {
        None => "nothing".to_string(),
        Some(Node::File { bytes, mode, mtime }) => {
            format!("{} bytes, mode {mode:o}, time {mtime:?}", bytes.len())
        }
        Some(other) => format!("{other:?}"),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(names: &[&str]) -> Tree {
        let file = |name: &&str| (name.to_string(), Node::file(name.as_bytes().to_vec()));
        names.iter().map(file).collect()
    }

    #[test]
    fn a_file_stays_with_the_first_of_its_names() {
        let mut tree = tree(&["/f1"]);
        let link = |from: &str, to: &str| Step::Link(from.into(), to.into());
        apply(&mut tree, &link("/f1", "/f3")).unwrap();
        apply(&mut tree, &link("/f3", "/f0")).unwrap();
        assert_eq!(tree["/f1"], Node::Same("/f0".into()));
        assert_eq!(tree["/f3"], Node::Same("/f0".into()));
        apply(&mut tree, &Step::Append("/f3".into(), b"x".to_vec())).unwrap();
        apply(&mut tree, &Step::Unlink("/f0".into())).unwrap();
        assert_eq!(contents(&tree, "/f1"), Some(&b"/f1x"[..]));
        assert_eq!(tree["/f3"], Node::Same("/f1".into()));
        // A rename onto another name of the same file does nothing.
        let before = tree.clone();
        apply(&mut tree, &Step::Rename("/f1".into(), "/f3".into())).unwrap();
        assert_eq!(tree, before);
        apply(&mut tree, &Step::Rename("/f1".into(), "/f2".into())).unwrap();
        assert_eq!(tree["/f3"], Node::Same("/f2".into()));
        assert_eq!(tree.len(), 2);
    }

    #[test]
    fn links_are_followed_for_contents_and_not_for_names() {
        let mut tree = tree(&["/f1", "/f2"]);
        apply(&mut tree, &Step::Symlink("f1".into(), "/l0".into())).unwrap();
        apply(&mut tree, &Step::Append("/l0".into(), b"x".to_vec())).unwrap();
        assert_eq!(contents(&tree, "/f1"), Some(&b"/f1x"[..]));
        apply(&mut tree, &Step::Rename("/f1".into(), "/f0".into())).unwrap();
        let dangling = apply(&mut tree, &Step::Truncate("/l0".into(), 0));
        assert_eq!(dangling, Err(Errno::NoEntry));
        apply(&mut tree, &Step::Symlink("/l0".into(), "/l1".into())).unwrap();
        apply(&mut tree, &Step::Unlink("/l0".into())).unwrap();
        apply(&mut tree, &Step::Symlink("l1".into(), "/l0".into())).unwrap();
        let around = apply(&mut tree, &Step::Chmod("/l1".into(), 0));
        assert_eq!(around, Err(Errno::Loop));
    }
}
