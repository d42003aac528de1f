// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The application on the file service and the time service, all in one process, on a disk made by the
//! host's mke2fs. The services die between any two of their steps and are attached again; the
//! application has to see nothing of it, and e2fsck neither.

#[path = "../../fs/tests/common/mod.rs"]
mod common;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use app_demo_service::{Extent, run};
use common::{Random, SharedWorld, World, image};
use fs_client::{FileSystem, Peer, Regions};
use sel4_shared_memory::host::{HostRegion, Life};
use timer_client::{Clock, Timers};
use timer_service::{Alarm, Pages, Service};

/// 16 ns per count, as on QEMU.
const FREQUENCY: u64 = 62_500_000;
/// Counts that pass with each reading of the counter, and with each file operation.
const READING_TICKS: u64 = 60;
const OPERATION_TICKS: u64 = 6_000;

thread_local! {
    /// The counter. A thread runs one test.
    static TICKS: Cell<u64> = const { Cell::new(1_000) };
}

fn ticks() -> u64 {
    TICKS.set(TICKS.get() + READING_TICKS);
    TICKS.get()
}

/// The alarm, which outlives the service.
#[derive(Clone, Default)]
struct Hardware(Rc<Cell<Option<u64>>>);

struct Hold {
    hardware: Hardware,
    life: Life,
}

impl Alarm for Hold {
    fn set(&mut self, ticks: u64) {
        self.life.step();
        self.hardware.0.set(Some(ticks));
    }

    fn stop(&mut self) {
        self.life.step();
        self.hardware.0.set(None);
    }
}

impl timer_service::World for Hold {
    fn ticks(&self) -> u64 {
        ticks()
    }

    fn notify(&mut self, _client: usize) {
        self.life.step();
    }

    fn wall_ns(&mut self) -> u64 {
        0
    }

    fn keep_wall(&mut self, _wall_ns: u64) {}
}

/// The time service through its lives, and what they leave to each other.
struct Time {
    clock: HostRegion,
    timers: HostRegion,
    firings: HostRegion,
    hardware: Hardware,
    service: Option<Service<Hold>>,
    life: Life,
    lives: u32,
    /// Steps after which each next life dies; the last one lives.
    deaths: Vec<u64>,
}

impl Time {
    fn new(deaths: Vec<u64>) -> Rc<RefCell<Self>> {
        let mut time = Self {
            clock: HostRegion::new(0x1000),
            timers: HostRegion::new(0x1_0000),
            firings: HostRegion::new(0x1_0000),
            hardware: Hardware::default(),
            service: None,
            life: Life::endless(),
            lives: 0,
            deaths,
        };
        time.work(true);
        Rc::new(RefCell::new(time))
    }

    fn attach(&mut self) -> Option<Service<Hold>> {
        self.life = self.deaths.pop().map_or_else(Life::endless, Life::of_steps);
        let life = self.life.clone();
        self.lives += 1;
        let pages = Pages {
            timers: self.timers.shared_ref(),
            firings: self.firings.shared_mut(&life),
            control: None,
        };
        let hold = Hold {
            hardware: self.hardware.clone(),
            life: life.clone(),
        };
        let clock = self.clock.shared_mut(&life);
        let epoch = self.lives;
        let attached =
            life.run(|| Service::attach(hold, clock, vec![("app_demo", pages)], FREQUENCY, epoch));
        attached
            .ok()
            .map(|service| service.expect("the regions are large enough"))
    }

    /// Handles an interrupt or a notification, through as many lives as it takes.
    fn work(&mut self, notified: bool) {
        loop {
            if self.service.is_none() {
                self.service = self.attach();
                continue;
            }
            let service = self.service.as_mut().expect("it was just attached");
            let worked = self.life.run(|| {
                service.quieten();
                service.run(|_| notified);
            });
            match worked {
                Ok(()) => return,
                Err(_) => self.service = None,
            }
        }
    }

    fn interrupt(&mut self) {
        if self
            .hardware
            .0
            .get()
            .is_some_and(|alarm| alarm <= TICKS.get())
        {
            self.work(false);
        }
    }
}

struct TimeChannel(Rc<RefCell<Time>>);

