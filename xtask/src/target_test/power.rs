// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Power cuts: the machine is killed at random moments of random file operations, again and again on the same
//! disk, and each time the host judges what is there.
//!
//! What QEMU has handed to the host survives its death, so this is a disk that loses only what was under
//! way. Disks that lose or tear what was not flushed are simulated (`cargo test -p fs --test crash`).
//!
//! The steps follow from the seed, so the host knows the state after each of them. What is found must be the
//! state after some number of steps, at least those that an acknowledged `fsync` covers.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use test_fs_service::model::{self, Node, Random, Step, Tree};

use crate::board::Board;
use crate::error::{Context, Error, Result};
use crate::qemu::{self, End, Machine, Watch};
use crate::target_test::files::entries;
use crate::{disk, workspace};

/// The client whose folder is judged.
const CLIENT: &str = "test_a";
const FOLDER: &str = "/test_a/";
/// The client adds the last letter of its name to the seed that it is given.
const SEED: u64 = 1 + ((b'a' as u64) << 32);
/// A life ends before so many steps, and up to so long after an `fsync`.
const STEPS_PER_LIFE: u64 = 400;
const LINGER_US: u64 = 40_000;
/// Steps that may be on the disk beyond those that an `fsync` covers.
const STEPS_AHEAD_MAX: usize = 5000;

/// Runs the machine `cuts` times; its life ends after a time that differs each time.
pub fn run(
    board: &Board,
    machine: &Machine,
    image: &Path,
    cuts: u32,
    timeout_s: u64,
) -> Result<()> {
    let mut deepest = 0;
    let mut random = Random::new(1);
    for cut in 0..cuts {
        // A little after some fsync; how far the machine comes meanwhile depends on the host.
        let step = sync_from(random.below(STEPS_PER_LIFE));
        let watch = Watch {
            until: vec![format!("SYNCED step={step}")],
            linger: Duration::from_micros(random.below(LINGER_US)),
            timeout: Some(Duration::from_secs(timeout_s)),
            fail: vec![crate::run::FAIL.to_owned()],
            ..Watch::default()
        };
        let finished = qemu::watch(board, machine, &watch)?;
        let serial = image.with_extension("serial");
        workspace::write(&serial, finished.output.as_bytes())?;
        match &finished.end {
            End::Seen => {}
            End::Failed(line) => {
                return Err(Error::new(format!("cut {cut}: the system says: {line}")));
            }
            end => return Err(Error::new(format!("cut {cut}, step {step}: {end:?}"))),
        }
        disk::check_ext4(image).map_err(|error| Error::new(format!("cut {cut}: {error}")))?;
        let synced = last_synced(&finished.output);
        judge(image, synced)
            .map_err(|error| Error::new(format!("cut {cut} after step {synced}: {error}")))?;
        deepest = deepest.max(synced);
        if (cut + 1).is_multiple_of(10) {
            println!("{} power cuts survived", cut + 1);
        }
    }
    println!("{cuts} power cuts, the longest life had {deepest} steps synced");
    Ok(())
}

/// The first step from `least` on that is an `fsync`. Steps count from 1.
fn sync_from(least: u64) -> u64 {
    let mut random = Random::new(SEED);
    let is_sync = |random: &mut Random| matches!(model::draw(random, FOLDER), Step::Sync);
    let mut step = 1;
    while !is_sync(&mut random) || step < least {
        step += 1;
    }
    step
}

fn last_synced(output: &str) -> usize {
    let steps = output.lines().filter_map(|line| {
        let (_, step) = line.split_once("SYNCED step=")?;
        step.trim().parse().ok()
    });
    steps.max().unwrap_or(0)
}

/// Whether the folder is as it was after some number of steps from `synced` on.
fn judge(image: &Path, synced: usize) -> Result<()> {
    let copy: PathBuf = image.with_extension("files");
    disk::extract(image, &copy)?;
    let found = tree(&copy.join(CLIENT), &format!("/{CLIENT}"))?;
    std::fs::remove_dir_all(&copy).map_err(|error| Error::new(error.to_string()))?;
    let mut random = Random::new(SEED);
    let mut model = Tree::new();
    let mut nearest = String::new();
    for step in 0..synced + STEPS_AHEAD_MAX {
        if step >= synced {
            let expected = copied(&model);
            if expected == found {
                return Ok(());
            }
            if step == synced {
                nearest = model::difference(&expected, &found);
            }
        }
        let next = model::draw(&mut random, FOLDER);
        let _ = model::apply(&mut model, &next);
    }
    let message = format!("the disk has no state from there on; at that step: {nearest}");
    Err(Error::new(message))
}

/// Reads a folder of the host, into which `debugfs` has copied one of the disk.
fn tree(folder: &Path, name: &str) -> Result<Tree> {
    let mut tree: Tree = BTreeMap::new();
    let mut folders = vec![(folder.to_path_buf(), name.to_owned())];
    while let Some((folder, name)) = folders.pop() {
        for path in entries(&folder)? {
            let last = path.file_name().unwrap_or_default().to_string_lossy();
            let name = format!("{name}/{last}");
            let node = node(&path)?;
            if node == Node::Folder {
                folders.push((path, name.clone()));
            }
            tree.insert(name, node);
        }
    }
    Ok(tree)
}

fn node(path: &Path) -> Result<Node> {
    let what = format!("read '{}'", path.display());
    let found = path.symlink_metadata().context(&what)?;
    if found.is_dir() {
        return Ok(Node::Folder);
    }
    if found.is_symlink() {
        let target = path.read_link().context(&what)?;
        return Ok(Node::Link(target.to_string_lossy().into_owned()));
    }
    Ok(Node::File {
        bytes: workspace::read(path)?,
        mode: found.mode() & 0o7777,
        mtime: model::set_time(found.mtime()),
    })
}

/// The model as that copy shows it: each name of a file is a file.
fn copied(model: &Tree) -> Tree {
    let node = |node: &Node| match node {
        Node::Same(first) => model[first].clone(),
        other => other.clone(),
    };
    model
        .iter()
        .map(|(name, found)| (name.clone(), node(found)))
        .collect()
}
