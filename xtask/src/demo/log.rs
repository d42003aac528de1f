// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Reads what a demo run has written to the serial line.
//!
//! Lines look like `[   1.234567] PD: text`; the kernel and QEMU write others, which are passed over.
//! Texts that matter come from the supervisor (`FAULT`), from chaos (`KILL`), from each service
//! (`ready`) and from the application (`file`, `wrote`, `removed`, `demo:`, the verdict).
//!
//! The console is killed too. It loses no line, but the character that was on its way is sent twice. So a
//! line that makes no sense is read once more with one of two equal neighbours left out.

use std::collections::BTreeMap;

use app_demo_service::escape::unescape;

/// The application.
const APP: &str = "app_demo";
/// What the application says first.
const START: &str = "start";
/// What its verdict begins with.
const VERDICT: &str = "KINTSUGI|";
const SHA256_DIGITS: usize = 64;

/// One service's deaths and lives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// How often it was killed at each of its fault points while the application worked.
    pub kills: BTreeMap<String, u64>,
    /// How it died: kinds of death with their number.
    pub deaths: BTreeMap<String, u64>,
    /// Restarts by its supervisor, in the whole run.
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
    /// Seed of its contents, when the application wrote it.
    pub seed: Option<u64>,
}

/// Ways to read one line: the first is what stands there, others leave out one character. More than one
/// only where the line has equal neighbours.
pub type Readings<T> = Vec<T>;

/// Everything that matters in a run's output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Services by name.
    pub services: BTreeMap<String, Service>,
    /// Files that were there before.
    pub read: Vec<Readings<FileSeen>>,
    /// Files that the application has left.
    pub written: Vec<Readings<FileSeen>>,
    /// Paths that the application has removed.
    pub removed: Vec<Vec<u8>>,
    /// The application's summary, `name=value` each.
    pub summary: Vec<String>,
    /// Whether the application has begun, and whether it has ended.
    pub working: (bool, bool),
}

/// One line's meaning.
enum Event {
    Kill {
        pd: String,
        point: String,
        death: String,
    },
    Restart {
        pd: String,
    },
    Ready {
        pd: String,
        epoch: u64,
        after_ns: u64,
    },
    Read(FileSeen),
    Wrote(FileSeen),
    Removed(Vec<u8>),
    Summary(Vec<String>),
    Started,
    Ended,
}

/// Reads the whole serial output of a system with these PDs.
pub fn parse(output: &str, pds: &[&str]) -> Report {
    let mut report = Report::default();
    let lines = joined(output, pds);
    for (index, (pd, text)) in lines.iter().enumerate() {
        let mut events: Vec<Event> = readings(text)
            .filter_map(|text| event(pd, &text, pds))
            .collect();
        if events.is_empty() {
            continue;
        }
        // The console sends the rest of the line in hand, and then says that it is ready again.
        let after_death = lines.get(index + 1).is_some_and(|(pd, text)| {
            pd == "console"
                && text.starts_with("ready epoch=")
                && !text.starts_with("ready epoch=0 ")
        });
        let first = events.remove(0);
        report.take(first, events, after_death);
    }
    report
}

impl Report {
    fn service(&mut self, pd: String) -> &mut Service {
        self.services.entry(pd).or_default()
    }

    fn take(&mut self, event: Event, others: Vec<Event>, after_death: bool) {
        let at_work = self.working == (true, false);
        match event {
            Event::Kill { pd, point, death } if at_work => {
                let service = self.service(pd);
                *service.kills.entry(point).or_default() += 1;
                *service.deaths.entry(death).or_default() += 1;
            }
            Event::Kill { .. } => {}
            Event::Restart { pd } => self.service(pd).restarts += 1,
            // A number with a digit too many would look like any other.
            Event::Ready { epoch, .. } if epoch == 0 || after_death => {}
            Event::Ready { pd, after_ns, .. } => self.service(pd).ready_after_ns.push(after_ns),
            Event::Read(file) => self.read.push(files(file, others)),
            Event::Wrote(file) => self.written.push(files(file, others)),
            Event::Removed(path) => self.removed.push(path),
            Event::Summary(words) => self.summary.extend(words),
            Event::Started => self.working.0 = true,
            Event::Ended => self.working.1 = true,
        }
    }
}

fn files(first: FileSeen, others: Vec<Event>) -> Readings<FileSeen> {
    let others = others.into_iter().filter_map(|event| match event {
        Event::Read(file) | Event::Wrote(file) => Some(file),
        _ => None,
    });
    [first].into_iter().chain(others).collect()
}

