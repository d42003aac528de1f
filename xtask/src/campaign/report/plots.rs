// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The ablation's table and the curve of throughput against the rate of kills.

use std::fmt::Write;

use super::super::rates::Point;
use super::extra::Row;

/// The table of ways to recover; nothing when there was no such run.
pub fn ablation(page: &mut String, rows: &[Row]) {
    let Some(first) = rows.first() else { return };
    let _ = write!(
        page,
        "<h2>What each part of the recovery is good for</h2><p>The same {} faults (sources {}) with no \
         restart; with restarts, but without what was preserved in shared memory (requests, completions, \
         timers, records, the cache's index); with restarts that keep the memory of the life that has died; \
         and with all of Kintsugi.</p><table><tr><th>recovery</th><th>trials</th><th>manifested</th>\
         <th>unnoticed</th><th>error shown</th><th>data lost or wrong</th><th>system lost</th>\
         <th>bad disks</th><th>unnoticed of manifested, % [95 %]</th></tr>",
        first.trials, first.commit
    );
    for row in rows {
        let _ = write!(
            page,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td>\
             <td>{}</td></tr>",
            row.ablation,
            row.trials,
            row.manifested,
            row.unnoticed,
            row.error_shown,
            row.data,
            row.lost,
            row.bad_disks,
            row.recovered()
        );
    }
    page.push_str("</table>");
}

/// Table and curve; nothing when it was not measured.
pub fn rates(page: &mut String, points: &[Point]) {
    let Some(first) = points.first() else { return };
    let _ = write!(
        page,
        "<h2>Throughput against the rate of kills</h2><p>{:.0} s of guest time at each rate; victims are \
         drawn among all services and both supervisors. Operations of the application, 100 % without kills \
         ({:.0} per second).</p><table><tr><th>kills per second</th><th>kills</th><th>restarts</th>\
         <th>operations per second</th><th>%</th><th>longest operation, ms</th><th>troubles</th></tr>",
        first.seconds,
        first.rate()
    );
    for point in points {
        let _ = write!(
            page,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{:.0}</td><td>{:.1}</td><td>{:.2}</td><td>{}</td></tr>",
            point.per_second,
            point.kills,
            point.restarts,
            point.rate(),
            point.rate() / first.rate().max(1e-9) * 100.0,
            point.slowest_ns as f64 / 1e6,
            point.troubles
        );
    }
    page.push_str("</table>");
    curve(page, points, first.rate().max(1e-9));
}

/// Percent over a logarithmic axis of kills per second, from 0.1 to 20.
fn curve(page: &mut String, points: &[Point], full: f64) {
    let (width, height) = (640.0, 240.0);
    let x = |rate: f64| 60.0 + (rate / 0.1).log10() / 200_f64.log10() * width;
    let y = |percent: f64| 20.0 + (110.0 - percent.min(110.0)) / 110.0 * height;
    page.push_str("<svg width=\"760\" height=\"320\" font-size=\"12\" font-family=\"sans-serif\">");
    for rate in [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0] {
        let at = x(rate);
        let _ = write!(
            page,
            "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"20\" y2=\"260\" stroke=\"#ddd\"/>\
             <text x=\"{at:.1}\" y=\"278\" text-anchor=\"middle\">{rate}</text>"
        );
    }
    for percent in [0.0, 25.0, 50.0, 75.0, 100.0] {
        let at = y(percent);
        let _ = write!(
            page,
            "<line x1=\"60\" x2=\"700\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#eee\"/>\
             <text x=\"52\" y=\"{:.1}\" text-anchor=\"end\">{percent} %</text>",
            at + 4.0
        );
    }
    let mut path = String::new();
    for point in points.iter().filter(|point| point.per_second > 0.0) {
        let (px, py) = (x(point.per_second), y(point.rate() / full * 100.0));
        let command = if path.is_empty() { 'M' } else { 'L' };
        let _ = write!(path, "{command}{px:.1} {py:.1}");
        let _ = write!(
            page,
            "<circle cx=\"{px:.1}\" cy=\"{py:.1}\" r=\"4\" fill=\"#0072b2\"/>"
        );
    }
    let _ = write!(
        page,
        "<path d=\"{path}\" fill=\"none\" stroke=\"#0072b2\" stroke-width=\"2\"/>\
         <text x=\"380\" y=\"302\" text-anchor=\"middle\">kills per second</text></svg>"
    );
}
