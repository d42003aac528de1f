// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Region `timer_clock`: how to read the clocks without a call.
//!
//! There are two copies of the parameters, and word [`GENERATION`] says which one is current
//! (its lowest bit). The service writes the other copy, changes the word, and then makes the copies the
//! same. So a reader is never in the way, and a service that dies while it writes leaves the current copy
//! whole: the clocks go on while it is down. A reader takes the copy and looks at the word again; it repeats
//! only when the service has changed the parameters in between.
//!
//! | word | what |
//! |---|---|
//! | 0..4 | header |
//! | 4 | generation |
//! | 8..17, 24..33 | the copies: eight words of [`Parameters`] and their CRC-32C |

use shared_words::{Header, Words, WordsMut, crc32c};

/// "KTCLOCK1".
pub const HEADER: Header = Header {
    magic: u64::from_le_bytes(*b"KTCLOCK1"),
    version: 1,
};
/// Words that the region must have.
pub const REGION_WORDS_MIN: usize = 64;
/// Which copy is current, and how often it has been changed.
pub const GENERATION: usize = 4;
const COPIES: [usize; 2] = [8, 24];
const COPY_WORDS: usize = 8;

/// Binary places of [`Parameters::ns_per_tick`].
pub const SCALE_SHIFT: u32 = 32;
/// While it slews, the wall clock runs 1/2048 (488 ppm) faster or slower.
pub const SLEW_SHIFT: u32 = 11;
/// Nanoseconds in a second.
pub const NS_PER_SECOND: u64 = 1_000_000_000;

/// How to make nanoseconds of the counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// Counts per second.
    pub ticks_per_second: u64,
    /// Nanoseconds per count, with [`SCALE_SHIFT`] binary places.
    pub ns_per_tick: u64,
    /// Counter at which the monotonic clock showed `monotonic_base_ns`.
    pub counter_base: u64,
    /// See `counter_base`.
    pub monotonic_base_ns: u64,
    /// Wall clock (nanoseconds since 1970 UTC) minus monotonic clock, before slewing.
    pub wall_offset_ns: u64,
    /// Monotonic time at which slewing began.
    pub slew_start_ns: u64,
    /// What slewing adds in the end (two's complement).
    pub slew_total_ns: i64,
}

impl Parameters {
    /// A monotonic clock that was 0 when the counter was, and a wall clock that shows `wall_ns` when
    /// the counter shows `ticks`; `None` when the counter has no usable frequency.
    #[must_use]
    pub fn new(ticks_per_second: u64, ticks: u64, wall_ns: u64) -> Option<Self> {
        if ticks_per_second == 0 || ticks_per_second > 1 << 40 {
            return None;
        }
        let ns_per_tick =
            ((NS_PER_SECOND << SCALE_SHIFT) + ticks_per_second / 2) / ticks_per_second;
        let mut parameters = Self {
            ticks_per_second,
            ns_per_tick,
            counter_base: 0,
            monotonic_base_ns: 0,
            wall_offset_ns: 0,
            slew_start_ns: 0,
            slew_total_ns: 0,
        };
        parameters.wall_offset_ns = wall_ns.saturating_sub(parameters.monotonic_ns(ticks));
        (ns_per_tick > 0).then_some(parameters)
    }

    /// The monotonic clock when the counter shows `ticks`. It stops at `u64::MAX`, after 584 years.
    #[inline]
    #[must_use]
    pub fn monotonic_ns(&self, ticks: u64) -> u64 {
        let elapsed = u128::from(ticks.wrapping_sub(self.counter_base));
        let ns = (elapsed * u128::from(self.ns_per_tick)) >> SCALE_SHIFT;
        self.monotonic_base_ns
            .saturating_add(u64::try_from(ns).unwrap_or(u64::MAX))
    }

