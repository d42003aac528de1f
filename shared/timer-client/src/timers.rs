// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Timers in a page of the application.
//!
//! Arming writes the page and notifies the service; a firing is read from the service's page. What
//! the application has seen of it is kept in its own page, so that a firing is reported once even
//! when the application itself is restarted: at most one report may be lost, if it died between
//! the note "seen" and the use of the answer.

use core::time::Duration;

use proto::timer::timers::{CHANGE_COUNT, CHANGE_TAIL, Entry, REGION_WORDS_MIN, entry, seen};
use proto::timer::{Count, GENERATION_MASK, TIMERS, control, firings, timers};
use sel4_shared_memory::{SharedMut, SharedRef};
use shared_words::{Header, Words, WordsMut};

use crate::time::nanoseconds;
use crate::{Clock, Instant, SystemTime};

/// The channel to the time service. A PD implements it with `Channel::notify` and
/// `microkit_wait::wait_for`.
pub trait Service {
    /// Notifies the service.
    fn notify(&mut self);

    /// Waits until the service notifies. May return without cause.
    fn wait(&mut self);
}

/// The pages are too small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttachError;

/// Why there is no answer about a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerError {
    /// All timers are in use.
    Full,
    /// The timer was cancelled, or armed anew under another handle.
    Stale,
    /// It was armed half a million times while the service did not look once.
    Behind,
    /// This PD has no right to set the clock.
    NotPermitted,
}

/// A timer that was armed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timer {
    index: u16,
    generation: u32,
}

impl Timer {
    /// Number of the timer's place, below 1024. Places are used again.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.index)
    }
}

/// When a timer fires (first).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// By the monotonic clock.
    Monotonic(Instant),
    /// By the wall clock: setting that clock brings it nearer or farther.
    Wall(SystemTime),
}

impl From<Instant> for Deadline {
    fn from(instant: Instant) -> Self {
        Self::Monotonic(instant)
    }
}

impl From<SystemTime> for Deadline {
    fn from(time: SystemTime) -> Self {
        Self::Wall(time)
    }
}

/// The timers of this PD.
#[derive(Debug)]
pub struct Timers<S> {
    page: SharedMut,
    firings: SharedRef,
    control: Option<SharedMut>,
    clock: Clock,
    service: S,
    /// Bit set of the places in use.
    used: [u64; TIMERS / 64],
    /// Where to look next for a free place.
    next_free: usize,
    notes_seen: u64,
    search_from: usize,
    epoch_seen: Option<u32>,
}

impl<S: Service> Timers<S> {
    /// Attaches to the pages. Timers that an earlier life of this PD has left go on:
    /// [`Timers::timers`] lists them, [`Timers::cancel_all`] ends them.
    ///
    /// # Errors
    ///
    /// [`AttachError`]
    pub fn attach(
        page: SharedMut,
        firings: SharedRef,
        clock: Clock,
        service: S,
    ) -> Result<Self, AttachError> {
        let mut page = page;
        if page.word_count() < REGION_WORDS_MIN || firings.word_count() < firings::REGION_WORDS_MIN
        {
            return Err(AttachError);
        }
        let formatted = timers::HEADER.check(&page).is_ok();
        if !formatted {
            timers::HEADER.begin(&mut page);
            page.set_word(CHANGE_TAIL, 0);
        }
        let mut used = [0; TIMERS / 64];
        for index in 0..TIMERS {
            let state = page.word(entry(index));
            let accepted = firings::count(&firings, index).generation;
            if state == 0 && accepted == 0 {
                // Never used, and the service knows that too.
                continue;
            }
            match Entry::read(&page, index).filter(|_| formatted) {
                Some(entry) if entry.armed => used[index / 64] |= 1 << (index % 64),
                Some(_) => {}
                None => {
                    // Not formatted, or a life ended in the middle of a change: a free place, with
                    // a generation that the service has not seen.
                    let last = if formatted {
                        state as u32 & GENERATION_MASK
                    } else {
                        accepted
                    };
                    let generation = last.max(accepted).wrapping_add(1) & GENERATION_MASK;
                    Entry {
                        generation,
                        ..Entry::default()
                    }
                    .write(&mut page, index);
                }
            }
        }
        if !formatted {
            timers::HEADER.finish(&mut page);
        }
        // A life that ended between an entry and its place in the ring has told nobody: have the
        // service look at every entry.
        let tail = page.word(CHANGE_TAIL);
        page.set_word(CHANGE_TAIL, tail.wrapping_add(CHANGE_COUNT as u64 + 1));
        let notes_seen = firings.word(firings::NOTE_TAIL);
        let mut service = service;
        service.notify();
        Ok(Self {
            page,
            firings,
            control: None,
            clock,
            service,
            used,
            next_free: 0,
            notes_seen,
            search_from: 0,
            epoch_seen: None,
        })
    }