/// The text itself, then the texts without one of two equal neighbours.
fn readings(text: &str) -> impl Iterator<Item = String> {
    let doubled = text.char_indices().zip(text.chars().skip(1));
    let shorter = doubled
        .filter(|((_, left), right)| left == right)
        .map(|((index, left), _)| {
            format!("{}{}", &text[..index], &text[index + left.len_utf8()..])
        });
    [text.to_owned()].into_iter().chain(shorter)
}

/// PD and text of each console line. A long line comes in parts; all but the last end in `\`.
fn joined(output: &str, pds: &[&str]) -> Vec<(String, String)> {
    let mut open: BTreeMap<String, String> = BTreeMap::new();
    let mut lines = Vec::new();
    for line in output.lines() {
        let Some((pd, text)) = readings(line).find_map(|line| split(&line, pds)) else {
            continue;
        };
        let mut whole = open.remove(&pd).unwrap_or_default();
        match text.strip_suffix('\\') {
            Some(part) => {
                whole.push_str(part);
                open.insert(pd, whole);
            }
            None => lines.push((pd, whole + &text)),
        }
    }
    lines
}

/// PD and text of a console line, without the level.
fn split(line: &str, pds: &[&str]) -> Option<(String, String)> {
    let (time, rest) = line.strip_prefix('[')?.split_once("] ")?;
    let (seconds, fraction) = time.trim_start().split_once('.')?;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (pd, text) = rest.split_once(": ")?;
    if !digits(seconds) || !digits(fraction) || fraction.len() != 6 || !pds.contains(&pd) {
        return None;
    }
    let levels = ["warning: ", "error: "];
    let text = levels
        .iter()
        .find_map(|level| text.strip_prefix(level))
        .unwrap_or(text);
    Some((pd.to_owned(), text.to_owned()))
}