    /// The wall clock when the monotonic clock shows `monotonic_ns`.
    #[inline]
    #[must_use]
    pub fn wall_ns(&self, monotonic_ns: u64) -> u64 {
        let slewed = monotonic_ns.saturating_sub(self.slew_start_ns) >> SLEW_SHIFT;
        let slewed = slewed.min(self.slew_total_ns.unsigned_abs());
        // The offset last: what is cut off at the end of time would otherwise run backwards.
        let run = if self.slew_total_ns < 0 {
            monotonic_ns.saturating_sub(slewed)
        } else {
            monotonic_ns.saturating_add(slewed)
        };
        run.saturating_add(self.wall_offset_ns)
    }

    /// A counter value at which at least `delta_ns` have passed since it showed `ticks`, at most
    /// one count more than needed. Beyond 4 s it is an earlier one: whoever waits looks again then.
    #[inline]
    #[must_use]
    pub fn ticks_after(&self, ticks: u64, delta_ns: u64) -> u64 {
        let delta = delta_ns.min(u64::from(u32::MAX)) << SCALE_SHIFT;
        ticks.saturating_add(delta.div_ceil(self.ns_per_tick))
    }

    /// The parameters with the wall clock set so that it showed `wall_ns` when the counter showed
    /// `ticks`: at once, or by running faster or slower until it does (`slew`).
    #[must_use]
    pub fn with_wall(self, wall_ns: u64, ticks: u64, slew: bool) -> Self {
        let monotonic = self.monotonic_ns(ticks);
        let now = self.wall_ns(monotonic);
        let mut set = self;
        if slew {
            // What has been slewed so far becomes part of the offset.
            set.wall_offset_ns = now.saturating_sub(monotonic);
            set.slew_start_ns = monotonic;
            set.slew_total_ns = (i128::from(wall_ns) - i128::from(now))
                .clamp(i128::from(i64::MIN), i128::from(i64::MAX))
                as i64;
        } else {
            set.wall_offset_ns = wall_ns.saturating_sub(monotonic);
            (set.slew_start_ns, set.slew_total_ns) = (0, 0);
        }
        set
    }

    fn to_words(self) -> [u64; COPY_WORDS] {
        [
            self.ticks_per_second,
            self.ns_per_tick,
            self.counter_base,
            self.monotonic_base_ns,
            self.wall_offset_ns,
            self.slew_start_ns,
            self.slew_total_ns as u64,
            0,
        ]
    }

    #[inline]
    fn from_words(words: &[u64; COPY_WORDS]) -> Self {
        Self {
            ticks_per_second: words[0],
            ns_per_tick: words[1],
            counter_base: words[2],
            monotonic_base_ns: words[3],
            wall_offset_ns: words[4],
            slew_start_ns: words[5],
            slew_total_ns: words[6] as i64,
        }
    }
}

/// Reads the current parameters from a region whose header has been checked.
#[inline]
pub fn read(page: &impl Words) -> Parameters {
    loop {
        let generation = page.word(GENERATION);
        let copy = COPIES[(generation & 1) as usize];
        let mut words = [0; COPY_WORDS];
        for (index, word) in words[..COPY_WORDS - 1].iter_mut().enumerate() {
            *word = page.word(copy + index);
        }
        if page.word(GENERATION) == generation {
            return Parameters::from_words(&words);
        }
    }
}

/// Number of the word that says how long one count takes.
pub fn ns_per_tick_word(page: &impl Words) -> usize {
    COPIES[(page.word(GENERATION) & 1) as usize] + 1
}

/// As [`read`], but only what [`Parameters::monotonic_ns`] needs: the rest is zero.
#[inline]
pub fn read_monotonic(page: &impl Words) -> Parameters {
    loop {
        let generation = page.word(GENERATION);
        let copy = COPIES[(generation & 1) as usize];
        let parameters = Parameters {
            ticks_per_second: 0,
            ns_per_tick: page.word(copy + 1),
            counter_base: page.word(copy + 2),
            monotonic_base_ns: page.word(copy + 3),
            wall_offset_ns: 0,
            slew_start_ns: 0,
            slew_total_ns: 0,
        };
        if page.word(GENERATION) == generation {
            return parameters;
        }
    }
}

