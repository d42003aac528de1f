// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The list of system tests. Data only: how a test runs is the runner's business.

use std::path::Path;

use crate::error::Result;
use crate::target_test::deaths::DEATHS;
use crate::target_test::{files, hello, sqlite};
use crate::{disk, run};

/// One system test.
pub struct Case {
    /// For selecting it.
    pub name: &'static str,
    /// For people.
    pub what: &'static str,
    /// Only run when it is named: it takes minutes, or is not yet seen to pass on every kernel (the
    /// README of its PD or the table of the README says which).
    pub by_name: bool,
    /// What is booted.
    pub system: SystemUnderTest,
    /// What is attached.
    pub disk: Disk,
    /// The host does not wait for its own disk when the guest flushes: what QEMU has got, counts.
    /// Under `icount` the guest's time would otherwise run away while the host waits.
    pub host_cached: bool,
    /// What the serial output must say; the run ends when all of it was said.
    pub expect: &'static [&'static str],
    /// Lines that end the test as failed, besides `KINTSUGI|FAIL`.
    pub forbid: &'static [&'static str],
    /// Texts, and how many lines at least must have each of them in the end.
    pub at_least: &'static [(&'static str, usize)],
    /// Lines with these are shown when the test has passed: figures.
    pub show: &'static [&'static str],
    /// Files that the system's prefilled regions are made of, besides those that every build makes.
    pub prefill: &'static [(&'static str, &'static [u8])],
    /// Arguments for QEMU besides those of the board.
    pub qemu: &'static [&'static str],
    /// Counts instructions: one is one nanosecond of the guest's time, and idling costs nothing.
    pub icount: bool,
    /// The application may say that it failed: it checks that its timers are not seconds late.
    pub app_may_fail: bool,
    /// Seconds after which it has failed. A guard: generous, so that slow machines pass.
    pub timeout_s: u64,
    /// So often the machine is killed at a random moment and boots again, and the disk is judged each time.
    pub power_cuts: u32,
    /// Looks at the disk afterwards; the second path is the folder that it was filled from.
    pub after: Option<fn(&Path, &Path) -> Result<()>>,
}