impl timer_client::Service for TimeChannel {
    fn notify(&mut self) {
        self.0.borrow_mut().work(true);
    }

    fn wait(&mut self) {
        let mut time = self.0.borrow_mut();
        let alarm = time.hardware.0.get().expect("who waits has armed a timer");
        TICKS.set(TICKS.get().max(alarm));
        time.interrupt();
    }
}

/// The file service, with time passing while it works.
struct Files {
    world: SharedWorld,
    time: Rc<RefCell<Time>>,
}

impl Peer for Files {
    fn notify(&mut self) {}

    fn wait(&mut self) {
        self.world.borrow_mut().run();
        TICKS.set(TICKS.get() + OPERATION_TICKS);
        self.time.borrow_mut().interrupt();
    }
}

const EXTENT: Extent = Extent {
    rounds_min: 3,
    work_min: Duration::ZERO,
    rounds_max: 3,
};

/// Runs the application; returns how often the two services began a life.
fn run_on(disk: Vec<u8>, deadly: bool, seed: u64) -> (u32, u32) {
    let world = World::new(disk, 1);
    if deadly {
        let mut random = Random::new(seed);
        world.borrow_mut().deaths = (0..60).map(|_| 1 + random.below(800)).collect();
    }
    let mut random = Random::new(seed + 1_000);
    let time_deaths = (0..if deadly { 60 } else { 0 }).map(|_| 1 + random.below(3_000));
    let time = Time::new(time_deaths.collect());
    let link = world.borrow().links[0].clone();
    let regions = Regions {
        requests: link.requests.shared_mut(&Life::endless()),
        completions: link.completions.shared_ref(),
        output: link.to_service.shared_mut(&Life::endless()),
        input: link.to_client.shared_ref(),
    };
    let peer = Files {
        world: Rc::clone(&world),
        time: Rc::clone(&time),
    };
    let files = FileSystem::attach(regions, peer).expect("the regions are large enough");
    let channel = TimeChannel(Rc::clone(&time));
    let timers = {
        let time = time.borrow();
        let clock = Clock::attach(time.clock.shared_ref(), ticks).expect("the service is there");
        (
            time.timers.shared_mut(&Life::endless()),
            time.firings.shared_ref(),
            clock,
        )
    };
    let timers = Timers::attach(timers.0, timers.1, timers.2, channel);
    let timers = timers.expect("the regions are large enough");
    if let Err(failure) = run(files, timers, EXTENT) {
        panic!("seed {seed}: {failure}");
    }
    image::check(&world.borrow().image(), true)
        .unwrap_or_else(|found| panic!("seed {seed}: {found}"));
    let lives = (world.borrow().lives, time.borrow().lives);
    lives
}

fn disk() -> Vec<u8> {
    let contents = [vec![1; 70_000], vec![2; 3]];
    let files = [
        ("/a/long", contents[0].as_slice()),
        ("/short", contents[1].as_slice()),
    ];
    image::fill(&image::make(32, &[]), &["/a"], &files)
}

#[test]
fn all_is_right_while_nobody_dies() {
    if image::have_tools() {
        assert_eq!(run_on(disk(), false, 1), (1, 1));
    }
}

#[test]
fn all_is_right_while_services_die() {
    if !image::have_tools() {
        return;
    }
    for seed in 1..=2 {
        let (files, time) = run_on(disk(), true, seed);
        assert!(
            files > 20 && time > 20,
            "seed {seed}: {files} and {time} lives"
        );
    }
}

#[test]
fn a_disk_without_files_is_one_clear_error() {
    let world = World::new(vec![0; 1 << 20], 1);
    let time = Time::new(Vec::new());
    let fs = common::client(&world, 0);
    let (page, firings, clock) = {
        let time = time.borrow();
        let clock = Clock::attach(time.clock.shared_ref(), ticks).expect("the service is there");
        (
            time.timers.shared_mut(&Life::endless()),
            time.firings.shared_ref(),
            clock,
        )
    };
    let timers = Timers::attach(page, firings, clock, TimeChannel(Rc::clone(&time)));
    let failure = run(fs, timers.expect("the regions are large enough"), EXTENT).unwrap_err();
    assert_eq!(failure.to_string(), "statfs /: file system needs cleaning");
}
