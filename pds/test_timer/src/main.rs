// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! A test PD: keeps 1,000 timers armed for [`TEST_TIME`], and accounts for every firing.
//!
//! Meanwhile it sets the wall clock (module `wall`). It does not know whether somebody kills the time
//! service, and must not notice, other than by lateness. It ends with a line `KINTSUGI|PASS` or
//! `KINTSUGI|FAIL`.

#![no_std]
#![no_main]

extern crate alloc;

mod wall;

use alloc::{vec, vec::Vec};
use core::time::Duration;

use log::{error, info};
use pd_clients::TimerChannel;
use sel4_microkit::{ChannelSet, Handler, Infallible, protection_domain};
use timer_client::{Deadline, Instant, Service, Timer, Timers};

const ONE_SHOT: usize = 800;
const PERIODIC: usize = 200;
const TEST_TIME: Duration = Duration::from_secs(60);
/// A timer that is overdue by more than this at the end is lost.
const GRACE: Duration = Duration::from_secs(2);

/// One armed timer, and what is expected of it.
struct Expected {
    timer: Timer,
    first: Instant,
    period: Duration,
    fired: u64,
}

impl Expected {
    /// Deadlines that have passed at `now`.
    fn due(&self, now: Instant) -> u64 {
        match (now < self.first, self.period) {
            (true, _) => 0,
            (false, Duration::ZERO) => 1,
            (false, period) => {
                now.duration_since(self.first).as_nanos() as u64 / period.as_nanos() as u64 + 1
            }
        }
    }
}

/// Counts by size, to an eighth: buckets `[2^e (1 + s/8), 2^e (1 + (s+1)/8))`.
struct Histogram {
    counts: Vec<u64>,
    max: u64,
}

impl Histogram {
    fn new() -> Self {
        Self {
            counts: vec![0; 64 * 8],
            max: 0,
        }
    }

    fn add(&mut self, value: u64) {
        self.max = self.max.max(value);
        let value = value.max(8);
        let exponent = value.ilog2();
        let eighth = (value >> (exponent - 3)) & 7;
        self.counts[exponent as usize * 8 + eighth as usize] += 1;
    }

    /// The upper end of the bucket below which `percent` of the values are.
    fn at(&self, percent: u64) -> u64 {
        let wanted = self.counts.iter().sum::<u64>() * percent / 100;
        let mut sum = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            sum += count;
            if sum > wanted {
                let (exponent, eighth) = (bucket as u32 / 8, bucket as u64 % 8);
                return (((9 + eighth) << exponent) >> 3).min(self.max);
            }
        }
        self.max
    }
}

#[derive(Default)]
struct Tally {
    firings: u64,
    early: u64,
    twice: u64,
    clock_back: u64,
    service_lives: u32,
    wall_wrong: u64,
}

struct Test {
    timers: Timers<TimerChannel>,
    channel: TimerChannel,
    expected: Vec<Expected>,
    /// Which of `expected` has the timer with this index.
    owner: Vec<usize>,
    lateness: Histogram,
    tally: Tally,
    last: Instant,
    end: Instant,
    random: u64,
    /// Fires every 10 ms; every hundredth time it writes a numbered line: whoever reads the console's
    /// output can tell whether each was printed, and once.
    ticker: Timer,
    lines: u64,
    wall: wall::Check,
}

#[protection_domain(stack_size = 0x8000, heap_size = 0x200000)]
fn init() -> impl Handler {
    pd_setup::log();
    let topology = pd_setup::topology();
    let mut timers = pd_clients::timers(&topology);
    timers.cancel_all();
    info!(
        "wall clock {} s",
        timers.clock().system_time().as_nanos() / 1_000_000_000
    );
    let last = timers.clock().now();
    let ticker = timers
        .every(Duration::from_millis(10))
        .expect("a free timer");
    let wall = wall::Check::new(timers.clock());
    let mut test = Test {
        timers,
        channel: TimerChannel::find(&topology),
        expected: Vec::new(),
        owner: vec![usize::MAX; 1024],
        lateness: Histogram::new(),
        tally: Tally::default(),
        last,
        end: last + TEST_TIME,
        random: 1,
        ticker,
        lines: 0,
        wall,
    };
    test.check_sleep();
    for number in 0..ONE_SHOT + PERIODIC {
        let period = if number < ONE_SHOT {
            0
        } else {
            10_000_000 + test.random(100_000_000)
        };
        let expected = test.arm(Duration::from_nanos(period));
        test.owner[expected.timer.index()] = number;
        test.expected.push(expected);
    }
    info!("armed {} timers", test.timers.timers().count());
    test
}

