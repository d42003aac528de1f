// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The driver as it is, against a disk that reorders and fails, and with a death of the driver
//! between any two stores to memory that outlives it.

mod clients;
mod failing;
mod late;
mod machine;
mod retries;

use std::cell::RefCell;
use std::rc::Rc;

use proto::blk::{
    Completion, DEVICE_FLUSHES, Operation, RequestWire, SEGMENTS_MAX, Segment, Status,
};
use request_table::Client;
use sel4_shared_memory::SharedRef;
use sel4_shared_memory::host::{Died, HostRegion, Life};
use test_blk_service::{BLOCK_BYTES, Blocks, Exerciser, Random, contents};
use virtio_drivers::transport::DeviceType;
use zerocopy::IntoBytes;

use crate::device::{Command, Info, Outcome};
use crate::virtio::QUEUE_SIZE_MAX;
use crate::virtqueue::QueueLayout;
use crate::{ClientMemory, Device, NoDisk, Service, Share, VirtioDisk};
use machine::{Change, EVENT_INDEX, FLUSH, Machine, Registers, VERSION_1};

const DMA_PADDR: u64 = 0xa200_0000;
const DATA_PADDR: u64 = 0xa000_0000;
const DATA_BYTES: usize = 64 * BLOCK_BYTES as usize;
const BLOCKS: u32 = 24;
const ALL_FEATURES: u64 = FLUSH | EVENT_INDEX | VERSION_1;

type TestService = Service<VirtioDisk<Registers>>;

/// What a client shares with the driver.
#[derive(Clone)]
struct Regions {
    requests: HostRegion,
    completions: HostRegion,
    data: HostRegion,
    data_paddr: u64,
    share: Share,
}

struct World {
    machine: Rc<RefCell<Machine>>,
    dma: HostRegion,
    clients: Vec<Regions>,
    lives: u32,
}

impl World {
    fn new(features: u64, clients: usize, seed: u64) -> Self {
        let mut machine = Machine::new(BLOCKS as usize * 8, features, seed);
        let dma = HostRegion::new(0x1_0000);
        machine.memory.push((DMA_PADDR, dma.clone()));
        let clients = (0..clients).map(|index| {
            let data = HostRegion::new(DATA_BYTES);
            let data_paddr = DATA_PADDR + (index * DATA_BYTES) as u64;
            machine.memory.push((data_paddr, data.clone()));
            Regions {
                requests: HostRegion::new(0x1_0000),
                completions: HostRegion::new(0x1_0000),
                data,
                data_paddr,
                share: Share::Whole,
            }
        });
        let clients = clients.collect();
        let machine = Rc::new(RefCell::new(machine));
        Self {
            machine,
            dma,
            clients,
            lives: 0,
        }
    }

    /// What a life of the driver has of a client.
    fn memory(&self, client: usize, life: &Life) -> ClientMemory {
        let client = &self.clients[client];
        ClientMemory {
            requests: client.requests.shared_ref(),
            completions: client.completions.shared_mut(life),
            data_paddr: client.data_paddr,
            data_bytes: DATA_BYTES as u64,
            share: client.share,
        }
    }

    /// A life of the driver, up to where it waits for events.
    fn driver(&mut self, life: &Life) -> TestService {
        let registers = Registers(Rc::clone(&self.machine));
        let disk = VirtioDisk::start(registers, self.dma.shared_mut(life), DMA_PADDR);
        let epoch = self.lives;
        self.lives += 1;
        let clients = (0..self.clients.len()).map(|client| self.memory(client, life));
        let mut service = Service::attach(disk.ok(), clients, epoch).unwrap();
        service.run();
        service
    }

    fn table(&self, client: usize) -> Blocks {
        let Regions {
            requests,
            completions,
            ..
        } = &self.clients[client];
        Client::attach(
            requests.shared_mut(&Life::endless()),
            completions.shared_ref(),
        )
        .unwrap()
    }

