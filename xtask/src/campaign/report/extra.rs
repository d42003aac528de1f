// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What other runs of the command have left for the report: the ablation, and throughput against the rate
//! of kills. Each is a file of JSON in the kernel's folder.

use std::fmt::Write;
use std::path::Path;

use injector_service::outcome::Outcome;
use serde::{Deserialize, Serialize};

use super::super::journal::Journal;
use super::super::rates::Point;
use super::super::stats::{Summary, wilson};
use super::percent;
use crate::error::{Context, Result};
use crate::workspace;

/// File of the ablation.
pub const ABLATION: &str = "ablation.json";
/// File of the throughput.
pub const RATES: &str = "rates.json";

/// One way of recovery.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Its name.
    pub ablation: String,
    /// Sources.
    pub commit: String,
    /// Trials, and those with any effect.
    pub trials: u64,
    /// See `trials`.
    pub manifested: u64,
    /// Recovered, and the application noticed nothing.
    pub unnoticed: u64,
    /// An error was shown.
    pub error_shown: u64,
    /// Data lost or wrong.
    pub data: u64,
    /// The machine was reset, or nothing went on.
    pub lost: u64,
    /// Boots with something wrong on the disk.
    pub bad_disks: u64,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Extra {
    /// Rows of the ablation.
    pub ablation: Vec<Row>,
    /// Throughput.
    pub rates: Vec<Point>,
}

impl Extra {
    /// Reads what there is.
    pub fn read(folder: &Path) -> Self {
        Self {
            ablation: load(&folder.join(ABLATION)).unwrap_or_default(),
            rates: load(&folder.join(RATES)).unwrap_or_default(),
        }
    }
}

fn load<T: for<'a> Deserialize<'a>>(path: &Path) -> Option<T> {
    serde_json::from_str(&std::fs::read_to_string(path).ok()?).ok()
}

/// Writes JSON.
///
/// # Errors
///
/// When the file cannot be written.
pub fn save(path: &Path, value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).context("write JSON")?;
    workspace::write(path, format!("{text}\n").as_bytes())
}

/// The rows of the ablation.
pub fn ablation_rows(all: &[(Journal, Summary)]) -> Vec<Row> {
    let row = |(journal, summary): &(Journal, Summary)| {
        let of = |outcome| summary.all.of(outcome);
        Row {
            ablation: journal.campaign.ablation.clone(),
            commit: journal.campaign.commit.clone(),
            trials: summary.all.total(),
            manifested: summary.all.manifested(),
            unnoticed: of(Outcome::Unnoticed),
            error_shown: of(Outcome::ErrorShown),
            data: of(Outcome::DataLost) + of(Outcome::WrongData),
            lost: of(Outcome::NeededReset) + of(Outcome::SystemLost),
            bad_disks: summary.bad_disks,
        }
    };
    all.iter().map(row).collect()
}

impl Row {
    /// Share of the manifested faults that nobody noticed, with its interval, in percent.
    pub fn recovered(&self) -> String {
        if self.manifested == 0 {
            return "-".to_owned();
        }
        let (low, high) = wilson(self.unnoticed, self.manifested);
        let share = percent(self.unnoticed as f64 / self.manifested as f64);
        format!("{share} [{}, {}]", percent(low), percent(high))
    }
}

/// The table for the terminal.
pub fn ablation_table(all: &[(Journal, Summary)]) -> String {
    let mut text = format!(
        "{:<12} {:>7} {:>10} {:>9} {:>6} {:>6} {:>6} {:>9}   unnoticed of manifested, % (95 %)\n",
        "recovery", "trials", "manifested", "unnoticed", "error", "data", "lost", "bad disks"
    );
    for row in ablation_rows(all) {
        // Writing to a `String` does not fail.
        let _ = writeln!(
            text,
            "{:<12} {:>7} {:>10} {:>9} {:>6} {:>6} {:>6} {:>9}   {}",
            row.ablation,
            row.trials,
            row.manifested,
            row.unnoticed,
            row.error_shown,
            row.data,
            row.lost,
            row.bad_disks,
            row.recovered()
        );
    }
    text
}
