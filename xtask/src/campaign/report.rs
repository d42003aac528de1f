// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What a campaign shows: a table for the terminal, JSON for programs, a page for people.

mod extra;
mod page;
mod plots;

use std::fmt::Write;

use injector_service::outcome::Outcome;
use serde_json::{Value, json};

use super::journal::Journal;
use super::stats::{Counts, Summary, Times, wilson};

pub use extra::{ABLATION, Extra, RATES, ablation_rows, ablation_table, save};
pub use page::html;

fn percent(share: f64) -> String {
    format!("{:.2}", share * 100.0)
}

/// Share of the manifested faults that the application did not notice, with its interval, in percent.
fn recovered(counts: &Counts) -> String {
    let (hits, total) = (counts.of(Outcome::Unnoticed), counts.manifested());
    if total == 0 {
        return "-".to_owned();
    }
    let (low, high) = wilson(hits, total);
    let share = percent(hits as f64 / total as f64);
    format!("{share} [{}, {}]", percent(low), percent(high))
}

/// The table of victims and outcomes.
pub fn table(summary: &Summary) -> String {
    let mut text = format!(
        "{:<20} {:>7} {:>6} {:>9} {:>6} {:>6} {:>6} {:>6} {:>6}   unnoticed of manifested, % (95 %)\n",
        "victim", "trials", "none", "unnoticed", "error", "lost", "wrong", "reset", "dead"
    );
    let rows = summary
        .by_pd
        .iter()
        .map(|(pd, counts)| (pd.as_str(), counts));
    for (name, counts) in rows.chain([("all", &summary.all)]) {
        row(&mut text, name, counts);
    }
    text.push('\n');
    for (class, counts) in &summary.by_class {
        row(&mut text, class, counts);
    }
    let _ = writeln!(
        text,
        "\n{} boots, {} of them with something wrong on the disk",
        summary.boots, summary.bad_disks
    );
    text
}

fn row(text: &mut String, name: &str, counts: &Counts) {
    // Writing to a `String` does not fail.
    let _ = write!(text, "{name:<20} {:>7}", counts.total());
    let widths = [6, 9, 6, 6, 6, 6, 6];
    for (outcome, width) in Outcome::ALL.into_iter().zip(widths) {
        let _ = write!(text, " {:>width$}", counts.of(outcome));
    }
    let _ = writeln!(text, "   {}", recovered(counts));
}

fn counts_json(counts: &Counts) -> Value {
    let outcomes: serde_json::Map<_, _> = Outcome::ALL
        .into_iter()
        .map(|outcome| (outcome.name().to_owned(), json!(counts.of(outcome))))
        .collect();
    let (low, high) = wilson(counts.of(Outcome::Unnoticed), counts.manifested());
    json!({
        "trials": counts.total(),
        "manifested": counts.manifested(),
        "outcomes": outcomes,
        "recovered_unnoticed_95": [low, high],
    })
}

fn times_json(times: &Times) -> Value {
    json!({
        "n": times.count(),
        "p50": times.percentile(50),
        "p99": times.percentile(99),
        "max": times.max(),
    })
}

/// Everything as JSON.
pub fn json(journal: &Journal, summary: &Summary) -> String {
    let by = |map: &std::collections::BTreeMap<String, Counts>| {
        let entries = map
            .iter()
            .map(|(name, counts)| (name.clone(), counts_json(counts)));
        Value::Object(entries.collect())
    };
    let times = summary
        .times
        .iter()
        .map(|(pd, [detected, served, slowest])| {
            let value = json!({
                "detected_ns": times_json(detected),
                "served_ns": times_json(served),
                "slowest_operation_ns": times_json(slowest),
            });
            (pd.clone(), value)
        });
    let failures = journal
        .trials
        .iter()
        .filter(|trial| trial.outcome() > Outcome::Unnoticed);
    let cells: Vec<_> = summary
        .cells
        .iter()
        .map(|((class, pd), counts)| json!({"class": class, "pd": pd, "counts": counts_json(counts)}))
        .collect();
    let value = json!({
        "campaign": journal.campaign,
        "all": counts_json(&summary.all),
        "by_pd": by(&summary.by_pd),
        "by_class": by(&summary.by_class),
        "cells": cells,
        "times": Value::Object(times.collect()),
        "boots": journal.boots,
        "failures": failures.collect::<Vec<_>>(),
    });
    format!("{value:#}\n")
}