    fn exerciser(&self, depth: usize, seed: u64) -> Exerciser {
        let data = self.clients[0].data.shared_mut(&Life::endless());
        Exerciser::new(self.table(0), data, BLOCKS, depth, seed)
    }

    /// What the handler does with an interrupt, if the line is up.
    fn interrupt(&self, service: &mut TestService) {
        if self.machine.borrow().interrupt {
            service.interrupted();
            service.run();
        }
    }

    /// One turn of everybody. The driver is told what a kernel would tell it, and nothing more.
    fn turn(&mut self, service: &mut TestService, exerciser: &mut Exerciser) {
        if exerciser.submit() {
            service.run();
        }
        let effort = self.machine.borrow_mut().random.below(6);
        self.machine.borrow_mut().work(effort);
        self.interrupt(service);
        self.consume(exerciser);
    }

    /// Completions are right, and what was flushed is on the medium.
    fn consume(&self, exerciser: &mut Exerciser) {
        let flushes = exerciser.flushes;
        exerciser
            .consume()
            .unwrap_or_else(|wrong| panic!("{wrong}"));
        if exerciser.flushes > flushes {
            let machine = self.machine.borrow();
            for (block, version) in exerciser.versions().iter().enumerate() {
                let at = block * BLOCK_BYTES as usize;
                let word = u64::from_ne_bytes(machine.medium[at + 8..at + 16].try_into().unwrap());
                let expected = contents(block as u32, *version, 1);
                assert!(
                    *version == 0 || word == expected,
                    "block {block} was not flushed"
                );
            }
        }
    }

    fn settle(&mut self, service: &mut TestService, exerciser: &mut Exerciser) {
        for _ in 0..10_000 {
            if exerciser.outstanding_count() == 0 {
                return;
            }
            self.machine.borrow_mut().work(3);
            self.interrupt(service);
            self.consume(exerciser);
        }
        panic!("{} requests are lost", exerciser.outstanding_count());
    }

    /// One request and its completion.
    fn ask(&self, service: &mut TestService, table: &mut Blocks, wire: &RequestWire) -> Completion {
        table.submit(wire).unwrap();
        service.run();
        for _ in 0..100 {
            if let Some((_, _, completion)) = table.next_completion() {
                return completion.check();
            }
            self.machine.borrow_mut().work(1);
            self.interrupt(service);
        }
        panic!("no completion for {wire:?}");
    }
}

fn segment(offset: u32, bytes: u32) -> Segment {
    Segment { offset, bytes }
}

#[test]
fn a_long_run_with_and_without_each_feature() {
    for features in [
        ALL_FEATURES,
        FLUSH | VERSION_1,
        EVENT_INDEX | VERSION_1,
        FLUSH,
        0,
    ] {
        for seed in 0..4 {
            let mut world = World::new(features, 1, seed);
            let mut service = world.driver(&Life::endless());
            let mut exerciser = world.exerciser(16, seed);
            if features & FLUSH == 0 {
                // Without a cache everything is on the medium at once; this fake has one.
                let _ = world.ask(&mut service, &mut world.table(0), &flush());
                continue;
            }
            while exerciser.completed < 3000 {
                world.turn(&mut service, &mut exerciser);
            }
            world.settle(&mut service, &mut exerciser);
            assert!(exerciser.verified_blocks > 500 && exerciser.flushes > 10);
            assert_eq!(exerciser.misbehaviour_count(), 0);
        }
    }
}

fn flush() -> RequestWire {
    RequestWire::plain(Operation::Flush)
}

/// The indices of the queue have 16 bits: nothing may be lost when they begin again.
#[test]
fn indices_wrap_around() {
    let mut world = World::new(ALL_FEATURES, 1, 1);
    let mut service = world.driver(&Life::endless());
    let mut exerciser = world.exerciser(3, 1);
    while exerciser.completed < 70_000 {
        world.turn(&mut service, &mut exerciser);
    }
    world.settle(&mut service, &mut exerciser);
}

