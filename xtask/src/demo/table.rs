// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What a demo prints about its run: how the services died and came back, and what the application saw.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::log::{Report, Service};

/// Guest time, as people read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// One nanosecond of the guest's time is one instruction.
    Instructions,
    /// The host's time.
    Microseconds,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::Instructions => "instructions",
            Self::Microseconds => "us",
        }
    }

    fn of_ns(self, ns: u64) -> String {
        match self {
            Self::Instructions => grouped(ns),
            Self::Microseconds => grouped(ns / 1000),
        }
    }
}

/// A number with its thousands set apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The table of services.
pub fn services(report: &Report, unit: Unit) -> String {
    let mut text = format!(
        "{:<9} {:>6} {:>9}   fault to ready, {:<12}   killed by\n{:<26}   {:>12} {:>15}\n",
        "service",
        "killed",
        "restarted",
        unit.name(),
        "",
        "p50",
        "max",
    );
    for (name, service) in &report.services {
        let (middle, most) = times(service, unit);
        // Writing to a `String` does not fail.
        let _ = writeln!(
            text,
            "{name:<9} {:>6} {:>9}   {middle:>12} {most:>15}   {}",
            service.kill_count(),
            service.restarts,
            counts(&service.deaths),
        );
    }
    text
}

/// Where each service was killed.
pub fn points(report: &Report) -> String {
    let mut text = String::new();
    for (name, service) in &report.services {
        if !service.kills.is_empty() {
            let prefix = format!("{name}.");
            let short = |point: &String| point.strip_prefix(&prefix).unwrap_or(point).to_owned();
            let kills = service
                .kills
                .iter()
                .map(|(point, n)| (short(point), *n))
                .collect();
            let _ = writeln!(text, "  {name} at {}", counts(&kills));
        }
    }
    text
}

/// What the application saw.
pub fn application(report: &Report) -> String {
    let words: Vec<_> = report
        .summary
        .iter()
        .map(|word| word.replacen('=', " ", 1))
        .collect();
    let mut text = String::new();
    for words in words.chunks(4) {
        let _ = writeln!(text, "  {}", words.join(", "));
    }
    text
}

fn counts(counts: &BTreeMap<String, u64>) -> String {
    let words: Vec<_> = counts
        .iter()
        .map(|(what, n)| format!("{what} {n}"))
        .collect();
    words.join(", ")
}

fn times(service: &Service, unit: Unit) -> (String, String) {
    let mut times = service.ready_after_ns.clone();
    times.sort_unstable();
    match (times.get(times.len() / 2), times.last()) {
        (Some(middle), Some(most)) => (unit.of_ns(*middle), unit.of_ns(*most)),
        _ => ("-".to_owned(), "-".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Unit, application, grouped, points, services};
    use crate::demo::log::{Report, Service};

    fn report() -> Report {
        let mut report = Report::default();
        let count = |pairs: &[(&str, u64)]| {
            pairs
                .iter()
                .map(|(name, n)| ((*name).to_owned(), *n))
                .collect()
        };
        let blk = Service {
            kills: count(&[("blk.irq", 2), ("log.before_entry", 1)]),
            deaths: count(&[("breakpoint", 1), ("wild_jump", 2)]),
            restarts: 3,
            ready_after_ns: vec![61_216, 60_528, 1_062_176],
        };
        report.services.insert("blk".to_owned(), blk);
        report.services.insert("fs".to_owned(), Service::default());
        report.summary = ["ops=10", "errors=0"].map(str::to_owned).to_vec();
        report
    }

    #[test]
    fn thousands_are_set_apart() {
        let texts = [0, 999, 1000, 123_456, 1_234_567].map(grouped);
        assert_eq!(texts, ["0", "999", "1,000", "123,456", "1,234,567"]);
    }

    #[test]
    fn the_table_says_how_services_died_and_came_back() {
        let expected = "\
service   killed restarted   fault to ready, instructions   killed by
                                      p50             max
blk            3         3         61,216       1,062,176   breakpoint 1, wild_jump 2
fs             0         0              -               -   \n";
        assert_eq!(services(&report(), Unit::Instructions), expected);
        assert!(services(&report(), Unit::Microseconds).contains("    61           1,062   br"));
    }

    #[test]
    fn points_and_summary_are_one_line_each() {
        assert_eq!(points(&report()), "  blk at irq 2, log.before_entry 1\n");
        assert_eq!(application(&report()), "  ops 10, errors 0\n");
    }
}
