// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! How long it takes until a hang is noticed, for each kind of hang.
//!
//! `detection.KIND` is over all PDs that have the timeouts of `policy.toml`'s defaults;
//! `detection.KIND.PD` is one with a timeout of its own; `detection.timer_service` is every hang of
//! the time service, which only the second clock shows. `detection.false_restarts` counts what the
//! supervisors took for a hang while an application worked on a throttled disk without a pause.

use std::collections::BTreeMap;

use figures::Samples;

use super::{Bench, Run};
use crate::target_test::HANG;

/// See the module.
pub const BENCH: Bench = Bench {
    name: "detection",
    what: "time until a hang is noticed, and false alarms under load",
    runs: &[HANGS, LOAD],
};

const HANGS: Run = Run {
    name: "hangs",
    system: "system.xml",
    overlays: &[
        "pds/test_supervision/overlay.xml",
        "pds/test_supervision/hangs.xml",
    ],
    prefill: &[],
    disk_megabytes: 64,
    ext4: true,
    drive: "",
    timeout_s: 1200,
    count: detections,
};

const LOAD: Run = Run {
    name: "load",
    overlays: &[
        "pds/bench_overhead/overlay.xml",
        "pds/bench_overhead/steady.xml",
    ],
    drive: ",throttling.iops-total=200",
    timeout_s: 3600,
    count: false_restarts,
    ..HANGS
};

/// One number, also when it is zero: the run would have failed if nobody had worked.
fn false_restarts(output: &str) -> Vec<String> {
    let hangs = output.lines().filter(|line| line.contains(HANG)).count();
    let mut samples = Samples::default();
    samples.add(hangs as u64);
    vec![
        samples
            .summary("detection.false_restarts", "count")
            .to_string(),
    ]
}

/// PDs whose heartbeat timeout in the test's policy is not the default.
const OWN_TIMEOUT: [&str; 3] = ["fs", "app_demo", "console"];

fn detections(output: &str) -> Vec<String> {
    let mut found: BTreeMap<String, Samples> = BTreeMap::new();
    for line in output.lines() {
        let Some((_, said)) = line.split_once("DETECTED kind=") else {
            continue;
        };
        let mut words = said.split_whitespace();
        let kind = words.next();
        let pd = words.next().and_then(|word| word.strip_prefix("pd="));
        let ns = words.next().and_then(|word| word.strip_prefix("ns="));
        let (Some(kind), Some(pd), Some(Ok(ns))) = (kind, pd, ns.map(str::parse)) else {
            continue;
        };
        let mut add = |name: String| found.entry(name).or_default().add(ns);
        if pd == "timer" {
            add("detection.timer_service".to_owned());
        } else if OWN_TIMEOUT.contains(&pd) {
            add(format!("detection.{kind}.{pd}"));
        } else {
            add(format!("detection.{kind}"));
        }
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
    fn detections_are_sorted_by_kind() {
        let output = "[1] t: DETECTED kind=deadlock pd=blk ns=5\n\
                      [1] t: DETECTED kind=deadlock pd=console ns=7\n\
                      [1] t: DETECTED kind=deadlock pd=fs ns=9\n\
                      [1] t: DETECTED kind=lost_irq pd=timer ns=11\n\
                      [1] t: DETECTED kind=cut\n";
        let lines = super::detections(output);
        assert_eq!(lines.len(), 4);
        assert!(lines[0].contains("name=detection.deadlock unit=ns_guest n=1 min=5"));
        assert!(lines[1].contains("name=detection.deadlock.console "));
        assert!(lines[2].contains("name=detection.deadlock.fs "));
        assert!(lines[3].contains("name=detection.timer_service "));
    }
}
