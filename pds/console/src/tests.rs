// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The console killed at every step, floods, forged lines.

use std::cell::RefCell;
use std::rc::Rc;

use log_ring::Writer;
use proptest::prelude::*;
use proto::log::Kind;
use sel4_shared_memory::host::{HostRegion, Life};

use crate::{Console, LINES_PER_TURN, Ring, STATE_BYTES, Uart};

/// Sending a character is a step like a store: one may die right before or right after it.
#[derive(Clone)]
struct FakeUart {
    sent: Rc<RefCell<Vec<u8>>>,
    life: Life,
}

impl Uart for FakeUart {
    fn put(&mut self, byte: u8) {
        self.life.step();
        self.sent.borrow_mut().push(byte);
    }
}

struct System {
    rings: Vec<(String, HostRegion)>,
    state: HostRegion,
    sent: Rc<RefCell<Vec<u8>>>,
}

impl System {
    fn new(pds: &[&str]) -> Self {
        let rings = pds
            .iter()
            .map(|pd| (pd.to_string(), HostRegion::new(0x4000)))
            .collect();
        Self {
            rings,
            state: HostRegion::new(STATE_BYTES),
            sent: Rc::default(),
        }
    }

    fn writer(&self, index: usize) -> Writer {
        Writer::attach(self.rings[index].1.shared_mut(&Life::endless()), 0).unwrap()
    }

    fn console(&self, life: &Life) -> Console<FakeUart> {
        let rings = self.rings.iter();
        let rings = rings
            .map(|(pd, r)| Ring {
                pd: pd.clone(),
                memory: r.shared_ref(),
            })
            .collect();
        let uart = FakeUart {
            sent: self.sent.clone(),
            life: life.clone(),
        };
        Console::attach(self.state.shared_mut(life), 0, rings, 1_000_000, uart).unwrap()
    }

    fn take_output(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.sent.borrow_mut())).unwrap()
    }
}

fn put(writer: &mut Writer, text: &str) {
    writer.append(Kind::Text, 3, 1_234_567_890, text.as_bytes());
}

#[test]
fn lines_have_time_and_name() {
    let system = System::new(&["fs", "app_demo"]);
    let mut console = system.console(&Life::endless());
    console.drain();
    assert_eq!(system.take_output(), "", "rings without a writer are empty");
    put(&mut system.writer(0), "mounted");
    let mut app = system.writer(1);
    app.append(
        Kind::Text,
        1,
        61_000_000,
        "caf\u{e9} \x1b[2J\u{9b}x".as_bytes(),
    );
    app.append(Kind::Part, 2, 0, b"first \xff half");
    app.append(Kind::Emergency, 1, 0, b"panicked at main.rs:1");
    console.drain();
    let expected = "[1234.567890] fs: mounted\r\n\
        [  61.000000] app_demo: error: caf\u{e9} ?[2J?x\r\n\
        [   0.000000] app_demo: warning: first ? half\\\r\n\
        [   0.000000] app_demo: panicked at main.rs:1\r\n";
    assert_eq!(system.take_output(), expected);
    // A new life knows what has been printed.
    system.console(&Life::endless()).drain();
    assert_eq!(system.take_output(), "");
}

/// Campaign on seL4 release at aac7c23, seed 1, trial 500: the cursor was stored elsewhere, and the console
/// printed the same ring for ever.
#[test]
fn a_cursor_that_does_not_move_ends_the_life() {
    let system = System::new(&["fs"]);
    let mut console = system.console(&Life::endless());
    put(&mut system.writer(0), "one");
    console.drain();
    console.rings[0].1 = log_ring::Cursor::default();
    let drain = std::panic::AssertUnwindSafe(|| console.drain());
    assert!(std::panic::catch_unwind(drain).is_err());
    assert_eq!(system.take_output().lines().count(), 1);
    // The next life goes on where this one was.
    put(&mut system.writer(0), "two");
    system.console(&Life::endless()).drain();
    assert!(system.take_output().ends_with("two\r\n"));
}

