// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What supervision costs who needs no repair: the demo's work with it and without it, in instructions
//! of everybody together.

use figures::{Samples, Summary};

use super::{Bench, Run};

const ON: &str = "supervision.demo_work_on";
const OFF: &str = "supervision.demo_work_off";

/// See the module.
pub const BENCH: Bench = Bench {
    name: "overhead",
    what: "the demo's work with supervision and without it",
    runs: &[
        Run {
            name: "on",
            overlays: &[
                "pds/test_spin/overlay.xml",
                "pds/bench_overhead/overlay.xml",
            ],
            count: on,
            ..Run::PLAIN
        },
        Run {
            name: "off",
            overlays: &[
                "pds/test_spin/overlay.xml",
                "pds/bench_overhead/overlay.xml",
                "pds/bench_overhead/off.xml",
            ],
            count: off,
            ..Run::PLAIN
        },
    ],
};

fn on(output: &str) -> Vec<String> {
    renamed(output, ON)
}

fn off(output: &str) -> Vec<String> {
    renamed(output, OFF)
}

fn renamed(output: &str, name: &str) -> Vec<String> {
    let work = |summary: &Summary<'_>| summary.name == "supervision.demo_work";
    let found = output.lines().filter_map(Summary::parse).find(work);
    found
        .map(|work| Summary { name, ..work }.to_string())
        .into_iter()
        .collect()
}

/// The figure that follows from both runs. Its unit is a thousandth of a percent, as figures are whole.
pub fn percent(lines: &[String]) -> Option<String> {
    let value = |name: &str| {
        let mut all = lines.iter().filter_map(|line| Summary::parse(line));
        all.find(|summary| summary.name == name).map(|s| s.p50)
    };
    let (on, off) = (value(ON)?, value(OFF)?);
    let mut samples = Samples::default();
    samples.add(on.saturating_sub(off) * 100_000 / off.max(1));
    let summary = samples.summary("supervision.overhead_percent", "percent/1000");
    Some(summary.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_overhead_follows_from_both_runs() {
        let line = |n| {
            format!(
                "x: FIGURE name=supervision.demo_work unit=instructions n=1 min={n} p50={n} p99={n} max={n}"
            )
        };
        let mut lines = on(&line(1_005));
        assert_eq!(percent(&lines), None);
        lines.extend(off(&line(1_000)));
        let percent = percent(&lines).expect("both are there");
        assert_eq!(Summary::parse(&percent).map(|s| s.p50), Some(500));
    }
}
