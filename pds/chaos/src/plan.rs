// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Which victim dies next, at which of its points, of what: a seeded sequence, so that a run can
//! be repeated.

/// How a victim dies: an A64 instruction that faults, or one after which it does nothing any more.
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
    /// `b .`: a loop without an end.
    BusyLoop,
    /// A branch into a receive that swallows everything, to block in for ever.
    Deadlock,
    /// A branch over the acknowledgement of an interrupt.
    LostIrq,
}

/// Deaths by a fault.
const DEATHS: [Death; 4] = [
    Death::IllegalInstruction,
    Death::Breakpoint,
    Death::WildJump,
    Death::WildRead,
];

/// Deaths that only a missing heartbeat shows.
const HANGS: [Death; 3] = [Death::BusyLoop, Death::Deadlock, Death::LostIrq];

/// `b`, from `address` to `target`. Both are in one program, so the distance fits.
const fn branch(address: u64, target: u64) -> u32 {
    let words = (target.wrapping_sub(address) as i64 / 4) as u32;
    0x1400_0000 | words & 0x03ff_ffff
}

impl Death {
    /// The instruction, to be written at `address`, with the place that it branches to.
    pub const fn instruction(self, address: u64, target: u64) -> u32 {
        match self {
            Self::BusyLoop => branch(address, address),
            Self::Deadlock | Self::LostIrq => branch(address, target),
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
            Self::BusyLoop => "busy_loop",
            Self::Deadlock => "deadlock",
            Self::LostIrq => "lost_irq",
        }
    }

    /// Whether nobody faults.
    pub fn is_hang(self) -> bool {
        HANGS.contains(&self)
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
    hangs: bool,
}

impl Plan {
    /// Starts the sequence of `seed`; with `hangs`, nobody dies of a fault.
    pub const fn new(seed: u64, hangs: bool) -> Self {
        Self {
            state: seed,
            turn: 0,
            hangs,
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
        let deaths = if self.hangs { &HANGS[..] } else { &DEATHS[..] };
        let death = deaths[(self.random() % deaths.len() as u64) as usize];
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
        let mut plan = Plan::new(1, false);
        let victims: Vec<_> = (0..6)
            .map(|_| plan.next(&[3, 0, 1]).expect("points").victim)
            .collect();
        assert_eq!(victims, [0, 2, 0, 2, 0, 2]);
        assert_eq!(plan.next(&[0, 0]), None);
        assert_eq!(plan.next(&[]), None);
    }

    #[test]
    fn branches_go_where_they_shall() {
        assert_eq!(Death::BusyLoop.instruction(0x1000, 0), 0x1400_0000);
        assert_eq!(Death::Deadlock.instruction(0x1000, 0x1010), 0x1400_0004);
        assert_eq!(Death::LostIrq.instruction(0x1000, 0xff8), 0x17ff_fffe);
    }

    #[test]
    fn without_hangs_every_death_is_a_fault() {
        let mut plan = Plan::new(7, false);
        assert!((0..200).all(|_| !plan.next(&[5]).expect("points").death.is_hang()));
    }

    #[test]
    fn a_seed_is_a_sequence_and_reaches_every_point_and_death() {
        let run = |seed| {
            let mut plan = Plan::new(seed, seed == 8);
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
        for death in HANGS {
            assert!(run(8).iter().any(|kill| kill.death == death));
        }
    }
}
