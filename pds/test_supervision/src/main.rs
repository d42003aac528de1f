// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! A test PD that ends others in every way it knows, and checks that each of them lives again, and that
//! its supervisor calls the death by its name.
//!
//! It has a budget smaller than its period and never blocks: it runs once per period, above
//! everybody but the sentinel. It may set the program counter of each victim (`cap_tcb` in its
//! overlay, slots in the order in which the victims' code regions are mapped).

#![no_std]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

mod lies;
mod steps;
mod victim;

use alloc::{format, string::String, vec::Vec};

use black_box::Kind;
use log::{error, info};
use microkit_abi::syscalls;
use sel4_microkit::{Handler, NullHandler, protection_domain};
use test_supervision_service::stub::{FAULTS, HANGS, Stub};
use topology::Topology;
use victim::{Sight, Victim};

/// Periods until everybody has started.
const START_PERIODS: u32 = 200;
/// Periods in which a death must have been noticed and the victim live again.
const PATIENCE_PERIODS: u32 = 800;
/// Periods until a report is there, a tick of the slowest supervisor included.
const REPORT_PERIODS: u32 = 400;
/// Periods of rest after each attack: more than a tick, so that one is over before the next begins.
const REST_PERIODS: u32 = 8;
/// Hangs of each kind and victim.
const HANG_ROUNDS: u32 = 6;

/// What is left out, from one point of a victim to another, and how its supervisor must call that.
const SKIPS: [(&str, &str, &str, Kind); 3] = [
    (
        "timer",
        "timer.before_ack",
        "timer.after_ack",
        Kind::LostIrq,
    ),
    ("blk", "blk.after_irq_ack", "blk.irq_noted", Kind::LostIrq),
    ("blk", "blk.before_kick", "blk.after_kick", Kind::StuckQueue),
];

struct Test {
    topology: Topology<'static>,
    victims: Vec<Victim>,
    failures: u32,
}

#[protection_domain(stack_size = 0x8000, heap_size = 0x80000)]
fn init() -> impl Handler {
    pd_setup::log();
    let topology = pd_setup::topology();
    let codes = topology
        .regions()
        .filter_map(|region| region.name.strip_suffix("_code"));
    let victims = codes
        .enumerate()
        .map(|(index, name)| Victim::find(&topology, name, index + 1))
        .collect();
    let mut test = Test {
        topology,
        victims,
        failures: 0,
    };
    rest(START_PERIODS);
    let (parts, rounds) = match topology.region("hangs_only") {
        Some(_) => (1, HANG_ROUNDS),
        None => (2, 1),
    };
    // First, while the application works; later only the supervisor's questions are work for the driver.
    test.skips(rounds);
    if parts > 1 {
        test.faults();
        test.together();
        test.steps();
    }
    test.hangs(rounds);
    test.wrong_answers(rounds);
    match test.failures {
        0 => info!("KINTSUGI|PASS bench test_supervision"),
        count => error!("KINTSUGI|FAIL {count} attacks did not end as they must"),
    }
    NullHandler::new()
}

fn rest(periods: u32) {
    (0..periods).for_each(|_| syscalls::yield_now());
}

impl Test {
    fn fail(&mut self, what: &str) {
        self.failures += 1;
        error!("FAILED {what}");
    }

    fn sights(&self) -> Vec<Sight> {
        self.victims.iter().map(Victim::sight).collect()
    }

    /// Waits until each of the `attacked` lives another life and answers.
    fn until_alive(&self, attacked: &[usize], before: &[Sight]) -> bool {
        for _ in 0..PATIENCE_PERIODS {
            rest(1);
            let is_alive = |&index: &usize| {
                let sight = self.victims[index].sight();
                sight.epoch != before[index].epoch && sight.answers
            };
            if attacked.iter().all(is_alive) {
                return true;
            }
        }
        false
    }

    /// Ends one victim; returns what its next life says.
    fn attack(&mut self, index: usize, stub: &Stub) -> Option<Sight> {
        let before = self.sights();
        self.victims[index].attack(stub);
        self.judge(index, &[stub.kind], &before)
    }