/// What an earlier life of the service left, if it is whole and of this counter.
pub fn resume(page: &impl Words, ticks_per_second: u64) -> Option<Parameters> {
    HEADER.check(page).ok()?;
    let copy = COPIES[(page.word(GENERATION) & 1) as usize];
    let mut words = [0; COPY_WORDS];
    for (index, word) in words.iter_mut().enumerate() {
        *word = page.word(copy + index);
    }
    let whole = page.word(copy + COPY_WORDS) == u64::from(crc32c(&words));
    let parameters = Parameters::from_words(&words);
    let usable = parameters.ticks_per_second == ticks_per_second && parameters.ns_per_tick > 0;
    (whole && usable).then_some(parameters)
}

/// Publishes parameters.
pub fn write(page: &mut impl WordsMut, parameters: Parameters) {
    let generation = page.word(GENERATION).wrapping_add(1);
    write_copy(page, COPIES[(generation & 1) as usize], parameters);
    page.set_word(GENERATION, generation);
    // Who is still reading this one begins again. It is the current one when the generation is damaged
    // (campaign on seL4 release at d5450e3, seed 1, trial 14489: a clock that went back).
    write_copy(page, COPIES[(!generation & 1) as usize], parameters);
}

fn write_copy(page: &mut impl WordsMut, copy: usize, parameters: Parameters) {
    let words = parameters.to_words();
    for (index, word) in words.iter().enumerate() {
        page.set_word(copy + index, *word);
    }
    page.set_word(copy + COPY_WORDS, u64::from(crc32c(&words)));
}

#[cfg(test)]
mod tests {
    use super::*;

    const QEMU: u64 = 62_500_000;

    #[test]
    fn known_frequencies() {
        let qemu = Parameters::new(QEMU, 0, 0).unwrap();
        assert_eq!(qemu.ns_per_tick, 16 << 32);
        assert_eq!(qemu.monotonic_ns(3), 48);
        assert_eq!(qemu.monotonic_ns(u64::MAX), u64::MAX);
        let other = Parameters::new(24_000_000, 0, 0).unwrap();
        // Rounding the scale costs less than 0.1 ms in a year; crystals are off by minutes.
        let year = other.monotonic_ns(24_000_000 * 3600 * 24 * 365);
        assert!(year.abs_diff(365 * 24 * 3600 * NS_PER_SECOND) < 100_000);
        assert!(Parameters::new(0, 0, 0).is_none());
    }

    #[test]
    fn an_alarm_is_never_early_and_at_most_one_count_late() {
        for frequency in [32_768, 1_000_000, 19_200_000, 24_000_000, QEMU, 999_999_937] {
            let clock = Parameters::new(frequency, 0, 0).unwrap();
            for ticks in [0, 1, 77, 1 << 33, (1 << 40) + 12_345] {
                let now = clock.monotonic_ns(ticks);
                for delta in [
                    0,
                    1,
                    2,
                    15,
                    16,
                    17,
                    999,
                    1_000_000,
                    123_456_789,
                    4_294_967_295,
                ] {
                    let at = clock.ticks_after(ticks, delta);
                    assert!(
                        clock.monotonic_ns(at) >= now + delta,
                        "{frequency} {ticks} {delta}"
                    );
                    let slack = clock.monotonic_ns(at).saturating_sub(now + delta);
                    assert!(slack <= NS_PER_SECOND.div_ceil(frequency) + 1, "{slack}");
                }
            }
        }
    }

