// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! A disk that stops answering, asks for a reset, or does not survive certain requests. The driver
//! lives on, and its clients must not notice.

use super::*;

/// What the supervisor's questions are on the target: an occasion to look at the clock.
struct Clock(u64);

impl Clock {
    fn pass(&mut self, world: &World, service: &mut TestService, ms: u64) {
        for _ in 0..ms / 20 {
            self.0 += 20;
            service.look(self.0);
            world.machine.borrow_mut().work(4);
            world.interrupt(service);
        }
    }
}

#[test]
fn a_disk_that_stops_is_reset_and_nothing_is_lost() {
    for seed in 0..20 {
        let mut world = World::new(ALL_FEATURES, 1, seed);
        let mut service = world.driver(&Life::endless());
        let mut exerciser = world.exerciser(40, seed);
        let mut clock = Clock(0);
        for round in 0..10 {
            for _ in 0..30 + seed {
                world.turn(&mut service, &mut exerciser);
            }
            exerciser.submit();
            service.run();
            let resets = world.machine.borrow().resets;
            match round % 2 {
                0 => world.machine.borrow_mut().stop(),
                _ => world.machine.borrow_mut().ask_for_reset(),
            }
            clock.pass(&world, &mut service, 600);
            assert!(
                world.machine.borrow().resets > resets,
                "seed {seed} round {round}"
            );
            world.consume(&mut exerciser);
        }
        world.settle(&mut service, &mut exerciser);
        assert_eq!(exerciser.failures, 0);
        assert_eq!(exerciser.misbehaviour_count(), 0);
        assert_eq!(world.lives, 1);
    }
}

#[test]
fn a_disk_that_is_idle_or_slow_is_left_alone() {
    let mut world = World::new(ALL_FEATURES, 1, 1);
    let mut service = world.driver(&Life::endless());
    let mut table = world.table(0);
    let resets = world.machine.borrow().resets;
    let read = RequestWire::read(0, segment(0, 512));
    let mut now = 0;
    for _ in 0..20 {
        now += 10_000;
        service.look(now);
        table.submit(&read).unwrap();
        service.run();
        for _ in 0..20 {
            now += 20;
            service.look(now);
        }
        world.machine.borrow_mut().work(1);
        // The interrupt is lost; the look finds the completion all the same.
        service.look(now);
        assert!(table.next_completion().is_some());
    }
    assert_eq!(world.machine.borrow().resets, resets);
}

/// One of 24 requests stops the disk each time. It fails, and the others do not.
#[test]
fn a_request_that_stops_the_disk_fails_and_its_neighbours_do_not() {
    for poison in [0, 7, 23] {
        let mut world = World::new(ALL_FEATURES, 2, poison);
        world.machine.borrow_mut().deadly_sector = Some(poison * 8);
        let mut service = world.driver(&Life::endless());
        let mut tables = [world.table(0), world.table(1)];
        let mut poisoned_sequence = 0;
        for block in 0..24 {
            let wire = RequestWire::read(block * 8, segment(block as u32 * 4096, 4096));
            let slot = tables[0].submit(&wire).unwrap();
            if block == poison {
                poisoned_sequence = tables[0].sequence(slot);
            }
            // The neighbour does not read that block.
            let wire = RequestWire::read(1, segment(block as u32 * 4096, 512));
            tables[1].submit(&wire).unwrap();
        }
        service.run();
        let mut clock = Clock(0);
        clock.pass(&world, &mut service, 10_000);
        for (index, table) in tables.iter_mut().enumerate() {
            for _ in 0..24 {
                let (_, sequence, completion) = table.next_completion().expect("nothing is lost");
                let poisoned = index == 0 && sequence == poisoned_sequence;
                let expected = if poisoned { Status::Io } else { Status::Done };
                assert_eq!(
                    completion.check().status,
                    expected,
                    "client {index}: {sequence}"
                );
            }
        }
        // The disk gets many at a time again.
        for sector in 1..8 {
            tables[1]
                .submit(&RequestWire::read(sector, segment(0, 512)))
                .unwrap();
        }
        service.run();
        assert_eq!(service.in_progress_count(), 7);
    }
}

#[test]
fn a_disk_that_stays_dead_is_given_up() {
    let mut world = World::new(ALL_FEATURES, 1, 1);
    world.machine.borrow_mut().dead = true;
    let mut service = world.driver(&Life::endless());
    let mut table = world.table(0);
    for _ in 0..40 {
        table
            .submit(&RequestWire::read(0, segment(0, 512)))
            .unwrap();
    }
    service.run();
    Clock(0).pass(&world, &mut service, 60_000);
    for _ in 0..40 {
        let (_, _, completion) = table.next_completion().expect("nothing waits for ever");
        let status = completion.check().status;
        assert!(
            matches!(status, Status::Io | Status::NoDevice),
            "{status:?}"
        );
    }
    // So do those that come later, at once.
    let answer = world.ask(&mut service, &mut table, &flush());
    assert_eq!(answer.status, Status::NoDevice);
}

#[test]
#[should_panic(expected = "1 tags are taken for 0 commands")]
fn a_tag_that_is_lost_ends_the_life() {
    let mut world = World::new(ALL_FEATURES, 1, 1);
    let mut service = world.driver(&Life::endless());
    service.look(20);
    service.lose_tag(3);
    service.look(40);
}

/// It may be the driver that tells the disk of nothing (campaign on seL4 release, seed 2, trial 1794).
#[test]
fn after_a_reset_in_vain_another_life_tries() {
    let mut world = World::new(ALL_FEATURES, 1, 1);
    world.machine.borrow_mut().dead = true;
    let mut table = world.table(0);
    table
        .submit(&RequestWire::read(0, segment(0, 512)))
        .unwrap();
    let mut before = 0;
    for life in 0..2 {
        let mut service = world.driver(&Life::endless());
        service.set_second_opinion(Box::new(move || life == 0));
        let resets = world.machine.borrow().resets;
        service.run();
        let end = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            Clock(0).pass(&world, &mut service, 60_000);
        }));
        let resets = world.machine.borrow().resets - resets;
        match life {
            0 => assert!(end.is_err() && resets > 0, "{resets} resets"),
            _ => assert!(end.is_ok() && resets > before, "{resets} resets"),
        }
        before = resets;
    }
    let (_, _, completion) = table.next_completion().expect("it is given up");
    assert_ne!(completion.check().status, Status::Done);
}

/// The driver dies between any two stores of its dealing with a disk that has stopped.
#[test]
fn dies_while_it_resets_the_disk() {
    die_after_every_store(200, |steps| {
        let mut world = World::new(ALL_FEATURES, 1, steps);
        let mut exerciser = world.exerciser(20, steps);
        let life = Life::of_steps(200 + steps);
        let end: Result<(), Died> = life.run(|| {
            let mut service = world.driver(&life);
            let mut clock = Clock(0);
            for _ in 0..3 {
                exerciser.submit();
                service.run();
                world.machine.borrow_mut().work(3);
                world.machine.borrow_mut().stop();
                clock.pass(&world, &mut service, 600);
                world.consume(&mut exerciser);
            }
        });
        let mut service = world.driver(&Life::endless());
        world.settle(&mut service, &mut exerciser);
        assert_eq!((exerciser.failures, exerciser.misbehaviour_count()), (0, 0));
        end
    });
}