/// Runs `each` with a life of 0, 1, 2 ... stores, until one comes to its end: there are more than `min`.
fn die_after_every_store(min: usize, mut each: impl FnMut(u64) -> Result<(), Died>) {
    let deaths = (0..).take_while(|steps| each(*steps).is_err()).count();
    assert!(deaths > min, "only {deaths}");
}

/// A life that works for a while; the disk may have its last commands when it ends.
fn live_for_12_turns(world: &mut World, exerciser: &mut Exerciser, steps: u64) -> Result<(), Died> {
    let life = Life::of_steps(steps);
    let end = life.run(|| {
        let mut service = world.driver(&life);
        for _ in 0..12 {
            world.turn(&mut service, exerciser);
        }
    });
    // Nobody has told the disk that its driver is dead.
    world.machine.borrow_mut().work((steps % 4) as u32);
    end
}

#[test]
fn driver_dies_between_any_two_stores() {
    die_after_every_store(200, |steps| {
        let mut world = World::new(ALL_FEATURES, 1, steps);
        let mut exerciser = world.exerciser(5, steps);
        let end = live_for_12_turns(&mut world, &mut exerciser, steps);
        let mut service = world.driver(&Life::endless());
        for _ in 0..12 {
            world.turn(&mut service, &mut exerciser);
        }
        world.settle(&mut service, &mut exerciser);
        assert_eq!(
            exerciser.misbehaviour_count(),
            0,
            "died after {steps} stores"
        );
        end
    });
}

#[test]
fn driver_dies_again_and_again() {
    for seed in 0..300 {
        let mut world = World::new(ALL_FEATURES, 1, seed);
        let mut exerciser = world.exerciser(24, seed);
        let mut random = Random(seed);
        for _ in 0..8 {
            let life = Life::of_steps(u64::from(random.below(1500)));
            let _: Result<(), Died> = life.run(|| {
                let mut service = world.driver(&life);
                for _ in 0..10 {
                    world.turn(&mut service, &mut exerciser);
                }
            });
            world.machine.borrow_mut().work(random.below(8));
            world.consume(&mut exerciser);
        }
        let mut service = world.driver(&Life::endless());
        world.settle(&mut service, &mut exerciser);
    }
}

/// What the client may count on from some moment on.
struct Promise {
    /// Changes that the disk had seen by then.
    changes: usize,
    versions: Vec<u32>,
}

/// After a cut of the power at every moment: what the disk has kept for certain is what it was told
/// before its last flush; of the rest any part may be there.
fn replay(machine: &Machine, promises: &[Promise], last: &[u32], random: &mut Random) {
    let mut flushed = vec![0_u8; machine.medium.len()];
    let mut since = Vec::new();
    let mut kept = 0;
    for (index, change) in machine.changes.iter().enumerate() {
        match change {
            Change::Write(at, bytes) => since.push((*at, bytes)),
            Change::Flush => {
                for (at, bytes) in since.drain(..) {
                    flushed[at..at + bytes.len()].copy_from_slice(bytes);
                }
            }
        }
        let mut after = flushed.clone();
        for (at, bytes) in since.iter().filter(|_| random.below(2) == 0) {
            after[*at..*at + bytes.len()].copy_from_slice(bytes);
        }
        while promises
            .get(kept)
            .is_some_and(|next| next.changes <= index + 1)
        {
            kept += 1;
        }
        let Some(promise) = kept.checked_sub(1).map(|latest| &promises[latest]) else {
            continue;
        };
        for (sector, bytes) in after.chunks_exact(512).enumerate() {
            let (block, word) = (sector / 8, sector % 8 * 64);
            let found = u64::from_ne_bytes(bytes[..8].try_into().unwrap());
            let least = promise.versions[block];
            let known = (least..=last[block])
                .any(|version| version > 0 && contents(block as u32, version, word) == found);
            assert!(
                least == 0 || known,
                "block {block} lost after change {index}"
            );
        }
    }
}

