// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Tests of the file service: what the clients are told to do, and how the host judges the disk.

use std::path::{Path, PathBuf};

use sel4_shared_memory::Crc32c;
use test_fs_service::settings::{Mode, Settings};
use test_fs_service::sums;

use crate::error::{Context, Error, Result};
use crate::target_test::cases::{Case, Disk, FAULT, PLAIN, SystemUnderTest};
use crate::{disk, run, workspace};

const fn settings(mode: Mode, steps: u32, restarts: u32) -> [u8; 20] {
    let settings = Settings {
        seed: 1,
        mode,
        steps,
        restarts,
    };
    settings.bytes()
}

/// Random steps while services die.
const RANDOM: &[u8] = &settings(Mode::Random, 300, 50);
/// The same, for long.
const KILLS: &[u8] = &settings(Mode::Random, 5000, 1200);
/// Every fault point in every operation.
const POINTS: &[u8] = &settings(Mode::Points, 0, 0);
/// A full disk.
const FULL: &[u8] = &settings(Mode::Full, 0, 0);
/// Random steps until the power goes.
const POWER: &[u8] = &settings(Mode::Power, 1_000_000, 0);

const FILES_SYSTEM: &str = "pds/test_fs/system.xml";
/// Seed 1; start after 10 periods of 3 ms, wait 1 for the victim, rest 1.
const FILES_PACE: (&str, &[u8]) = (
    "chaos.seed",
    &[1, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0],
);
/// What most tests of the file service have in common.
const FILES_KILLED: Case = Case {
    system: SystemUnderTest::File(
        FILES_SYSTEM,
        &["pds/test_fs/chaos.xml", "pds/chaos/seed.xml"],
    ),
    disk: Disk::Ext4(64),
    expect: &[
        "KINTSUGI|PASS test_a",
        "KINTSUGI|PASS test_b",
        "KINTSUGI|PASS test_c",
    ],
    show: &[run::PASS],
    host_cached: true,
    icount: true,
    after: Some(judge),
    ..PLAIN
};

/// See `what`.
pub const CASE_RANDOM: Case = Case {
    name: "files_random",
    what: "random file operations of three clients against a model, while fs and blk die",
    prefill: &[FILES_PACE, ("test_fs.settings", RANDOM)],
    at_least: &[("KILL pd=fs", 30), ("KILL pd=blk", 30)],
    timeout_s: 900,
    ..FILES_KILLED
};

/// See `what`.
pub const CASE_KILLS: Case = Case {
    name: "files_kills",
    what: "the same, thousands of times",
    prefill: &[FILES_PACE, ("test_fs.settings", KILLS)],
    // Deaths while fs starts are the business of files_points.
    at_least: &[("KILL pd=fs", 1000), ("KILL pd=blk", 1000)],
    timeout_s: 7200,
    by_name: true,
    ..FILES_KILLED
};

/// See `what`.
pub const CASE_POINTS: Case = Case {
    name: "files_points",
    what: "fs is killed at each of its fault points inside each operation",
    system: SystemUnderTest::File(FILES_SYSTEM, &["pds/test_fs/points.xml"]),
    prefill: &[("test_fs.settings", POINTS)],
    expect: &["KINTSUGI|PASS test_a"],
    show: &["POINT"],
    timeout_s: 1800,
    by_name: true,
    ..FILES_KILLED
};

/// See `what`.
pub const CASE_FULL: Case = Case {
    name: "files_full",
    what: "a disk that fills up: ENOSPC, nothing lost, and room again after a removal",
    system: SystemUnderTest::File(FILES_SYSTEM, &[]),
    disk: Disk::Ext4(40),
    prefill: &[("test_fs.settings", FULL)],
    expect: &["KINTSUGI|PASS test_a"],
    forbid: &[FAULT],
    show: &["FULL"],
    timeout_s: 300,
    by_name: true,
    ..FILES_KILLED
};

/// See `what`.
pub const CASE_BLANK: Case = Case {
    name: "files_blank",
    what: "a disk without a file system: it is said, and nothing faults",
    system: SystemUnderTest::File(FILES_SYSTEM, &[]),
    disk: Disk::Blank(64),
    prefill: &[("test_fs.settings", RANDOM)],
    expect: &[
        "no file system: no ext4 file system on the disk",
        "fs: ready epoch=0",
    ],
    forbid: &[FAULT],
    app_may_fail: true,
    ..PLAIN
};

/// See `what`.
pub const CASE_POWER: Case = Case {
    name: "files_power",
    what: "the machine is killed a hundred times: what fsync acknowledged is there, e2fsck agrees",
    system: SystemUnderTest::File(FILES_SYSTEM, &[]),
    prefill: &[("test_fs.settings", POWER)],
    power_cuts: 100,
    timeout_s: 120,
    by_name: true,
    ..FILES_KILLED
};

/// Checks the disk with e2fsck, and every file that a client has listed with what debugfs reads.
pub fn judge(image: &Path, _files: &Path) -> Result<()> {
    disk::check_ext4(image)?;
    let copy = image.with_extension("files");
    disk::extract(image, &copy)?;
    let mut checked = 0;
    for list in entries(&copy)? {
        if list.to_string_lossy().ends_with(sums::ENDING) {
            checked += compare(&copy, &String::from_utf8_lossy(&workspace::read(&list)?))?;
        }
    }
    if checked == 0 {
        return Err(Error::new("no client has left a list of its files"));
    }
    std::fs::remove_dir_all(&copy).map_err(|error| Error::new(error.to_string()))
}

/// What is in a folder of the host.
pub fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let what = format!("list '{}'", folder.display());
    let found = std::fs::read_dir(folder).context(&what)?;
    let paths: std::io::Result<Vec<_>> = found.map(|entry| Ok(entry?.path())).collect();
    paths.context(what)
}

/// Compares the files of one list; returns how many there are.
fn compare(folder: &Path, list: &str) -> Result<usize> {
    for line in list.lines() {
        let mut words = line.splitn(3, ' ');
        let (length, sum, path) = (words.next(), words.next(), words.next().unwrap_or_default());
        let bytes = workspace::read(&folder.join(path.trim_start_matches('/')))?;
        let found = format!("{:08x}", Crc32c::new().bytes(&bytes).finish());
        if length != Some(bytes.len().to_string().as_str()) || sum != Some(found.as_str()) {
            return Err(Error::new(format!("debugfs reads other bytes: {line}")));
        }
    }
    Ok(list.lines().count().max(1))
}
