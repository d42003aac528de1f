// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Stacks made by hand, and stacks made of garbage.

use super::*;

use crate::fault::Kind;
use log_ring::Writer;
use proptest::prelude::*;
use sel4_shared_memory::host::{HostRegion, Life};
use zerocopy::FromZeros;

const BASE: u64 = 0x2000_0000;
const STACK: u64 = 0x1000;
const CODE: Range<u64> = 0x1000_0000..0x1001_0000;

fn places() -> Places {
    Places {
        stack: BASE..BASE + STACK,
        code: CODE,
        data_base: BASE,
    }
}

fn put(region: &HostRegion, address: u64, words: &[u64]) {
    let mut memory = region.shared_mut(&Life::endless());
    for (index, word) in words.iter().enumerate() {
        memory.store_u64((address - BASE) as usize + index * 8, *word);
    }
}

fn registers(pc: u64, sp: u64, fp: u64) -> [u64; REGISTER_COUNT] {
    let mut registers = [0; REGISTER_COUNT];
    (registers[PC], registers[SP], registers[FP]) = (pc, sp, fp);
    registers
}

fn trace(region: &HostRegion, fp: u64) -> Vec<u64> {
    let mut frames = [0; FRAMES_MAX];
    let registers = registers(CODE.start, BASE, fp);
    let count = backtrace(&places(), &region.shared_ref(), &registers, &mut frames);
    frames[..count].to_vec()
}

#[test]
fn follows_frame_records_to_the_entry() {
    let region = HostRegion::new(0x4000);
    put(&region, BASE + 0x800, &[BASE + 0x900, CODE.start + 0x10]);
    put(&region, BASE + 0x900, &[BASE + 0xff0, CODE.start + 0x20]);
    // The entry code starts with both registers zero.
    put(&region, BASE + 0xff0, &[0, 0]);
    let expected = [CODE.start, CODE.start + 0x10, CODE.start + 0x20];
    assert_eq!(trace(&region, BASE + 0x800), expected);
}

#[test]
fn ends_at_loops_garbage_and_bounds() {
    let region = HostRegion::new(0x4000);
    let pc_only = [CODE.start];
    // A record that is its own caller, and two that are each other's.
    put(&region, BASE + 0x100, &[BASE + 0x100, CODE.start + 4]);
    assert_eq!(trace(&region, BASE + 0x100), [CODE.start, CODE.start + 4]);
    put(&region, BASE + 0x200, &[BASE + 0x300, CODE.start + 4]);
    put(&region, BASE + 0x300, &[BASE + 0x200, CODE.start + 8]);
    assert_eq!(trace(&region, BASE + 0x200).len(), 3);
    // Not aligned, below, above, half above, nowhere, at the end of the address space.
    let half = BASE + STACK - 8;
    for fp in [
        BASE + 0x101,
        BASE - 16,
        BASE + STACK,
        half,
        0,
        u64::MAX - 7,
        u64::MAX - 15,
    ] {
        assert_eq!(trace(&region, fp), pc_only, "{fp:#x}");
    }
    // Return addresses that are no code.
    put(&region, BASE + 0x400, &[BASE + 0x500, CODE.end]);
    assert_eq!(trace(&region, BASE + 0x400), pc_only);
    put(&region, BASE + 0x400, &[BASE + 0x500, CODE.start + 2]);
    assert_eq!(trace(&region, BASE + 0x400), pc_only);
}

#[test]
fn a_deep_recursion_is_cut_off() {
    let region = HostRegion::new(0x4000);
    for record in 0..64 {
        let at = BASE + record * 16;
        put(&region, at, &[at + 16, CODE.start + 4]);
    }
    assert_eq!(trace(&region, BASE).len(), FRAMES_MAX);
}

#[test]
fn a_region_smaller_than_the_stack_it_claims_is_not_left() {
    let region = HostRegion::new(64);
    assert_eq!(trace(&region, BASE + 64), [CODE.start]);
    let mut memory = region.shared_mut(&Life::endless());
    StackMark::paint(&places(), &mut memory);
    let mut mark = StackMark::new(&places());
    assert_eq!(
        mark.deepen(&places(), &region.shared_ref(), 0),
        BASE + STACK
    );
}