    /// Gives the right to set the wall clock: region `<client>_to_timer_control`.
    pub fn set_control(&mut self, control: SharedMut) {
        let mut control = control;
        if control::HEADER.check(&control).is_err() {
            control::HEADER.begin(&mut control);
            control::HEADER.finish(&mut control);
        }
        self.control = Some(control);
    }

    /// The clocks.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Fires once, `duration` from now.
    ///
    /// # Errors
    ///
    /// [`TimerError::Full`]
    pub fn after(&mut self, duration: Duration) -> Result<Timer, TimerError> {
        self.at(self.clock.now() + duration)
    }

    /// Fires once at `deadline`, an [`Instant`] or a [`SystemTime`]. One that has passed fires at once.
    ///
    /// # Errors
    ///
    /// [`TimerError::Full`]
    pub fn at(&mut self, deadline: impl Into<Deadline>) -> Result<Timer, TimerError> {
        self.start(deadline.into(), Duration::ZERO)
    }

    /// Fires every `period`, for the first time one period from now. A period of zero fires once.
    ///
    /// # Errors
    ///
    /// [`TimerError::Full`]
    pub fn every(&mut self, period: Duration) -> Result<Timer, TimerError> {
        self.start((self.clock.now() + period).into(), period)
    }

    /// Fires at `first`, and then every `period` counted from `first`. When several periods have
    /// passed before the service could fire, they are counted in one firing: none is lost.
    ///
    /// # Errors
    ///
    /// [`TimerError::Full`]
    pub fn start(&mut self, first: Deadline, period: Duration) -> Result<Timer, TimerError> {
        let index = self.free_place().ok_or(TimerError::Full)?;
        self.write(index, first, period)
    }

    /// Arms a timer anew, under a new handle. Firings that were not asked for are forgotten.
    ///
    /// # Errors
    ///
    /// [`TimerError::Stale`]
    pub fn restart(
        &mut self,
        timer: Timer,
        first: Deadline,
        period: Duration,
    ) -> Result<Timer, TimerError> {
        self.entry(timer)?;
        self.write(timer.index(), first, period)
    }

    fn free_place(&mut self) -> Option<usize> {
        for offset in 0..self.used.len() {
            let group = (self.next_free + offset) % self.used.len();
            let free = !self.used[group];
            if free != 0 {
                self.next_free = group;
                return Some(group * 64 + free.trailing_zeros() as usize);
            }
        }
        None
    }

    fn write(
        &mut self,
        index: usize,
        first: Deadline,
        period: Duration,
    ) -> Result<Timer, TimerError> {
        let generation = self.next_generation(index)?;
        let (wall, deadline_ns) = match first {
            Deadline::Monotonic(instant) => (false, instant.as_nanos()),
            Deadline::Wall(time) => (true, time.as_nanos()),
        };
        let period_ns = nanoseconds(period);
        let new = Entry {
            generation,
            armed: true,
            wall,
            deadline_ns,
            period_ns,
            cookie: 0,
        };
        self.used[index / 64] |= 1 << (index % 64);
        new.write(&mut self.page, index);
        self.service.notify();
        Ok(Timer {
            index: index as u16,
            generation,
        })
    }

