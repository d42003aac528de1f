// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What a campaign's trials come to: counts, intervals, distributions.

use std::collections::BTreeMap;

use injector_service::outcome::Outcome;

use super::journal::{Journal, Trial};

/// Normal quantile of a two-sided 95 % interval.
const Z: f64 = 1.959_963_984_540_054;

/// Outcomes with their counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts(pub BTreeMap<Outcome, u64>);

impl Counts {
    fn add(&mut self, outcome: Outcome) {
        *self.0.entry(outcome).or_default() += 1;
    }

    /// How many had this outcome.
    pub fn of(&self, outcome: Outcome) -> u64 {
        self.0.get(&outcome).copied().unwrap_or(0)
    }

    /// All.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// Those that showed any effect.
    pub fn manifested(&self) -> u64 {
        self.total() - self.of(Outcome::NotManifested)
    }
}

/// The 95 % interval of a proportion after Wilson (1927): also right near 0 and 1.
pub fn wilson(hits: u64, total: u64) -> (f64, f64) {
    if total == 0 {
        return (0.0, 1.0);
    }
    let (hits, total) = (hits as f64, total as f64);
    let share = hits / total;
    let scale = 1.0 + Z * Z / total;
    let middle = (share + Z * Z / (2.0 * total)) / scale;
    let half = Z / scale * (share * (1.0 - share) / total + Z * Z / (4.0 * total * total)).sqrt();
    ((middle - half).max(0.0), (middle + half).min(1.0))
}

/// A distribution of nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Times(Vec<u64>);

impl Times {
    /// Of these, in any order; zeros stand for nothing seen.
    pub fn of(times: impl Iterator<Item = u64>) -> Self {
        let mut times: Vec<_> = times.filter(|time| *time > 0).collect();
        times.sort_unstable();
        Self(times)
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The value below which `percent` of a hundred lie (nearest rank).
    pub fn percentile(&self, percent: usize) -> u64 {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(rank - 1).copied().unwrap_or(0)
    }

    /// The largest.
    pub fn max(&self) -> u64 {
        self.0.last().copied().unwrap_or(0)
    }

    /// In ascending order.
    pub fn values(&self) -> &[u64] {
        &self.0
    }
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// All trials.
    pub all: Counts,
    /// By victim.
    pub by_pd: BTreeMap<String, Counts>,
    /// By class.
    pub by_class: BTreeMap<String, Counts>,
    /// By class and victim.
    pub cells: BTreeMap<(String, String), Counts>,
    /// By victim: injection to first restart; to first answer after it; longest operation.
    pub times: BTreeMap<String, [Times; 3]>,
    /// Boots whose disk was wrong.
    pub bad_disks: u64,
    /// Boots.
    pub boots: u64,
}

impl Summary {
    /// Sums up.
    pub fn of(journal: &Journal) -> Self {
        let mut summary = Self {
            boots: journal.boots.len() as u64,
            bad_disks: journal
                .boots
                .iter()
                .filter(|boot| boot.disk.is_some())
                .count() as u64,
            ..Self::default()
        };
        let mut by_pd: BTreeMap<&str, Vec<&Trial>> = BTreeMap::new();
        for trial in &journal.trials {
            let outcome = trial.outcome();
            summary.all.add(outcome);
            summary
                .by_pd
                .entry(trial.pd.clone())
                .or_default()
                .add(outcome);
            summary
                .by_class
                .entry(trial.class.clone())
                .or_default()
                .add(outcome);
            let cell = (trial.class.clone(), trial.pd.clone());
            summary.cells.entry(cell).or_default().add(outcome);
            if outcome == Outcome::Unnoticed || outcome == Outcome::ErrorShown {
                by_pd.entry(&trial.pd).or_default().push(trial);
            }
        }
        for (pd, trials) in by_pd {
            let of = |time: fn(&Trial) -> u64| Times::of(trials.iter().map(|trial| time(trial)));
            let times = [
                of(|trial| trial.detected_ns),
                of(|trial| trial.served_ns),
                of(|trial| trial.slowest_ns),
            ];
            summary.times.insert(pd.to_owned(), times);
        }
        summary
    }

    /// Trials after which something was lost or wrong or did not come back, and disks that are wrong.
    pub fn failures(&self) -> u64 {
        let bad = Outcome::ALL
            .into_iter()
            .filter(|outcome| *outcome > Outcome::ErrorShown);
        bad.map(|outcome| self.all.of(outcome)).sum::<u64>() + self.bad_disks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilsons_intervals() {
        // Computed by another program (statsmodels 0.14, proportion_confint, method wilson).
        let close = |(low, high): (f64, f64), (a, b): (f64, f64)| {
            assert!(
                (low - a).abs() < 1e-4 && (high - b).abs() < 1e-4,
                "{low} {high}"
            );
        };
        close(wilson(0, 10), (0.0, 0.2775));
        close(wilson(10, 10), (0.7225, 1.0));
        close(wilson(50, 100), (0.4038, 0.5962));
        close(wilson(9_990, 10_000), (0.99816, 0.99946));
        assert_eq!(wilson(0, 0), (0.0, 1.0));
    }

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let times = Times::of((0..=100).rev());
        assert_eq!(times.count(), 100);
        assert_eq!(
            [times.percentile(50), times.percentile(99), times.max()],
            [50, 99, 100]
        );
        assert_eq!(Times::default().percentile(50), 0);
        assert_eq!(Times::of([7].into_iter()).percentile(1), 7);
    }
}