#[test]
fn the_mark_is_the_deepest_use_of_all_lives() {
    let region = HostRegion::new(0x4000);
    let mut memory = region.shared_mut(&Life::endless());
    StackMark::paint(&places(), &mut memory);
    let mut mark = StackMark::new(&places());
    let data = region.shared_ref();
    assert_eq!(mark.deepen(&places(), &data, 0), BASE + STACK);
    // Written with small holes.
    for at in (0xe00..STACK).step_by(24) {
        put(&region, BASE + at / 8 * 8, &[1]);
    }
    assert_eq!(mark.deepen(&places(), &data, 0), BASE + 0xe00);
    // The next life has used less, the one after that died with its stack pointer deeper.
    assert_eq!(mark.deepen(&places(), &data, BASE + 0xf00), BASE + 0xe00);
    assert_eq!(mark.deepen(&places(), &data, BASE + 0x804), BASE + 0x800);
    // An overflow; and a stack pointer from nowhere.
    assert_eq!(mark.deepen(&places(), &data, BASE - 0x40), BASE);
    assert_eq!(mark.deepen(&places(), &data, u64::MAX), BASE);
    // Paint stays inside the stack.
    assert_eq!(region.bytes()[STACK as usize], 0);
}

#[test]
fn the_report_has_everything() {
    let region = HostRegion::new(0x4000);
    let mut memory = region.shared_mut(&Life::endless());
    StackMark::paint(&places(), &mut memory);
    let mut mark = StackMark::new(&places());
    put(&region, BASE + 0x800, &[BASE + 0x900, CODE.start + 0x10]);
    let words = core::array::from_fn(|index| index as u64 + 1);
    let death = Death {
        shown: Shown::from_words(&words),
        name: "fs",
        fault: Fault {
            kind: Kind::Trap(0x18),
            pc: None,
            address: Some(5),
        },
        epoch: 3,
        action: Action::Restart,
        fault_ticks: 77,
        ticks_per_second: 1_000,
        traces: Traces::of_registers(
            registers(CODE.start + 8, BASE + 0x800, BASE + 0x800),
            &places(),
            &region.shared_ref(),
        ),
    };
    let mut wire = RecordWire::empty();
    wire.frames = [9; FRAMES_MAX];
    fill(
        &mut wire,
        &death,
        &places(),
        &mut mark,
        &region.shared_ref(),
    );
    let record = wire.record();
    assert_eq!(record.name(), "fs");
    assert_eq!(record.head().to_string(), "trap_0x18");
    assert_eq!(record.head().pc, CODE.start + 8);
    assert_eq!(record.head().stack_used(), Some(STACK - 0x800));
    assert_eq!(
        record.frames().collect::<Vec<_>>(),
        [CODE.start + 8, CODE.start + 0x10]
    );
    assert_eq!(wire.frames[2..], [0; 14]);
    assert_eq!((wire.shown.beats, wire.shown.own), (1, 11));
    // No registers: no backtrace, but a report.
    let blind = Death {
        traces: Traces::NONE,
        ..death
    };
    fill(
        &mut wire,
        &blind,
        &places(),
        &mut mark,
        &region.shared_ref(),
    );
    assert_eq!(
        (wire.record().head().pc, wire.record().frames().count()),
        (0, 0)
    );
}

