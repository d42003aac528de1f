// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The random numbers of one trial: they follow from the campaign's seed and the trial's number alone.

/// SplitMix64 (Steele, Lea, Flood 2014): one word of state, every seed is good.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Random {
    /// Those of trial `trial`.
    pub const fn of_trial(seed: u64, trial: u64) -> Self {
        let mut first = Self { state: seed };
        let start = first.next();
        // Each trial begins far from every other one.
        let mut second = Self {
            state: start ^ trial.wrapping_mul(0xd134_2543_de82_ef95),
        };
        second.next();
        second
    }

    /// The next word.
    pub const fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(STEP);
        let mut word = self.state;
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ word >> 31
    }

    /// A number below `bound`; 0 when `bound` is 0.
    pub const fn below(&mut self, bound: u64) -> u64 {
        let word = self.next();
        match bound {
            0 => 0,
            bound => word % bound,
        }
    }

    /// True once in `count` times.
    pub const fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_is_the_same_whatever_came_before() {
        let words = |trial| {
            let mut random = Random::of_trial(1, trial);
            [random.next(), random.next(), random.next()]
        };
        assert_eq!(words(7), words(7));
        for trial in 0..100 {
            assert_ne!(words(trial), words(trial + 1));
        }
        assert_ne!(Random::of_trial(1, 0).next(), Random::of_trial(2, 0).next());
        assert_eq!(Random::of_trial(1, 0).below(0), 0);
    }
}
