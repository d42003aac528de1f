// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What the application says about its timers when the time service hangs, and when it loses one. The
//! service is the real one; its devices, and the time for which nobody serves, are not.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use app_demo_service::watch::{Counts, SHOTS, Watch};
use sel4_shared_memory::host::{HostRegion, Life};
use timer_client::{Clock, Timers};
use timer_service::{Alarm, Pages, Service, World};

const FREQUENCY: u64 = 62_500_000;
const TICKS_PER_MS: u64 = FREQUENCY / 1000;
/// Entries of the page of timers: offset and bytes of one (`proto::timer::timers`).
const ENTRIES: usize = 2048 * 8;
const ENTRY_BYTES: usize = 48;

thread_local! {
    /// The counter. A thread runs one test.
    static TICKS: Cell<u64> = const { Cell::new(1_000) };
}

fn ticks() -> u64 {
    TICKS.get()
}

struct Machine(Rc<Cell<Option<u64>>>);

impl Alarm for Machine {
    fn set(&mut self, ticks: u64) {
        self.0.set(Some(ticks));
    }

    fn stop(&mut self) {
        self.0.set(None);
    }
}

impl World for Machine {
    fn ticks(&self) -> u64 {
        ticks()
    }

    fn notify(&mut self, _client: usize) {}

    fn wall_ns(&mut self) -> u64 {
        0
    }

    fn keep_wall(&mut self, _wall_ns: u64) {}
}

struct Time {
    clock: HostRegion,
    timers: HostRegion,
    firings: HostRegion,
    /// What the service sees of `timers`: all but `hidden`.
    seen: HostRegion,
    hidden: Option<usize>,
    alarm: Rc<Cell<Option<u64>>>,
    service: Option<Service<Machine>>,
    lives: u32,
}

impl Time {
    fn new() -> Self {
        let mut time = Self {
            clock: HostRegion::new(0x1000),
            timers: HostRegion::new(0x1_0000),
            firings: HostRegion::new(0x1_0000),
            seen: HostRegion::new(0x1_0000),
            hidden: None,
            alarm: Rc::default(),
            service: None,
            lives: 0,
        };
        time.restart();
        time
    }

    fn show(&self) {
        let mut bytes = self.timers.bytes();
        if let Some(index) = self.hidden {
            bytes[ENTRIES + index * ENTRY_BYTES..][..ENTRY_BYTES].fill(0);
        }
        self.seen.set_bytes(0, &bytes);
    }

    fn restart(&mut self) {
        self.show();
        let life = Life::endless();
        let pages = Pages {
            timers: self.seen.shared_ref(),
            firings: self.firings.shared_mut(&life),
            control: None,
        };
        let (clock, machine) = (self.clock.shared_mut(&life), Machine(self.alarm.clone()));
        let pages = vec![("app_demo", pages)];
        self.lives += 1;
        let service = Service::attach(machine, clock, pages, FREQUENCY, self.lives);
        self.service = Some(service.expect("the regions are large enough"));
    }

    /// What is due; nothing when nobody serves.
    fn work(&mut self, notified: bool) {
        self.show();
        if let Some(service) = &mut self.service {
            service.quieten();
            service.run(|_| notified);
        }
    }

    /// Lets time pass, with the service (if there is one) at work in it.
    fn pass(&mut self, ms: u64) {
        let end = TICKS.get() + ms * TICKS_PER_MS;
        while let Some(alarm) = self.alarm.get().filter(|alarm| *alarm <= end) {
            if self.service.is_none() {
                break;
            }
            TICKS.set(TICKS.get().max(alarm));
            self.work(false);
        }
        TICKS.set(end);
    }
}

struct Channel(Rc<RefCell<Time>>);

impl timer_client::Service for Channel {
    fn notify(&mut self) {
        self.0.borrow_mut().work(true);
    }

    fn wait(&mut self) {
        self.0.borrow_mut().pass(1);
    }
}

/// Works for a second, is without a service for `hang_ms`, and works for another two.
fn counts(hidden: Option<usize>, hang_ms: u64) -> Counts {
    let time = Rc::new(RefCell::new(Time::new()));
    time.borrow_mut().hidden = hidden;
    let (timers, firings) = {
        let time = time.borrow();
        let timers = time.timers.shared_mut(&Life::endless());
        (timers, time.firings.shared_ref())
    };
    let clock = Clock::attach(time.borrow().clock.shared_ref(), ticks).unwrap();
    let timers = Timers::attach(timers, firings, clock, Channel(time.clone())).unwrap();
    let mut watch = Watch::start(timers).unwrap();
    let mut work = |ms| {
        for _ in 0..ms / 5 {
            time.borrow_mut().pass(5);
            watch.poll().unwrap();
        }
    };
    work(1000);
    if hang_ms > 0 {
        time.borrow_mut().service = None;
        work(hang_ms);
        time.borrow_mut().restart();
    }
    work(2000);
    watch.finish().unwrap()
}

#[test]
fn a_service_that_hangs_for_seconds_is_late_and_loses_nothing() {
    let calm = counts(None, 0);
    assert!(calm.is_right() && calm.late_ns_max < 1_000, "{calm:?}");
    let hung = counts(None, 5_000);
    assert!(hung.is_right(), "{hung:?}");
    assert!(hung.late_ns_max > 4_900_000_000, "{hung:?}");
}

#[test]
fn a_timer_that_the_service_leaves_out_is_lost() {
    // The periodic timer has place 0, the others those after it.
    for place in 1..=SHOTS {
        let counts = counts(Some(place), 1_500);
        assert!(
            counts.lost > 0 && counts.early + counts.extra == 0,
            "{counts:?}"
        );
    }
    assert!(counts(Some(0), 0).lost > 200, "the periodic one");
}
