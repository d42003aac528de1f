// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What a line looks like: `[   0.012345] pd_name: text`.

use alloc::string::{String, ToString};
use core::fmt::Write;

use black_box::Event;
use log_ring::Line;
use proto::log::Kind;

fn prefix(ticks: u64, ticks_per_second: u64, pd: &str) -> String {
    let ticks_per_second = ticks_per_second.max(1);
    let seconds = ticks / ticks_per_second;
    let rest = u128::from(ticks % ticks_per_second) * 1_000_000 / u128::from(ticks_per_second);
    let mut text = String::with_capacity(128);
    // Writing to a `String` does not fail.
    let _ = write!(text, "[{seconds:4}.{rest:06}] {pd}: ");
    text
}

/// A line from a PD, which may have written any bytes: none of them may move the cursor of the
/// terminal, or forge a line of another PD.
pub fn line(pd: &str, line: &Line, ticks_per_second: u64) -> String {
    if line.head.kind == Kind::Report {
        return report(pd, line, ticks_per_second);
    }
    let mut text = prefix(line.head.ticks, ticks_per_second, pd);
    match (line.head.kind, line.head.level) {
        (Kind::Emergency, _) => {}
        (_, 1) => text.push_str("error: "),
        (_, 2) => text.push_str("warning: "),
        _ => {}
    }
    for chunk in line.text().utf8_chunks() {
        text.extend(
            chunk
                .valid()
                .chars()
                .map(|c| if c.is_control() && c != '\t' { '?' } else { c }),
        );
        if !chunk.invalid().is_empty() {
            text.push('?');
        }
    }
    if line.head.kind == Kind::Part {
        text.push('\\');
    }
    text.push_str("\r\n");
    text
}

/// The lines of a death's report: a supervisor leaves it to the console to find words for it.
fn report(pd: &str, line: &Line, ticks_per_second: u64) -> String {
    let prefix = prefix(line.head.ticks, ticks_per_second, pd);
    let Some(event) = Event::parse(line.text()) else {
        return prefix + "warning: a report that cannot be read\r\n";
    };
    let mut text = String::new();
    for line in event.lines().to_string().lines() {
        // Writing to a `String` does not fail.
        let _ = write!(text, "{prefix}warning: {line}\r\n");
    }
    text
}

/// The console's own line about a PD that wrote faster than it was read.
pub fn lost(pd: &str, lines: u64, ticks: u64, ticks_per_second: u64) -> String {
    let mut text = prefix(ticks, ticks_per_second, "console");
    let noun = if lines == 1 { "line" } else { "lines" };
    let _ = write!(text, "{pd} lost {lines} {noun}\r\n");
    text
}