/// What a text says, when it is one of those that matter and makes sense.
fn event(pd: &str, text: &str, pds: &[&str]) -> Option<Event> {
    if pd == APP {
        if text == START {
            return Some(Event::Started);
        }
        if text.starts_with(VERDICT) {
            return Some(Event::Ended);
        }
    }
    // A doubled space before the text is the text's first character.
    let (word, fields) = text.trim_start().split_once(' ')?;
    let victim = || {
        field(fields, "pd")
            .filter(|pd| pds.contains(pd))
            .map(str::to_owned)
    };
    match (word, pd) {
        ("KILL", "chaos") => Some(Event::Kill {
            pd: victim()?,
            point: field(fields, "point")?.to_owned(),
            death: field(fields, "death")?.to_owned(),
        }),
        // From whichever supervisor it has.
        ("FAULT", _) if pd != APP && field(fields, "action")? == "restart" => {
            Some(Event::Restart { pd: victim()? })
        }
        ("ready", _) => Some(Event::Ready {
            pd: pd.to_owned(),
            epoch: field(fields, "epoch")?.parse().ok()?,
            after_ns: field(fields, "after_ns")?.parse().ok()?,
        }),
        ("file", APP) => file(fields).map(Event::Read),
        ("wrote", APP) => file(fields)
            .filter(|file| file.seed.is_some())
            .map(Event::Wrote),
        ("removed", APP) => Some(Event::Removed(unescape(fields.strip_prefix("path=")?)?)),
        ("demo:", APP) => {
            let words: Vec<_> = fields.split(' ').map(str::to_owned).collect();
            words
                .iter()
                .all(|word| word.contains('='))
                .then_some(Event::Summary(words))
        }
        _ => None,
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
    let (words, path) = fields.split_once(" path=")?;
    let sha256 = field(words, "sha256")?;
    let is_hash =
        sha256.len() == SHA256_DIGITS && sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash.then_some(FileSeen {
        path: unescape(path).filter(|path| path.starts_with(b"/"))?,
        sha256: sha256.to_owned(),
        size: field(words, "size")?.parse().ok()?,
        seed: field(words, "seed").and_then(|seed| u64::from_str_radix(seed, 16).ok()),
    })
}

#[cfg(test)]
mod tests {
    use super::{Report, parse};

    const PDS: [&str; 6] = ["supervisor", "chaos", "console", "blk", "fs", "app_demo"];
    const HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn run(lines: &[&str]) -> Report {
        let start = ["Booting all finished", "[   0.100000] app_demo: start"];
        let text = [&start, lines].concat().join("\n").replace("HASH", HASH);
        parse(&text, &PDS)
    }

    #[test]
    fn finds_what_matters() {
        let report = run(&[
            "[   0.100000] blk: ready epoch=0 after_ns=0",
            concat!(
                "[   0.200100] supervisor: warning: FAULT pd=blk kind=read addr=0x0 pc=0x1 ",
                "epoch=1 action=restart after_us=9 stack=1/2"
            ),
            "[   0.200100] supervisor: warning: BACKTRACE pd=blk lr=0x1 frames=0x1",
            "[   0.200000] chaos: KILL pd=blk point=blk.before_complete death=breakpoint count=1",
            "[   0.200200] blk: ready epoch=1 after_ns=123456",
            "[   0.300000] app_demo: file sha256=HASH size=7 path=/a b/\\xc3\\xbc",
            "[   0.400000] app_demo: wrote sha256=HASH size=9 seed=0f path=/kintsugi-out/x",
            "[   0.400000] app_demo: removed path=/kintsugi-out/gone",
            "[   0.500000] app_demo: demo: ops=10 errors=0",
            "[   0.500000] app_demo: KINTSUGI|PASS demo",
            "[   0.600000] chaos: KILL pd=fs point=fs.after_take death=breakpoint count=1",
        ]);
        let blk = &report.services["blk"];
        assert_eq!((blk.kill_count(), blk.restarts), (1, 1));
        assert_eq!(blk.ready_after_ns, [123_456]);
        assert_eq!(blk.kills["blk.before_complete"], 1);
        assert_eq!(blk.deaths["breakpoint"], 1);
        assert!(
            !report.services.contains_key("fs"),
            "killed when the work was over"
        );
        assert_eq!(report.read[0][0].path, "/a b/ü".as_bytes());
        assert_eq!(report.read[0][0].size, 7);
        assert_eq!(report.written[0][0].seed, Some(15));
        assert_eq!(report.removed, [b"/kintsugi-out/gone"]);
        assert_eq!(report.summary, ["ops=10", "errors=0"]);
    }

    #[test]
    fn a_kill_before_the_work_does_not_count() {
        let kill = "[   0.200000] chaos: KILL pd=blk point=p death=breakpoint count=1";
        assert!(parse(kill, &PDS).services.is_empty());
    }

    #[test]
    fn joins_the_parts_of_a_long_line() {
        let report = run(&[
            "[   0.300000] app_demo: file sha256=HASH size=7 path=/long\\",
            "[   0.300100] blk: ready epoch=0 after_ns=0",
            "[   0.300000] app_demo: er/na\\",
            "[   0.300000] app_demo: me",
        ]);
        assert_eq!(report.read[0][0].path, b"/longer/name");
    }

    #[test]
    fn sees_through_one_doubled_character() {
        let good = "[   0.200000] chaos: KILL pd=blk point=blk.irq death=breakpoint count=1";
        for index in 0..good.len() {
            let line = format!("{}{}", &good[..=index], &good[index..]);
            let report = run(&[&line]);
            assert_eq!(report.services["blk"].kill_count(), 1, "{line}");
        }
    }

    #[test]
    fn a_file_line_with_a_doubled_character_can_be_read_right() {
        let good = format!("[   0.300000] app_demo: file sha256={HASH} size=75 path=/abba");
        let expected = &run(&[&good]).read[0][0];
        for index in 0..good.len() {
            let line = format!("{}{}", &good[..=index], &good[index..]);
            let report = run(&[&line]);
            assert!(report.read[0].contains(expected), "{line}");
        }
    }

    #[test]
    fn a_time_in_doubt_is_left_out() {
        let report = run(&[
            "[   0.200200] fs: ready epoch=1 after_ns=112",
            "[   0.200200] console: ready epoch=1 after_ns=7",
            "[   0.200200] fs: ready epoch=2 after_ns=13",
        ]);
        assert_eq!(report.services["fs"].ready_after_ns, [13]);
        assert_eq!(report.services["console"].ready_after_ns, [7]);
    }

    #[test]
    fn nonsense_is_passed_over() {
        let report = run(&[
            "[   0.2] blk: ready epoch=1 after_ns=112",
            "[   0.200200] nobody: ready epoch=1 after_ns=112",
            "[   0.200200] app_demo: file sha256=12 size=3 path=/a",
            "[   0.200200] app_demo: file sha256=HASH size=3 path=/a\\xq",
            "[   0.200200] fs: KILL pd=blk point=p death=d count=1",
            "[",
            "",
        ]);
        assert_eq!(report, run(&[]));
    }
}
