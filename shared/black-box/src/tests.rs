// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Torn records, memory at power-on, wrap-around, boots; golden bytes; hostile events.

use proptest::prelude::*;
use sel4_shared_memory::host::{HostRegion, Life};
use zerocopy::{FromBytes, IntoBytes};

use crate::*;

const SLOT: usize = size_of::<RecordWire>();
const SLOTS: usize = 4;

fn region() -> HostRegion {
    HostRegion::new((SLOTS + 1) * SLOT)
}

fn record(name: &str, epoch: u32) -> RecordWire {
    let mut wire = RecordWire::empty();
    wire.head.name = to_name(name);
    wire.head.epoch = epoch;
    wire.head.kind = Kind::Read as u16;
    wire.head.action = Action::Restart as u8;
    wire.head.pc = 0x1000_0040;
    wire.head.frame_count = 2;
    wire.frames[0] = 0x1000_0040;
    wire.frames[1] = 0x1000_1000;
    wire.registers[16] = 0x1000_003c;
    wire
}

fn attach(region: &HostRegion, epoch: u32) -> (BlackBox, Attached) {
    BlackBox::attach(region.shared_mut(&Life::endless()), epoch).expect("large enough")
}

fn epochs(black_box: &BlackBox) -> Vec<u32> {
    black_box.records().map(|wire| wire.head.epoch).collect()
}

#[test]
fn each_boot_finds_what_the_last_one_left() {
    let region = region();
    let (mut first, attached) = attach(&region, 0);
    assert_eq!(
        attached,
        Attached {
            boot: 1,
            formatted: true
        }
    );
    first.push(&mut record("blk", 0));
    first.push(&mut record("fs", 1));
    // A restart of the supervisor is no boot.
    let (mut again, attached) = attach(&region, 1);
    assert_eq!(
        attached,
        Attached {
            boot: 1,
            formatted: false
        }
    );
    again.push(&mut record("fs", 2));
    let (second, attached) = attach(&region, 0);
    assert_eq!(
        attached,
        Attached {
            boot: 2,
            formatted: false
        }
    );
    let found: Vec<_> = second.records().collect();
    assert_eq!(epochs(&second), [0, 1, 2]);
    assert!(found.iter().all(|wire| wire.head.boot == 1));
    assert_eq!(found[1].record().name(), "fs");
    assert_eq!(
        found[1].record().frames().collect::<Vec<_>>(),
        [0x1000_0040, 0x1000_1000]
    );
}

#[test]
fn the_oldest_records_go_first() {
    let region = region();
    let (mut black_box, _) = attach(&region, 0);
    for epoch in 0..23 {
        black_box.push(&mut record("blk", epoch));
    }
    assert_eq!(epochs(&black_box), [19, 20, 21, 22]);
    let (mut again, _) = attach(&region, 0);
    assert_eq!(epochs(&again), [19, 20, 21, 22]);
    again.push(&mut record("blk", 23));
    assert_eq!(epochs(&again), [20, 21, 22, 23]);
}

#[test]
fn a_writer_that_dies_at_any_step_costs_one_record() {
    for steps in 0.. {
        let region = region();
        let (mut black_box, _) = attach(&region, 0);
        for epoch in 0..6 {
            black_box.push(&mut record("blk", epoch));
        }
        let life = Life::of_steps(steps);
        let end = life.run(|| {
            let (mut dying, _) = BlackBox::attach(region.shared_mut(&life), 1).expect("attach");
            dying.push(&mut record("blk", 6));
        });
        let (after, attached) = attach(&region, 0);
        assert_eq!(
            attached,
            Attached {
                boot: 2,
                formatted: false
            }
        );
        let found = epochs(&after);
        assert!(
            found.ends_with(&[3, 4, 5]) || found == [3, 4, 5, 6],
            "{steps}: {found:?}"
        );
        if end.is_ok() {
            assert_eq!(found, [3, 4, 5, 6]);
            break;
        }
    }
}

#[test]
fn a_boot_that_dies_while_formatting_is_formatted_again() {
    for steps in 0..12 {
        let region = region();
        region.set_bytes(0, &[0xee; (SLOTS + 1) * SLOT]);
        let life = Life::of_steps(steps);
        let _ = life.run(|| BlackBox::attach(region.shared_mut(&life), 0).map(|_| ()));
        let (mut black_box, _) = attach(&region, 0);
        assert_eq!(epochs(&black_box), [0u32; 0]);
        black_box.push(&mut record("blk", 7));
        assert_eq!(epochs(&attach(&region, 1).0), [7]);
    }
}

#[test]
fn the_host_reads_what_the_supervisor_wrote() {
    let region = region();
    assert!(records_in(&region.bytes()).is_none());
    let (mut black_box, _) = attach(&region, 0);
    black_box.push(&mut record("blk", 0));
    let bytes = region.bytes();
    let (boot, records) = records_in(&bytes).expect("a black box");
    assert_eq!(boot, 1);
    let names: Vec<_> = records
        .map(|wire| wire.record().name().to_owned())
        .collect();
    assert_eq!(names, ["blk"]);
    assert!(records_in(&bytes[..100]).is_none());
}

