// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What a trial does to whom: drawn from its own random numbers, so that it is the same whatever came before.
//!
//! docs/campaign.md names trials by their numbers. So classes that came later take their share of all trials
//! by random numbers of their own, and every trial that none of them takes is what it was without them.

use crate::class::Class;
use crate::random::Random;
use crate::settings::Settings;

/// Victims, in the order of their TCB capabilities in `overlay.xml` (slots 1, 2, ...), with the supervisor
/// that restarts each one.
pub const VICTIMS: [(&str, Option<usize>); 6] = [
    ("supervisor", None),
    ("devices", Some(0)),
    ("timer", Some(0)),
    ("fs", Some(0)),
    ("blk", Some(1)),
    ("console", Some(0)),
];

/// Periods from one trial to the next injection, at most: so that it hits any part of the work.
const DELAY_MAX: u64 = 24;

/// Makes the random numbers of the later classes others than those of the rest of the trial.
const LATE: u64 = u64::from_le_bytes(*b"laterone");

/// A decision.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Index of the victim.
    pub victim: usize,
    /// What it gets.
    pub class: Class,
    /// Periods to wait before.
    pub delay: u32,
    /// For everything else that is drawn.
    pub random: Random,
}

impl Plan {
    /// Draws trial `trial`; `None` when the settings leave nothing to draw.
    pub fn draw(settings: &Settings, trial: u64) -> Option<Self> {
        let mut random = Random::of_trial(settings.seed, trial);
        let fits = |victim: usize, class: &Class| {
            settings.victims & 1 << victim != 0
                && settings.classes & class.bit() != 0
                && class.fits(VICTIMS[victim].0)
        };
        // First the class, so that each gets its share, also one that few victims can have.
        let pairs = |class: &Class| {
            (0..VICTIMS.len())
                .filter(|victim| fits(*victim, class))
                .count()
        };
        let possible = |late: bool| {
            let classes = Class::ALL
                .iter()
                .filter(move |class| class.is_late() == late);
            classes.filter(|class| pairs(class) > 0)
        };
        let (early, late) = (possible(false).count(), possible(true).count());
        let share = Random::of_trial(settings.seed ^ LATE, trial).below((early + late) as u64);
        let class = match (share as usize).checked_sub(early) {
            Some(chosen) => *possible(true).nth(chosen)?,
            None => *possible(false).nth(random.below(early as u64) as usize)?,
        };
        let chosen = random.below(pairs(&class) as u64) as usize;
        let victim = (0..VICTIMS.len())
            .filter(|victim| fits(*victim, &class))
            .nth(chosen)?;
        let delay = random.below(DELAY_MAX) as u32;
        Some(Self {
            victim,
            class,
            delay,
            random,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Mode;

    fn settings(classes: u64, victims: u64) -> Settings {
        Settings {
            seed: 1,
            first: 0,
            end: 0,
            classes,
            victims,
            lost_after_ms: 0,
            mode: Mode::Inside,
        }
    }

    #[test]
    fn every_pair_that_fits_is_drawn_and_no_other() {
        let all = settings(u64::MAX, u64::MAX);
        let mut seen = std::collections::BTreeSet::new();
        for trial in 0..5_000 {
            let plan = Plan::draw(&all, trial).expect("plenty");
            assert!(plan.class.fits(VICTIMS[plan.victim].0));
            seen.insert((plan.victim, plan.class));
        }
        let pairs = (0..VICTIMS.len())
            .flat_map(|victim| Class::ALL.iter().map(move |class| (victim, *class)))
            .filter(|(victim, class)| class.fits(VICTIMS[*victim].0));
        assert_eq!(seen.len(), pairs.count());
    }

    #[test]
    fn a_later_class_leaves_the_other_trials_as_they_were() {
        let late = Class::DeviceError;
        let (all, early) = (
            settings(u64::MAX, u64::MAX),
            settings(!late.bit(), u64::MAX),
        );
        let mut taken = 0;
        for trial in 0..5_000 {
            let (now, then) = (Plan::draw(&all, trial), Plan::draw(&early, trial));
            let (mut now, mut then) = (now.expect("plenty"), then.expect("plenty"));
            if now.class == late {
                taken += 1;
                continue;
            }
            assert_eq!(now.random.next(), then.random.next());
            assert_eq!(
                (now.class, now.victim, now.delay),
                (then.class, then.victim, then.delay)
            );
        }
        let share = 5_000 / Class::ALL.len();
        assert!(taken > share * 3 / 4 && taken < share * 5 / 4, "{taken}");
        let alone = Plan::draw(&settings(late.bit(), u64::MAX), 7).expect("possible");
        assert_eq!((alone.class, VICTIMS[alone.victim].0), (late, "blk"));
    }

    #[test]
    fn settings_narrow_it_down() {
        let few = settings(Class::DataBit.bit() | Class::MaskedInterrupt.bit(), 1 << 3);
        for trial in 0..100 {
            let plan = Plan::draw(&few, trial).expect("some");
            assert_eq!((plan.victim, plan.class), (3, Class::DataBit));
        }
        assert!(Plan::draw(&settings(Class::MaskedInterrupt.bit(), 1), 0).is_none());
        assert!(Plan::draw(&settings(0, u64::MAX), 0).is_none());
    }

    #[test]
    fn every_parent_is_a_victim_before_its_children() {
        for (index, (_, parent)) in VICTIMS.iter().enumerate() {
            assert!(parent.is_none_or(|parent| parent < index));
        }
    }
}
