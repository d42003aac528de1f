// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Measures the time service as its clients see it. `cargo xtask bench timer` boots this twice, with
//! and without the PD that kills, and collects the lines `FIGURE ...`.
//!
//! Instructions are counted by the counter: under QEMU's `-icount shift=0` one instruction is one
//! nanosecond of guest time. So a cost has everything in it that passes until the client goes on:
//! client library, kernel, both switches, and the service. The step is one count, 16 ns.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::{format, vec::Vec};
use core::time::Duration;

use figures::Samples;
use log::info;
use pd_clients::TimerChannel;
use sel4_microkit::{Handler, NullHandler, protection_domain};
use timer_client::{Clock, Deadline, Service, Timer, Timers};

/// Pages of this PD, each good for 1,024 timers; how many of them are used.
const PAGES: usize = 10;
const PER_PAGE: usize = 1000;
/// Armed timers at which costs are measured.
const COUNTS: [usize; 3] = [1, 100, 10_000];
/// And at which restarts are.
const RESTART_COUNTS: [usize; 4] = [1, 100, 1000, 10_000];
const RESTARTS: u32 = 40;
const SAMPLES: usize = 200;
const CLOCK_READS: u64 = 1000;
const LATENESS_SAMPLES: usize = 2000;

struct Bench {
    pages: Vec<Timers<TimerChannel>>,
    clock: Clock,
    channel: TimerChannel,
    armed: usize,
    random: u64,
}

#[protection_domain(stack_size = 0x8000, heap_size = 0x100000)]
fn init() -> impl Handler {
    pd_setup::log();
    let topology = pd_setup::topology();
    let (clock, channel) = (pd_clients::clock(&topology), TimerChannel::find(&topology));
    let region = |name: &str| pd_setup::region(&topology, name);
    let attach = |page: usize| {
        let timers = pd_setup::writes(&region(&format!("bench_timer.{page}_to_timer_timers")));
        let firings = pd_setup::reads(&region(&format!("timer_to_bench_timer.{page}_firings")));
        Timers::attach(timers, firings, clock.clone(), channel).expect("64 KiB each")
    };
    let mut bench = Bench {
        pages: (0..PAGES).map(attach).collect(),
        clock: clock.clone(),
        channel,
        armed: 0,
        random: 1,
    };
    if topology.region("chaos_seed").is_none() {
        bench.calm();
    } else {
        bench.under_kills();
    }
    info!("KINTSUGI|PASS bench");
    NullHandler::new()
}

fn print(samples: &mut Samples, name: &str, unit: &str) {
    info!("{}", samples.summary(name, unit));
}

/// Runs `work` and returns the guest time that it took.
fn cost<T>(work: impl FnOnce() -> T) -> (u64, T) {
    let start = recovery::ticks();
    let result = work();
    (nanoseconds(recovery::ticks() - start), result)
}

fn nanoseconds(ticks: u64) -> u64 {
    ticks * 1_000_000_000 / recovery::ticks_per_second()
}

impl Bench {
    fn calm(&mut self) {
        self.clock_read();
        for count in COUNTS {
            self.arm_up_to(count);
            self.costs(count);
        }
        self.arm_up_to(100);
        self.lateness("timer.lateness");
    }

    fn under_kills(&mut self) {
        // Has the service at work, so that it gets to the places where it is killed.
        let ticker = self.pages[0]
            .every(Duration::from_millis(1))
            .expect("a free timer");
        for count in RESTART_COUNTS {
            self.arm_up_to(count - 1);
            // The host tool takes the service's own lines from here on.
            info!("RESTARTS armed={count}");
            let until = self.clock.service_epoch() + RESTARTS;
            while self.clock.service_epoch() < until {
                self.channel.wait();
                let _ = self.pages[0].fired(ticker);
            }
            info!("RESTARTS end");
        }
        self.pages[0].cancel(ticker).expect("it is ours");
        self.arm_up_to(1000);
        self.lateness("timer.lateness_under_kills");
    }

