// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! A machine: block service, file service and time service as they are, each in a life that ends at a
//! random step, with the memory that they share. One that died is started again by the supervisor, and
//! attaches to what is there.

use std::cell::RefCell;
use std::panic::resume_unwind;
use std::rc::Rc;

use blk_service::{ClientMemory, Share};
use fs_client::{FileSystem, Peer, Regions};
use fs_service::blk_disk::{BlkDisk, BlockPeer};
use fs_service::clock::InodeClock;
use fs_service::index::Index;
use fs_service::seal::{Key, Seals};
use fs_service::service::{ClientRegions, Service};
use fs_service::volume::Volume;
use proto::fs::Errno;
use sel4_shared_memory::host::{HostRegion, Life};
use timer_client::{Clock, Timers};

use crate::clock::{self, Channel, SharedTime, Time};
use crate::disk::{DATA_PADDR, Driver, Media, SharedMedia};
use crate::random::Random;
use crate::supervision::Supervisor;

/// Children of the supervisor.
pub const TIMER: usize = 0;
/// The file service.
pub const FS: usize = 1;
/// The block service.
pub const BLK: usize = 2;
const CHILDREN: usize = 3;
/// Steps that a life of each lasts at most.
const LIFE_STEPS: [u64; CHILDREN] = [1_500, 1_500, 400];
/// Lives get twice as long with each futile one, so many times.
const FUTILE_MAX: u32 = 12;
/// Counts that pass with each look of the file service.
const LOOK_TICKS: u64 = 6_000;
/// Bytes of the file service's page cache.
const CACHE_BYTES: usize = 4 << 20;

/// What unwinds when the power goes.
pub struct PowerCut;

struct Inner {
    random: Random,
    supervisor: Supervisor,
    epochs: [u32; CHILDREN],
    /// Lives in a row that ended before anything was finished: a start that takes longer than any life would
    /// never end.
    futile: [u32; CHILDREN],
    deaths: u64,
    /// Nobody dies any more.
    peace: bool,
    /// Looks of the file service at its disk until the power goes.
    cut_after: Option<u64>,
}

/// Who lives how long, and who starts them again.
#[derive(Clone)]
pub struct Fates(Rc<RefCell<Inner>>);

impl Fates {
    /// A machine's.
    pub fn new(random: &Random, cut_after: Option<u64>) -> Self {
        Self(Rc::new(RefCell::new(Inner {
            random: random.clone(),
            supervisor: Supervisor::new(CHILDREN, random),
            epochs: [0; CHILDREN],
            futile: [0; CHILDREN],
            deaths: 0,
            peace: false,
            cut_after,
        })))
    }

    /// The next life of a child, and its epoch.
    pub fn begin(&self, child: usize) -> (Life, u32) {
        let inner = self.0.borrow();
        let life = match inner.peace {
            true => Life::endless(),
            false => {
                let steps = inner.random.life_steps(LIFE_STEPS[child]);
                Life::of_steps(steps << inner.futile[child].min(FUTILE_MAX))
            }
        };
        (life, inner.epochs[child])
    }

    /// A child has died: it is started again.
    ///
    /// # Panics
    ///
    /// When the supervisor does not do that.
    pub fn died(&self, child: usize) {
        let mut inner = self.0.borrow_mut();
        inner.deaths += 1;
        inner.futile[child] += 1;
        let epoch = inner.supervisor.on_death(child);
        let epoch = epoch.unwrap_or_else(|what| panic!("{what}"));
        assert_ne!(
            epoch, inner.epochs[child],
            "a new life has the epoch of the last"
        );
        inner.epochs[child] = epoch;
    }

    /// A child has finished something.
    pub fn worked(&self, child: usize) {
        self.0.borrow_mut().futile[child] = 0;
    }

    /// All deaths so far, the supervisor's included.
    pub fn deaths(&self) -> u64 {
        let inner = self.0.borrow();
        inner.deaths + inner.supervisor.deaths
    }

