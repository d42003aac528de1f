// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Fires the clients' timers, and tells everyone how to read the clocks.
//!
//! `main.rs` finds the pages and handles the interrupt; everything else happens here, and in
//! `cargo test`, where the service is killed between any two steps.
//!
//! Invariants:
//! - A timer's firings are one word in the service's page; firing is one store. So a deadline
//!   counts once, wherever the service died, and its successor knows.
//! - Nothing fires before its deadline: the clock is read after the deadline, and compared.
//! - The n-th deadline of a periodic timer is first + (n - 1) * period; what passed while nobody
//!   could fire is counted in the next firing.
//! - A client's page can cost that client its timers, and nobody else anything.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod alarm;
mod client;
pub mod pl031;
mod queue;

#[cfg(test)]
mod tests;

use alloc::vec::Vec;
use core::hint::black_box;

use proto::timer::clock::{self, Parameters};
use recovery::fault_point;
use sel4_shared_memory::SharedMut;
use shared_words::{Header, Words};

pub use client::{CREDIT_MAX, CREDIT_NS, Client, Pages, WrongSize};

/// A device that interrupts at a given time. One file per device in `alarm/`.
pub trait Alarm {
    /// Interrupts when the counter reaches `ticks`, or at once if it has; replaces an earlier alarm.
    fn set(&mut self, ticks: u64);

    /// Does not interrupt until the next [`Alarm::set`], and withdraws an interrupt that is pending.
    fn stop(&mut self);
}

/// What the service needs of the world.
pub trait World: Alarm {
    /// The counter.
    fn ticks(&self) -> u64;

    /// Notifies a client, by its number in the list given to [`Service::attach`].
    fn notify(&mut self, client: usize);

    /// The wall clock of the device that goes on without power, in nanoseconds since 1970.
    fn wall_ns(&mut self) -> u64;

    /// Sets that device, where it may be set.
    fn keep_wall(&mut self, wall_ns: u64);
}

/// Why the service cannot start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttachError {
    /// `timer_clock` is too small.
    ClockPage,
    /// The counter's frequency is 0 or beyond all reason.
    Frequency(u64),
    /// A page of this client is too small.
    Client(WrongSize),
}

/// What the monotonic clock shows, by code and loads of its own.
#[inline(never)]
fn shown(clock: &Parameters, ticks: u64) -> u64 {
    clock.monotonic_ns(ticks)
}

/// Asserts that the clock was read well: with a wrong time, timers fire that are not due, and clients are
/// told of it (campaign on seL4 release at 9e7fd0d, seed 1, trial 14777: one bit of a load).
#[inline(never)]
fn assert_shown(clock: &Parameters, ticks: u64, now_ns: u64) {
    assert!(shown(clock, ticks) == now_ns, "the clock was read wrongly");
}

/// The time service.
#[derive(Debug)]
pub struct Service<W> {
    world: W,
    page: SharedMut,
    clock: Parameters,
    clients: Vec<Client>,
    /// Where the alarm is set, so that it is not set again for nothing.
    alarm: Option<u64>,
}

impl<W: World> Service<W> {
    /// Attaches to the pages, fires what became due while no service was there, and notifies every
    /// client once. [`World::wall_ns`] is asked only when no earlier life has left a clock.
    ///
    /// # Errors
    ///
    /// [`AttachError`]
    pub fn attach(
        world: W,
        page: SharedMut,
        clients: Vec<(&str, Pages)>,
        ticks_per_second: u64,
        epoch: u32,
    ) -> Result<Self, AttachError> {
        let (mut world, mut page) = (world, page);
        if page.word_count() < clock::REGION_WORDS_MIN {
            return Err(AttachError::ClockPage);
        }
        let clock = match clock::resume(&page, ticks_per_second) {
            Some(clock) => clock,
            None => {
                let wall_ns = world.wall_ns();
                let new = Parameters::new(ticks_per_second, world.ticks(), wall_ns)
                    .ok_or(AttachError::Frequency(ticks_per_second))?;
                clock::HEADER.begin(&mut page);
                clock::write(&mut page, new);
                fault_point!("timer.clock_formatting");
                clock::HEADER.finish(&mut page);
                new
            }
        };
        Header::set_epoch(&mut page, epoch);
        let now_ns = clock.monotonic_ns(world.ticks());
        let clients = clients
            .into_iter()
            .map(|(name, pages)| Client::attach(name, pages, epoch, now_ns))
            .collect::<Result<Vec<_>, _>>()
            .map_err(AttachError::Client)?;
        let mut service = Self {
            world,
            page,
            clock,
            clients,
            alarm: None,
        };
        // The device goes on with what the last life told it.
        service.quieten();
        service.run(|_| true);
        for client in 0..service.clients.len() {
            fault_point!("timer.before_notify_all");
            service.world.notify(client);
        }
        Ok(service)
    }

