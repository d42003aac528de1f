// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What the application gets done while its services die at a steady rate.

use injector_service::settings::{RATES_PER_1000_S, Settings};
use serde::{Deserialize, Serialize};

use super::journal::Trial;
use super::{Setup, boot, report};
use crate::cli::CampaignArgs;
use crate::error::{Error, Result};

/// One rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Kills per second, as asked for.
    pub per_second: f64,
    /// Kills.
    pub kills: u64,
    /// Seconds of guest time.
    pub seconds: f64,
    /// Operations of the application that were answered.
    pub operations: u64,
    /// Bytes that it compared.
    pub bytes: u64,
    /// Errors, wrong and missing contents, timers that were early, lost or extra, clock backwards.
    pub troubles: u64,
    /// Longest operation, in nanoseconds.
    pub slowest_ns: u64,
    /// Restarts.
    pub restarts: u64,
}

impl Point {
    fn of(trial: &Trial) -> Self {
        let number = |text: &str| {
            let digits = text.strip_prefix("0x").unwrap_or(text);
            u64::from_str_radix(digits, 16).unwrap_or(0)
        };
        Self {
            per_second: number(&trial.place) as f64 / 1000.0,
            kills: number(&trial.old),
            seconds: trial.took_ns as f64 / 1e9,
            operations: trial.operations,
            bytes: number(&trial.new),
            troubles: trial.troubles.iter().chain(&trial.timers).sum(),
            slowest_ns: trial.slowest_ns,
            restarts: trial.restarts.values().map(|count| u64::from(*count)).sum(),
        }
    }

    /// Operations per second.
    pub fn rate(&self) -> f64 {
        self.operations as f64 / self.seconds.max(1e-9)
    }
}

/// Measures all rates in one boot.
///
/// # Errors
///
/// When the machine does not get through.
pub fn run(args: &CampaignArgs, setup: &Setup) -> Result<()> {
    let end = RATES_PER_1000_S.len() as u64;
    let settings = Settings {
        end,
        ..setup.settings
    };
    setup.fresh_disk()?;
    let mut points: Vec<Point> = Vec::new();
    println!(
        "kills/s   kills restarts  operations/s  of those without kills  slowest, ms  troubles"
    );
    let boot = boot::run(setup, &settings, &mut |trial| {
        let point = Point::of(&trial);
        let first = points.first().map_or(point.rate(), Point::rate);
        println!(
            "{:>7.1} {:>7} {:>8} {:>13.0} {:>21.1} % {:>12.2} {:>9}",
            point.per_second,
            point.kills,
            point.restarts,
            point.rate(),
            point.rate() / first * 100.0,
            point.slowest_ns as f64 / 1e6,
            point.troubles
        );
        points.push(point);
    })?;
    let folder = setup.folder.parent().unwrap_or(&setup.folder);
    report::save(&folder.join(report::RATES), &points)?;
    if let Some(path) = &args.json {
        report::save(path, &points)?;
    }
    match boot.next {
        next if next == end => Ok(()),
        next => Err(Error::new(format!(
            "the machine came to rate {next} of {end}: {}",
            boot.end.name()
        ))),
    }
}
