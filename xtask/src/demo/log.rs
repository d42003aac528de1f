// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Reads what a demo run has written to the serial line.
//!
//! Lines look like `[   1.234567] PD: text`; the kernel and QEMU write others, which are passed over.
//! Texts that matter come from the supervisor (`FAULT`), from chaos (`KILL`), from each service
//! (`ready`) and from the application (`file`, `wrote`, `removed`, `demo:`).

use std::collections::BTreeMap;

/// One service's deaths and lives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// How often it was killed at each of its fault points.
    pub kills: BTreeMap<String, u64>,
    /// How it died: kinds of death with their number.
    pub deaths: BTreeMap<String, u64>,
    /// Restarts by its supervisor.
    pub restarts: u64,
    /// Nanoseconds from fault to ready, for each life but the first.
    pub ready_after_ns: Vec<u64>,
}

impl Service {
    /// How often it was killed.
    pub fn kill_count(&self) -> u64 {
        self.kills.values().sum()
    }
}

/// A file as the application saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSeen {
    /// Absolute path, not escaped any more.
    pub path: Vec<u8>,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
}

/// Everything that matters in a run's output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Services by name.
    pub services: BTreeMap<String, Service>,
    /// Files that were there before.
    pub read: Vec<FileSeen>,
    /// Files that the application has left.
    pub written: Vec<FileSeen>,
    /// Paths that the application has removed.
    pub removed: Vec<Vec<u8>>,
    /// The application's summary lines.
    pub summary: Vec<String>,
}

/// Reads the whole serial output.
pub fn parse(output: &str) -> Report {
    let mut report = Report::default();
    for line in output.lines() {
        if let Some((pd, text)) = split(line) {
            take(&mut report, pd, text);
        }
    }
    report
}

/// PD and text of a console line.
fn split(line: &str) -> Option<(&str, &str)> {
    let rest = line.trim_start().strip_prefix('[')?.split_once("] ")?.1;
    let (pd, text) = rest.split_once(": ")?;
    (!pd.contains(' ')).then_some((pd, text))
}

fn take(report: &mut Report, pd: &str, text: &str) {
    let text = ["warning: ", "error: "]
        .iter()
        .find_map(|level| text.strip_prefix(level))
        .unwrap_or(text);
    let Some((word, fields)) = text.split_once(' ') else {
        return;
    };
    match word {
        "KILL" => {
            let Some(victim) = field(fields, "pd") else {
                return;
            };
            let service = report.services.entry(victim.to_owned()).or_default();
            let point = field(fields, "point").unwrap_or("?").to_owned();
            let death = field(fields, "death").unwrap_or("?").to_owned();
            *service.kills.entry(point).or_default() += 1;
            *service.deaths.entry(death).or_default() += 1;
        }
        "FAULT" if field(fields, "action") == Some("restart") => {
            let Some(victim) = field(fields, "pd") else {
                return;
            };
            report
                .services
                .entry(victim.to_owned())
                .or_default()
                .restarts += 1;
        }
        "ready" if field(fields, "epoch").is_some_and(|epoch| epoch != "0") => {
            let after = field(fields, "after_ns").and_then(|number| number.parse::<u64>().ok());
            let service = report.services.entry(pd.to_owned()).or_default();
            service.ready_after_ns.extend(after);
        }
        "file" => report.read.extend(file(fields)),
        "wrote" => report.written.extend(file(fields)),
        "removed" => report
            .removed
            .extend(fields.strip_prefix("path=").and_then(unescape)),
        "demo:" => report.summary.push(fields.to_owned()),
        _ => {}
    }
}

/// Value of `name=value` among words.
fn field<'a>(fields: &'a str, name: &str) -> Option<&'a str> {
    fields
        .split(' ')
        .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
}

/// `sha256=.. size=.. .. path=..`; the path is last and may contain spaces.
fn file(fields: &str) -> Option<FileSeen> {
    let (words, path) = fields.split_once("path=")?;
    Some(FileSeen {
        path: unescape(path)?,
        sha256: field(words, "sha256")?.to_owned(),
        size: field(words, "size")?.parse().ok()?,
    })
}

/// Undoes the application's escapes: `\x` and two digits for what a terminal should not get.
fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut parts = text.split('\\');
    let mut path = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let digits = part.strip_prefix('x')?;
        path.push(u8::from_str_radix(digits.get(..2)?, 16).ok()?);
        path.extend_from_slice(digits.get(2..)?.as_bytes());
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::{FileSeen, parse, unescape};

    const OUTPUT: &str = "\
Booting all finished, dropped to user space
[   0.100000] blk: ready epoch=0 after_ns=0
[   0.200000] chaos: KILL pd=blk point=blk.before_complete death=undefined count=1
[   0.200100] supervisor: warning: FAULT pd=blk kind=VMFault addr=0x0 pc=0x1 epoch=1 action=restart after_us=9
[   0.200200] blk: ready epoch=1 after_ns=123456
[   0.300000] app_demo: file sha256=ab size=7 path=/a b/\\xc3\\xbc
[   0.400000] app_demo: wrote sha256=cd size=9 seed=00 path=/kintsugi-out/x
[   0.400000] app_demo: removed path=/kintsugi-out/gone
[   0.500000] app_demo: demo: ops=10 errors=0
";

    #[test]
    fn finds_what_matters() {
        let report = parse(OUTPUT);
        let blk = &report.services["blk"];
        assert_eq!((blk.kill_count(), blk.restarts), (1, 1));
        assert_eq!(blk.ready_after_ns, [123_456]);
        assert_eq!(blk.kills["blk.before_complete"], 1);
        let path = "/a b/ü".as_bytes().to_vec();
        assert_eq!(
            report.read,
            [FileSeen {
                path,
                sha256: "ab".to_owned(),
                size: 7
            }]
        );
        assert_eq!(report.written.len(), 1);
        assert_eq!(report.removed, [b"/kintsugi-out/gone"]);
        assert_eq!(report.summary, ["ops=10 errors=0"]);
    }

    #[test]
    fn undoes_escapes() {
        assert_eq!(unescape("a\\x5cb").as_deref(), Some(b"a\\b".as_slice()));
        assert_eq!(unescape("a\\x5"), None);
        assert_eq!(unescape("a\\y55"), None);
    }
}
