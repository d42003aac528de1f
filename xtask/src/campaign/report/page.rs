// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The report as one HTML file that needs nothing else: tables, bars and curves in SVG.

use std::fmt::Write;

use injector_service::outcome::Outcome;

use super::super::journal::{Journal, Trial};
use super::super::stats::{Counts, Summary, Times};
use super::{Extra, plots, recovered};

const STYLE: &str = "body{font:15px/1.45 sans-serif;max-width:1180px;margin:24px auto;padding:0 \
16px;color:#222}\
table{border-collapse:collapse;margin:8px 0 24px}td,th{padding:3px 7px;border-bottom:1px solid #ddd;\
text-align:right;font-variant-numeric:tabular-nums}td:first-child,th:first-child{text-align:left}\
th{background:#f4f4f4}h1{font-size:24px}h2{font-size:18px;margin-top:32px}\
.bar{height:14px;display:inline-block}small .bar{height:6px}small{white-space:nowrap;color:#666}\
.key span{margin-right:16px}.key i{display:inline-block;width:12px;height:12px;margin-right:5px}\
.z{color:#bbb}.bad{color:#b00020;font-weight:bold}code{font-size:12px}";

/// Colours that people with any colour vision can tell apart (Okabe and Ito, 2008).
const COLOURS: [&str; 7] = [
    "#d9d9d9", "#009e73", "#e69f00", "#cc79a7", "#d55e00", "#56b4e9", "#000000",
];
/// Rows of the table of failures; the JSON has all.
const FAILURES_SHOWN: usize = 400;

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// First lines of what the tools say of themselves.
fn versions() -> String {
    let first_line = |program: &str| {
        let output = std::process::Command::new(program)
            .arg("--version")
            .output();
        let text = output.map_or(Vec::new(), |output| output.stdout);
        let text = String::from_utf8_lossy(&text).into_owned();
        text.lines().next().unwrap_or("unknown").to_owned()
    };
    format!(
        "{}; {}; Microkit SDK {}.",
        first_line("qemu-system-aarch64"),
        first_line("rustc"),
        crate::kernels::SDK_VERSION
    )
}

/// The whole page.
pub fn html(journal: &Journal, summary: &Summary, extra: &Extra) -> String {
    let campaign = &journal.campaign;
    let kernel = match campaign.kernel.as_str() {
        "sel4" => format!("seL4 ({})", campaign.config),
        _ => "the development kernel".to_owned(),
    };
    let title = format!("Kintsugi: {} faults on {kernel}", summary.all.total());
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <style>{STYLE}</style></head><body><h1>{title}</h1>"
    );
    let _ = write!(
        page,
        "<p>Faults through the {}, recovery: {}. {}</p><p>Seed {}, sources {}, {} boots, {} of \
         them with something wrong on the disk. {} faults manifested. \
         Of those the application noticed nothing but time in {} % (95 % interval after Wilson).</p>",
        escape(&campaign.through),
        escape(&campaign.ablation),
        escape(&versions()),
        campaign.seed,
        escape(&campaign.commit),
        summary.boots,
        summary.bad_disks,
        summary.all.manifested(),
        recovered(&summary.all),
    );
    key(&mut page);
    section(&mut page, "By victim", summary.by_pd.iter(), &summary.all);
    section(
        &mut page,
        "By class of fault",
        summary.by_class.iter(),
        &summary.all,
    );
    grid(&mut page, summary);
    times(&mut page, summary);
    plots::ablation(&mut page, &extra.ablation);
    plots::rates(&mut page, &extra.rates);
    failures(&mut page, journal);
    page.push_str("</body></html>\n");
    page
}

fn key(page: &mut String) {
    page.push_str("<p class=\"key\">");
    for (outcome, colour) in Outcome::ALL.into_iter().zip(COLOURS) {
        let name = outcome.name().replace('_', " ");
        let _ = write!(
            page,
            "<span><i style=\"background:{colour}\"></i>{name}</span>"
        );
    }
    page.push_str("</p>");
}

/// The outcomes of all trials, side by side on so many pixels.
fn bar(counts: &Counts, pixels: f64) -> String {
    let total = counts.total().max(1) as f64;
    let part = |(outcome, colour): (Outcome, &str)| {
        let width = counts.of(outcome) as f64 / total * pixels;
        format!("<span class=\"bar\" style=\"width:{width:.2}px;background:{colour}\"></span>")
    };
    Outcome::ALL.into_iter().zip(COLOURS).map(part).collect()
}

