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
/// One of three clients means harm.
const HOSTILE: &[u8] = &settings(Mode::Hostile, 3000, 0);
/// Reads without the service.
const DIRECT: &[u8] = &settings(Mode::Direct, 0, 0);
/// Many requests at once.
const MANY: &[u8] = &settings(Mode::Many, 6000, 30);
/// A disk that refuses writes.
const READ_ONLY: &[u8] = &settings(Mode::ReadOnly, 0, 0);
/// A disk that begins to fail.
const FAILING: &[u8] = &settings(Mode::Failing, 30, 0);
/// Appends, and then no more requests.
const QUIET: &[u8] = &settings(Mode::Quiet, 0, 0);
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
    at_least: &[("KILL pd=fs", 30), ("KILL pd=blk", 10)],
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
pub const CASE_HOSTILE: Case = Case {
    name: "files_hostile",
    what: "a client of chosen attacks, nonsense and noise beside two others: refused, and nobody notices",
    system: SystemUnderTest::File(FILES_SYSTEM, &["pds/test_fs/hostile.xml"]),
    prefill: &[("test_fs.settings", HOSTILE)],
    forbid: &[FAULT],
    at_least: &[("REFUSED pd=test_b", 5)],
    show: &[run::PASS, "GREEDY"],
    timeout_s: 900,
    ..FILES_KILLED
};

/// See `what`.
pub const CASE_DIRECT: Case = Case {
    name: "files_direct",
    what: "cached pages are read while the file service is down for good",
    system: SystemUnderTest::File(FILES_SYSTEM, &["pds/test_fs/direct.xml"]),
    prefill: &[("test_fs.settings", DIRECT)],
    expect: &["KINTSUGI|PASS test_a", "action=stop", "DIRECT reads="],
    show: &["DIRECT"],
    timeout_s: 300,
    after: None,
    ..FILES_KILLED
};

/// See `what`.
pub const CASE_MANY: Case = Case {
    name: "files_many",
    what: "three clients with 48 requests under way each: right data, while fs and blk die",
    prefill: &[FILES_PACE, ("test_fs.settings", MANY)],
    at_least: &[("KILL pd=fs", 25), ("MANY under_way=48", 3)],
    show: &[run::PASS, "MANY"],
    timeout_s: 900,
    ..FILES_KILLED
};

/// See `what`.
pub const CASE_QUIET: Case = Case {
    name: "files_quiet",
    what: "what was appended and not synced is on the disk when nobody asks for anything any more",
    system: SystemUnderTest::File(FILES_SYSTEM, &["pds/test_fs/quiet.xml"]),
    prefill: &[("test_fs.settings", QUIET)],
    expect: &["KINTSUGI|PASS test_a"],
    forbid: &[FAULT],
    timeout_s: 300,
    ..FILES_KILLED
};

/// See `what`.
pub const CASE_READ_ONLY: Case = Case {
    name: "files_read_only",
    what: "a disk that refuses writes: files are read, changes are EROFS",
    system: SystemUnderTest::File(FILES_SYSTEM, &[]),
    disk: Disk::Ext4ReadOnly(64),
    prefill: &[("test_fs.settings", READ_ONLY)],
    expect: &["KINTSUGI|PASS test_a", "read-only: the disk refuses writes"],
    forbid: &[FAULT],
    after: None,
    timeout_s: 300,
    ..FILES_KILLED
};

/// See `what`.
pub const CASE_ERRORS: Case = Case {
    name: "files_errors",
    what: "a file system with errors: it is said, files are read, changes are EROFS",
    disk: Disk::Ext4WithErrors(64),
    expect: &[
        "KINTSUGI|PASS test_a",
        "read-only: the file system has errors; run e2fsck",
    ],
    ..CASE_READ_ONLY
};

/// See `what`.
pub const CASE_FAILING: Case = Case {
    name: "files_failing",
    what: "every write fails from some moment on: EIO, EROFS, and what was acknowledged can be read",
    system: SystemUnderTest::File(FILES_SYSTEM, &[]),
    disk: Disk::Ext4Failing(64, 12),
    prefill: &[("test_fs.settings", FAILING)],
    expect: &["KINTSUGI|PASS test_a", "read-only until a restart"],
    // A disk that fails is no reason to die, but for the driver once (docs/decisions/0076).
    forbid: &["FAULT pd=fs", "blk: ready epoch=2"],
    at_least: &[(": let another life try", 1)],
    show: &["FAILING"],
    host_cached: false,
    icount: false,
    after: Some(sound),
    timeout_s: 300,
    ..FILES_KILLED
};

/// Checks the image behind a disk that fails.
fn sound(_disk: &Path, files: &Path) -> Result<()> {
    disk::check_ext4(&files.with_file_name("disk.img"))
}

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
    // A client's root may be a folder of the disk.
    let mut roots: Vec<_> = entries(&copy)?;
    roots.retain(|path| path.is_dir() && !path.is_symlink());
    roots.push(copy.clone());
    for root in roots {
        for list in entries(&root)? {
            if list.to_string_lossy().ends_with(sums::ENDING) {
                checked += compare(&root, &String::from_utf8_lossy(&workspace::read(&list)?))?;
            }
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