    /// From here on nobody dies.
    pub fn make_peace(&self) {
        let mut inner = self.0.borrow_mut();
        inner.peace = true;
        inner.cut_after = None;
    }

    fn maybe_cut(&self) {
        let cut = {
            let mut inner = self.0.borrow_mut();
            match &mut inner.cut_after {
                Some(0) => true,
                Some(left) => {
                    *left -= 1;
                    false
                }
                None => false,
            }
        };
        if cut {
            resume_unwind(Box::new(PowerCut));
        }
    }
}

/// The block service through its lives.
struct Blk {
    requests: HostRegion,
    completions: HostRegion,
    media: SharedMedia,
    service: Option<blk_service::Service<Driver>>,
    life: Life,
    fates: Fates,
}

impl Blk {
    fn attach(&mut self) -> Option<blk_service::Service<Driver>> {
        let (life, epoch) = self.fates.begin(BLK);
        self.life = life.clone();
        let memory = ClientMemory {
            requests: self.requests.shared_ref(),
            completions: self.completions.shared_mut(&life),
            data_paddr: DATA_PADDR,
            data_bytes: CACHE_BYTES as u64,
            share: Share::Whole,
        };
        let media = Rc::clone(&self.media);
        let attached = life.run(|| {
            let driver = Driver::start(&media, &life);
            blk_service::Service::attach(Some(driver), [memory], epoch)
        });
        match attached {
            Ok(service) => Some(service.expect("the regions are large enough")),
            Err(_) => {
                self.fates.died(BLK);
                None
            }
        }
    }

    fn work(&mut self, interrupted: bool) {
        loop {
            if self.service.is_none() {
                self.service = self.attach();
                continue;
            }
            let Some(service) = self.service.as_mut() else {
                continue;
            };
            let worked = self.life.run(|| {
                if interrupted {
                    service.interrupted();
                }
                service.run();
            });
            match worked {
                Ok(()) => return self.fates.worked(BLK),
                Err(_) => {
                    self.service = None;
                    self.fates.died(BLK);
                }
            }
        }
    }
}

/// The file service's end of the block service.
pub struct BlkPeer(Rc<RefCell<Blk>>);

impl BlockPeer for BlkPeer {
    fn notify(&mut self) {
        self.0.borrow_mut().work(false);
    }

    fn wait_or(&mut self, _look: &mut dyn FnMut() -> bool) {
        let fates = self.0.borrow().fates.clone();
        fates.maybe_cut();
        let media = Rc::clone(&self.0.borrow().media);
        let worked = media.borrow_mut().work();
        self.0.borrow_mut().work(worked);
    }
}

/// Everything but the application.
pub struct Machine {
    fates: Fates,
    time: SharedTime,
    blk: Rc<RefCell<Blk>>,
    memory: HostRegion,
    index: HostRegion,
    /// Between application and file service: requests, completions, data to the service and from it.
    link: [HostRegion; 4],
    service: Option<Service<BlkDisk<BlkPeer>>>,
    /// What `fs_state` keeps: the number of this boot.
    boot: Option<u64>,
    life: Life,
}

/// Shared between the application's libraries.
pub type SharedMachine = Rc<RefCell<Machine>>;

impl Machine {
    /// Switches one on.
    pub fn new(image: Vec<u8>, random: &Random, fates: &Fates) -> SharedMachine {
        clock::begin();
        let memory = HostRegion::new(CACHE_BYTES);
        let blk = Blk {
            requests: HostRegion::new(0x1_0000),
            completions: HostRegion::new(0x1_0000),
            media: Media::new(image, &memory, random),
            service: None,
            life: Life::endless(),
            fates: fates.clone(),
        };
        let sizes = [0x1_0000, 0x1_0000, 0x8_0000, 0x8_0000];
        Rc::new(RefCell::new(Self {
            time: Time::new(fates),
            blk: Rc::new(RefCell::new(blk)),
            memory,
            index: HostRegion::new(1 << 20),
            link: sizes.map(HostRegion::new),
            service: None,
            boot: None,
            life: Life::endless(),
            fates: fates.clone(),
        }))
    }

