// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Interrupts and notifications that get lost: the work goes on, at the pace of the supervisor's questions,
//! and the driver says what is missing. Nothing is missing with a device that is slow or dead.

use super::*;

/// Requests, and after some work of the disk a question; returns what was late then.
fn question(
    world: &World,
    service: &mut TestService,
    exerciser: &mut Exerciser,
    now_ms: u64,
) -> (u64, u64) {
    exerciser.submit();
    service.run();
    world.machine.borrow_mut().work(9);
    service.look(now_ms);
    world.consume(exerciser);
    (service.lateness().interrupts(), service.lateness().kicks())
}

#[test]
fn a_masked_interrupt_is_seen_after_two_questions() {
    let mut world = World::new(ALL_FEATURES, 1, 3);
    let mut service = world.driver(&Life::endless());
    let mut exerciser = world.exerciser(8, 3);
    for late in 1..20 {
        let seen = question(&world, &mut service, &mut exerciser, late * 20);
        assert_eq!(seen, (late, 0));
    }
    // One interrupt, and all is well.
    world.interrupt(&mut service);
    assert_eq!(service.lateness().interrupts(), 0);
    world.settle(&mut service, &mut exerciser);
}

#[test]
fn a_lost_notification_is_seen_and_made_up_for() {
    let mut world = World::new(ALL_FEATURES, 1, 4);
    let mut service = world.driver(&Life::endless());
    let mut exerciser = world.exerciser(8, 4);
    let mut now = 0;
    for round in 1..20 {
        assert!(exerciser.submit());
        service.run();
        world.machine.borrow_mut().notified = false;
        // It may be on its way at the first question; at the second it is told again. This device looks
        // some time after that, so that the third sees that it has.
        for _ in 0..2 {
            now += 20;
            service.look(now);
            assert_eq!(service.lateness().kicks(), round - 1);
        }
        world.machine.borrow_mut().work(9);
        world.interrupt(&mut service);
        service.look(now);
        world.consume(&mut exerciser);
        assert_eq!(service.lateness().kicks(), round);
    }
    world.settle(&mut service, &mut exerciser);
    for now in 1_000..1_003 {
        question(&world, &mut service, &mut exerciser, now);
    }
    assert_eq!(service.lateness().kicks(), 0);
}

#[test]
fn a_device_that_is_at_work_is_never_late() {
    for seed in 0..20 {
        let mut world = World::new(ALL_FEATURES, 1, seed);
        let mut service = world.driver(&Life::endless());
        let mut exerciser = world.exerciser(40, seed);
        for now in 0..200 {
            for _ in 0..1 + seed % 5 {
                world.turn(&mut service, &mut exerciser);
            }
            service.look(now * 20);
            assert!(service.lateness().interrupts() <= 1 && service.lateness().kicks() == 0);
            assert_eq!(service.own_count(), 0);
        }
    }
}

#[test]
fn a_device_that_is_dead_is_the_watchdogs_affair() {
    let mut world = World::new(ALL_FEATURES, 1, 5);
    let mut service = world.driver(&Life::endless());
    let mut exerciser = world.exerciser(8, 5);
    exerciser.submit();
    service.run();
    world.machine.borrow_mut().stop();
    for now in 0..20 {
        service.look(now * 20);
        let late = service.lateness();
        assert_eq!((late.interrupts(), late.kicks()), (0, 0));
    }
}
