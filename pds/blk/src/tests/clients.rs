// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Several clients on one disk: turns, partitions, and one that means harm.

use proptest::prelude::*;

use super::*;
use crate::gpt::{self, Place};

const SECTORS: u64 = 2048;

#[test]
fn clients_share_the_device_by_turns() {
    let mut world = World::new(ALL_FEATURES, 2, 1);
    let mut service = world.driver(&Life::endless());
    let (mut greedy, mut modest) = (world.table(0), world.table(1));
    let read = |slot: u32| RequestWire::read(0, segment(slot * BLOCK_BYTES, 512));
    for slot in 0..64 {
        greedy.submit(&read(slot)).unwrap();
    }
    service.run();
    // The device is full. The other client waits for one place, not for 64.
    modest.submit(&read(0)).unwrap();
    service.run();
    greedy.submit(&read(0)).unwrap_err();
    world.machine.borrow_mut().work(1);
    world.interrupt(&mut service);
    world.machine.borrow_mut().work(64);
    world.interrupt(&mut service);
    assert!(modest.next_completion().is_some());
}

#[test]
#[should_panic(expected = "1 requests are taken, 0 known")]
fn a_ticket_that_is_lost_ends_the_life() {
    let mut world = World::new(ALL_FEATURES, 1, 1);
    let mut service = world.driver(&Life::endless());
    let mut client = world.table(0);
    let read = RequestWire::read(0, segment(0, 512));
    client.submit(&read).unwrap();
    service.lose_ticket(0);
    service.run();
}

/// Two clients that want all they can get, get the same.
#[test]
fn greedy_clients_get_the_same() {
    for effort in [1, 2, 7, 64] {
        let mut world = World::new(ALL_FEATURES, 3, 1);
        let mut service = world.driver(&Life::endless());
        let mut tables: Vec<_> = (0..3).map(|index| world.table(index)).collect();
        let mut completed = [0_u32; 3];
        while completed.iter().sum::<u32>() < 3000 {
            for (table, count) in tables.iter_mut().zip(&mut completed) {
                while table.next_completion().is_some() {
                    *count += 1;
                }
                while table.submit(&RequestWire::read(0, segment(0, 512))).is_ok() {}
            }
            service.run();
            world.machine.borrow_mut().work(effort);
            world.interrupt(&mut service);
        }
        let (least, most) = (
            completed.iter().min().unwrap(),
            completed.iter().max().unwrap(),
        );
        assert!(most - least < 150, "{completed:?} with {effort} at a time");
    }
}

/// However much a neighbour has at the device, there is room for the others.
#[test]
fn a_full_queue_has_room_for_a_neighbour() {
    let mut world = World::new(ALL_FEATURES, 2, 1);
    let mut service = world.driver(&Life::endless());
    let (mut greedy, mut modest) = (world.table(0), world.table(1));
    let read = RequestWire::read(0, segment(0, 512));
    while greedy.submit(&read).is_ok() {}
    service.run();
    assert_eq!(service.in_progress_count(), 48);
    for _ in 0..16 {
        modest.submit(&read).unwrap();
    }
    service.run();
    assert_eq!(service.in_progress_count(), 64);
}

/// A disk with these partitions, and clients that have them in this order; the last has the whole disk.
fn partitioned(partitions: &[(u64, u64)], shares: &[Share]) -> World {
    let mut world = World::new(ALL_FEATURES, shares.len(), 1);
    for (client, share) in world.clients.iter_mut().zip(shares) {
        client.share = *share;
    }
    let mut machine = world.machine.borrow_mut();
    machine.cache = vec![0xaa; SECTORS as usize * 512];
    machine.medium = machine.cache.clone();
    for place in [Place::Primary, Place::Backup] {
        let bytes = gpt::tests::table(place, SECTORS, partitions);
        let at = place.first_sector(SECTORS).unwrap() as usize * 512;
        machine.cache[at..at + bytes.len()].copy_from_slice(&bytes);
    }
    drop(machine);
    world
}

/// Lets the driver read the table.
fn settle(world: &World, service: &mut TestService) {
    for _ in 0..4 {
        world.machine.borrow_mut().work(4);
        world.interrupt(service);
    }
}

#[test]
fn a_partition_is_a_disk_of_its_own() {
    let mut world = partitioned(
        &[(100, 199), (40, 40), (300, 1000)],
        &[Share::Partition(1), Share::Partition(3), Share::Whole],
    );
    let mut service = world.driver(&Life::endless());
    let mut tables: Vec<_> = (0..3).map(|index| world.table(index)).collect();
    let describe = RequestWire::plain(Operation::Describe);
    let sizes = [100, 701, SECTORS];
    for (table, size) in tables.iter_mut().zip(sizes) {
        assert_eq!(world.ask(&mut service, table, &describe).value, size);
        let last = RequestWire::write(size - 1, segment(0, 512));
        assert_eq!(world.ask(&mut service, table, &last).status, Status::Done);
        for (sector, bytes) in [(size, 512), (size - 1, 1024), (u64::MAX - 1, 512)] {
            for operation in [Operation::Read, Operation::Write] {
                let wire = RequestWire::transfer(operation, sector, &[segment(0, bytes)]);
                let status = world.ask(&mut service, table, &wire).status;
                assert_eq!(status, Status::OutOfRange, "{sector}");
            }
        }
    }
    let machine = world.machine.borrow();
    let written: Vec<_> = (34..SECTORS - 33)
        .filter(|sector| machine.cache[*sector as usize * 512] != 0xaa)
        .collect();
    assert_eq!(written, [199, 1000], "and the last sector of the disk");
}

