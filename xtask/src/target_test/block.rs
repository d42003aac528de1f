// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The system tests of the block service.
//!
//! What a cut of the power leaves on the disk is tested on the host (`cargo test -p blk`): it needs the
//! order of the device's writes.

use super::cases::{Case, Disk, FAULT, PLAIN, SystemUnderTest};
use crate::{disk, partitions, run};

/// Seed 1; start after 10 periods of 3 ms, wait 2 for the victim, rest 1.
const BLOCK_PACE: &[u8] = &[1, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0];
/// Every fault point of the block driver that a life comes along.
const BLOCK_POINTS: &[(&str, usize)] = &[
    ("KILL pd=blk", 100),
    ("point=blk.irq", 1),
    ("point=blk.after_irq_ack", 1),
    ("point=blk.after_used", 1),
    // Before or after: on a busy host completions are late, and the one or the other is not reached in time.
    ("_complete death=", 1),
    ("point=blk.before_notify", 1),
    ("point=blk.after_take", 1),
    ("point=blk.after_submit", 1),
    ("point=blk.before_kick", 1),
    ("point=blk.after_kick", 1),
];
/// The points on the way of a start, and how often one of them was deadly several times in a row, which is
/// chance: its killer tries until each was.
const BLOCK_START_POINTS: &[(&str, usize)] = &[
    ("RECOVERY point=", 8),
    ("RECOVERY point=blk.after_device_reset", 1),
    ("RECOVERY point=blk.before_driver_ok", 1),
    ("RECOVERY point=blk.attached", 1),
    ("RECOVERY point=blk.served", 1),
];

/// All of them, quick ones first.
pub const ALL: &[Case] = &[
    Case {
        name: "block_works",
        what: "every operation once, then random requests at depth 64, every word checked",
        system: SystemUnderTest::File("pds/test_blk/system.xml", &[]),
        disk: Disk::Blank(64),
        expect: &[run::PASS],
        forbid: &[FAULT, "failed_block="],
        timeout_s: 300,
        ..PLAIN
    },
    Case {
        name: "block_legacy",
        what: "the same on a virtio device of the old kind",
        system: SystemUnderTest::File("pds/test_blk/system.xml", &[]),
        disk: Disk::Blank(64),
        qemu: &["-global", "virtio-mmio.force-legacy=true"],
        expect: &[run::PASS],
        forbid: &[FAULT, "failed_block="],
        timeout_s: 300,
        ..PLAIN
    },
    Case {
        name: "block_kills",
        what: "the same, and the driver dies 100 times in a second, at every one of its fault points",
        system: SystemUnderTest::File(
            "pds/test_blk/system.xml",
            &["pds/test_blk/chaos.xml", "pds/chaos/seed.xml"],
        ),
        disk: Disk::Blank(64),
        prefill: &[("chaos.seed", BLOCK_PACE)],
        expect: &[run::PASS],
        forbid: &["failed_block="],
        at_least: BLOCK_POINTS,
        show: &["RESULT"],
        // Or a slow host has the driver killed again before it got anything done, which looks like a
        // request that kills it.
        host_cached: true,
        icount: true,
        timeout_s: 600,
        ..PLAIN
    },
    Case {
        name: "block_recovery",
        what: "the same, and the driver also dies in the middle of its start, several times in a row",
        system: SystemUnderTest::File("pds/test_blk/system.xml", &["pds/test_blk/recovery.xml"]),
        disk: Disk::Blank(64),
        expect: &["KINTSUGI|PASS test_blk", "KINTSUGI|PASS killer"],
        forbid: &["failed_block="],
        at_least: BLOCK_START_POINTS,
        show: &["RESULT"],
        host_cached: true,
        icount: true,
        timeout_s: 600,
        ..PLAIN
    },
    Case {
        name: "block_poison",
        what: "a request that kills the driver in every life fails; its neighbours and later ones do not",
        system: SystemUnderTest::File("pds/test_blk/system.xml", &["pds/test_blk/poison.xml"]),
        disk: Disk::Blank(64),
        expect: &[run::PASS],
        at_least: &[("deaths=6", 10)],
        host_cached: true,
        icount: true,
        timeout_s: 300,
        ..PLAIN
    },
    Case {
        name: "block_two",
        what: "two clients with a partition each: one breaks every rule, the other does not notice",
        system: SystemUnderTest::File("pds/test_blk/two.xml", &[]),
        disk: Disk::Partitioned(64),
        expect: &["KINTSUGI|PASS test_blk", "KINTSUGI|PASS hostile"],
        forbid: &[FAULT, "failed_block="],
        timeout_s: 300,
        after: Some(partitions::check),
        ..PLAIN
    },
    Case {
        name: "block_stops",
        what: "the disk stops answering, or asks for a reset, under a working application",
        system: SystemUnderTest::Ours(&["pds/test_disk/overlay.xml"]),
        disk: Disk::Ext4(64),
        // On a busy host, PDs are taken for hung: in real time, a processor that is not there looks so.
        by_name: true,
        expect: &[run::PASS],
        forbid: &[FAULT, "HANG pd=blk", "HANG pd=fs"],
        at_least: &[
            ("the disk does not answer: reset", 1),
            ("the disk asks for a reset: reset", 1),
        ],
        show: &["blk: warning: the disk"],
        timeout_s: 300,
        after: Some(disk::check_files),
        ..PLAIN
    },
    Case {
        name: "block_error",
        what: "one sector of the disk fails: the requests for it say so, and no other",
        system: SystemUnderTest::File("pds/test_blk/system.xml", &[]),
        disk: Disk::Failing(64, 800),
        expect: &["failed_block=100 ", run::PASS],
        // The driver lets a life with whole memory look, once (docs/decisions/0076).
        at_least: &[(": let another life try", 1)],
        forbid: &["blk: ready epoch=2"],
        timeout_s: 300,
        ..PLAIN
    },
    Case {
        name: "block_read_only",
        what: "a disk that cannot be written: reads succeed, everything else is refused",
        system: SystemUnderTest::File("pds/test_blk/system.xml", &[]),
        disk: Disk::ReadOnly(64),
        expect: &["KIND read-only", run::PASS],
        forbid: &[FAULT],
        ..PLAIN
    },
    Case {
        name: "block_missing",
        what: "no disk at all: every request fails with ENODEV, and nothing faults",
        system: SystemUnderTest::File("pds/test_blk/system.xml", &[]),
        expect: &["blk: error: no disk", "KIND no disk", run::PASS],
        forbid: &[FAULT],
        ..PLAIN
    },
];