    /// Checks that a victim that was attacked lives, and that its death is called one of `kinds`. Says when
    /// it was seen, if it is called the first.
    fn judge(&mut self, index: usize, kinds: &[Kind], before: &[Sight]) -> Option<Sight> {
        let what = format!("{} {}", self.victims[index].name, kinds[0].name());
        if !self.until_alive(&[index], before) {
            self.fail(&format!("{what}: it does not live again"));
            return None;
        }
        let sight = self.victims[index].sight();
        for _ in 0..REPORT_PERIODS {
            rest(1);
            match self.victims[index].kind_of_death(before[index].epoch) {
                Some(found) if kinds.contains(&found) => {
                    info!("ATTACK {what}: restarted");
                    rest(REST_PERIODS);
                    return (found == kinds[0]).then_some(sight);
                }
                Some(found) => {
                    self.fail(&format!("{what}: called {}", found.name()));
                    return None;
                }
                None => {}
            }
        }
        self.fail(&format!("{what}: no report"));
        None
    }

    /// Every fault of every victim.
    fn faults(&mut self) {
        for index in 0..self.victims.len() {
            for stub in &FAULTS {
                self.attack(index, stub);
            }
        }
    }

    /// Several at once: nobody of them, and no supervisor, runs between two deaths.
    fn together(&mut self) {
        let all: Vec<_> = (0..self.victims.len()).collect();
        let named = |names: &[&str]| -> Vec<usize> {
            let is_named = |&index: &usize| names.contains(&self.victims[index].name.as_str());
            all.iter().copied().filter(is_named).collect()
        };
        for group in [
            named(&["blk", "fs"]),
            named(&["devices", "blk"]),
            named(&["supervisor", "timer"]),
            named(&["supervisor", "devices", "blk", "fs"]),
            all.clone(),
        ] {
            let before = self.sights();
            let mut what = String::from("together");
            for &index in &group {
                self.victims[index].attack(&FAULTS[0]);
                what += " ";
                what += &self.victims[index].name;
            }
            if self.until_alive(&group, &before) {
                info!("ATTACK {what}: restarted");
            } else {
                self.fail(&format!("{what}: not all live again"));
            }
            rest(REST_PERIODS);
        }
    }

    /// Every hang of every victim, with the time until it was noticed.
    fn hangs(&mut self, rounds: u32) {
        for stub in &HANGS {
            for index in 0..self.victims.len() {
                for _ in 0..rounds {
                    if let Some(sight) = self.attack(index, stub) {
                        self.say(index, stub.kind, sight.ended_ticks, &sight);
                    }
                }
            }
        }
    }

    /// Every piece of work that can be left out.
    fn skips(&mut self, rounds: u32) {
        for (name, from, to, kind) in SKIPS {
            let Some(index) = self.victims.iter().position(|v| v.name == name) else {
                continue;
            };
            for _ in 0..rounds {
                let before = self.sights();
                // It comes along there some time later, so this is too long rather than too short.
                let start = recovery::ticks();
                if !self.victims[index].skip(from, to) {
                    self.fail(&format!("{name} has no {from} and {to}"));
                } else if let Some(sight) = self.judge(index, &[kind], &before) {
                    self.say(index, kind, start, &sight);
                }
            }
        }
    }

    /// Every way to make a service answer wrongly.
    fn wrong_answers(&mut self, rounds: u32) {
        for lie in &lies::ALL {
            let index = self.victims.iter().position(|victim| victim.name == lie.of);
            let Some(index) = index else {
                self.fail(&format!("system.xml has no {}", lie.of));
                continue;
            };
            for _ in 0..rounds {
                let before = self.sights();
                let start = recovery::ticks();
                if !(lie.tell)(&self.topology, &mut self.victims[index]) {
                    self.fail(&format!("{}: there is nothing to make it lie with", lie.of));
                } else if let Some(sight) = self.judge(index, lie.kinds, &before) {
                    self.say(index, Kind::WrongAnswer, start, &sight);
                }
            }
        }
    }

    /// The line that the host makes distributions of.
    fn say(&self, index: usize, kind: Kind, from: u64, sight: &Sight) {
        let ticks = sight.noticed_ticks.saturating_sub(from);
        let ns = ticks * 1_000_000_000 / recovery::ticks_per_second();
        let name = &self.victims[index].name;
        info!("DETECTED kind={} pd={name} ns={ns}", kind.name());
    }
}