    fn next_generation(&self, index: usize) -> Result<u32, TimerError> {
        let last = self.page.word(entry(index)) as u32 & GENERATION_MASK;
        let next = last.wrapping_add(1) & GENERATION_MASK;
        // Generations come round. The service must not take a new one for one that it has fired.
        let accepted = firings::count(&self.firings, index).generation;
        let ahead = next.wrapping_sub(accepted) & GENERATION_MASK;
        if ahead > GENERATION_MASK / 2 {
            Err(TimerError::Behind)
        } else {
            Ok(next)
        }
    }

    fn entry(&self, timer: Timer) -> Result<Entry, TimerError> {
        let entry = Entry::read(&self.page, timer.index()).ok_or(TimerError::Stale)?;
        let current = entry.armed && entry.generation == timer.generation;
        if current {
            Ok(entry)
        } else {
            Err(TimerError::Stale)
        }
    }

    /// Ends a timer. After this it does not fire.
    ///
    /// # Errors
    ///
    /// [`TimerError::Stale`]
    pub fn cancel(&mut self, timer: Timer) -> Result<(), TimerError> {
        self.entry(timer)?;
        let generation = self.next_generation(timer.index())?;
        Entry {
            generation,
            ..Entry::default()
        }
        .write(&mut self.page, timer.index());
        self.service.notify();
        self.used[timer.index() / 64] &= !(1 << (timer.index() % 64));
        Ok(())
    }

    /// Ends all timers, those of earlier lives of this PD too.
    pub fn cancel_all(&mut self) {
        for index in 0..TIMERS {
            if let Some(timer) = self.timer_at(index) {
                // Fails only for a timer that is `Behind`; the service then still fires it, unseen.
                let _ = self.cancel(timer);
            }
        }
    }

