// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Kills at a steady rate, and counts what the application gets done meanwhile. Each rate is a trial.

use injector_service::plan::VICTIMS;
use injector_service::random::Random;
use injector_service::record::{Record, State};
use injector_service::settings::RATES_PER_1000_S;

use crate::look::Machine;
use crate::{Results, rest};

/// Nanoseconds of 1000 seconds.
const NS_PER_1000_S: u64 = 1_000_000_000_000;

/// Measures one rate for as long as the settings say. A victim is drawn for each kill; none dies of
/// anything but being sent to an address where nothing is.
pub fn run(machine: &mut Machine, results: &mut Results, trial: u64) -> Record {
    let rate = RATES_PER_1000_S[trial as usize % RATES_PER_1000_S.len()];
    let mut random = Random::of_trial(machine.settings.seed, trial);
    let gap_ns = NS_PER_1000_S.checked_div(rate);
    let length_ns = machine.settings.lost_after_ms * 1_000_000;
    machine.tell_trial(trial);
    let before = machine.look();
    let mut kills = 0;
    let mut due = gap_ns.map(|gap| gap / 2);
    let now = loop {
        rest(1);
        let now = machine.look();
        results.set(injector_service::record::header::NOW_US, now.now_us());
        let elapsed = now.since(&before);
        if elapsed >= length_ns {
            break now;
        }
        if let (Some(at), Some(gap)) = (due, gap_ns)
            && elapsed >= at
        {
            machine.victims[random.below(VICTIMS.len() as u64) as usize].kill();
            kills += 1;
            due = Some(at + gap);
        }
    };
    let evidence = now.evidence(&before);
    let mut record = Record {
        trial,
        state: State::Done,
        place: rate,
        old: kills,
        new: now.bytes().wrapping_sub(before.bytes()),
        operations: now.operations().wrapping_sub(before.operations()),
        rounds: now.rounds().wrapping_sub(before.rounds()),
        troubles: evidence.troubles,
        timers: evidence.timers,
        slowest_ns: now.slowest_ns(),
        took_ns: now.since(&before),
        began_us: before.now_us(),
        starts: results.starts,
        outcome: injector_service::outcome::Outcome::of(&evidence),
        ..Record::default()
    };
    for (count, restarts) in record.restarts.iter_mut().zip(now.restarts(&before)) {
        *count = restarts.min(255) as u8;
    }
    record
}