#[test]
fn what_was_flushed_survives_a_cut_of_the_power_at_any_moment() {
    for seed in 0..6 {
        let mut world = World::new(ALL_FEATURES, 1, seed);
        let mut exerciser = world.exerciser(12, seed);
        let mut random = Random(seed);
        let mut promises: Vec<Promise> = Vec::new();
        while promises.len() < 12 {
            // The driver dies now and then, with writes and flushes in progress.
            let life = Life::of_steps(u64::from(100 + random.below(4000)));
            let _: Result<(), Died> = life.run(|| {
                let mut service = world.driver(&life);
                for _ in 0..100 {
                    let flushes = exerciser.flushes;
                    world.turn(&mut service, &mut exerciser);
                    if exerciser.flushes > flushes {
                        promises.push(Promise {
                            changes: world.machine.borrow().changes.len(),
                            versions: exerciser.versions().to_vec(),
                        });
                    }
                }
            });
        }
        let machine = world.machine.borrow();
        assert!(machine.changes.len() > 300);
        replay(&machine, &promises, exerciser.versions(), &mut random);
    }
}

/// A disk whose driver does something to a command before the device gets it.
struct Altered(VirtioDisk<Registers>, fn(&mut Command<'_>));

impl Device for Altered {
    fn info(&self) -> Info {
        self.0.info()
    }

    fn submit(&mut self, tag: usize, command: &Command<'_>) {
        let mut altered = *command;
        self.1(&mut altered);
        self.0.submit(tag, &altered);
    }

    fn submit_again(&mut self, tag: usize) {
        self.0.submit_again(tag);
    }

    fn is_told(
        &self,
        tag: usize,
        request: &RequestWire,
        first_sector: u64,
        data_paddr: u64,
    ) -> bool {
        self.0.is_told(tag, request, first_sector, data_paddr)
    }

    fn kick(&mut self) {
        self.0.kick();
    }

    fn next_done(&mut self) -> Option<(usize, Outcome)> {
        self.0.next_done()
    }

    fn acknowledge_interrupt(&mut self) -> bool {
        self.0.acknowledge_interrupt()
    }

    fn restart(&mut self) -> bool {
        self.0.restart()
    }

    fn scratch(&self) -> (SharedRef, u64) {
        self.0.scratch()
    }
}

/// Campaign on seL4 release at aac7c23, seed 1, trial 157: the header led to the status at once, so the disk
/// reported writes as done and had written nothing.
#[test]
fn the_disk_is_not_told_a_chain_without_its_data() {
    let world = World::new(ALL_FEATURES, 1, 1);
    let life = Life::endless();
    let registers = Registers(Rc::clone(&world.machine));
    let disk = VirtioDisk::start(registers, world.dma.shared_mut(&life), DMA_PADDR);
    let mut disk = disk.unwrap();
    let wire = RequestWire::write(16, segment(0, 4096));
    let request = wire.check(DATA_BYTES as u64).unwrap();
    disk.submit(
        3,
        &Command {
            operation: request.operation,
            sector: request.sector,
            sector_count: request.sector_count,
            segments: request.segments(),
            data_paddr: DATA_PADDR,
        },
    );
    let is_told = || disk.is_told(3, &wire, 0, DATA_PADDR);
    assert!(is_told());
    // Header, data and status: no bit of their descriptors may be another one.
    for descriptor in [3 * 6, 3 * 6 + 1, 3 * 6 + 5] {
        for bit in 0..128 {
            let at = descriptor * 16 + bit / 8;
            let byte = world.dma.bytes()[at];
            world.dma.set_bytes(at, &[byte ^ 1 << (bit % 8)]);
            assert!(!is_told(), "descriptor {descriptor}, bit {bit}");
            world.dma.set_bytes(at, &[byte]);
        }
    }
    assert!(is_told());
    // Nor may the ring name another chain (at 9e7fd0d, trial 5489).
    let layout = QueueLayout {
        size: QUEUE_SIZE_MAX,
    };
    let entry = layout.available() + 4;
    for bit in 0..16 {
        let at = entry + bit / 8;
        let byte = world.dma.bytes()[at];
        world.dma.set_bytes(at, &[byte ^ 1 << (bit % 8)]);
        assert!(!disk.is_told(3, &wire, 0, DATA_PADDR), "bit {bit}");
        world.dma.set_bytes(at, &[byte]);
    }
}

/// Campaign on seL4 release at 9481ad8, seed 1, trial 3384: a write went to another sector.
#[test]
fn the_disk_is_not_told_anything_else() {
    const ELSEWHERE: &[Segment] = &[Segment {
        offset: 4096,
        bytes: 4096,
    }];
    const SHORTER: &[Segment] = &[Segment {
        offset: 0,
        bytes: 512,
    }];
    let faults: [fn(&mut Command<'_>); 6] = [
        |_| {},
        |command| command.sector ^= 8,
        |command| command.operation = Operation::Read,
        |command| command.data_paddr += 4096,
        |command| command.segments = ELSEWHERE,
        |command| command.segments = SHORTER,
    ];
    for (number, fault) in faults.into_iter().enumerate() {
        let world = World::new(ALL_FEATURES, 1, 1);
        let wire = RequestWire::write(16, segment(0, 4096));
        world.table(0).submit(&wire).unwrap();
        let life = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let registers = Registers(Rc::clone(&world.machine));
            let dma = world.dma.shared_mut(&Life::endless());
            let disk = VirtioDisk::start(registers, dma, DMA_PADDR).ok();
            let disk = disk.map(|disk| Altered(disk, fault));
            Service::attach(disk, [world.memory(0, &Life::endless())], 1)
                .unwrap()
                .run();
        }));
        assert_eq!(life.is_ok(), number == 0, "fault {number}");
        world.machine.borrow_mut().work(3);
        let changes = world.machine.borrow().changes.len();
        assert_eq!(changes > 0, number == 0, "fault {number}");
    }
}

