// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Time: clocks that anyone reads, timers that a client arms, firings that the service counts.
//!
//! Three regions, each with one writer, all in 64-bit words (`shared-words`):
//! - `timer_clock` (service to everyone): how to make nanoseconds of the counter. [`clock`]
//! - `<client>_to_timer_timers` (client to service): the armed timers, which are the truth. [`timers`]
//! - `timer_to_<client>_firings` (service to client): how often each has fired. [`firings`]
//! - `<client>_to_timer_control` (client to service, only for clients that may set the wall clock).
//!   [`control`]
//!
//! A notification in either direction says "look". Restart of the service: it reads all pages again,
//! its own firings included; a timer fires when its deadline has passed and its count says that it
//! has not fired, so each deadline counts once wherever the service died. Restart of a client: its
//! page is as it left it; what becomes of the timers in it is the client's decision.
//!
//! Generations. Each arming or cancelling of a timer gives it a new generation, and a count of
//! firings is valid only together with the generation that it counts. Both are in one word, which
//! one store changes.

pub mod clock;
pub mod control;
pub mod firings;
pub mod timers;

/// Timers per client.
pub const TIMERS: usize = 1024;

/// Bits of a generation; it counts modulo 2^20.
pub const GENERATION_BITS: u32 = 20;
/// Largest generation.
pub const GENERATION_MASK: u32 = (1 << GENERATION_BITS) - 1;
/// Largest number of firings that can be counted: at one per microsecond, 200 days; the service
/// counts no further.
pub const FIRED_MAX: u64 = (1 << (64 - GENERATION_BITS)) - 1;

/// A generation, and a number of firings of it: one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// The generation.
    pub generation: u32,
    /// Firings, at most [`FIRED_MAX`].
    pub fired: u64,
}

impl Count {
    /// Packs it.
    #[must_use]
    pub fn to_word(self) -> u64 {
        self.fired.min(FIRED_MAX) << GENERATION_BITS | u64::from(self.generation & GENERATION_MASK)
    }

    /// Unpacks it; every word is a count.
    #[must_use]
    pub fn from_word(word: u64) -> Self {
        Self {
            generation: word as u32 & GENERATION_MASK,
            fired: word >> GENERATION_BITS,
        }
    }

    /// Firings of `generation`: none when this counts another one.
    #[must_use]
    pub fn of(self, generation: u32) -> u64 {
        if self.generation == generation {
            self.fired
        } else {
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_count() {
        let count = Count {
            generation: 0xabcde,
            fired: 3,
        };
        assert_eq!(count.to_word(), 0x3a_bcde);
        assert_eq!(Count::from_word(0x3a_bcde), count);
        assert_eq!((count.of(0xabcde), count.of(1)), (3, 0));
        let most = Count {
            generation: u32::MAX,
            fired: u64::MAX,
        };
        assert_eq!(most.to_word(), u64::MAX);
    }
}