impl Test {
    /// Below `limit`; SplitMix64.
    fn random(&mut self, limit: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.random;
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ word >> 31) % limit
    }

    fn arm(&mut self, period: Duration) -> Expected {
        let wait = Duration::from_nanos(100_000 + self.random(500_000_000));
        let first = self.timers.clock().now() + wait;
        let timer = self
            .timers
            .start(Deadline::Monotonic(first), period)
            .expect("1024 timers");
        Expected {
            timer,
            first,
            period,
            fired: 0,
        }
    }

    fn check_sleep(&mut self) {
        let start = self.timers.clock().now();
        self.timers
            .sleep(Duration::from_millis(10))
            .expect("a free timer");
        let slept = self.timers.clock().elapsed(start);
        info!("slept {} us for 10 ms", slept.as_micros());
        if slept < Duration::from_millis(10) {
            self.tally.early += 1;
        }
    }

    fn take_firings(&mut self) {
        while let Some((timer, count)) = self.timers.next_fired() {
            let now = self.timers.clock().now();
            if now < self.last {
                self.tally.clock_back += 1;
            }
            self.last = now;
            if timer == self.ticker {
                if self.lines.is_multiple_of(100) {
                    info!("line {}", self.lines);
                }
                self.lines += 1;
                continue;
            }
            if self.wall.takes(timer) {
                continue;
            }
            let number = self.owner[timer.index()];
            let expected = &mut self.expected[number];
            if expected.timer != timer {
                error!("firing of a timer that was cancelled");
                self.tally.twice += 1;
                continue;
            }
            expected.fired += count;
            self.tally.firings += count;
            if expected.fired > expected.due(now) {
                // Of a timer that fires once, the second is not early but one too many.
                let once = expected.period.is_zero() && now >= expected.first;
                *(if once {
                    &mut self.tally.twice
                } else {
                    &mut self.tally.early
                }) += 1;
            }
            self.lateness
                .add(self.timers.lateness(timer).unwrap_or_default().as_nanos() as u64);
            if self.expected[number].period.is_zero() {
                self.timers.cancel(timer).expect("it is ours");
                let next = self.arm(Duration::ZERO);
                self.owner[next.timer.index()] = number;
                self.expected[number] = next;
            }
        }
    }

    fn finish(&mut self) -> ! {
        let now = self.timers.clock().now();
        let lost: u64 = self
            .expected
            .iter()
            .map(|e| e.due(now - GRACE).saturating_sub(e.fired))
            .sum();
        self.tally.service_lives = self.timers.clock().service_epoch();
        let Tally {
            firings,
            early,
            twice,
            clock_back,
            service_lives,
            wall_wrong,
        } = self.tally;
        let (p50, p99, max) = (
            self.lateness.at(50),
            self.lateness.at(99),
            self.lateness.max,
        );
        info!("lateness_ns p50={p50} p99={p99} max={max} restarts={service_lives}");
        let wrong = early + twice + lost + clock_back + wall_wrong;
        let good = firings > 1000 && self.wall.rounds > 5 && wrong == 0;
        let verdict = if good { "PASS" } else { "FAIL" };
        info!(
            "KINTSUGI|{verdict} lines={} firings={firings} early={early} twice={twice} lost={lost} \
             clock_back={clock_back} wall_rounds={} wall_wrong={wall_wrong}",
            self.lines, self.wall.rounds
        );
        loop {
            self.channel.wait();
        }
    }
}

impl Handler for Test {
    type Error = Infallible;

    fn notified(&mut self, _channels: ChannelSet) -> Result<(), Infallible> {
        self.take_firings();
        self.tally.wall_wrong += self.wall.step(&mut self.timers);
        if self.last >= self.end {
            self.finish();
        }
        Ok(())
    }
}