    /// All timers in use.
    pub fn timers(&self) -> impl Iterator<Item = Timer> + '_ {
        (0..TIMERS).filter_map(|index| self.timer_at(index))
    }

    fn timer_at(&self, index: usize) -> Option<Timer> {
        if self.used[index / 64] & (1 << (index % 64)) == 0 {
            return None;
        }
        let entry = Entry::read(&self.page, index).filter(|entry| entry.armed)?;
        Some(Timer {
            index: index as u16,
            generation: entry.generation,
        })
    }

    /// How often the timer has fired in all.
    ///
    /// # Errors
    ///
    /// [`TimerError::Stale`]
    pub fn fired_total(&self, timer: Timer) -> Result<u64, TimerError> {
        self.entry(timer)?;
        Ok(firings::count(&self.firings, timer.index()).of(timer.generation))
    }

    /// How often the timer has fired since the last time this was asked. More than one is an overrun
    /// of a periodic timer. A timer that fires once stays in use until [`Timers::cancel`].
    ///
    /// # Errors
    ///
    /// [`TimerError::Stale`]
    pub fn fired(&mut self, timer: Timer) -> Result<u64, TimerError> {
        let total = self.fired_total(timer)?;
        let word = seen(timer.index());
        let before = Count::from_word(self.page.word(word)).of(timer.generation);
        // Never back: the service's word may have been damaged, and all firings would be told twice.
        if total > before {
            let now = Count {
                generation: timer.generation,
                fired: total,
            };
            self.page.set_word(word, now.to_word());
        }
        Ok(total.saturating_sub(before))
    }

    /// The lateness of this timer's last firing.
    ///
    /// # Errors
    ///
    /// [`TimerError::Stale`]
    pub fn lateness(&self, timer: Timer) -> Result<Duration, TimerError> {
        if self.fired_total(timer)? == 0 {
            return Ok(Duration::ZERO);
        }
        Ok(Duration::from_nanos(
            firings::lateness(&self.firings, timer.index()).last_ns,
        ))
    }

    /// The largest lateness of this timer's firings.
    ///
    /// # Errors
    ///
    /// [`TimerError::Stale`]
    pub fn lateness_max(&self, timer: Timer) -> Result<Duration, TimerError> {
        if self.fired_total(timer)? == 0 {
            return Ok(Duration::ZERO);
        }
        Ok(Duration::from_nanos(
            firings::lateness(&self.firings, timer.index()).max_ns,
        ))
    }

    /// Some timer that has fired, and how often since it was asked about. Meant for an event loop: call it
    /// until it answers `None` whenever the service has notified.
    pub fn next_fired(&mut self) -> Option<(Timer, u64)> {
        let epoch = Header::epoch(&self.firings);
        let tail = self.firings.word(firings::NOTE_TAIL);
        let behind = tail.wrapping_sub(self.notes_seen) > firings::NOTE_COUNT as u64;
        if epoch != self.epoch_seen || behind {
            // Notes may have been lost, firings are not: look at every timer.
            (self.epoch_seen, self.search_from) = (epoch, 0);
            self.notes_seen = tail;
        }
        while self.search_from < TIMERS {
            let index = self.search_from;
            self.search_from += 1;
            if let Some(found) = self.fired_at(index) {
                return Some(found);
            }
        }
        while self.notes_seen != tail {
            let place = firings::NOTES + self.notes_seen as usize % firings::NOTE_COUNT;
            self.notes_seen = self.notes_seen.wrapping_add(1);
            let index = self.firings.word(place) as usize;
            if let Some(found) = self.fired_at(index) {
                return Some(found);
            }
        }
        None
    }

    fn fired_at(&mut self, index: usize) -> Option<(Timer, u64)> {
        let timer = (index < TIMERS).then(|| self.timer_at(index)).flatten()?;
        let count = self.fired(timer).ok()?;
        (count > 0).then_some((timer, count))
    }

    fn has_passed(&self, deadline: Deadline) -> bool {
        match deadline {
            Deadline::Monotonic(instant) => self.clock.now() >= instant,
            Deadline::Wall(time) => self.clock.system_time() >= time,
        }
    }

    /// Waits until `deadline` has passed. The firing wakes us, also when it was not counted rightly.
    ///
    /// # Errors
    ///
    /// [`TimerError::Full`]
    pub fn sleep_until(&mut self, deadline: impl Into<Deadline>) -> Result<(), TimerError> {
        let deadline = deadline.into();
        let timer = self.at(deadline)?;
        while self.fired_total(timer)? == 0 && !self.has_passed(deadline) {
            self.service.wait();
        }
        self.cancel(timer)
    }

    /// Waits for `duration`.
    ///
    /// # Errors
    ///
    /// [`TimerError::Full`]
    pub fn sleep(&mut self, duration: Duration) -> Result<(), TimerError> {
        self.sleep_until(self.clock.now() + duration)
    }

    /// Sets the wall clock, and waits until it is set: at once, or (`slew`) by running 488 ppm faster or
    /// slower until it is right.
    ///
    /// # Errors
    ///
    /// [`TimerError::NotPermitted`]
    pub fn set_system_time(&mut self, time: SystemTime, slew: bool) -> Result<(), TimerError> {
        let control = self.control.as_mut().ok_or(TimerError::NotPermitted)?;
        let done = self.firings.word(firings::CLOCK_SET);
        let sequence = done.wrapping_add(1).max(1);
        let wall_ns = time.as_nanos();
        let request = control::SetClock {
            sequence,
            slew,
            wall_ns,
            ticks: self.clock.ticks(),
        };
        request.write(control);
        self.service.notify();
        while self.firings.word(firings::CLOCK_SET) != sequence {
            self.service.wait();
        }
        Ok(())
    }
}
