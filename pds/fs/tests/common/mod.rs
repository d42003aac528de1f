// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The file service, a client and a disk in one process, with crashes.
//!
//! A crash unwinds out of the service at a store to its completions or at a write to the disk; what it
//! had in memory is gone, the shared regions and the disk stay, and a new life attaches to them.
#![allow(dead_code, reason = "each test uses its part")]

pub mod image;
pub mod media;
pub mod workload;

use std::cell::RefCell;
use std::rc::Rc;

use fs_client::{FileSystem, Peer, Regions};
use fs_service::clock::InodeClock;
use fs_service::index::Index;
use fs_service::limits::Limits;
use fs_service::seal::{Key, Seals};
use fs_service::service::{ClientRegions, Service};
use fs_service::store::Counters;
use fs_service::volume::Volume;
use proto::fs::Errno;
use sel4_shared_memory::host::{HostRegion, Life};

use media::{Media, SimDisk};

/// Regions between one client and the service.
#[derive(Clone)]
pub struct Link {
    pub requests: HostRegion,
    pub completions: HostRegion,
    pub to_service: HostRegion,
    pub to_client: HostRegion,
}

impl Link {
    pub fn new() -> Self {
        Self {
            requests: HostRegion::new(64 * 1024),
            completions: HostRegion::new(64 * 1024),
            to_service: HostRegion::new(512 * 1024),
            to_client: HostRegion::new(512 * 1024),
        }
    }

    fn service_side(&self, life: &Life) -> ClientRegions {
        ClientRegions {
            requests: self.requests.shared_ref(),
            completions: self.completions.shared_mut(life),
            input: self.to_service.shared_ref(),
            output: self.to_client.shared_mut(&Life::endless()),
        }
    }

    pub fn client_side(&self) -> Regions {
        Regions {
            requests: self.requests.shared_mut(&Life::endless()),
            completions: self.completions.shared_ref(),
            output: self.to_service.shared_mut(&Life::endless()),
            input: self.to_client.shared_ref(),
        }
    }
}

/// Everything but the clients.
pub struct World {
    pub media: Rc<RefCell<Media>>,
    pub memory: HostRegion,
    /// `fs_cache_index`; its stores are steps of the service's life.
    pub index: Option<HostRegion>,
    pub links: Vec<Link>,
    service: Option<Service<SimDisk>>,
    /// What `fs_state` keeps: the number of this boot.
    boot: Option<u64>,
    pub life: Life,
    pub lives: u32,
    /// Clients that the service has notified, as bits.
    told: u64,
    /// Requests that were answered from the record, by lives that have ended.
    pub recorded: u64,
    /// Transactions that a life found complete and wrote again, by lives that have ended.
    redone: u64,
    /// What clients may see and use.
    pub limits: Option<Vec<Option<Limits>>>,
    /// Steps after which each next life dies; the last one lives.
    pub deaths: Vec<u64>,
}

pub type SharedWorld = Rc<RefCell<World>>;

impl World {
    pub fn new(image: Vec<u8>, clients: usize) -> SharedWorld {
        Self::with_memory(image, clients, 4 << 20)
    }

    pub fn with_memory(image: Vec<u8>, clients: usize, memory: usize) -> SharedWorld {
        Rc::new(RefCell::new(Self {
            media: Rc::new(RefCell::new(Media::new(image))),
            memory: HostRegion::new(memory),
            index: Some(HostRegion::new(1 << 20)),
            links: (0..clients).map(|_| Link::new()).collect(),
            service: None,
            boot: None,
            life: Life::endless(),
            lives: 0,
            told: 0,
            recorded: 0,
            redone: 0,
            limits: None,
            deaths: Vec::new(),
        }))
    }

    /// Begins a life of the service; it may end before it serves.
    fn begin(&mut self) -> bool {
        self.life = self.deaths.pop().map_or_else(Life::endless, Life::of_steps);
        let life = self.life.clone();
        let epoch = self.lives;
        self.lives += 1;
        // What the last one has not told is told by this one.
        self.told = u64::MAX;
        let disk = SimDisk::new(&self.media, &self.memory, &life);
        let links = self.links.clone();
        let limits = self.limits.clone();
        let boot = self.boot;
        let boot_key = 7;
        let index = self.index.as_ref();
        let index = index.map(|region| Index::new(region.shared_mut(&life)));
        let started = life.run(|| {
            let clock = InodeClock::default();
            clock.set((1_700_000_000 + u64::from(epoch)) * 1_000_000_000);
            let volume = match Volume::mount(disk, clock, boot, index) {
                Ok((volume, _)) => Ok(volume),
                Err(error) => {
                    eprintln!("mount: {error}");
                    Err(Errno::NeedsCleaning)
                }
            };
            let links = links.iter().map(|link| link.service_side(&life)).collect();
            let seals = Seals::new(Key([boot_key, 2]));
            let mut service =
                Service::new(volume, links, epoch, seals).expect("the regions are large enough");
            if let Some(limits) = limits {
                service.set_limits(limits);
            }
            service
        });
        match started {
            Ok(mut service) => {
                self.boot = service.volume().ok().map(|volume| volume.boot());
                self.service = Some(service);
                true
            }
            Err(_) => false,
        }
    }

    /// Lets the service work until there is nothing to do, through as many lives as it takes.
    pub fn run(&mut self) {
        loop {
            if self.service.is_none() && !self.begin() {
                continue;
            }
            let life = self.life.clone();
            let service = self.service.as_mut().expect("it has begun");
            let told = &mut self.told;
            let worked = life.run(|| service.run_batch(&mut |client| *told |= 1 << client));
            match worked {
                Ok(true) => {}
                Ok(false) => return,
                Err(_) => {
                    self.recorded += service.recorded_count();
                    let volume = service.volume().expect("it is mounted");
                    self.redone += volume.counters().redone;
                    self.service = None;
                }
            }
        }
    }

    /// Ends the life of the service between two batches.
    pub fn kill(&mut self) {
        self.service = None;
    }

    /// The disk as it is now.
    pub fn image(&self) -> Vec<u8> {
        self.media.borrow().image()
    }

    /// What the store has counted in this life.
    pub fn counters(&mut self) -> Counters {
        let volume = self.service().volume().expect("it is mounted");
        volume.counters()
    }

    /// Transactions that any life found complete and wrote again.
    pub fn redone(&mut self) -> u64 {
        self.redone + self.counters().redone
    }

    pub fn service(&mut self) -> &mut Service<SimDisk> {
        if self.service.is_none() {
            assert!(self.begin());
        }
        self.service.as_mut().expect("it has begun")
    }
}

struct WorldPeer {
    world: SharedWorld,
    number: usize,
}

impl Peer for WorldPeer {
    fn notify(&mut self) {}

    fn wait(&mut self) {
        let mut world = self.world.borrow_mut();
        let bit = 1 << self.number;
        world.told &= !bit;
        world.run();
        assert!(world.told & bit != 0, "nobody wakes client {}", self.number);
    }
}

/// A client of the service.
pub fn client(world: &SharedWorld, number: usize) -> FileSystem {
    let regions = world.borrow().links[number].client_side();
    let peer = WorldPeer {
        world: Rc::clone(world),
        number,
    };
    FileSystem::attach(regions, peer).expect("the regions are large enough")
}

pub use test_fs_service::model::Random;
