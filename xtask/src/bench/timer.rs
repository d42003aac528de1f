// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The time service: what reading a clock, arming, cancelling and firing cost at 1 to 10,000 armed
//! timers, how late firings are, and how long a restart takes.

use figures::Samples;

use super::{Bench, Run};

const SYSTEM: &str = "pds/bench_timer/system.xml";
/// Seed 1; start after 20 periods of 2 ms, wait 4 for the victim, rest 2 (`pds/chaos/src/settings.rs`).
const PACE: &[u8] = &[1, 0, 0, 0, 0, 0, 0, 0, 20, 0, 0, 0, 4, 0, 0, 0, 2, 0, 0, 0];

/// See the module.
pub const BENCH: Bench = Bench {
    name: "timer",
    what: "costs, lateness and restart time of the time service",
    runs: &[
        Run {
            name: "calm",
            system: SYSTEM,
            disk_megabytes: 0,
            ext4: false,
            timeout_s: 600,
            ..Run::PLAIN
        },
        Run {
            name: "kills",
            system: SYSTEM,
            overlays: &["pds/bench_timer/kills.xml", "pds/chaos/seed.xml"],
            prefill: &[("chaos.seed", PACE)],
            disk_megabytes: 0,
            ext4: false,
            count: restarts,
            ..Run::PLAIN
        },
    ],
};

/// From the fault to the service's line "ready", by the number of armed timers that the PD has said
/// before. Under icount a nanosecond is an instruction.
fn restarts(output: &str) -> Vec<String> {
    let number = |line: &str, key: &str| -> Option<u64> {
        let rest = line.split_once(key)?.1;
        rest.split(|c: char| !c.is_ascii_digit())
            .next()?
            .parse()
            .ok()
    };
    let mut found: Vec<(u64, Samples)> = Vec::new();
    let mut counting = false;
    for line in output.lines() {
        if let Some(armed) = number(line, "RESTARTS armed=") {
            found.push((armed, Samples::default()));
            counting = true;
        } else if line.contains("RESTARTS end") {
            counting = false;
        } else if let Some((_, samples)) = found.last_mut().filter(|_| counting)
            && line.contains(" timer: ready epoch=")
            && let Some(ns) = number(line, "after_ns=")
        {
            samples.add(ns);
        }
    }
    let line = |(armed, mut samples): (u64, Samples)| {
        samples
            .summary(&format!("timer.restart_{armed}"), "instructions")
            .to_string()
    };
    found.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn restarts_are_counted_between_the_marks() {
        let output = "timer: ready epoch=1 after_ns=9\nb: RESTARTS armed=10\n[1] timer: ready epoch=2 \
                      after_ns=5\nx timer: ready epoch=3 after_ns=7\nb: RESTARTS end\n";
        let line = "FIGURE name=timer.restart_10 unit=instructions n=2 min=5 p50=5 p99=7 max=7";
        assert_eq!(super::restarts(output), [line]);
    }
}
