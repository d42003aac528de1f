// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Measurements, and the log line that carries their summary to `cargo xtask bench`.
//!
//! `FIGURE name=timer.arm_1 unit=instructions n=200 min=.. p50=.. p99=.. max=..`. A figure's name never
//! changes its meaning. The host tool uses the same code to summarize what it counts itself.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::vec::Vec;
use core::fmt;

/// Values of one quantity.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<u64>);

/// What a line says about them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary<'a> {
    /// `area.what`
    pub name: &'a str,
    /// `instructions`, `ns_guest`, ...
    pub unit: &'a str,
    /// Number of values.
    pub n: u64,
    /// Smallest.
    pub min: u64,
    /// Half of the values are not above it.
    pub p50: u64,
    /// 99 of 100 values are not above it.
    pub p99: u64,
    /// Largest.
    pub max: u64,
}

impl Samples {
    /// Room for `count` values, so that adding them costs the same each time.
    #[must_use]
    pub fn with_capacity(count: usize) -> Self {
        Self(Vec::with_capacity(count))
    }

    /// Adds a value.
    pub fn add(&mut self, value: u64) {
        self.0.push(value);
    }

    /// Number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The summary, all zero when there is no value.
    pub fn summary<'a>(&mut self, name: &'a str, unit: &'a str) -> Summary<'a> {
        self.0.sort_unstable();
        // The smallest value that so many of 100 are not above ("nearest rank").
        let rank = |percent: usize| (self.0.len() * percent).div_ceil(100).max(1) - 1;
        let at = |index: usize| self.0.get(index).copied().unwrap_or(0);
        Summary {
            name,
            unit,
            n: self.0.len() as u64,
            min: at(0),
            p50: at(rank(50)),
            p99: at(rank(99)),
            max: at(self.0.len().saturating_sub(1)),
        }
    }
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            unit,
            n,
            min,
            p50,
            p99,
            max,
        } = self;
        write!(
            f,
            "FIGURE name={name} unit={unit} n={n} min={min} p50={p50} p99={p99} max={max}"
        )
    }
}

impl<'a> Summary<'a> {
    /// Reads what `Display` has written, anywhere in a line of the log.
    #[must_use]
    pub fn parse(line: &'a str) -> Option<Self> {
        let (_, rest) = line.split_once("FIGURE ")?;
        let text = |key: &str| {
            rest.split_whitespace()
                .find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
        };
        let number = |key| text(key)?.parse().ok();
        Some(Self {
            name: text("name")?,
            unit: text("unit")?,
            n: number("n")?,
            min: number("min")?,
            p50: number("p50")?,
            p99: number("p99")?,
            max: number("max")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_was_measured() {
        let mut samples = Samples::with_capacity(100);
        (1..=100).rev().for_each(|value| samples.add(value));
        let summary = samples.summary("a.b", "ns_guest");
        let line = "FIGURE name=a.b unit=ns_guest n=100 min=1 p50=50 p99=99 max=100";
        assert_eq!(format!("{summary}"), line);
        let logged = format!("[   1.000000] bench: {line}\n");
        assert_eq!(Summary::parse(&logged), Some(summary));
        assert_eq!(Summary::parse("FIGURE name=a.b unit=ns_guest n=1"), None);
    }

    #[test]
    fn few_values() {
        let mut samples = Samples::default();
        let none = samples.summary("a", "b");
        assert_eq!(
            (none.n, none.min, none.p50, none.p99, none.max),
            (0, 0, 0, 0, 0)
        );
        samples.add(7);
        let one = samples.summary("a", "b");
        assert_eq!((one.n, one.min, one.p50, one.p99, one.max), (1, 7, 7, 7, 7));
    }
}