    /// Below `limit`; SplitMix64.
    fn random(&mut self, limit: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.random;
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ word >> 31) % limit
    }

    /// A time that does not come while this runs.
    fn far(&mut self) -> Deadline {
        let wait = Duration::from_secs(10_000) + Duration::from_nanos(self.random(1 << 40));
        (self.clock.now() + wait).into()
    }

    /// Has `count` timers armed that do not fire.
    fn arm_up_to(&mut self, count: usize) {
        if count < self.armed {
            self.pages.iter_mut().for_each(Timers::cancel_all);
            self.armed = 0;
        }
        while self.armed < count {
            let deadline = self.far();
            let page = if count <= PER_PAGE {
                0
            } else {
                self.armed % PAGES
            };
            let page = if self.pages[page].timers().count() < PER_PAGE {
                page
            } else {
                self.fewest()
            };
            self.pages[page]
                .start(deadline, Duration::ZERO)
                .expect("1,024 timers");
            self.armed += 1;
        }
    }

    fn fewest(&self) -> usize {
        (0..PAGES)
            .min_by_key(|page| self.pages[*page].timers().count())
            .unwrap_or(0)
    }

    fn clock_read(&mut self) {
        let mut samples = Samples::with_capacity(SAMPLES);
        for _ in 0..SAMPLES {
            let (ns, _) = cost(|| {
                for _ in 0..CLOCK_READS {
                    core::hint::black_box(self.clock.now());
                }
            });
            samples.add(ns.div_ceil(CLOCK_READS));
        }
        print(&mut samples, "clock.read", "instructions");
    }

    fn costs(&mut self, count: usize) {
        let [mut arm, mut cancel, mut fire] = [(); 3].map(|()| Samples::with_capacity(SAMPLES));
        for _ in 0..SAMPLES {
            let deadline = self.far();
            let page = &mut self.pages[0];
            let (ns, timer) = cost(|| page.start(deadline, Duration::ZERO));
            arm.add(ns);
            let timer = timer.expect("a free timer");
            let (ns, result) = cost(|| page.cancel(timer));
            cancel.add(ns);
            result.expect("it is ours");
            fire.add(self.fire());
        }
        for (samples, what) in [
            (&mut arm, "arm"),
            (&mut cancel, "cancel"),
            (&mut fire, "fire"),
        ] {
            print(samples, &format!("timer.{what}_{count}"), "instructions");
        }
    }

    /// The time that one firing takes from a program that does not wait for it: interrupt, service,
    /// notification, and back.
    fn fire(&mut self) -> u64 {
        let timer = self.pages[0]
            .after(Duration::from_micros(200))
            .expect("a free timer");
        let mut last = recovery::ticks();
        let mut longest = 0;
        while self.pages[0].fired_total(timer) == Ok(0) {
            let (before, now) = (last, recovery::ticks());
            longest = now.wrapping_sub(before).max(longest);
            last = now;
        }
        longest = (recovery::ticks() - last).max(longest);
        self.pages[0].cancel(timer).expect("it is ours");
        nanoseconds(longest)
    }

    /// From a deadline to the first instruction of the client, which waits and does nothing else.
    fn lateness(&mut self, name: &str) {
        let mut samples = Samples::with_capacity(LATENESS_SAMPLES);
        let fired = |page: &Timers<TimerChannel>, timer: Timer| page.fired_total(timer) != Ok(0);
        for _ in 0..LATENESS_SAMPLES {
            let wait = 500_000 + self.random(4_000_000);
            let deadline = self.clock.now() + Duration::from_nanos(wait);
            let timer = self.pages[0].at(deadline).expect("a free timer");
            while !fired(&self.pages[0], timer) {
                self.channel.wait();
            }
            let now = self.clock.now();
            assert!(now >= deadline, "early");
            samples.add(now.duration_since(deadline).as_nanos() as u64);
            self.pages[0].cancel(timer).expect("it is ours");
        }
        print(&mut samples, name, "ns_guest");
    }
}
