// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Clocks and timers for applications, in the shape of `std::time`.
//!
//! Reading a [`Clock`] needs no call, and works while the time service is down. A timer of
//! [`Timers`] lives in a page of the application: it fires once per deadline, also when the service
//! has died and come back in between, and the application does not notice.
//!
//! ```ignore
//! let clock = Clock::attach(clock_page, recovery::ticks)?;
//! let mut timers = Timers::attach(timers_page, firings_page, clock, TimerChannel)?;
//! let heartbeat = timers.every(Duration::from_millis(100))?;
//! timers.sleep(Duration::from_secs(1))?;
//! assert_eq!(timers.fired(heartbeat)?, 10);
//! ```

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod clock;
mod time;
mod timers;

#[cfg(test)]
mod tests;

pub use clock::{Clock, NotReady};
pub use time::{Instant, SystemTime};
pub use timers::{AttachError, Deadline, Service, Timer, TimerError, Timers};
