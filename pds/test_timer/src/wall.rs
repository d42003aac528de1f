// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Sets the wall clock again and again (step, then slew), and checks that it shows what was set,
//! no matter how often the service dies.
//!
//! What is known is an interval in which wall clock minus monotonic clock lies. Each look at the
//! clocks gives such an interval too, and narrows it; two that do not meet are an error.

use core::time::Duration;

use log::{error, info};
use timer_client::{Clock, Service, SystemTime, Timer, Timers};

const STEP: Duration = Duration::from_secs(1000);
/// What is slewed, in turn forward and back. It takes 2,048 times as long.
const SLEW_NS: i64 = 1_000_000;
const SLEW_TIME: Duration = Duration::from_millis(2_100);
/// Clocks differ from their exact values by less than this, because they count in whole ticks.
const ROUNDING_NS: i64 = 100;

/// Wall clock minus monotonic clock, in nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Offset {
    least: i64,
    most: i64,
}

impl Offset {
    fn measure(clock: &Clock) -> Self {
        let before = clock.now().as_nanos() as i64;
        let wall = clock.system_time().as_nanos() as i64;
        let after = clock.now().as_nanos() as i64;
        Self {
            least: wall - after - ROUNDING_NS,
            most: wall - before + ROUNDING_NS,
        }
    }

    /// What is in both; `None` when nothing is.
    fn and(self, other: Self) -> Option<Self> {
        let (least, most) = (self.least.max(other.least), self.most.min(other.most));
        (least <= most).then_some(Self { least, most })
    }

    fn moved(self, least: i64, most: i64) -> Self {
        Self {
            least: self.least + least,
            most: self.most + most,
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// The offset is `known`; at the time the clock is stepped.
    Steady,
    /// The offset is `known`; at the time slewing begins.
    Stepped,
    /// The offset is on its way from `known` to `known` plus this.
    Slewing(i64),
}

/// See the module.
pub struct Check {
    known: Offset,
    phase: Phase,
    next: timer_client::Instant,
    last_wall: SystemTime,
    /// Of the wall clock; the step makes it due.
    timer: Option<(Timer, bool)>,
    /// Steps and slews done.
    pub rounds: u64,
}

impl Check {
    /// Takes the clock as it is.
    pub fn new(clock: &Clock) -> Self {
        Self {
            known: Offset::measure(clock),
            phase: Phase::Steady,
            next: clock.now() + Duration::from_millis(500),
            last_wall: clock.system_time(),
            timer: None,
            rounds: 0,
        }
    }

    /// Whether the timer that has fired is the one of this module.
    pub fn takes(&mut self, timer: Timer) -> bool {
        match &mut self.timer {
            Some((own, fired)) if *own == timer => {
                *fired = true;
                true
            }
            _ => false,
        }
    }

    /// Looks at the clock, and sets it if that is next. Returns the number of errors.
    pub fn step<S: Service>(&mut self, timers: &mut Timers<S>) -> u64 {
        let mut wrong = self.look(timers.clock());
        if timers.clock().now() < self.next {
            return wrong;
        }
        let wait = match self.phase {
            Phase::Steady => {
                self.step_forward(timers);
                self.phase = Phase::Stepped;
                Duration::from_millis(500)
            }
            Phase::Stepped => {
                wrong += self.check_timer(timers);
                let change = if self.rounds.is_multiple_of(2) {
                    SLEW_NS
                } else {
                    -SLEW_NS
                };
                self.slew(timers, change);
                self.phase = Phase::Slewing(change);
                SLEW_TIME
            }
            Phase::Slewing(change) => {
                self.known = self.known.moved(change, change);
                self.phase = Phase::Steady;
                self.rounds += 1;
                Duration::from_millis(500)
            }
        };
        self.next = timers.clock().now() + wait;
        wrong
    }

    fn look(&mut self, clock: &Clock) -> u64 {
        let seen = Offset::measure(clock);
        let wall = clock.system_time();
        let expected = match self.phase {
            Phase::Slewing(change) => self.known.moved(change.min(0), change.max(0)),
            _ => self.known,
        };
        let narrowed = expected.and(seen);
        let back = wall < self.last_wall;
        self.last_wall = wall;
        match (self.phase, narrowed) {
            (Phase::Slewing(_), Some(_)) => {}
            (_, Some(narrowed)) => self.known = narrowed,
            (phase, None) => {
                error!("wall clock: {phase:?}, expected {expected:?}, seen {seen:?}");
                self.known = seen;
            }
        }
        u64::from(back) + u64::from(narrowed.is_none())
    }

    fn step_forward<S: Service>(&mut self, timers: &mut Timers<S>) {
        let due = timers.clock().system_time() + STEP / 2;
        let timer = timers.at(due).expect("a free timer");
        self.timer = Some((timer, false));
        let target = timers.clock().system_time() + STEP;
        let before = timers.clock().now().as_nanos() as i64;
        timers.set_system_time(target, false).expect("we may");
        let after = timers.clock().now().as_nanos() as i64;
        let target = target.as_nanos() as i64;
        self.known = Offset {
            least: target - after - ROUNDING_NS,
            most: target - before + ROUNDING_NS,
        };
    }

    fn check_timer<S: Service>(&mut self, timers: &mut Timers<S>) -> u64 {
        let Some((timer, fired)) = self.timer.take() else {
            return 0;
        };
        let total = timers.fired_total(timer);
        timers.cancel(timer).expect("it is ours");
        if fired && total == Ok(1) {
            return 0;
        }
        error!("the wall clock's timer: fired={fired} total={total:?}");
        1
    }

    fn slew<S: Service>(&mut self, timers: &mut Timers<S>, change: i64) {
        // What the clock will show minus what it shows is `change`, but for the time between the
        // two reads of it, by which the end is uncertain.
        let before = timers.clock().now().as_nanos() as i64;
        let target = timers.clock().system_time().as_nanos() as i64 + change;
        timers
            .set_system_time(SystemTime::from_nanos(target as u64), true)
            .expect("we may");
        let after = timers.clock().now().as_nanos() as i64;
        self.known = self.known.moved(before - after, 0);
        info!("wall clock: round {} slewing {change} ns", self.rounds);
    }
}
