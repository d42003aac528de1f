// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! A disk that fails a command and carries it out when it is asked again. Its clients must not notice, and
//! must be told when it stays at that.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use crate::RETRIES_MAX;

const WRITE_ZEROES: u64 = 1 << 14;

#[test]
fn a_failure_is_believed_after_the_third_time() {
    let requests = [
        RequestWire::read(8, segment(0, 4096)),
        RequestWire::write(8, segment(0, 4096)),
        flush(),
        RequestWire::sectors(Operation::WriteZeroes, 8, 8),
        RequestWire::transfer(Operation::Identify, 0, &[segment(512, 20)]),
    ];
    for features in [ALL_FEATURES | WRITE_ZEROES, FLUSH | WRITE_ZEROES] {
        for (failures, wire) in (0..=4).flat_map(|failures| requests.map(|wire| (failures, wire))) {
            let mut world = World::new(features, 1, 1);
            let mut service = world.driver(&Life::endless());
            let mut table = world.table(0);
            world.machine.borrow_mut().failing = failures;
            let answer = world.ask(&mut service, &mut table, &wire);
            let believed = failures > u32::from(RETRIES_MAX);
            let expected = if believed { Status::Io } else { Status::Done };
            assert_eq!(answer.status, expected, "{failures} failures of {wire:?}");
            let retries = failures.min(RETRIES_MAX.into());
            assert_eq!(service.retry_count(), retries.into());
            assert_eq!(world.machine.borrow().commands, retries + 1);
            assert_eq!(service.in_progress_count(), 0);
            // The next one of the same tag has all its retries.
            world.machine.borrow_mut().failing = RETRIES_MAX.into();
            let answer = world.ask(&mut service, &mut table, &wire);
            assert_eq!(answer.status, Status::Done);
        }
    }
}

/// The file service would be read-only if one was believed that only says so (campaign on seL4 release, seed
/// 1, trial 8416).
#[test]
fn a_life_that_says_so_for_no_reason_is_not_believed() {
    let failures_of_a_life = RETRIES_MAX + 1;
    for (lives, status) in [(1, Status::Done), (2, Status::Io)] {
        let mut world = World::new(ALL_FEATURES, 1, 1);
        let mut table = world.table(0);
        let read = RequestWire::read(0, segment(0, 512));
        table.submit(&read).unwrap();
        world.machine.borrow_mut().failing = (lives * failures_of_a_life).into();
        for life in 0..2 {
            let mut service = world.driver(&Life::endless());
            service.set_second_opinion(Box::new(move || life == 0));
            let end = catch_unwind(AssertUnwindSafe(|| {
                for _ in 0..failures_of_a_life {
                    world.machine.borrow_mut().work(1);
                    world.interrupt(&mut service);
                }
            }));
            assert_eq!(end.is_err(), life == 0);
        }
        let (_, _, completion) = table.next_completion().expect("one life has to say it");
        assert_eq!(completion.check().status, status);
    }
}

#[test]
fn what_the_disk_cannot_do_it_is_asked_once() {
    let mut world = World::new(ALL_FEATURES, 1, 1);
    world.machine.borrow_mut().ignorant = true;
    let mut service = world.driver(&Life::endless());
    let read = RequestWire::read(0, segment(0, 512));
    let answer = world.ask(&mut service, &mut world.table(0), &read);
    assert_eq!(answer.status, Status::NotSupported);
    assert_eq!(service.retry_count(), 0);
    assert_eq!(world.machine.borrow().commands, 1);
}

#[test]
fn a_life_that_ends_between_two_tries_leaves_the_request_to_the_next() {
    let mut world = World::new(ALL_FEATURES, 1, 1);
    let mut table = world.table(0);
    table
        .submit(&RequestWire::write(8, segment(0, 4096)))
        .unwrap();
    // More failures than one life would take.
    for life in 0..4 {
        let mut service = world.driver(&Life::endless());
        world.machine.borrow_mut().failing = RETRIES_MAX.into();
        for _ in 0..RETRIES_MAX {
            world.machine.borrow_mut().work(1);
            world.interrupt(&mut service);
        }
        assert_eq!(service.retry_count(), RETRIES_MAX.into(), "life {life}");
        assert!(table.next_completion().is_none());
    }
    let mut service = world.driver(&Life::endless());
    world.machine.borrow_mut().work(1);
    world.interrupt(&mut service);
    let (_, _, completion) = table.next_completion().expect("carried out in the end");
    assert_eq!(completion.check().status, Status::Done);
}

/// Many at a time, and what was flushed has to be on the medium although flushes fail as well.
#[test]
fn a_flaky_disk_shows_no_error() {
    for seed in 0..6 {
        let mut world = World::new(ALL_FEATURES, 1, seed);
        world.machine.borrow_mut().flaky = true;
        let mut service = world.driver(&Life::endless());
        let mut exerciser = world.exerciser(16, seed);
        while exerciser.completed < 3000 {
            world.turn(&mut service, &mut exerciser);
        }
        world.settle(&mut service, &mut exerciser);
        assert_eq!(exerciser.failures, 0);
        assert_eq!(exerciser.misbehaviour_count(), 0);
        assert!(exerciser.flushes > 10 && service.retry_count() > 500);
    }
}

#[test]
fn dies_between_any_two_stores_on_a_flaky_disk() {
    die_after_every_store(200, |steps| {
        let mut world = World::new(ALL_FEATURES, 1, steps);
        world.machine.borrow_mut().flaky = true;
        let mut exerciser = world.exerciser(5, steps);
        let end = live_for_12_turns(&mut world, &mut exerciser, steps);
        let mut service = world.driver(&Life::endless());
        world.settle(&mut service, &mut exerciser);
        assert_eq!((exerciser.failures, exerciser.misbehaviour_count()), (0, 0));
        end
    });
}

/// A disk that is slow to find out that it fails answers all the same.
#[test]
fn a_disk_that_takes_its_time_to_fail_is_not_reset() {
    let mut world = World::new(ALL_FEATURES, 1, 1);
    let mut service = world.driver(&Life::endless());
    let mut table = world.table(0);
    table
        .submit(&RequestWire::read(0, segment(0, 512)))
        .unwrap();
    service.run();
    let resets = world.machine.borrow().resets;
    world.machine.borrow_mut().failing = 3;
    let mut now = 0;
    for _ in 0..3 {
        for _ in 0..20 {
            now += 20;
            service.look(now);
        }
        world.machine.borrow_mut().work(1);
        world.interrupt(&mut service);
    }
    assert_eq!(world.machine.borrow().resets, resets);
    let (_, _, completion) = table.next_completion().expect("it has failed");
    assert_eq!(completion.check().status, Status::Io);
}