    /// The disk.
    pub fn media(&self) -> SharedMedia {
        Rc::clone(&self.blk.borrow().media)
    }

    fn begin(&mut self) -> bool {
        let (life, epoch) = self.fates.begin(FS);
        self.life = life.clone();
        let (requests, completions) = {
            let blk = self.blk.borrow();
            (blk.requests.shared_mut(&life), blk.completions.shared_ref())
        };
        let memory = self.memory.shared_mut(&Life::endless());
        let peer = BlkPeer(Rc::clone(&self.blk));
        let index = Index::new(self.index.shared_mut(&life));
        let [to, answers, input, output] = &self.link;
        let client = ClientRegions {
            requests: to.shared_ref(),
            completions: answers.shared_mut(&life),
            input: input.shared_ref(),
            output: output.shared_mut(&Life::endless()),
        };
        let boot = self.boot;
        let started = life.run(|| {
            let mut disk = BlkDisk::attach(requests, completions, memory, peer)
                .expect("the regions are large enough");
            let inode_clock = InodeClock::default();
            inode_clock.set((1_700_000_000 + u64::from(epoch)) * 1_000_000_000);
            let volume = disk
                .start()
                .map_err(|error| format!("{error:?}"))
                .and_then(|()| {
                    Volume::mount(disk, inode_clock, boot, Some(index))
                        .map(|(volume, _)| volume)
                        .map_err(|error| error.to_string())
                });
            let volume = volume.map_err(|error| {
                eprintln!("mount: {error}");
                Errno::NeedsCleaning
            });
            let seals = Seals::new(Key([7, 2]));
            Service::new(volume, vec![client], epoch, seals).expect("the regions are large enough")
        });
        match started {
            Ok(mut service) => {
                self.boot = service.volume().ok().map(|volume| volume.boot());
                self.service = Some(service);
                true
            }
            Err(_) => {
                self.fates.died(FS);
                false
            }
        }
    }

    /// Lets the file service work until there is nothing to do, through as many lives as it takes.
    fn run(&mut self) {
        loop {
            if self.service.is_none() && !self.begin() {
                continue;
            }
            let Some(service) = self.service.as_mut() else {
                continue;
            };
            let life = self.life.clone();
            match life.run(|| service.run_batch(&mut |_| ())) {
                Ok(true) => self.fates.worked(FS),
                Ok(false) => return,
                Err(_) => {
                    self.service = None;
                    self.fates.died(FS);
                }
            }
        }
    }
}

/// The application's end of the file service.
struct FilePeer(SharedMachine);

impl Peer for FilePeer {
    fn notify(&mut self) {}

    fn wait(&mut self) {
        let mut machine = self.0.borrow_mut();
        machine.run();
        clock::pass(LOOK_TICKS);
        machine.time.borrow_mut().interrupt();
    }
}

/// What the application holds.
pub fn application(machine: &SharedMachine) -> (FileSystem, Timers<Channel>) {
    let (regions, time) = {
        let machine = machine.borrow();
        let [to, answers, input, output] = &machine.link;
        let regions = Regions {
            requests: to.shared_mut(&Life::endless()),
            completions: answers.shared_ref(),
            output: input.shared_mut(&Life::endless()),
            input: output.shared_ref(),
        };
        (regions, Rc::clone(&machine.time))
    };
    let files = FileSystem::attach(regions, FilePeer(Rc::clone(machine)));
    let (armed, firings, clock) = {
        let time = time.borrow();
        let clock = Clock::attach(time.clock.shared_ref(), clock::ticks);
        (
            time.timers.shared_mut(&Life::endless()),
            time.firings.shared_ref(),
            clock.expect("the service is there"),
        )
    };
    let timers = Timers::attach(armed, firings, clock, Channel(time));
    (
        files.expect("the regions are large enough"),
        timers.expect("the regions are large enough"),
    )
}