    /// The device has interrupted: quietens it. The caller then acknowledges the interrupt and calls
    /// [`Service::run`].
    pub fn quieten(&mut self) {
        self.world.stop();
        self.alarm = None;
    }

    /// Looks at the pages of the clients that have notified, fires what is due, sets the alarm.
    ///
    /// # Panics
    ///
    /// When our copy of the clock and the published one differ: with the wrong one the service may be busy
    /// for ever, above everybody (campaign on seL4 release, seed 1, trial 124). The next life mends the
    /// published one.
    pub fn run(&mut self, has_notified: impl Fn(usize) -> bool) {
        let mut published = self.published();
        assert!(published == Some(self.clock), "the clock is damaged");
        let now_ns = self.now();
        for (number, client) in self.clients.iter_mut().enumerate() {
            // A notification may be lost (campaign on seL4 release, seed 1, trial 1256); somebody else's
            // comes soon.
            if has_notified(number) || client.has_news() {
                client.look(now_ns);
            }
        }
        if self.set_clock(&has_notified) {
            published = self.published();
        }
        fault_point!("timer.looked");
        self.fire(published);
        fault_point!("timer.before_alarm");
        self.set_alarm();
        fault_point!("timer.after_alarm");
    }

    fn published(&self) -> Option<Parameters> {
        clock::resume(&self.page, self.clock.ticks_per_second)
    }

    /// Fires what is due, and notifies whom that concerns.
    ///
    /// # Panics
    ///
    /// When that is due by our copy of the clock alone, which may have been damaged since it was compared
    /// (campaign on seL4 release at 390b03f, seed 3, trial 1711: an application counted 438 billion periods).
    fn fire(&mut self, published: Option<Parameters>) {
        for number in 0..self.clients.len() {
            // Afresh for each: looking at and firing for others took time.
            let now_ns = self.now();
            let has_come = |ns: u64| {
                published.is_some_and(|clock| ns <= shown(black_box(&clock), self.world.ticks()))
            };
            let client = &mut self.clients[number];
            let fired = client.fire(now_ns, self.clock.wall_ns(now_ns), has_come);
            if fired || client.is_to_be_reminded(now_ns) {
                fault_point!("timer.before_notify");
                self.world.notify(number);
            }
        }
    }

    /// The monotonic clock.
    fn now(&self) -> u64 {
        self.now_at(self.world.ticks())
    }

    fn now_at(&self, ticks: u64) -> u64 {
        let now_ns = self.clock.monotonic_ns(ticks);
        assert_shown(black_box(&self.clock), ticks, now_ns);
        now_ns
    }

    /// Carries out what clients ask for; says whether there was anything.
    fn set_clock(&mut self, has_notified: &impl Fn(usize) -> bool) -> bool {
        let mut any = false;
        for number in (0..self.clients.len()).filter(|number| has_notified(*number)) {
            let Some(request) = self.clients[number].set_clock_request() else {
                continue;
            };
            self.clock = self
                .clock
                .with_wall(request.wall_ns, request.ticks, request.slew);
            fault_point!("timer.before_set_clock");
            clock::write(&mut self.page, self.clock);
            fault_point!("timer.set_clock");
            self.keep_wall(request.wall_ns, request.ticks);
            self.clients[number].set_clock_done(request.sequence);
            self.world.notify(number);
            any = true;
        }
        any
    }

    /// The device gets what is right, also while the clock slews to it: nobody sees the one run backwards
    /// or jump by the other.
    fn keep_wall(&mut self, wall_ns: u64, ticks: u64) {
        let now_ns = self.now();
        let passed_ns = now_ns.saturating_sub(self.clock.monotonic_ns(ticks));
        self.world.keep_wall(wall_ns.saturating_add(passed_ns));
    }

    fn set_alarm(&mut self) {
        let ticks = self.world.ticks();
        let now_ns = self.now_at(ticks);
        let clock = &self.clock;
        let next = self
            .clients
            .iter()
            .filter_map(|c| c.next_wakeup(clock, now_ns))
            .min();
        let alarm = next.map(|ns| clock.ticks_after(ticks, ns.saturating_sub(now_ns)));
        match alarm {
            Some(ticks) if self.alarm == Some(ticks) => {}
            Some(ticks) => {
                self.world.set(ticks);
                self.alarm = Some(ticks);
            }
            None if self.alarm.is_some() => self.quieten(),
            None => {}
        }
    }

    /// Number of timers that are going to fire, of all clients.
    pub fn armed_count(&self) -> usize {
        self.clients.iter().map(Client::armed_count).sum()
    }

    /// The clocks.
    pub fn clock(&self) -> &Parameters {
        &self.clock
    }

    /// What [`Service::attach`] was given.
    pub fn world(&mut self) -> &mut W {
        &mut self.world
    }
}