fn section<'a>(
    page: &mut String,
    title: &str,
    rows: impl Iterator<Item = (&'a String, &'a Counts)>,
    all: &'a Counts,
) {
    let _ = write!(page, "<h2>{title}</h2><table><tr><th></th><th>trials</th>");
    for outcome in Outcome::ALL {
        let _ = write!(page, "<th>{}</th>", outcome.name().replace('_', " "));
    }
    page.push_str("<th>unnoticed of manifested, %</th><th></th></tr>");
    let rows = rows.map(|(name, counts)| (name.as_str(), counts));
    for (name, counts) in rows.chain([("all", all)]) {
        let _ = write!(
            page,
            "<tr><td>{}</td><td>{}</td>",
            escape(name),
            counts.total()
        );
        for outcome in Outcome::ALL {
            let count = counts.of(outcome);
            let class = match (count, outcome > Outcome::ErrorShown) {
                (0, _) => "z",
                (_, true) => "bad",
                _ => "",
            };
            let _ = write!(page, "<td class=\"{class}\">{count}</td>");
        }
        let _ = write!(
            page,
            "<td style=\"white-space:nowrap\">{}</td><td style=\"white-space:nowrap\">{}</td></tr>",
            recovered(counts),
            bar(counts, 140.0)
        );
    }
    page.push_str("</table>");
}

/// Classes by victims: manifested, and how many of those were not recovered unnoticed.
fn grid(page: &mut String, summary: &Summary) {
    page.push_str(
        "<h2>Classes by victims</h2><p>Manifested faults of all trials, their outcomes, and the share in \
         percent that was recovered unnoticed with its 95 % interval; in red the faults that the \
         application noticed, or worse.</p><table><tr><th></th>",
    );
    for pd in summary.by_pd.keys() {
        let _ = write!(page, "<th>{pd}</th>");
    }
    page.push_str("</tr>");
    for class in summary.by_class.keys() {
        let _ = write!(page, "<tr><td>{class}</td>");
        for pd in summary.by_pd.keys() {
            let Some(counts) = summary.cells.get(&(class.clone(), pd.clone())) else {
                page.push_str("<td class=\"z\">-</td>");
                continue;
            };
            let bad = counts.manifested() - counts.of(Outcome::Unnoticed);
            let _ = write!(page, "<td>{} of {}", counts.manifested(), counts.total());
            if bad > 0 {
                let _ = write!(page, " <span class=\"bad\">{bad}</span>");
            }
            let (bar, share) = (bar(counts, 100.0), recovered(counts));
            let _ = write!(page, "<br><small>{bar}<br>{share}</small></td>");
        }
        page.push_str("</tr>");
    }
    page.push_str("</table>");
}

fn ms(ns: u64) -> String {
    format!("{:.2}", ns as f64 / 1e6)
}

fn times(page: &mut String, summary: &Summary) {
    page.push_str(
        "<h2>Times, in milliseconds of guest time</h2><p>One instruction is one nanosecond. The \
         injector looks once \
         per millisecond.</p><table><tr><th>victim</th><th>what</th><th>n</th><th>p50</th>\
         <th>p99</th><th>max</th></tr>",
    );
    let what = [
        "fault to first restart",
        "fault to first answer after it",
        "longest operation of the application",
    ];
    for (pd, times) in &summary.times {
        for (what, times) in what.iter().zip(times) {
            let _ = write!(
                page,
                "<tr><td>{pd}</td><td>{what}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                times.count(),
                ms(times.percentile(50)),
                ms(times.percentile(99)),
                ms(times.max())
            );
        }
    }
    page.push_str(
        "</table><p>Share of outages (longest operation while a service was recovered) \
    that were over \
                   after so long:</p>",
    );
    curves(page, summary);
}

