// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The time service with its hardware, and the counter that all services read.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use sel4_shared_memory::host::{HostRegion, Life};
use timer_service::{Alarm, Pages, Service};

use crate::machine::{Fates, TIMER};

/// 16 ns per count, as on QEMU.
pub const FREQUENCY: u64 = 62_500_000;
/// Counts that pass with each reading of the counter.
const READING_TICKS: u64 = 60;

thread_local! {
    /// The counter. A thread runs one machine at a time.
    static TICKS: Cell<u64> = const { Cell::new(1_000) };
}

/// Reads the counter; that takes time.
pub fn ticks() -> u64 {
    pass(READING_TICKS);
    TICKS.get()
}

/// Lets time pass.
pub fn pass(ticks: u64) {
    TICKS.set(TICKS.get() + ticks);
}

/// A machine is switched on.
pub fn begin() {
    TICKS.set(1_000);
}

/// The alarm, which outlives the service.
#[derive(Clone, Default)]
struct Hardware(Rc<Cell<Option<u64>>>);

/// What a life of the service holds.
pub struct Hold {
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

/// The time service through its lives.
pub struct Time {
    /// Pages of the service, and between it and its one client.
    pub clock: HostRegion,
    /// The client's.
    pub timers: HostRegion,
    /// The service's.
    pub firings: HostRegion,
    hardware: Hardware,
    service: Option<Service<Hold>>,
    life: Life,
    fates: Fates,
}

/// Shared between its client and whoever lets time pass.
pub type SharedTime = Rc<RefCell<Time>>;

impl Time {
    /// Starts it.
    pub fn new(fates: &Fates) -> SharedTime {
        let mut time = Self {
            clock: HostRegion::new(0x1000),
            timers: HostRegion::new(0x1_0000),
            firings: HostRegion::new(0x1_0000),
            hardware: Hardware::default(),
            service: None,
            life: Life::endless(),
            fates: fates.clone(),
        };
        time.work(true);
        Rc::new(RefCell::new(time))
    }

    fn attach(&mut self) -> Option<Service<Hold>> {
        let (life, epoch) = self.fates.begin(TIMER);
        self.life = life.clone();
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
        let clients = vec![("app_demo", pages)];
        let attached = life.run(|| Service::attach(hold, clock, clients, FREQUENCY, epoch));
        match attached {
            Ok(service) => Some(service.expect("the regions are large enough")),
            Err(_) => {
                self.fates.died(TIMER);
                None
            }
        }
    }

    /// Handles an interrupt or a notification, through as many lives as it takes.
    fn work(&mut self, notified: bool) {
        loop {
            if self.service.is_none() {
                self.service = self.attach();
                continue;
            }
            let Some(service) = self.service.as_mut() else {
                continue;
            };
            let worked = self.life.run(|| {
                service.quieten();
                service.run(|_| notified);
            });
            match worked {
                Ok(()) => return self.fates.worked(TIMER),
                Err(_) => {
                    self.service = None;
                    self.fates.died(TIMER);
                }
            }
        }
    }

    /// Lets the alarm ring if it is time.
    pub fn interrupt(&mut self) {
        let due = |alarm: u64| alarm <= TICKS.get();
        if self.hardware.0.get().is_some_and(due) {
            self.work(false);
        }
    }
}

/// The client's end.
pub struct Channel(pub SharedTime);

impl timer_client::Service for Channel {
    fn notify(&mut self) {
        self.0.borrow_mut().work(true);
    }

    fn wait(&mut self) {
        let mut time = self.0.borrow_mut();
        if let Some(alarm) = time.hardware.0.get() {
            TICKS.set(TICKS.get().max(alarm));
        } else {
            pass(FREQUENCY / 1_000);
        }
        time.interrupt();
    }
}