/// The copy of a request that the driver works by, with any bit wrong (campaign on seL4 release at d5450e3,
/// seed 1, trial 11158).
#[test]
fn a_request_that_has_changed_is_neither_carried_out_nor_refused() {
    for bit in 0..size_of::<RequestWire>() * 8 {
        let mut world = World::new(ALL_FEATURES, 1, 1);
        let mut service = world.driver(&Life::endless());
        let mut table = world.table(0);
        table
            .submit(&RequestWire::write(16, segment(0, 4096)))
            .unwrap();
        let life = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            service.begin_changed(0, |wire| {
                IntoBytes::as_mut_bytes(wire)[bit / 8] ^= 1 << (bit % 8)
            });
        }));
        assert!(life.is_err(), "bit {bit}");
        world.machine.borrow_mut().work(3);
        assert!(world.machine.borrow().changes.is_empty(), "bit {bit}");
        assert!(table.next_completion().is_none(), "bit {bit}");
    }
}

/// The driver does not survive a request for this sector.
const POISON: u64 = 8 * 8;

struct Poison;

#[test]
fn a_request_that_kills_the_driver_fails_and_its_neighbours_do_not() {
    let mut world = World::new(ALL_FEATURES, 1, 1);
    let mut table = world.table(0);
    for block in 0..24 {
        let wire = RequestWire::read(block * 8, segment(block as u32 * 4096, 4096));
        table.submit(&wire).unwrap();
    }
    let mut lives = 0;
    let mut answers = Vec::new();
    while answers.len() < 24 {
        lives += 1;
        assert!(lives < 20, "only {} answers", answers.len());
        let life = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let registers = Registers(Rc::clone(&world.machine));
            let dma = world.dma.shared_mut(&Life::endless());
            let disk = VirtioDisk::start(registers, dma, DMA_PADDR).ok();
            let disk = disk.map(|disk| {
                Altered(disk, |command| {
                    if command.sector == POISON {
                        std::panic::panic_any(Poison);
                    }
                })
            });
            let mut service =
                Service::attach(disk, [world.memory(0, &Life::endless())], lives).unwrap();
            for _ in 0..100 {
                service.run();
                world.machine.borrow_mut().work(3);
                service.interrupted();
            }
        }));
        assert!(life.is_ok() || life.unwrap_err().is::<Poison>());
        while let Some((_, sequence, completion)) = table.next_completion() {
            answers.push((sequence, completion.check().status));
        }
    }
    world.lives += lives;
    assert_eq!(lives, 6, "five tries, and a life that gives up");
    for (sequence, status) in answers {
        let poison = sequence == 1 + POISON / 8;
        let expected = if poison { Status::Io } else { Status::Done };
        assert_eq!(status, expected, "request {sequence}");
    }
}