/// What is booted.
pub enum SystemUnderTest {
    /// system.xml, with overlays named from the repository's folder.
    Ours(&'static [&'static str]),
    /// Another description and its overlays, named from the repository's folder; a `policy.toml` beside
    /// it counts.
    File(&'static str, &'static [&'static str]),
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
    Blank(u64),
    /// As `Ext4`, and it refuses writes.
    Ext4ReadOnly(u64),
    /// As `Ext4`; its superblock says that errors were found.
    Ext4WithErrors(u64),
    /// As `Ext4`; after so many flushes every write fails.
    Ext4Failing(u64, u32),
    /// The same, and it refuses writes.
    ReadOnly(u64),
    /// The same, with a partition table: the first and third of three partitions are used.
    Partitioned(u64),
    /// The same, and reads of and writes to this sector fail with an I/O error.
    Failing(u64, u64),
}

/// What the supervisor says when a PD has died.
pub const FAULT: &str = "FAULT pd=";

/// Seed 1; start after 20 periods, wait 4 for the victim, rest 2 (`pds/chaos/src/settings.rs`).
const TIMER_PACE: &[u8] = &[1, 0, 0, 0, 0, 0, 0, 0, 20, 0, 0, 0, 4, 0, 0, 0, 2, 0, 0, 0];
/// Seed 1; start after 160 periods, wait 32 for the victim, rest 12, and kill the next life while it starts.
const TIMER_STARTS_PACE: &[u8] = &[
    1, 0, 0, 0, 0, 0, 0, 0, 160, 0, 0, 0, 32, 0, 0, 0, 12, 0, 0, 0, 1, 0, 0, 0,
];
/// How many kills, and how many of them while the service starts: only there it gets to this point.
const TIMER_KILLS: &[(&str, usize)] = &[
    ("KILL pd=timer", 300),
    ("KILL pd=timer point=timer.before_notify_all", 1),
];

/// Seed 1; start after 10 periods of 10 ms, wait 2 for the victim, rest 1: a kill every 50 ms, as half of the
/// victims do not come to the point that was drawn for them.
const SQLITE_PACE: &[u8] = &[1, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0];

/// What it says when a PD was alive and of no use.
pub const HANG: &str = "HANG pd=";

/// Nothing special.
pub const PLAIN: Case = Case {
    name: "",
    what: "",
    by_name: false,
    system: SystemUnderTest::Ours(&[]),
    disk: Disk::None,
    host_cached: false,
    expect: &[],
    forbid: &[],
    app_may_fail: false,
    at_least: &[],
    show: &[],
    prefill: &[],
    qemu: &[],
    icount: false,
    timeout_s: 60,
    power_cuts: 0,
    after: None,
};

/// SQLite as a second client of the services, and their killer.
const SQLITE_AND_CHAOS: &[&str] = &[
    "pds/app_sqlite/overlay.xml",
    "pds/app_sqlite/settings.xml",
    "pds/app_sqlite/chaos.xml",
    "pds/chaos/seed.xml",
];

/// SQLite under kills. So many transactions that the run is many times longer than the time between two
/// kills, however fast the services get: with 100 of them a run could end before the first kill.
const SQLITE_KILLS: Case = Case {
    name: "files_sqlite_kills",
    what: "SQLite's 1,000 transactions while the file service and the block driver die in turn, every 50 ms",
    system: SystemUnderTest::Ours(SQLITE_AND_CHAOS),
    disk: Disk::Ext4(64),
    prefill: &[
        ("chaos.seed", SQLITE_PACE),
        ("app_sqlite.settings", sqlite::LONG),
    ],
    expect: &[" app_sqlite: KINTSUGI|PASS"],
    // One of the two every 50 ms; the transactions take 2 s of guest time or more, by how soon the host's
    // disk answers.
    at_least: &[("KILL pd=fs", 15), ("KILL pd=blk", 15)],
    show: &["app_sqlite: transactions="],
    host_cached: true,
    icount: true,
    timeout_s: 1800,
    after: Some(sqlite::check_1000),
    ..PLAIN
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
        name: "app_hello",
        what: "the smallest application writes each line once, while the services and it die in turn",
        system: SystemUnderTest::Ours(&[
            "pds/app_hello/overlay.xml",
            "pds/app_hello/chaos.xml",
            "pds/chaos/seed.xml",
        ]),
        prefill: &[("chaos.seed", SQLITE_PACE)],
        disk: Disk::Ext4(64),
        expect: &[" app_hello: KINTSUGI|PASS"],
        at_least: &[
            ("KILL pd=fs", 1),
            ("KILL pd=blk", 1),
            ("KILL pd=timer", 1),
            ("KILL pd=app_hello", 1),
        ],
        host_cached: true,
        icount: true,
        timeout_s: 300,
        after: Some(hello::check),
        ..PLAIN
    },
    Case {
        name: "runtime",
        what: "memory functions; what comes while a PD waits inside its init, and what that puts off",
        system: SystemUnderTest::File("pds/test_runtime/system.xml", &[]),
        expect: &[
            "memory functions: ",
            "PASS what came while init waited was delivered",
            "PASS what the handler of that put off was done",
        ],
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
        name: "reports",
        what: "a PD dies in six ways; after a reset of the machine the black box has a report of each",
        system: SystemUnderTest::File("pds/test_report/system.xml", &[]),
        expect: &[
            "LASTBOOT FAULT pd=test_report kind=execute",
            "LASTBOOT LOG pd=test_report on purpose, with 2",
            run::PASS,
        ],
        at_least: &[("BACKTRACE pd=test_report", 6)],
        ..PLAIN
    },
    Case {
        name: "timer_kills",
        what: "1,000 timers for a minute of guest time, the service killed every 10 ms: each deadline once",
        system: SystemUnderTest::File(
            "pds/test_timer/system.xml",
            &["pds/test_timer/chaos.xml", "pds/chaos/seed.xml"],
        ),
        expect: &[run::PASS],
        // A minute has 6,000 times 10 ms; a planted instruction waits for its victim to get there.
        at_least: &[("KILL pd=timer", 5000)],
        show: &["lateness_ns", run::PASS],
        prefill: &[("chaos.seed", TIMER_PACE)],
        icount: true,
        timeout_s: 1500,
        by_name: true,
        ..PLAIN
    },
    Case {
        name: "timer_posix",
        what: "a program in C uses every function of the POSIX interface while the service dies",
        system: SystemUnderTest::File(
            "pds/test_time_c/system.xml",
            &["pds/test_timer/chaos_starts.xml", "pds/chaos/seed.xml"],
        ),
        expect: &[run::PASS],
        at_least: TIMER_KILLS,
        show: &[run::PASS],
        prefill: &[("chaos.seed", TIMER_STARTS_PACE)],
        icount: true,
        timeout_s: 300,
        ..PLAIN
    },
    Case {
        name: "timer_reset",
        what: "the wall clock, set while the service dies, survives a reset of the machine",
        system: SystemUnderTest::File(
            "pds/test_rtc/system.xml",
            &["pds/test_timer/chaos_starts.xml", "pds/chaos/seed.xml"],
        ),
        expect: &["resetting the machine", run::PASS],
        at_least: &[("KILL pd=timer", 10)],
        show: &["wall clock", run::PASS],
        prefill: &[("chaos.seed", TIMER_STARTS_PACE)],
        icount: true,
        ..PLAIN
    },
    Case {
        name: "files_sqlite_quiet",
        what: "SQLite, unchanged, on the file service: 100 transactions; the host's sqlite3 finds their rows",
        system: SystemUnderTest::Ours(&["pds/app_sqlite/overlay.xml"]),
        disk: Disk::Ext4(64),
        expect: &[" app_sqlite: KINTSUGI|PASS", " app_demo: KINTSUGI|PASS"],
        forbid: &[FAULT],
        show: &["app_sqlite: transactions="],
        timeout_s: 300,
        after: Some(sqlite::check_100),
        by_name: true,
        ..PLAIN
    },
    SQLITE_KILLS,
    files::CASE_RANDOM,
    files::CASE_KILLS,
    files::CASE_POINTS,
    files::CASE_FULL,
    files::CASE_BLANK,
    files::CASE_POWER,
    files::CASE_HOSTILE,
    files::CASE_DIRECT,
    files::CASE_MANY,
    files::CASE_QUIET,
    files::CASE_READ_ONLY,
    files::CASE_ERRORS,
    files::CASE_FAILING,
    Case {
        name: "files_handles",
        what: "stolen, edited and old handles are refused and reported, while the services die",
        system: SystemUnderTest::Ours(&[
            "pds/test_handles/overlay.xml",
            "pds/app_sqlite/chaos.xml",
            "pds/chaos/seed.xml",
        ]),
        prefill: &[("chaos.seed", SQLITE_PACE)],
        disk: Disk::Ext4(64),
        expect: &[
            " fs: handles are sealed with a random key",
            "REFUSED pd=test_thief count=",
            "REFUSED pd=test_handles count=",
            " test_thief: KINTSUGI|PASS handles",
            " test_handles: KINTSUGI|PASS handles",
            // It dies once, on purpose; the supervisor may say so later than all else is said.
            "FAULT pd=test_handles",
        ],
        at_least: &[("KILL pd=fs", 3)],
        host_cached: true,
        icount: true,
        timeout_s: 600,
        after: Some(disk::check_files),
        by_name: true,
        ..PLAIN
    },
    Case {
        name: "supervision_quiet",
        what: "the application works at full load, and nobody is taken for hung",
        expect: &[run::PASS],
        forbid: &[FAULT, HANG],
        // In real time, a processor of the host that is not there for 60 ms is a hang.
        host_cached: true,
        icount: true,
        timeout_s: 300,
        disk: Disk::Ext4(64),
        ..PLAIN
    },
    Case {
        name: "supervision_deaths",
        what: "every kind of fault in every supervised PD ends in a restart",
        system: SystemUnderTest::Ours(&["pds/chaos/overlay.xml"]),
        expect: DEATHS,
        timeout_s: 400,
        disk: Disk::Ext4(64),
        by_name: true,
        ..PLAIN
    },
    Case {
        name: "supervision_attacks",
        what: "every fault and hang of every PD, several at once, supervisors at each step: all live again",
        system: SystemUnderTest::Ours(&["pds/test_supervision/overlay.xml"]),
        expect: &["KINTSUGI|PASS bench test_supervision"],
        forbid: &["attacks did not end as they must"],
        // While the time service hangs, no timer fires.
        app_may_fail: true,
        show: &["STEP ", "DETECTED"],
        timeout_s: 900,
        icount: true,
        disk: Disk::Ext4(64),
        by_name: true,
        ..PLAIN
    },
    Case {
        name: "supervision_stop",
        what: "a PD that dies in every life is left alone, and the others work",
        system: SystemUnderTest::Ours(&["pds/test_crash/overlay.xml", "pds/test_crash/stop.xml"]),
        expect: &[
            "FAULT pd=test_crash kind=panic",
            "epoch=3 action=stop",
            run::PASS,
        ],
        forbid: &["epoch=4 action=restart", HANG],
        timeout_s: 300,
        disk: Disk::Ext4(64),
        by_name: true,
        ..PLAIN
    },
    Case {
        name: "supervision_fallback",
        what: "a PD that dies in every life gets pauses, then its other program, which lives",
        system: SystemUnderTest::Ours(&[
            "pds/test_crash/overlay.xml",
            "pds/test_crash/fallback.xml",
        ]),
        expect: &[
            "FAULT pd=test_crash kind=panic",
            "action=backoff",
            "action=fallback",
            "test_crash: the other program is at work",
            run::PASS,
        ],
        forbid: &["action=stop", "action=escalate", HANG],
        timeout_s: 300,
        disk: Disk::Ext4(64),
        by_name: true,
        ..PLAIN
    },
    Case {
        name: "supervision_watchdog",
        what: "the sentinel ends, the hardware watchdog resets the machine, and the next boot says why",
        system: SystemUnderTest::Ours(&["pds/test_watchdog/overlay.xml"]),
        expect: &[
            "sentinel: WATCHDOG resets the machine when",
            "test_watchdog: the sentinel ends",
            "WATCHDOG it ended the last boot",
        ],
        forbid: &[HANG],
        // There is no disk.
        app_may_fail: true,
        by_name: true,
        ..PLAIN
    },
    Case {
        name: "supervision_reset",
        what: "failure goes up the tree to the reset, and the next boot says why",
        system: SystemUnderTest::Ours(&["pds/test_crash/overlay.xml", "pds/test_crash/reset.xml"]),
        expect: &[
            "FAULT pd=test_crash kind=panic",
            "action=escalate",
            "FAULT pd=supervisor kind=escalation",
            "sentinel: LASTBOOT boot=1",
            "LASTBOOT FAULT pd=supervisor kind=escalation",
            "action=reset",
        ],
        // There is no disk.
        app_may_fail: true,
        by_name: true,
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
