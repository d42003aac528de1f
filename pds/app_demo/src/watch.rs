// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Keeps timers running beside the application's other work, and checks what they do: each firing
//! is counted once, none comes early, none stays away, and the clock does not run backwards.
//!
//! One timer is periodic; [`SHOTS`] others fire once each and are armed again and again. Nobody
//! waits for them: [`Watch::poll`] looks between two file operations.
//!
//! Late is not lost. A service that hangs until somebody notices fires afterwards whatever became due,
//! so no length of time says that a timer is lost: only a service that fires others again and again does.

use alloc::vec::Vec;
use core::time::Duration;

use timer_client::{Clock, Instant, Service, Timer, TimerError, Timers};

/// The periodic timer's period.
pub const PERIOD: Duration = Duration::from_millis(10);
/// One-shot timers that are armed at any time.
pub const SHOTS: usize = 8;
/// Longest time for which a one-shot timer is armed.
const SHOT_MAX: Duration = Duration::from_millis(40);
/// How long a one-shot timer that has fired is watched for a second firing.
const SETTLE: Duration = Duration::from_millis(25);
/// A timer is lost when the service has fired others so often since its deadline, and not this one. As each
/// life of the service begins with what is overdue, it would take so many lives that each end there.
const LOST_AFTER_FIRINGS: u64 = 100;

/// What the timers did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Firings, all counted.
    pub fired: u64,
    /// Firings before their deadline.
    pub early: u64,
    /// Deadlines that passed without a firing.
    pub lost: u64,
    /// Firings that nobody asked for, or a second time.
    pub extra: u64,
    /// Readings of the clock that were before the last one.
    pub clock_backwards: u64,
    /// Largest time from a deadline to its firing, in nanoseconds, as the service says.
    pub late_ns_max: u64,
}

impl Counts {
    /// Whether there is nothing to complain about.
    pub fn is_right(&self) -> bool {
        self.early + self.lost + self.extra + self.clock_backwards == 0
    }
}

struct Shot {
    timer: Timer,
    deadline: Instant,
    seen_at: Option<Instant>,
    /// Firings of the periodic timer that were seen when this one was first seen to be overdue.
    overdue_since: Option<u64>,
}

/// The timers under watch.
pub struct Watch<S> {
    timers: Timers<S>,
    last: Instant,
    periodic: Timer,
    periodic_base: Instant,
    periodic_fired: u64,
    /// How often it was seen to have fired, however many periods that counted.
    periodic_seen: u64,
    shots: Vec<Shot>,
    random: u64,
    counts: Counts,
}

impl<S: Service> Watch<S> {
    /// Ends all timers of an earlier life, and starts ours.
    ///
    /// # Errors
    ///
    /// When the client library refuses.
    pub fn start(mut timers: Timers<S>) -> Result<Self, TimerError> {
        timers.cancel_all();
        let base = timers.clock().now();
        let periodic = timers.start((base + PERIOD).into(), PERIOD)?;
        let mut watch = Self {
            timers,
            last: base,
            periodic,
            periodic_base: base,
            periodic_fired: 0,
            periodic_seen: 0,
            shots: Vec::with_capacity(SHOTS),
            random: 1,
            counts: Counts::default(),
        };
        for _ in 0..SHOTS {
            let shot = watch.new_shot()?;
            watch.shots.push(shot);
        }
        Ok(watch)
    }

    /// What the timers did so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The clock, for others.
    pub fn clock(&self) -> &Clock {
        self.timers.clock()
    }

    /// Reads the clock, and checks that it has not gone back.
    pub fn now(&mut self) -> Instant {
        let now = self.timers.clock().now();
        if now < self.last {
            self.counts.clock_backwards += 1;
        }
        self.last = now;
        now
    }

    fn new_shot(&mut self) -> Result<Shot, TimerError> {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let ns = (self.random >> 33) % (SHOT_MAX.as_nanos() as u64);
        let deadline = self.now() + Duration::from_nanos(ns);
        Ok(Shot {
            timer: self.timers.at(deadline)?,
            deadline,
            seen_at: None,
            overdue_since: None,
        })
    }