#[test]
fn an_error_reaches_the_request_that_failed_and_no_other() {
    let mut world = World::new(ALL_FEATURES, 1, 7);
    world.machine.borrow_mut().bad_sector = Some(5 * 8 + 3);
    let mut service = world.driver(&Life::endless());
    let mut exerciser = world.exerciser(16, 7);
    while exerciser.completed < 5000 {
        world.turn(&mut service, &mut exerciser);
        assert!(exerciser.failed_block.is_none_or(|block| block == 5));
    }
    assert!(exerciser.failures > 50);
}

#[test]
fn requests_that_make_no_sense_are_refused_one_by_one() {
    let mut world = World::new(ALL_FEATURES, 1, 1);
    let mut service = world.driver(&Life::endless());
    let mut table = world.table(0);
    let end = u64::from(BLOCKS) * 8;
    let one = segment(0, 512);
    let cases = [
        (RequestWire::read(end - 1, one), Status::Done),
        (RequestWire::read(end, one), Status::OutOfRange),
        (
            RequestWire::write(end - 1, segment(0, 1024)),
            Status::OutOfRange,
        ),
        (RequestWire::read(u64::MAX - 1, one), Status::OutOfRange),
        (
            RequestWire::read(0, segment(DATA_BYTES as u32, 512)),
            Status::BadAddress,
        ),
        (RequestWire::read(0, segment(3, 512)), Status::Invalid),
        (
            RequestWire::sectors(Operation::Discard, 0, 1),
            Status::NotSupported,
        ),
        (
            RequestWire::sectors(Operation::WriteZeroes, 0, 1),
            Status::NotSupported,
        ),
        (flush(), Status::Done),
        (
            RequestWire::transfer(Operation::Read, 0, &[one; SEGMENTS_MAX]),
            Status::Done,
        ),
    ];
    for (wire, expected) in cases {
        let completion = world.ask(&mut service, &mut table, &wire);
        assert_eq!(completion.status, expected, "{wire:?}");
    }
    let description = world.ask(
        &mut service,
        &mut table,
        &RequestWire::plain(Operation::Describe),
    );
    assert_eq!(
        (description.value, description.flags),
        (end, DEVICE_FLUSHES)
    );
    let wire = RequestWire::transfer(Operation::Identify, 0, &[segment(512, 20)]);
    assert_eq!(
        world.ask(&mut service, &mut table, &wire),
        Completion::done(20)
    );
    assert_eq!(
        &world.clients[0].data.bytes()[512..532],
        b"kintsugi test disk\0\0"
    );
}

#[test]
fn zeroes_are_written_by_the_device() {
    const WRITE_ZEROES: u64 = 1 << 14;
    let mut world = World::new(ALL_FEATURES | WRITE_ZEROES, 1, 1);
    world.machine.borrow_mut().cache.fill(0xaa);
    let mut service = world.driver(&Life::endless());
    let mut table = world.table(0);
    let wire = RequestWire::sectors(Operation::WriteZeroes, 3, 2);
    assert_eq!(
        world.ask(&mut service, &mut table, &wire).status,
        Status::Done
    );
    let zeroes = world
        .machine
        .borrow()
        .cache
        .iter()
        .filter(|b| **b == 0)
        .count();
    assert_eq!((zeroes, world.machine.borrow().cache[3 * 512]), (1024, 0));
    let wire = RequestWire::sectors(Operation::WriteZeroes, 0, 65);
    assert_eq!(
        world.ask(&mut service, &mut table, &wire).status,
        Status::Invalid
    );
}