/// Cumulative distributions of the longest operation, by victim, over a logarithmic time axis.
fn curves(page: &mut String, summary: &Summary) {
    let (width, height) = (760.0, 300.0);
    // From 0.1 ms to 100 s.
    let x = |ns: u64| ((ns.max(1) as f64 / 1e5).log10() / 6.0).clamp(0.0, 1.0) * width + 50.0;
    let y = |share: f64| height - share * (height - 20.0) + 10.0;
    let _ = write!(
        page,
        "<svg width=\"960\" height=\"360\" font-size=\"12\" font-family=\"sans-serif\">"
    );
    for (power, label) in ["0.1 ms", "1 ms", "10 ms", "100 ms", "1 s", "10 s", "100 s"]
        .iter()
        .enumerate()
    {
        let at = x(10_u64.pow(5 + power as u32));
        let _ = write!(
            page,
            "<line x1=\"{at}\" x2=\"{at}\" y1=\"20\" y2=\"{0}\" stroke=\"#ddd\"/><text x=\"{at}\" y=\"{1}\" \
             text-anchor=\"middle\">{label}</text>",
            height + 10.0,
            height + 28.0
        );
    }
    for share in [0.0, 0.25, 0.5, 0.75, 1.0] {
        let at = y(share);
        let _ = write!(
            page,
            "<line x1=\"50\" x2=\"{0}\" y1=\"{at}\" y2=\"{at}\" stroke=\"#eee\"/><text x=\"44\" y=\"{1}\" \
             text-anchor=\"end\">{2:.0} %</text>",
            width + 50.0,
            at + 4.0,
            share * 100.0
        );
    }
    for (index, (pd, [_, _, slowest])) in summary.times.iter().enumerate() {
        let colour = COLOURS[1 + index % (COLOURS.len() - 1)];
        let _ = write!(
            page,
            "<path d=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/><text x=\"{}\" y=\"{}\" \
             fill=\"{colour}\">{pd} ({})</text>",
            path(slowest, &x, &y),
            width + 62.0,
            30.0 + index as f64 * 18.0,
            slowest.count()
        );
    }
    let _ = write!(
        page,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">longest operation of the application during the \
         trial</text></svg>",
        width / 2.0 + 50.0,
        height + 46.0
    );
}

fn path(times: &Times, x: &dyn Fn(u64) -> f64, y: &dyn Fn(f64) -> f64) -> String {
    let values = times.values();
    let mut text = String::new();
    // At most 400 points: more cannot be seen.
    let step = (values.len() / 400).max(1);
    for (index, value) in values
        .iter()
        .enumerate()
        .filter(|(index, _)| index % step == 0)
    {
        let share = (index + 1) as f64 / values.len() as f64;
        let command = if text.is_empty() { 'M' } else { 'L' };
        let _ = write!(text, "{command}{:.1} {:.1}", x(*value), y(share));
    }
    text
}

fn failures(page: &mut String, journal: &Journal) {
    let failed: Vec<&Trial> = journal
        .trials
        .iter()
        .filter(|trial| trial.outcome() > Outcome::Unnoticed)
        .collect();
    let campaign = &journal.campaign;
    let _ = write!(
        page,
        "<h2>Every trial that the application noticed ({})</h2><p>Each is run again by <code>cargo \
         xtask campaign \
         --kernel {} --config {} --through {} --seed {} --replay TRIAL --replay-from \
         BOOT</code>.</p><table><tr><th>trial</th>\
         <th>boot</th><th>victim</th><th>class</th><th>outcome</th><th>place</th><th>was</th><th>became</th>\
         <th>errors, wrong, missing</th><th>timers</th></tr>",
        failed.len(),
        campaign.kernel,
        campaign.config,
        campaign.through,
        campaign.seed
    );
    for trial in failed.iter().take(FAILURES_SHOWN) {
        let _ = write!(
            page,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td>\
         <td><code>{}</code></td><td><code>{}</code>\
             </td><td><code>{}</code></td><td>{:?}</td><td>{:?}</td></tr>",
            trial.trial,
            trial.boot,
            trial.pd,
            trial.class,
            trial.outcome,
            trial.place,
            trial.old,
            trial.new,
            trial.troubles,
            trial.timers
        );
    }
    page.push_str(
        "</table><h2>Boots</h2><table><tr><th>first trial</th><th>next</th>\
         <th>end</th><th>disk</th></tr>",
    );
    for boot in journal
        .boots
        .iter()
        .filter(|boot| boot.disk.is_some() || boot.end != "done")
    {
        let disk = boot.disk.as_deref().unwrap_or("sound");
        let _ = write!(
            page,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            boot.boot,
            boot.next,
            boot.end,
            escape(disk)
        );
    }
    page.push_str("</table>");
}