/// Without a retry, neither of the two tables could be read.
#[test]
fn a_table_that_fails_to_be_read_is_read_again() {
    let mut world = partitioned(&[(100, 199)], &[Share::Partition(1)]);
    world.machine.borrow_mut().failing = 2;
    let mut service = world.driver(&Life::endless());
    settle(&world, &mut service);
    let describe = RequestWire::plain(Operation::Describe);
    let answer = world.ask(&mut service, &mut world.table(0), &describe);
    assert_eq!((answer.status, answer.value), (Status::Done, 100));
    assert_eq!(service.retry_count(), 2);
}

#[test]
fn a_damaged_table_is_read_from_its_copy() {
    let mut world = partitioned(&[(100, 199)], &[Share::Partition(1)]);
    world.machine.borrow_mut().cache[512 + 60] ^= 1;
    let mut service = world.driver(&Life::endless());
    settle(&world, &mut service);
    let describe = RequestWire::plain(Operation::Describe);
    let mut table = world.table(0);
    assert_eq!(world.ask(&mut service, &mut table, &describe).value, 100);
}

#[test]
fn without_their_partition_requests_fail_and_others_do_not() {
    for (damage, bad_sector) in [(false, None), (true, None), (true, Some(3))] {
        let shares = [Share::Partition(2), Share::Whole];
        let mut world = partitioned(&[(100, 199)], &shares);
        if damage {
            let mut machine = world.machine.borrow_mut();
            machine.bad_sector = bad_sector;
            machine.cache[512..1024].fill(0);
            let end = machine.cache.len();
            machine.cache[end - 512..].fill(0);
        }
        let mut service = world.driver(&Life::endless());
        let (mut lost, mut whole) = (world.table(0), world.table(1));
        settle(&world, &mut service);
        let read = RequestWire::read(0, segment(0, 512));
        for wire in [read, flush(), RequestWire::plain(Operation::Describe)] {
            let status = world.ask(&mut service, &mut lost, &wire).status;
            assert_eq!(status, Status::NoDevice);
        }
        assert_eq!(
            world.ask(&mut service, &mut whole, &read).status,
            Status::Done
        );
    }
}

/// The driver dies while it looks for the partitions, and the client's requests are there already.
#[test]
fn dies_while_it_reads_the_table() {
    die_after_every_store(50, |steps| {
        let mut world = partitioned(&[(100, 199)], &[Share::Partition(1)]);
        let mut table = world.table(0);
        for sector in 0..20 {
            table
                .submit(&RequestWire::write(sector, segment(0, 512)))
                .unwrap();
        }
        let life = Life::of_steps(steps);
        let end: Result<(), Died> = life.run(|| {
            let mut service = world.driver(&life);
            settle(&world, &mut service);
        });
        let mut service = world.driver(&Life::endless());
        let mut count = 0;
        for _ in 0..100 {
            world.machine.borrow_mut().work(2);
            world.interrupt(&mut service);
            while table.next_completion().is_some() {
                count += 1;
            }
        }
        assert_eq!(count, 20, "died after {steps} stores");
        end
    });
}

proptest! {
    /// Whatever a client asks for, it touches no sector of a neighbour's partition.
    #[test]
    fn nothing_outside_of_the_partition_is_written(
        requests in prop::collection::vec((any::<u64>(), any::<u32>(), any::<u32>(), 0_u8..9), 1..60),
    ) {
        let mut world = partitioned(&[(100, 199), (200, 299)], &[Share::Partition(1)]);
        let mut service = world.driver(&Life::endless());
        settle(&world, &mut service);
        let mut table = world.table(0);
        for (sector, offset, bytes, kind) in requests {
            // Some near the end, where it matters.
            let sector = if kind & 1 == 0 { sector % 120 } else { sector };
            let piece = segment(offset & !511, (bytes % 0x2000) & !511);
            let wire = match kind {
                0..5 => RequestWire::write(sector, piece),
                5 => RequestWire::sectors(Operation::WriteZeroes, sector, bytes),
                _ => RequestWire::transfer(Operation::Write, sector, &[piece; 3]),
            };
            world.ask(&mut service, &mut table, &wire);
        }
        let machine = world.machine.borrow();
        let foreign = (34..100).chain(200..SECTORS as usize - 33);
        for sector in foreign {
            prop_assert!(machine.cache[sector * 512..][..512].iter().all(|byte| *byte == 0xaa));
        }
    }

    /// A client that writes anything anywhere reaches no memory but its own (the fake disk panics
    /// at any other address), and its neighbour's requests are served.
    #[test]
    fn hostile_client(writes in prop::collection::vec((0_usize..4352, any::<u8>()), 1..200)) {
        let mut world = World::new(ALL_FEATURES, 2, 1);
        let mut service = world.driver(&Life::endless());
        let mut hostile = world.table(0);
        let mut neighbour = world.table(1);
        for (offset, byte) in writes {
            let wire = RequestWire::read(u64::from(byte), segment(512, 512));
            let _ = hostile.submit(&wire);
            world.clients[0].requests.set_bytes(offset, &[byte]);
            service.run();
            world.machine.borrow_mut().work(2);
            world.interrupt(&mut service);
        }
        let completion = world.ask(&mut service, &mut neighbour, &RequestWire::read(0, segment(0, 512)));
        prop_assert_eq!(completion.status, Status::Done);
    }
}
