// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Runs the trials of a boot one after the other, and judges each one before the next begins.

use alloc::vec::Vec;

use app_demo_service::board::word;
use injector_service::outcome::{Evidence, Outcome};
use injector_service::plan::{Plan, VICTIMS};
use injector_service::record::{Record, State, header};
use injector_service::settings::Mode;
use log::{info, warn};

use crate::inject::{self, Injected};
use crate::look::{Machine, Snapshot};
use crate::{Results, outside, rates, rest};

/// Rounds of the application that a trial has to see: the one in which the fault came, in which also the
/// files of the round before are compared, and one more, which compares those that were written during the
/// fault.
const ROUNDS: u64 = 2;
/// A system that goes wrong again and again for so many times the time after which it is lost is lost too.
const ENDLESS: u64 = 2;
/// So is one that shows so many errors to its application, for so long.
const ERRORS_MAX: u64 = 1_000;
const ERRORS_NS: u64 = 3_000_000_000;
/// Firings of timers that a trial has to see, so that a time service that stands still shows.
const FIRINGS: u64 = 3;
/// End of the records.
const LOST: u64 = 1;
const ALL_DONE: u64 = 2;
/// Guest milliseconds for the whole system to start.
const START_MS: u64 = 60_000;

/// Runs all trials that are left.
pub fn run_all(machine: &mut Machine, results: &mut Results) {
    if !start(machine, results) {
        return;
    }
    info!("applications={}", 1 + machine.look().others.len());
    let settings = machine.settings;
    if results.starts > 1 && !after_reset(results) {
        return;
    }
    for trial in results.next..settings.end {
        results.set(header::TRIAL, trial);
        if settings.mode == Mode::Rates {
            let record = rates::run(machine, results, trial);
            results.finish(&record);
            continue;
        }
        let Some(plan) = Plan::draw(&settings, trial) else {
            break;
        };
        let record = run(machine, results, trial, plan);
        results.finish(&record);
        if record.outcome == Outcome::SystemLost {
            warn!("LOST trial={trial}");
            results.set(header::END, LOST);
            return;
        }
    }
    machine.tell_end();
    results.set(header::END, ALL_DONE);
}

/// Waits until every application has finished its first round.
fn start(machine: &mut Machine, results: &mut Results) -> bool {
    let begin = machine.look();
    loop {
        rest(1);
        machine
            .victims
            .iter_mut()
            .for_each(crate::victim::Victim::locate);
        let now = machine.look();
        results.set(header::NOW_US, now.now_us());
        if now.rounds() > begin.rounds() && now.others_work(&begin) {
            return true;
        }
        if now.since(&begin) / 1_000_000 > START_MS {
            warn!("LOST at the start");
            results.set(header::END, LOST);
            return false;
        }
    }
}

/// The machine was reset in the middle of a trial: that one gets its last word.
fn after_reset(results: &mut Results) -> bool {
    let trial = results.next;
    let Some(mut record) = results.record(trial) else {
        return true;
    };
    record.state = State::Done;
    record.starts = results.starts;
    record.outcome = Outcome::NeededReset;
    results.finish(&record);
    true
}

fn run(machine: &mut Machine, results: &mut Results, trial: u64, mut plan: Plan) -> Record {
    rest(plan.delay);
    machine.tell_trial(trial);
    let mut before = machine.look();
    let mut record = Record {
        trial,
        state: State::Begun,
        class: plan.class as u64,
        victim: plan.victim as u64,
        began_us: before.now_us(),
        starts: results.starts,
        ..Record::default()
    };
    results.store(&record);
    let injected = match machine.settings.mode {
        Mode::Outside => outside::wait(machine, trial),
        _ => inject::inject(machine, &mut plan),
    };
    if let Some(injected) = &injected {
        note(&mut record, injected);
    }
    record.state = State::Injected;
    results.store(&record);
    // Restarts on the way to the injection are part of the trial, the time until then is not.
    before.ticks = recovery::ticks();
    let quick = injected.is_none_or(|injected| injected.reached);
    let (now, mut evidence) = observe(machine, results, &before, &mut record, quick);
    fill(&mut record, &before, &now);
    if !evidence.stuck
        && let Some(injected) = &injected
    {
        inject::take_back(machine, plan.victim, injected);
    }
    evidence.reset = false;
    let reached = injected.is_some_and(|injected| injected.reached);
    evidence.handled = plan.class.needs_no_restart() && reached;
    record.outcome = Outcome::of(&evidence);
    record.state = State::Done;
    record
}

