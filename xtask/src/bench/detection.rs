// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! How long it takes until a hang is noticed, for each kind of hang.
//!
//! `detection.KIND` is over all PDs, with the timeouts of `policy.toml`; `detection.timer_service` is every
//! hang of the time service, which only the second clock shows. `detection.false_restarts` counts what
//! the supervisors took for a hang while an application worked on a throttled disk without a pause.

use std::collections::BTreeMap;

use figures::Samples;

use super::{Bench, Run};
use crate::target_test::HANG;

/// See the module.
pub const BENCH: Bench = Bench {
    name: "detection",
    what: "time until a hang is noticed, and false alarms under load, also for other timeouts",
    runs: &[
        HANGS,
        LOAD,
        at(HANGS, "hangs_20", 20, |output| swept(output, 20)),
        at(LOAD, "load_20", 20, |output| false_alarms(output, 20)),
        at(HANGS, "hangs_40", 40, |output| swept(output, 40)),
        at(LOAD, "load_40", 40, |output| false_alarms(output, 40)),
        at(HANGS, "hangs_100", 100, |output| swept(output, 100)),
        at(LOAD, "load_100", 100, |output| false_alarms(output, 100)),
        at(HANGS, "hangs_200", 200, |output| swept(output, 200)),
        at(LOAD, "load_200", 200, |output| false_alarms(output, 200)),
    ],
};

/// Guest minutes of load at each point of the sweep.
const SWEEP_MINUTES: u64 = 5;

const HANGS: Run = Run {
    name: "hangs",
    overlays: &[
        "pds/test_supervision/overlay.xml",
        "pds/test_supervision/hangs.xml",
    ],
    timeout_s: 1200,
    count: detections,
    ..Run::PLAIN
};

const LOAD: Run = Run {
    name: "load",
    overlays: &[
        "pds/bench_overhead/overlay.xml",
        "pds/bench_overhead/steady.xml",
    ],
    drive: ",throttling.iops-total=200",
    timeout_s: 7200,
    count: false_restarts,
    ..HANGS
};

/// A point of the sweep: what another timeout would buy and cost. A system that falls apart is a result.
const fn at(run: Run, name: &'static str, timeout_ms: u32, count: fn(&str) -> Vec<String>) -> Run {
    Run {
        name,
        heartbeat_timeout_ms: Some(timeout_ms),
        minutes_max: SWEEP_MINUTES,
        may_fail: true,
        count,
        ..run
    }
}

fn one(name: &str, count: usize) -> String {
    let mut samples = Samples::default();
    samples.add(count as u64);
    samples.summary(name, "count").to_string()
}

fn lines_with(output: &str, text: &str) -> usize {
    output.lines().filter(|line| line.contains(text)).count()
}

/// All detections together, the time service's aside, and how many attacks ended as they must not.
fn swept(output: &str, timeout_ms: u32) -> Vec<String> {
    let mut all = Samples::default();
    for (_, pd, ns) in said(output) {
        if pd != "timer" {
            all.add(ns);
        }
    }
    let name = |what: &str| format!("detection.sweep_{timeout_ms}.{what}");
    vec![
        all.summary(&name("hang"), "ns_guest").to_string(),
        one(&name("failed_attacks"), lines_with(output, "FAILED ")),
    ]
}

fn false_alarms(output: &str, timeout_ms: u32) -> Vec<String> {
    let name = format!("detection.sweep_{timeout_ms}.false_restarts");
    vec![one(&name, lines_with(output, HANG))]
}

/// One number, also when it is zero: the run would have failed if nobody had worked.
fn false_restarts(output: &str) -> Vec<String> {
    vec![one("detection.false_restarts", lines_with(output, HANG))]
}

/// Kind, PD and time of each detection.
fn said(output: &str) -> impl Iterator<Item = (&str, &str, u64)> {
    output.lines().filter_map(|line| {
        let (_, said) = line.split_once("DETECTED kind=")?;
        let mut words = said.split_whitespace();
        let kind = words.next()?;
        let pd = words.next()?.strip_prefix("pd=")?;
        let ns = words.next()?.strip_prefix("ns=")?;
        Some((kind, pd, ns.parse().ok()?))
    })
}

fn detections(output: &str) -> Vec<String> {
    let mut found: BTreeMap<String, Samples> = BTreeMap::new();
    for (kind, pd, ns) in said(output) {
        let name = match pd {
            // What is noticed by the second clock; a wrong answer is noticed as everybody's.
            "timer" if kind != "wrong_answer" => "detection.timer_service".to_owned(),
            _ => format!("detection.{kind}"),
        };
        found.entry(name).or_default().add(ns);
    }
    let line =
        |(name, mut samples): (String, Samples)| samples.summary(&name, "ns_guest").to_string();
    found.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_hang_under_load_is_a_false_one() {
        let output = "[1] supervisor: HANG pd=fs x\n[1] supervisor: FAULT pd=fs\n";
        let value = |output| super::false_restarts(output).remove(0);
        assert!(value(output).contains("name=detection.false_restarts unit=count n=1 min=1"));
        assert!(value("").contains(" max=0"));
    }

    #[test]
    fn a_point_of_the_sweep_has_time_and_failures() {
        let output = "[1] t: DETECTED kind=deadlock pd=blk ns=5\n[1] t: FAILED blk read\n\
                      [1] t: DETECTED kind=lost_irq pd=timer ns=11\n";
        let lines = super::swept(output, 20);
        assert!(lines[0].contains("name=detection.sweep_20.hang unit=ns_guest n=1 min=5"));
        assert!(lines[1].contains("name=detection.sweep_20.failed_attacks unit=count n=1 min=1"));
        assert!(super::false_alarms("", 40)[0].contains("sweep_40.false_restarts"));
    }

    #[test]
    fn detections_are_sorted_by_kind() {
        let output = "[1] t: DETECTED kind=deadlock pd=blk ns=5\n\
                      [1] t: DETECTED kind=deadlock pd=console ns=7\n\
                      [1] t: DETECTED kind=deadlock pd=fs ns=9\n\
                      [1] t: DETECTED kind=lost_irq pd=timer ns=11\n\
                      [1] t: DETECTED kind=cut\n";
        let lines = super::detections(output);
        assert_eq!(lines.len(), 2);
        assert!(lines[0].contains("name=detection.deadlock unit=ns_guest n=3 min=5"));
        assert!(lines[1].contains("name=detection.timer_service "));
    }
}
