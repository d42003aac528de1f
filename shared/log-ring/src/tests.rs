// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Writers killed after every store, rings full of rubbish, floods.

use proptest::prelude::*;
use proto::log::{Kind, REGION_WORDS_MIN};
use sel4_shared_memory::SharedRef;
use sel4_shared_memory::host::{HostRegion, Life};

use crate::{Cursor, Next, RingLogger, Surroundings, Writer, next};

/// Everything from `cursor` on, with the lines lost on the way.
fn drain(ring: &SharedRef, cursor: &mut Cursor) -> (Vec<String>, u64) {
    let (mut lines, mut lost) = (Vec::new(), 0);
    loop {
        match next(ring, *cursor) {
            Next::Empty => return (lines, lost),
            Next::Skip(after) => *cursor = after,
            Next::Line(line) => {
                lines.push(String::from_utf8_lossy(line.text()).into_owned());
                lost += line.lost;
                *cursor = line.after;
            }
        }
    }
}

fn poke(region: &HostRegion, word: usize, value: u64) {
    region.set_bytes(word * 8, &value.to_le_bytes());
}

fn attach(region: &HostRegion, epoch: u32) -> Writer {
    Writer::attach(region.shared_mut(&Life::endless()), epoch).unwrap()
}

fn put(writer: &mut Writer, text: &str) {
    writer.append(Kind::Text, 3, 0, text.as_bytes());
}

#[test]
fn lines_come_out_as_they_went_in() {
    let memory = HostRegion::new(16384);
    let mut cursor = Cursor::default();
    assert!(
        matches!(next(&memory.shared_ref(), cursor), Next::Empty),
        "not formatted yet"
    );
    let mut writer = attach(&memory, 0);
    for text in ["", "a", "12345678", "123456789", &"x".repeat(512)] {
        put(&mut writer, text);
        assert_eq!(
            drain(&memory.shared_ref(), &mut cursor),
            (vec![text.to_owned()], 0)
        );
    }
    put(&mut writer, &"y".repeat(600));
    assert_eq!(drain(&memory.shared_ref(), &mut cursor).0[0].len(), 512);
    assert!(
        Writer::attach(
            HostRegion::new((REGION_WORDS_MIN - 1) * 8).shared_mut(&Life::endless()),
            0
        )
        .is_err()
    );
}

/// Every line whose append returned is there once and in order after each possible death; the
/// line in hand is there or is not; a new life goes on behind it.
#[test]
fn a_writer_killed_after_any_store_loses_nothing() {
    for words in [REGION_WORDS_MIN, REGION_WORDS_MIN + 3, 256] {
        for kill_at in 0..900 {
            let memory = HostRegion::new(words * 8);
            let (mut cursor, mut seen, mut written) = (Cursor::default(), Vec::new(), 0);
            for epoch in 0..3 {
                let life = Life::of_steps(kill_at / (epoch + 1));
                let _ = life.run(|| {
                    let mut writer =
                        Writer::attach(memory.shared_mut(&life), epoch as u32).unwrap();
                    for _ in 0..60 {
                        let text = format!("{epoch}:{written}:{}", "z".repeat(written % 90));
                        put(&mut writer, &text);
                        written += 1;
                        // The reader keeps up, so that nothing may be lost.
                        let (lines, lost) = drain(&memory.shared_ref(), &mut cursor);
                        assert_eq!((lines.as_slice(), lost), ([text].as_slice(), 0));
                        seen.extend(lines);
                    }
                });
                let (lines, lost) = drain(&memory.shared_ref(), &mut cursor);
                // The line in hand was whole before the end moved, or it is not there.
                assert!(lines.is_empty() || lines.len() == 1, "{lines:?}");
                assert_eq!(lost, 0);
                if lines.len() == 1 {
                    written += 1;
                }
                seen.extend(lines);
            }
            assert_eq!(seen.len(), written);
        }
    }
}

#[test]
fn a_flood_loses_the_oldest_lines_and_says_how_many() {
    let memory = HostRegion::new(16384);
    let mut cursor = Cursor::default();
    let mut writer = attach(&memory, 0);
    put(&mut writer, "first");
    assert_eq!(drain(&memory.shared_ref(), &mut cursor).0.len(), 1);
    for n in 0..10_000 {
        put(&mut writer, &format!("line {n}"));
    }
    let (lines, lost) = drain(&memory.shared_ref(), &mut cursor);
    assert_eq!(lines.len() as u64 + lost, 10_000);
    assert_eq!(lines.last().unwrap(), "line 9999");
    assert!(lines.len() > 250, "{}", lines.len());
    // And across a restart of the writer, the count goes on.
    let mut writer = attach(&memory, 1);
    put(&mut writer, "next life");
    assert_eq!(
        drain(&memory.shared_ref(), &mut cursor),
        (vec!["next life".to_owned()], 0)
    );
}