    #[test]
    fn stepping_and_slewing() {
        let clock = Parameters::new(QEMU, QEMU, 1000 * NS_PER_SECOND).unwrap();
        let now = clock.monotonic_ns(QEMU);
        assert_eq!(clock.wall_ns(now), 1000 * NS_PER_SECOND);
        let stepped = clock.with_wall(500 * NS_PER_SECOND, QEMU, false);
        assert_eq!(stepped.wall_ns(now), 500 * NS_PER_SECOND);
        for (target, sign) in [(1001, 1), (999, -1)] {
            let slewed = clock.with_wall(target * NS_PER_SECOND, QEMU, true);
            assert_eq!(slewed.wall_ns(now), 1000 * NS_PER_SECOND, "no jump");
            // 1 s takes 2048 s.
            let later = now + 2048 * NS_PER_SECOND;
            let expected =
                (1000 + 2048) as i64 * NS_PER_SECOND as i64 + sign * NS_PER_SECOND as i64;
            assert_eq!(slewed.wall_ns(later) as i64, expected);
            assert_eq!(slewed.wall_ns(later * 2) as i64, expected + later as i64);
            // Forward all the way, and a second request goes on from where it is.
            let half = now + 1024 * NS_PER_SECOND;
            assert!(slewed.wall_ns(half + 2048) > slewed.wall_ns(half));
            let half_ticks = half / 16;
            let again = slewed.with_wall(slewed.wall_ns(half), half_ticks, true);
            assert_eq!(
                (again.slew_total_ns, again.wall_ns(half)),
                (0, slewed.wall_ns(half))
            );
        }
    }

    use proptest::prelude::*;

    /// All numbers, and more often those near both ends.
    fn number() -> impl Strategy<Value = u64> {
        prop_oneof![any::<u64>(), 0u64..1000, u64::MAX - 1000.., 0u64..1 << 50]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Neither clock runs backwards, whatever was set, at whatever time, also at the end of time;
        /// a step shows what was set, and a slew nothing new at its beginning.
        #[test]
        fn clocks_go_forward_and_show_what_was_set(
            frequency in 1u64..1 << 40,
            (start, at, wall, target) in (number(), number(), number(), number()),
            slew: bool,
            steps in proptest::collection::vec(number(), 1..20),
        ) {
            let Some(clock) = Parameters::new(frequency, start, wall) else {
                return Ok(());
            };
            let set = clock.with_wall(target, at, slew);
            let base = clock.monotonic_ns(at);
            let expected = if slew {
                clock.wall_ns(base).max(base)
            } else {
                target.max(base)
            };
            // The wall clock is at least the monotonic one: times before 1970 plus the uptime are not kept.
            prop_assert_eq!(set.wall_ns(base), expected);
            let (mut ticks, mut last) = (at, (base, expected));
            for step in steps {
                ticks = ticks.saturating_add(step);
                let monotonic = set.monotonic_ns(ticks);
                let now = (monotonic, set.wall_ns(monotonic));
                prop_assert!(now.0 >= last.0 && now.1 >= last.1, "{last:?} {now:?}");
                last = now;
            }
        }

        /// An alarm is not before the counter, and not so late that a wait of at most 4 s is missed by
        /// more than a count.
        #[test]
        fn alarms_at_the_end_of_time(frequency in 1u64..1 << 40, ticks in number(), delta in number()) {
            let Some(clock) = Parameters::new(frequency, 0, 0) else {
                return Ok(());
            };
            let alarm = clock.ticks_after(ticks, delta);
            prop_assert!(alarm >= ticks);
            let waited =
                (u128::from(alarm - ticks) * u128::from(clock.ns_per_tick)) >> SCALE_SHIFT;
            let wanted = u128::from(delta.min(u64::from(u32::MAX)));
            let slack = u128::from(NS_PER_SECOND.div_ceil(frequency)) + 1;
            prop_assert!(waited <= wanted + slack, "{waited} {wanted}");
            prop_assert!(waited >= wanted || alarm == u64::MAX, "{waited} {wanted}");
        }
    }
}