fn note(record: &mut Record, injected: &Injected) {
    record.place = injected.place;
    record.old = injected.old;
    record.new = injected.new;
    record.reached = u64::from(injected.reached);
    record.second = injected.second;
}

/// Watches until it is clear what the fault came to.
fn observe(
    machine: &mut Machine,
    results: &mut Results,
    before: &Snapshot,
    record: &mut Record,
    quick: bool,
) -> (Snapshot, Evidence) {
    let lost_after_ns = machine.settings.lost_after_ms * 1_000_000;
    // The latest moment at which anything was seen to go wrong: what counts as whole comes after it. The
    // fault may have waited long for its victim; what was done meanwhile says nothing of it.
    let mut since = machine.look();
    let mut seen = Evidence::default();
    loop {
        rest(1);
        let now = machine.look();
        results.set(header::NOW_US, now.now_us());
        let evidence = now.evidence(before);
        if evidence != seen {
            seen = evidence;
            since = now.clone();
            if record.detected_ns == 0 && evidence.restarts > 0 {
                record.detected_ns = now.since(before).max(1);
            }
        }
        if record.served_ns == 0 && evidence.restarts > 0 && now.operations() > since.operations() {
            record.served_ns = now.since(before).max(1);
        }
        let manifested = Outcome::of(&evidence) != Outcome::NotManifested;
        let rounds = now.rounds().wrapping_sub(since.rounds());
        let needed = if manifested || quick { ROUNDS } else { 1 };
        let timers = now.fired().wrapping_sub(since.fired());
        let others = now.others_work(&since);
        if rounds >= needed && timers >= FIRINGS && others && all_alive(&now, &since) {
            return (now, evidence);
        }
        let endless = now.since(before) > lost_after_ns * ENDLESS
            || (evidence.troubles.iter().sum::<u64>() > ERRORS_MAX
                && now.since(before) > ERRORS_NS);
        if endless || now.since(&since) > lost_after_ns {
            let silent =
                (1..VICTIMS.len()).filter(|index| now.beats[*index] == since.beats[*index]);
            let silent: Vec<_> = silent.map(|index| VICTIMS[index].0).collect();
            warn!(
                "stuck: rounds={rounds} others={others} firings={timers} silent={silent:?} {evidence:?}"
            );
            let stuck = Evidence {
                stuck: true,
                ..evidence
            };
            return (now, stuck);
        }
    }
}

/// Whether everybody has answered since then. The supervisor is asked once a second only; but those that
/// it asks answer when it does.
fn all_alive(now: &Snapshot, since: &Snapshot) -> bool {
    (1..VICTIMS.len()).all(|index| now.beats[index] != since.beats[index])
}

fn fill(record: &mut Record, before: &Snapshot, now: &Snapshot) {
    let evidence = now.evidence(before);
    for (count, restarts) in record.restarts.iter_mut().zip(now.restarts(before)) {
        *count = restarts.min(255) as u8;
    }
    record.troubles = evidence.troubles;
    record.timers = evidence.timers;
    record.operations = now.operations().wrapping_sub(before.operations());
    record.rounds = now.rounds().wrapping_sub(before.rounds());
    record.slowest_ns = now.board[word::SLOWEST_NS];
    record.took_ns = now.since(before);
}
