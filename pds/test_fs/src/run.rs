// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Steps on the file service, through its client library.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use embedded_io::Write;
use fs_client::{Attributes, Errno, Error, File, FileSystem, FileType, OpenOptions, Time};

use crate::model::{Node, Step, Tree, set_time};

const NANOSECONDS: i64 = 1_000_000_000;

/// Runs the step for real.
///
/// # Errors
///
/// As the service says; `EIO` where a file without a name is not what it was.
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
        Step::UnlinkOpen(path) => unlink_open(fs, path),
        Step::Link(from, to) => fs.hard_link(from, to),
        Step::Symlink(target, path) => fs.symlink(target, path),
        Step::Chmod(path, mode) => fs.set_permissions(path, *mode),
        Step::Touch(path, time) => {
            let attributes = Attributes {
                modified: Time::At(*time * NANOSECONDS),
                ..Attributes::default()
            };
            fs.set_attributes(path, &attributes)
        }
        Step::Mkdir(path) => fs.create_dir(path),
        Step::Rmdir(path) => fs.remove_dir(path),
        Step::Sync => fs.sync(),
    }
}

/// Removes a name of an open file: the file stays what it was, and can still be changed.
fn unlink_open(fs: &FileSystem, path: &str) -> Result<(), Error> {
    let file = OpenOptions::new().read(true).write(true).open(fs, path)?;
    let mut bytes = read_all(&file)?;
    fs.remove_file(path)?;
    let check = |bytes: &[u8]| match read_all(&file)? == bytes {
        true => Ok(()),
        false => Err(Error::Errno(Errno::Io)),
    };
    check(&bytes)?;
    if file.metadata()?.links() == 0 {
        // Nobody else sees this: a step has one effect.
        let added = [0x5a; 5000];
        file.write_all_at(bytes.len() as u64, &added)?;
        bytes.extend_from_slice(&added);
        check(&bytes)?;
        file.set_len(3)?;
        bytes.resize(3, 0);
        check(&bytes)?;
    }
    Ok(())
}

fn read_all(file: &File) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0; file.metadata()?.len() as usize];
    let mut done = 0;
    while done < bytes.len() {
        match file.read_at(done as u64, &mut bytes[done..])? {
            0 => return Err(Error::BadAnswer),
            count => done += count,
        }
    }
    Ok(bytes)
}

/// Reads everything below `path` ("" is the root).
///
/// # Errors
///
/// As the service says.
///
/// # Panics
///
/// When a name is listed twice, or a file has another number of names than it says.
pub fn read_tree(fs: &FileSystem, path: &str) -> Result<Tree, Error> {
    let mut tree = Tree::new();
    // Files with several names, by inode.
    let mut names: BTreeMap<u32, (u32, Vec<String>)> = BTreeMap::new();
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
                    Node::Folder
                }
                FileType::Symlink => {
                    let target = fs.read_link(&path)?;
                    Node::Link(String::from_utf8_lossy(&target).into_owned())
                }
                _ => read_file(fs, &path)?,
            };
            if found != Node::Folder {
                let metadata = fs.symlink_metadata(&path)?;
                let entry = names.entry(metadata.inode());
                let entry = entry.or_insert((metadata.links(), Vec::new()));
                entry.1.push(path.clone());
            }
            assert!(
                tree.insert(path.clone(), found).is_none(),
                "{path} is listed twice"
            );
        }
    }
    for (links, mut names) in names.into_values() {
        assert_eq!(links as usize, names.len(), "{names:?}");
        names.sort();
        for other in &names[1..] {
            tree.insert(other.clone(), Node::Same(names[0].clone()));
        }
    }
    Ok(tree)
}

fn read_file(fs: &FileSystem, path: &str) -> Result<Node, Error> {
    let file = File::open(fs, path)?;
    let metadata = file.metadata()?;
    Ok(Node::File {
        bytes: read_all(&file)?,
        mode: metadata.permissions(),
        mtime: set_time(metadata.modified() / NANOSECONDS),
    })
}
