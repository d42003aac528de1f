// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Time for the inodes: what the wall clock says, but never the same twice.
//!
//! A file's time of birth is a part of its handle (see [`crate::layout::Inode::generation`]), so two
//! files must not be born at the same nanosecond.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

use rsext4::{Clock, Ext4Result, Ext4Timestamp};

const NANOSECONDS: u64 = 1_000_000_000;

/// A clock that its owner sets and `rsext4` reads.
#[derive(Clone, Debug, Default)]
pub struct InodeClock {
    /// Nanoseconds since 1970 of the last time that was given out.
    last: Arc<AtomicU64>,
}

impl InodeClock {
    /// Moves the clock forward to `nanoseconds` since 1970; it never goes back.
    pub fn set(&self, nanoseconds: u64) {
        self.last.fetch_max(nanoseconds, Ordering::Relaxed);
    }

    /// Nanoseconds since 1970 of the last time that was given out.
    pub fn nanoseconds(&self) -> u64 {
        self.last.load(Ordering::Relaxed)
    }

    /// Seconds since 1970.
    pub fn seconds(&self) -> u64 {
        self.last.load(Ordering::Relaxed) / NANOSECONDS
    }
}

impl Clock for InodeClock {
    fn now(&self) -> Ext4Result<Ext4Timestamp> {
        let now = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        Ok(Ext4Timestamp::new(
            (now / NANOSECONDS) as i64,
            (now % NANOSECONDS) as u32,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_twice_and_never_back() {
        let clock = InodeClock::default();
        clock.set(5 * NANOSECONDS);
        let first = clock.now().unwrap();
        clock.set(1);
        let second = clock.now().unwrap();
        assert_eq!(
            (first.sec, first.nsec, second.sec, second.nsec),
            (5, 1, 5, 2)
        );
    }
}