#[test]
fn an_overwritten_line_is_skipped_and_counted() {
    let memory = HostRegion::new(16384);
    let mut writer = attach(&memory, 0);
    for n in 0..5 {
        put(&mut writer, &format!("line number {n}"));
    }
    // Each is 4 + 2 words; a stray store hits the text of the second one.
    poke(&memory, proto::log::BODY_WORDS + 6 + 3, 1);
    let (lines, lost) = drain(&memory.shared_ref(), &mut Cursor::default());
    assert_eq!((lines.len(), lost), (4, 1));
    // It hits the newest one: the next life still counts on.
    poke(&memory, proto::log::BODY_WORDS + 5 * 6 - 1, 0);
    let mut writer = attach(&memory, 1);
    put(&mut writer, "after");
    let (lines, _) = drain(&memory.shared_ref(), &mut Cursor::default());
    assert_eq!(lines.last().unwrap(), "after");
    // It hits the header: a new stream, and the reader finds to it.
    let mut cursor = Cursor::default();
    drain(&memory.shared_ref(), &mut cursor);
    poke(&memory, proto::log::END, 5);
    let mut writer = attach(&memory, 2);
    put(&mut writer, "anew");
    assert_eq!(drain(&memory.shared_ref(), &mut cursor).0, ["anew"]);
}

static NOTIFIED: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);

#[test]
fn the_logger_splits_lines_and_needs_no_ring() {
    let logger = RingLogger::new();
    logger.write(Kind::Text, log::Level::Info, format_args!("dropped"));
    let memory = HostRegion::new(16384);
    let notify = || {
        NOTIFIED.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    };
    logger
        .open(
            memory.shared_mut(&Life::endless()),
            4,
            Surroundings {
                ticks: || 42,
                notify,
            },
        )
        .unwrap();
    let long = "w".repeat(1000);
    logger.write(
        Kind::Text,
        log::Level::Warn,
        format_args!("one\ntwo {}\n{long}", 2),
    );
    let mut cursor = Cursor::default();
    let mut lines = Vec::new();
    while let Next::Line(line) = next(&memory.shared_ref(), cursor) {
        assert_eq!(
            (line.head.level, line.head.epoch, line.head.ticks),
            (2, 4, 42)
        );
        lines.push((line.head.kind, line.text().len()));
        cursor = line.after;
    }
    let expected = [
        (Kind::Text, 3),
        (Kind::Text, 5),
        (Kind::Part, 512),
        (Kind::Text, 488),
    ];
    assert_eq!(lines, expected);
    assert_eq!(
        NOTIFIED.load(std::sync::atomic::Ordering::Relaxed),
        1,
        "once per message"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Hostile bytes: with a good header (`true`) and any positions, the reader returns, and a
    /// drain ends.
    #[test]
    fn hostile_bytes_do_not_hurt(
        seed in any::<u64>(), start in 0u64..8192, end in 0u64..8192, position in any::<u64>(),
    ) {
        let memory = HostRegion::new(16384);
        attach(&memory, 0);
        let mut state = seed | 1;
        for index in proto::log::BODY_WORDS..2048 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            // Every other word looks like the head of an entry without text.
            let head = 0x0001_0000_0304_474c;
            poke(&memory, index, if state >> 63 == 0 { head } else { state });
        }
        poke(&memory, proto::log::START, shared_words::seal(start));
        poke(&memory, proto::log::END, shared_words::seal(end));
        let mut cursor = Cursor { position, sequence: seed };
        let mut steps = 0;
        loop {
            match next(&memory.shared_ref(), cursor) {
                Next::Empty => break,
                Next::Skip(after) => cursor = after,
                Next::Line(line) => cursor = line.after,
            }
            steps += 1;
            prop_assert!(steps < 1000);
        }
        // And a writer that finds such a region goes on.
        let mut writer = attach(&memory, 1);
        for _ in 0..1000 {
            writer.append(Kind::Text, 1, 0, b"still here");
        }
        let (lines, _) = drain(&memory.shared_ref(), &mut cursor);
        prop_assert_eq!(lines.last().map(String::as_str), Some("still here"));
    }
}
