// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Which victim dies next, at which of its points, of what: a seeded sequence, so that a run can
//! be repeated.

/// How a victim dies: an A64 instruction that faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// `udf #0`.
    IllegalInstruction,
    /// `brk #0`.
    Breakpoint,
    /// `br xzr`: a jump to address 0, where nothing is mapped.
    WildJump,
    /// `ldr xzr, [pc, #-0x100000]`: a load from below the code, where nothing is mapped.
    WildRead,
}

const DEATHS: [Death; 4] = [
    Death::IllegalInstruction,
    Death::Breakpoint,
    Death::WildJump,
    Death::WildRead,
];

impl Death {
    /// The instruction.
    pub const fn instruction(self) -> u32 {
        match self {
            Self::IllegalInstruction => 0x0000_0000,
            Self::Breakpoint => 0xd420_0000,
            Self::WildJump => 0xd61f_03e0,
            Self::WildRead => 0x5880_001f,
        }
    }

    /// Its name in the log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::IllegalInstruction => "illegal_instruction",
            Self::Breakpoint => "breakpoint",
            Self::WildJump => "wild_jump",
            Self::WildRead => "wild_read",
        }
    }
}

/// The `nop` of a fault point.
pub const NOP: u32 = 0xd503_201f;

/// A decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kill {
    /// Index of the victim.
    pub victim: usize,
    /// Index of the point in the victim's list.
    pub point: usize,
    /// How it dies.
    pub death: Death,
}

/// SplitMix64 (Steele, Lea, Flood 2014): one word of state, every seed is good.
#[derive(Clone, Debug)]
pub struct Plan {
    state: u64,
    turn: usize,
}

impl Plan {
    /// Starts the sequence of `seed`.
    pub const fn new(seed: u64) -> Self {
        Self {
            state: seed,
            turn: 0,
        }
    }

    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.state;
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ word >> 31
    }

    /// Chooses the next kill among victims with `points[i]` points each, the victims in turn;
    /// `None` when there is no point at all.
    pub fn next(&mut self, points: &[usize]) -> Option<Kill> {
        let victim = (0..points.len())
            .map(|step| (self.turn + step) % points.len())
            .find(|&victim| points[victim] > 0)?;
        self.turn = victim + 1;
        let point = (self.random() % points[victim] as u64) as usize;
        let death = DEATHS[(self.random() % DEATHS.len() as u64) as usize];
        Some(Kill {
            victim,
            point,
            death,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn victims_take_turns_and_one_without_points_is_passed_over() {
        let mut plan = Plan::new(1);
        let victims: Vec<_> = (0..6)
            .map(|_| plan.next(&[3, 0, 1]).expect("points").victim)
            .collect();
        assert_eq!(victims, [0, 2, 0, 2, 0, 2]);
        assert_eq!(plan.next(&[0, 0]), None);
        assert_eq!(plan.next(&[]), None);
    }

    #[test]
    fn a_seed_is_a_sequence_and_reaches_every_point_and_death() {
        let run = |seed| {
            let mut plan = Plan::new(seed);
            (0..200)
                .map(|_| plan.next(&[5]).expect("points"))
                .collect::<Vec<_>>()
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
        for point in 0..5 {
            assert!(run(7).iter().any(|kill| kill.point == point));
        }
        for death in DEATHS {
            assert!(run(7).iter().any(|kill| kill.death == death));
        }
    }
}