    /// Looks at what has fired, and arms anew what was watched long enough.
    ///
    /// # Errors
    ///
    /// When the client library refuses.
    pub fn poll(&mut self) -> Result<(), TimerError> {
        self.collect();
        self.rearm()
    }

    fn collect(&mut self) {
        while let Some((timer, count)) = self.timers.next_fired() {
            // Read after the firing was seen: if even now is before the deadline, it was early.
            let now = self.now();
            self.counts.fired += count;
            if timer == self.periodic {
                self.periodic_fired += count;
                self.periodic_seen += 1;
                let due = self.periods_until(now);
                if self.periodic_fired > due {
                    self.counts.early += self.periodic_fired - due;
                    // Each is one mistake, however long ago it was.
                    self.periodic_fired = due;
                }
                continue;
            }
            let shot = self.shots.iter_mut().find(|shot| shot.timer == timer);
            match shot {
                Some(shot) if shot.seen_at.is_none() => {
                    self.counts.early += u64::from(now < shot.deadline);
                    self.counts.extra += count - 1;
                    shot.seen_at = Some(now);
                }
                _ => self.counts.extra += count,
            }
        }
    }

    fn rearm(&mut self) -> Result<(), TimerError> {
        let now = self.now();
        for index in 0..self.shots.len() {
            let shot = &mut self.shots[index];
            let timer = shot.timer;
            match shot.seen_at {
                Some(seen_at) if now.duration_since(seen_at) < SETTLE => continue,
                None if now < shot.deadline => continue,
                None => {
                    let since = *shot.overdue_since.get_or_insert(self.periodic_seen);
                    if self.periodic_seen - since < LOST_AFTER_FIRINGS {
                        continue;
                    }
                    self.counts.lost += 1;
                }
                Some(_) => {
                    let total = self.timers.fired_total(timer)?;
                    self.counts.extra += total.saturating_sub(1);
                }
            }
            self.note_lateness(timer)?;
            self.timers.cancel(timer)?;
            self.shots[index] = self.new_shot()?;
        }
        Ok(())
    }

    fn note_lateness(&mut self, timer: Timer) -> Result<(), TimerError> {
        let late_ns = self.timers.lateness_max(timer)?.as_nanos() as u64;
        self.counts.late_ns_max = self.counts.late_ns_max.max(late_ns);
        Ok(())
    }

    /// Deadlines of the periodic timer up to `now`.
    fn periods_until(&self, now: Instant) -> u64 {
        let passed = now.duration_since(self.periodic_base).as_nanos() / PERIOD.as_nanos();
        passed as u64
    }

    /// Sleeps; the sleep itself may not be too short.
    ///
    /// # Errors
    ///
    /// When the client library refuses.
    pub fn sleep(&mut self, duration: Duration) -> Result<(), TimerError> {
        let deadline = self.now() + duration;
        self.timers.sleep_until(deadline)?;
        let now = self.now();
        self.counts.early += u64::from(now < deadline);
        self.poll()
    }

    /// Waits until every deadline that is still open has passed, and counts what is missing. Ends all timers.
    ///
    /// # Errors
    ///
    /// When the client library refuses.
    pub fn finish(mut self) -> Result<Counts, TimerError> {
        let start = self.now();
        let due = self.periods_until(start);
        self.timers.sleep(SHOT_MAX)?;
        // Each sleep ends by a timer of the service, so it counts as a firing of another.
        for _ in 0..LOST_AFTER_FIRINGS {
            self.timers.sleep(PERIOD / 2)?;
            self.collect();
            let open = self.shots.iter().any(|shot| shot.seen_at.is_none());
            if !open && self.periodic_fired >= due {
                break;
            }
        }
        let never = self
            .shots
            .iter()
            .filter(|shot| shot.seen_at.is_none())
            .count();
        self.counts.lost += never as u64 + due.saturating_sub(self.periodic_fired);
        for timer in self.shots.iter().map(|shot| shot.timer).collect::<Vec<_>>() {
            self.note_lateness(timer)?;
        }
        self.note_lateness(self.periodic)?;
        self.timers.cancel_all();
        Ok(self.counts)
    }
}
