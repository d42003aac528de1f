// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Random numbers that follow from a seed, shared by everything in one simulated machine.

use std::cell::Cell;
use std::rc::Rc;

/// SplitMix64 (Steele, Lea, Flood 2014), one sequence for all who hold a clone.
#[derive(Clone, Debug)]
pub struct Random(Rc<Cell<u64>>);

impl Random {
    /// Begins the sequence of run `run`.
    pub fn of_run(seed: u64, run: u64) -> Self {
        let start = seed ^ run.wrapping_mul(0xd134_2543_de82_ef95);
        let random = Self(Rc::new(Cell::new(start)));
        random.next();
        random
    }

    /// The next word.
    pub fn next(&self) -> u64 {
        self.0.set(self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15));
        let mut word = self.0.get();
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ word >> 31
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Steps until a life ends: many die while they start, most in the middle of work.
    pub fn life_steps(&self, longest: u64) -> u64 {
        match self.below(8) {
            0 => self.below(30),
            1 => self.below(200),
            _ => self.below(longest),
        }
    }
}