#[test]
fn a_read_only_disk_refuses_writes() {
    const READ_ONLY: u64 = 1 << 5;
    let mut world = World::new(ALL_FEATURES | READ_ONLY, 1, 1);
    let mut service = world.driver(&Life::endless());
    let mut table = world.table(0);
    let write = RequestWire::write(0, segment(0, 512));
    assert_eq!(
        world.ask(&mut service, &mut table, &write).status,
        Status::ReadOnly
    );
    let read = RequestWire::read(0, segment(0, 512));
    assert_eq!(
        world.ask(&mut service, &mut table, &read).status,
        Status::Done
    );
}

#[test]
fn without_a_disk_requests_fail() {
    let mut world = World::new(ALL_FEATURES, 1, 1);
    world.machine.borrow_mut().kind = DeviceType::Network;
    let registers = Registers(Rc::clone(&world.machine));
    let error = VirtioDisk::start(registers, world.dma.shared_mut(&Life::endless()), DMA_PADDR);
    assert_eq!(error.err(), Some(NoDisk::OtherDevice(DeviceType::Network)));
    let mut service = world.driver(&Life::endless());
    let mut table = world.table(0);
    for wire in [flush(), RequestWire::read(0, segment(0, 512))] {
        assert_eq!(
            world.ask(&mut service, &mut table, &wire).status,
            Status::NoDevice
        );
    }
}

#[test]
fn a_short_queue_takes_fewer_requests_at_a_time() {
    let mut world = World::new(ALL_FEATURES, 1, 3);
    world.machine.borrow_mut().queue_size = 16;
    let mut service = world.driver(&Life::endless());
    assert_eq!(service.device_mut().unwrap().info().depth, 2);
    let mut exerciser = world.exerciser(20, 3);
    while exerciser.completed < 500 {
        world.turn(&mut service, &mut exerciser);
    }
    world.machine.borrow_mut().queue_size = 4;
    let registers = Registers(Rc::clone(&world.machine));
    let error = VirtioDisk::start(registers, world.dma.shared_mut(&Life::endless()), DMA_PADDR);
    assert_eq!(error.err(), Some(NoDisk::QueueTooShort(4)));
}

/// A flush waits for what came before, and what came after waits for the flush.
#[test]
fn a_flush_is_a_barrier() {
    let mut world = World::new(ALL_FEATURES, 1, 1);
    let mut service = world.driver(&Life::endless());
    let mut table = world.table(0);
    let write = |sector: u64| RequestWire::write(sector, segment(sector as u32 * 512, 512));
    let before = [
        table.submit(&write(0)).unwrap(),
        table.submit(&write(1)).unwrap(),
    ];
    let flush = table.submit(&flush()).unwrap();
    let after = table.submit(&write(2)).unwrap();
    service.run();
    let mut order = Vec::new();
    while order.len() < 4 {
        world.machine.borrow_mut().work(1);
        world.interrupt(&mut service);
        while let Some((slot, _, _)) = table.next_completion() {
            order.push(slot);
        }
    }
    assert!(before.contains(&order[0]) && before.contains(&order[1]));
    assert_eq!(order[2..], [flush, after]);
}

#[test]
#[should_panic(expected = "the disk reports Head(2) as done")]
fn a_disk_beside_itself_ends_this_life() {
    let mut world = World::new(ALL_FEATURES, 1, 1);
    let mut service = world.driver(&Life::endless());
    world.machine.borrow_mut().lie(2);
    service.run();
}

#[test]
#[should_panic(expected = "the disk reports tag 3 as done, which was not in progress")]
fn a_disk_that_invents_completions_ends_this_life() {
    let mut world = World::new(ALL_FEATURES, 1, 1);
    let mut service = world.driver(&Life::endless());
    world.machine.borrow_mut().lie(3 * 6);
    service.run();
}