/// Removes what a death may add: one character that is there twice, where a life ended.
fn without_repeats(output: &[u8], deaths: &[usize]) -> String {
    let mut bytes = Vec::new();
    for (index, byte) in output.iter().enumerate() {
        let repeated = deaths.contains(&index) && index > 0 && output[index - 1] == *byte;
        if !repeated {
            bytes.push(*byte);
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// No character in a row twice, so that a repeated one is told from a doubled letter.
const TEXTS: [&str; 3] = ["one", "two lines", "last"];

#[test]
fn a_console_killed_at_every_step_prints_each_line_once() {
    let whole = System::new(&["a", "b"]);
    let fill = |system: &System| {
        for index in 0..2 {
            let mut writer = system.writer(index);
            TEXTS.iter().for_each(|text| put(&mut writer, text));
        }
    };
    fill(&whole);
    let life = Life::endless();
    whole.console(&life).drain();
    let expected = whole.take_output();
    let steps = life.steps_made();
    assert!(steps > 300);

    let mut exact = 0;
    for first in 0..steps {
        for second in [u64::MAX, 0, 1, 2, first % 7 + 3, 40] {
            let system = System::new(&["a", "b"]);
            fill(&system);
            let mut deaths = Vec::new();
            for steps in [first, second, u64::MAX] {
                let life = Life::of_steps(steps);
                let _ = life.run(|| system.console(&life).drain());
                deaths.push(system.sent.borrow().len());
            }
            let sent = system.sent.borrow().clone();
            exact += u32::from(sent == expected.as_bytes());
            assert_eq!(
                without_repeats(&sent, &deaths),
                expected,
                "{first} {second}"
            );
            assert!(sent.len() <= expected.len() + 2);
        }
    }
    assert!(exact > 0);
}

#[test]
fn a_flood_loses_its_own_lines_only_and_is_told() {
    let system = System::new(&["noisy", "quiet"]);
    let mut console = system.console(&Life::endless());
    let (mut noisy, mut quiet) = (system.writer(0), system.writer(1));
    for n in 0..5000 {
        put(&mut noisy, &format!("noise {n}"));
        if n % 100 == 0 {
            put(&mut quiet, &format!("news {n}"));
        }
        if n % 1000 == 0 {
            console.turn();
        }
    }
    console.drain();
    let output = system.take_output();
    assert_eq!(
        output.lines().filter(|l| l.contains("quiet: news")).count(),
        50
    );
    let noise = output
        .lines()
        .filter(|l| l.contains("noisy: noise"))
        .count() as u64;
    let lost: u64 = output
        .lines()
        .filter_map(|l| {
            l.split_once("console: noisy lost ")?
                .1
                .split(' ')
                .next()?
                .parse::<u64>()
                .ok()
        })
        .sum();
    assert_eq!(noise + lost, 5000);
    assert!(lost > 0);
}

#[test]
fn turns_are_fair() {
    let system = System::new(&["noisy", "quiet"]);
    let mut console = system.console(&Life::endless());
    let (mut noisy, mut quiet) = (system.writer(0), system.writer(1));
    (0..100).for_each(|_| put(&mut noisy, "noise"));
    put(&mut quiet, "news");
    console.turn();
    let output = system.take_output();
    assert_eq!(output.lines().count(), LINES_PER_TURN + 1);
    assert!(output.lines().last().unwrap().contains("quiet: news"));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// A console that was itself hit by a stray store before it died prints on.
    #[test]
    fn a_damaged_state_does_not_stop_it(word in 0usize..512, value in any::<u64>()) {
        let system = System::new(&["a", "b"]);
        put(&mut system.writer(0), "before");
        system.console(&Life::endless()).drain();
        system.state.set_bytes(word * 8, &value.to_le_bytes());
        let mut console = system.console(&Life::endless());
        put(&mut system.writer(0), "after");
        console.drain();
        let output = system.take_output();
        prop_assert!(output.ends_with("a: after\r\n"), "{}", output);
    }
}
