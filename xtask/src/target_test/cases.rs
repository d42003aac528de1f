// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The list of system tests. Data only: how a test runs is the runner's business.

use std::path::Path;

use crate::error::Result;
use crate::{disk, run};

/// One system test.
pub struct Case {
    /// For selecting it.
    pub name: &'static str,
    /// For people.
    pub what: &'static str,
    /// What is booted.
    pub system: SystemUnderTest,
    /// What is attached.
    pub disk: Disk,
    /// What the serial output must say; the run ends when all of it was said.
    pub expect: &'static [&'static str],
    /// Lines that end the test as failed, besides `KINTSUGI|FAIL`.
    pub forbid: &'static [&'static str],
    /// Seconds after which it has failed. A guard: generous, so that slow machines pass.
    pub timeout_s: u64,
    /// Looks at the disk afterwards; the second path is the folder that it was filled from.
    pub after: Option<fn(&Path, &Path) -> Result<()>>,
}

/// What is booted.
pub enum SystemUnderTest {
    /// system.xml, with overlays named from the repository's folder.
    Ours(&'static [&'static str]),
    /// One of Microkit's examples in C, built for the SDK: the folder's name.
    Example(&'static str),
}

/// What is attached.
pub enum Disk {
    /// Nothing.
    None,
    /// An ext4 file system of so many megabytes, with the sample files.
    Ext4(u64),
    /// So many megabytes of zeros.
    #[expect(
        dead_code,
        reason = "for the tests of services that meet a disk without a file system"
    )]
    Blank(u64),
}

/// What the supervisor says when a PD has died.
const FAULT: &str = "FAULT pd=";

/// Nothing special.
const PLAIN: Case = Case {
    name: "",
    what: "",
    system: SystemUnderTest::Ours(&[]),
    disk: Disk::None,
    expect: &[],
    forbid: &[],
    timeout_s: 60,
    after: None,
};

/// All system tests, quick ones first.
pub const ALL: &[Case] = &[
    Case {
        name: "boots",
        what: "every PD starts once, and the disk is sound afterwards",
        expect: &[
            " supervisor: ready epoch=0",
            " console: ready epoch=0",
            " timer: ready epoch=0",
            " blk: ready epoch=0",
            " fs: ready epoch=0",
            " app_demo: start",
        ],
        forbid: &[FAULT],
        disk: Disk::Ext4(64),
        after: Some(disk::check_files),
        ..PLAIN
    },
    Case {
        name: "works",
        what: "the application reads and writes files and sets timers, and nothing faults",
        expect: &[run::PASS],
        forbid: &[FAULT],
        timeout_s: 300,
        disk: Disk::Ext4(64),
        after: Some(disk::check_files),
        ..PLAIN
    },
    Case {
        name: "example_hello",
        what: "Microkit's example hello, in C",
        system: SystemUnderTest::Example("hello"),
        expect: &["hello, world"],
        ..PLAIN
    },
    Case {
        name: "example_hierarchy",
        what: "Microkit's example hierarchy, in C: a parent restarts its child, then stops it",
        system: SystemUnderTest::Example("hierarchy"),
        expect: &[
            "restarter: restarted",
            "restarter: too many restarts - PD stopped",
            "hello, world",
        ],
        ..PLAIN
    },
    Case {
        name: "example_passive_server",
        what: "Microkit's example passive_server, in C: a call runs on its caller's time",
        system: SystemUnderTest::Example("passive_server"),
        expect: &[
            "CLIENT|INFO: init function running",
            "SERVER|INFO: running on clients scheduling context",
        ],
        ..PLAIN
    },
];
