// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Points in time, in nanoseconds of 64 bits. Arithmetic saturates: what lies beyond the end of
//! time (584 years) is "never".

use core::ops::{Add, Sub};
use core::time::Duration;

/// Nanoseconds of a duration, at most `u64::MAX`.
pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

macro_rules! time {
    ($(#[$doc:meta])* $Time:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $Time(u64);

        impl $Time {
            /// The latest one: a timer at it never fires.
            pub const NEVER: Self = Self(u64::MAX);

            /// The point that is this many nanoseconds after the clock's zero.
            #[must_use]
            pub const fn from_nanos(ns: u64) -> Self {
                Self(ns)
            }

            /// Nanoseconds since the clock's zero.
            #[must_use]
            pub const fn as_nanos(self) -> u64 {
                self.0
            }

            /// The point `duration` later, or `None` beyond the end of time.
            #[must_use]
            pub fn checked_add(self, duration: Duration) -> Option<Self> {
                self.0.checked_add(u64::try_from(duration.as_nanos()).ok()?).map(Self)
            }

            /// Time since `earlier`; zero when that is later.
            #[must_use]
            pub fn saturating_duration_since(self, earlier: Self) -> Duration {
                Duration::from_nanos(self.0.saturating_sub(earlier.0))
            }
        }

        impl Add<Duration> for $Time {
            type Output = Self;
            fn add(self, duration: Duration) -> Self {
                Self(self.0.saturating_add(nanoseconds(duration)))
            }
        }

        impl Sub<Duration> for $Time {
            type Output = Self;
            fn sub(self, duration: Duration) -> Self {
                Self(self.0.saturating_sub(nanoseconds(duration)))
            }
        }
    };
}

time! {
    /// A time of the monotonic clock, which nobody sets and which never goes back.
    Instant
}

time! {
    /// A time of the wall clock: UTC, counted from 1970.
    SystemTime
}

impl Instant {
    /// Time since `earlier`; zero when that is later (as in `std`).
    #[must_use]
    pub fn duration_since(self, earlier: Self) -> Duration {
        self.saturating_duration_since(earlier)
    }
}

impl Sub for Instant {
    type Output = Duration;
    fn sub(self, earlier: Self) -> Duration {
        self.duration_since(earlier)
    }
}

impl SystemTime {
    /// 1970-01-01 00:00:00 UTC.
    pub const UNIX_EPOCH: Self = Self(0);

    /// Time since `earlier`, or, as the error, how much later that is.
    ///
    /// # Errors
    ///
    /// The wall clock can be set back.
    pub fn duration_since(self, earlier: Self) -> Result<Duration, Duration> {
        match self.0.checked_sub(earlier.0) {
            Some(ns) => Ok(Duration::from_nanos(ns)),
            None => Err(Duration::from_nanos(earlier.0 - self.0)),
        }
    }
}