#[test]
fn golden_bytes() {
    let mut wire = record("blk", 3);
    wire.head.text_bytes = 2;
    wire.text[..2].copy_from_slice(b"hi");
    wire.seal();
    let bytes = wire.as_bytes();
    assert_eq!(&bytes[..4], b"KREC");
    assert_eq!(bytes[20], 3);
    assert_eq!(&bytes[88..96], [1, 0, 1, 2, 2, 0, 0, 0]);
    assert_eq!(&bytes[96..100], b"blk\0");
    assert_eq!(&bytes[648..650], b"hi");
    assert_eq!(wire.head.crc, GOLDEN_CRC);
    assert_eq!(wire.record().text(), "hi");
}

/// Changes with the layout only, and then the version of the region changes too.
const GOLDEN_CRC: u32 = 0x883f_4fef;

#[test]
fn one_flipped_bit_makes_a_record_invalid() {
    let mut wire = record("blk", 3);
    wire.seal();
    let used = 648;
    for bit in 0..used * 8 {
        let mut bytes = wire.as_bytes().to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(
            !RecordWire::read_from_bytes(&bytes).unwrap().is_valid(),
            "bit {bit}"
        );
    }
}

#[test]
fn the_lines_of_an_event() {
    let mut wire = record("fs", 0);
    wire.head.fault_ticks = 1_000;
    wire.head.ticks_per_second = 62_500_000;
    wire.head.stack_bottom = 0x2000_0000;
    wire.head.stack_top = 0x2000_4000;
    wire.head.stack_low = 0x2000_3000;
    let event = EventWire::of(&wire, 3_500);
    let lines = Event::parse(event.bytes())
        .expect("an event")
        .lines()
        .to_string();
    assert_eq!(
        lines,
        "FAULT pd=fs kind=read addr=0x0 pc=0x10000040 epoch=1 action=restart after_us=40 \
         stack=4096/16384\n\
         BACKTRACE pd=fs lr=0x1000003c frames=0x10000040,0x10001000"
    );
    wire.head.action = Action::Stop as u8;
    wire.head.kind = Kind::Trap as u16;
    wire.head.detail = 0x18;
    let lines = Event::of(&wire).lines().to_string();
    assert!(lines.starts_with(
        "FAULT pd=fs kind=trap_0x18 addr=0x0 pc=0x10000040 epoch=0 action=stop stack="
    ));
}

#[test]
fn a_hang_says_what_was_seen_of_it() {
    let mut wire = record("fs", 0);
    wire.head.kind = Kind::StuckQueue as u16;
    (wire.head.fault_ticks, wire.head.ticks_per_second) = (90_000, 1_000_000);
    wire.shown = Shown::from_words(&[7, 30_000, 80_000, 9, 4, 2, 77, 0, 0, 2, 1]);
    let lines = EventWire::of(&wire, 1);
    let lines = Event::parse(lines.bytes()).expect("an event");
    assert_eq!(
        lines.lines().to_string().lines().nth(1),
        Some(
            "VITALS pd=fs beats=7 beat_age_ms=60 busy_ms=10 progress=9 waiting=0x4 outstanding=2 \
             done=77 own=1 late=0,2"
        )
    );
    // A fault explains itself; a record of an earlier boot says all it has.
    wire.head.kind = Kind::Read as u16;
    let fault = EventWire::of(&wire, 100_000);
    let fault = Event::parse(fault.bytes()).expect("an event");
    assert!(!fault.lines().to_string().contains("VITALS"));
    assert!(Event::of(&wire).lines().to_string().contains("VITALS"));
}

#[test]
fn numbers_come_back_and_others_are_unknown() {
    for number in 0..=u16::MAX {
        let kind = Kind::from_number(number);
        assert!(kind == Kind::Unknown || kind as u16 == number);
    }
    assert_eq!(Action::from_number(0), Action::Unknown);
    assert_eq!(Action::from_number(Action::Reset as u8).name(), "reset");
}

proptest! {
    #[test]
    fn memory_at_power_on_is_no_black_box(
        bytes in proptest::collection::vec(any::<u8>(), (SLOTS + 1) * SLOT),
    ) {
        let region = region();
        region.set_bytes(0, &bytes);
        let (mut black_box, attached) = attach(&region, 0);
        prop_assert_eq!(attached, Attached { boot: 1, formatted: true });
        prop_assert_eq!(black_box.records().count(), 0);
        black_box.push(&mut record("blk", 1));
        prop_assert_eq!(epochs(&attach(&region, 0).0), [1]);
    }

    #[test]
    fn garbage_behind_a_good_header_is_no_record(
        bytes in proptest::collection::vec(any::<u8>(), SLOTS * SLOT),
    ) {
        let region = region();
        drop(attach(&region, 0));
        region.set_bytes(SLOT, &bytes);
        let (mut black_box, _) = attach(&region, 0);
        prop_assert_eq!(black_box.records().count(), 0);
        black_box.push(&mut record("blk", 1));
        prop_assert_eq!(epochs(&black_box), [1]);
    }

    #[test]
    fn hostile_events_are_printed_or_refused(
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
    ) {
        if let Some(event) = Event::parse(&bytes) {
            let lines = event.lines().to_string();
            prop_assert_eq!(lines.lines().count(), 2);
            prop_assert!(lines.chars().all(|c| c == '\n' || !c.is_control()));
        }
    }

    #[test]
    fn hostile_records_are_read_without_trouble(
        bytes in proptest::collection::vec(any::<u8>(), SLOT),
    ) {
        let wire = RecordWire::read_from_bytes(&bytes).unwrap();
        let record = wire.record();
        let _ = (record.name(), record.text(), record.frames().count(), record.head().stack_used());
        let _ = Event::of(&wire).lines().to_string();
    }
}