#[test]
fn what_the_next_life_found_is_what_the_kernel_would_have_said() {
    let mut found = LastLife::new_zeroed();
    found.sp = BASE + 0x800;
    found.x = core::array::from_fn(|index| index as u64);
    (found.frame_count, found.frames[0]) = (3, CODE.start + 4);
    // Not an address of code: the chain ends there.
    (found.frames[1], found.frames[2]) = (CODE.end, CODE.start + 8);
    let traces = Traces::of_last_life(&found, Some(CODE.start), &places());
    assert_eq!(traces.registers[FP], 29);
    assert_eq!(traces.registers[3], 0);
    assert_eq!(
        (traces.registers[PC], traces.registers[SP]),
        (CODE.start, BASE + 0x800)
    );
    assert_eq!(traces.frames[..traces.count], [CODE.start, CODE.start + 4]);
    // All of it garbage.
    found.frame_count = u64::MAX;
    found.frames = [CODE.start + 4; LastLife::FRAMES_MAX];
    assert_eq!(
        Traces::of_last_life(&found, None, &places()).count,
        FRAMES_MAX
    );
}

fn words_of(lines: &[(proto::log::Kind, &str)], epoch: u32) -> RecordWire {
    let region = HostRegion::new(0x4000);
    let mut writer = Writer::attach(region.shared_mut(&Life::endless()), 3).expect("large enough");
    for (kind, line) in lines {
        writer.append(*kind, 1, 0, line.as_bytes());
    }
    let mut wire = RecordWire::empty();
    last_words(&mut wire, &region.shared_ref(), epoch);
    wire
}

#[test]
fn last_words_are_the_panic_or_the_last_line() {
    use proto::log::Kind::{Emergency, Report, Text};
    let lines = [(Text, "one"), (Text, "two")];
    assert_eq!(words_of(&lines, 3).record().text(), "one\ntwo");
    // Lines of another life are not this one's.
    assert_eq!(words_of(&lines, 4).record().text(), "");
    assert_eq!(words_of(&lines, 1).record().text(), "");
    // Those of the next life are passed over.
    let region = HostRegion::new(0x4000);
    let memory = || region.shared_mut(&Life::endless());
    let mut writer = Writer::attach(memory(), 3).expect("large enough");
    writer.append(Text, 1, 0, b"last words");
    let mut writer = Writer::attach(memory(), 4).expect("large enough");
    writer.append(Text, 1, 0, b"ready");
    let mut wire = RecordWire::empty();
    last_words(&mut wire, &region.shared_ref(), 3);
    assert_eq!(wire.record().text(), "last words");
    assert_eq!(words_of(&[], 3).record().text(), "");
    let lines = [
        (Text, "one"),
        (Emergency, "panicked at a.rs:1:2:"),
        (Emergency, "no way"),
    ];
    assert_eq!(
        words_of(&lines, 3).record().text(),
        "one\npanicked at a.rs:1:2:\nno way"
    );
    // What does not fit is older.
    let long = "x".repeat(300);
    let lines = [(Text, long.as_str()), (Text, "one"), (Text, long.as_str())];
    let words = words_of(&lines, 3);
    assert_eq!(words.record().text().len(), 304);
    assert!(words.record().text().starts_with("one\nx"));
    // A report of somebody else's death is no text.
    let lines = [(Text, "one"), (Report, "bytes"), (Text, "two")];
    assert_eq!(words_of(&lines, 3).record().text(), "one\ntwo");
    let long = "x".repeat(500);
    let lines = [(Emergency, "at"), (Emergency, long.as_str())];
    assert_eq!(words_of(&lines, 3).record().text().len(), TEXT_BYTES);
}

proptest! {
    #[test]
    fn garbage_is_harmless(
        bytes in proptest::collection::vec(any::<u8>(), 0x4000),
        fp in 0..STACK,
        sp in any::<u64>(),
    ) {
        let region = HostRegion::new(0x4000);
        region.set_bytes(0, &bytes);
        prop_assert!(trace(&region, BASE + fp).len() <= FRAMES_MAX);
        let mut mark = StackMark { low: BASE + STACK };
        let low = mark.deepen(&places(), &region.shared_ref(), sp);
        prop_assert!((BASE..=BASE + STACK).contains(&low));
        let mut wire = RecordWire::empty();
        last_words(&mut wire, &region.shared_ref(), 0);
        prop_assert_eq!(wire.record().text(), "");
    }
}
