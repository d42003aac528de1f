// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Reads the clocks from the service's page and the counter.

use core::time::Duration;

use proto::timer::clock;
use sel4_shared_memory::SharedRef;
use shared_words::{Header, Words};

use crate::{Instant, SystemTime};

/// The time service has not published its clocks yet. It notifies its clients when it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotReady;

/// The clocks. Copies are cheap and independent.
#[derive(Clone, Debug)]
pub struct Clock {
    page: SharedRef,
    ticks: fn() -> u64,
}

impl Clock {
    /// Reads region `timer_clock` and the counter (`recovery::ticks` on the target).
    ///
    /// # Errors
    ///
    /// [`NotReady`], before the first life of the service has got so far.
    pub fn attach(page: SharedRef, ticks: fn() -> u64) -> Result<Self, NotReady> {
        if page.word_count() < clock::REGION_WORDS_MIN || clock::HEADER.check(&page).is_err() {
            return Err(NotReady);
        }
        Ok(Self { page, ticks })
    }

    /// The monotonic clock.
    #[inline]
    #[must_use]
    pub fn now(&self) -> Instant {
        let parameters = clock::read_monotonic(&self.page);
        Instant::from_nanos(parameters.monotonic_ns((self.ticks)()))
    }

    /// The wall clock.
    #[inline]
    #[must_use]
    pub fn system_time(&self) -> SystemTime {
        let parameters = clock::read(&self.page);
        SystemTime::from_nanos(parameters.wall_ns(parameters.monotonic_ns((self.ticks)())))
    }

    /// Time since `start`.
    #[must_use]
    pub fn elapsed(&self, start: Instant) -> Duration {
        self.now().duration_since(start)
    }

    /// The step of both clocks.
    #[must_use]
    pub fn resolution(&self) -> Duration {
        let per_tick = clock::read(&self.page).ns_per_tick;
        Duration::from_nanos(per_tick.div_ceil(1 << clock::SCALE_SHIFT))
    }

    /// How often the time service has been restarted.
    #[must_use]
    pub fn service_epoch(&self) -> u32 {
        Header::epoch(&self.page).unwrap_or(0)
    }

    pub(crate) fn ticks(&self) -> u64 {
        (self.ticks)()
    }
}
