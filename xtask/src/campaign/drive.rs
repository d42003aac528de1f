// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Makes all trials of a campaign that are still missing: several machines at a time, each of which boots,
//! makes the trials of one range, and has its disk judged. What a trial came to is not decided here.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{ProgressBar, ProgressStyle};

use super::boot::{Boot, End};
use super::disks::{self, Verdict};
use super::journal::{BootEntry, Journal, Trial};
use super::{Setup, workspace};
use crate::cli::CampaignArgs;
use crate::error::{Context, Error, Result};

/// Where the progress bar cannot be shown, a line comes after so many trials.
const LINE_EVERY: u64 = 25;

/// What the machines share.
struct Drive<'a> {
    journal: Mutex<&'a mut Journal>,
    /// In order from the last to the first.
    open: Mutex<Vec<Range<u64>>>,
    /// One of them has failed: no other boots again.
    stop: AtomicBool,
    bar: ProgressBar,
}

/// Boots until all trials are made.
///
/// # Errors
///
/// When QEMU or a file cannot be used, or the system does not start.
pub fn all(args: &CampaignArgs, setup: &Setup, journal: &mut Journal) -> Result<()> {
    let mut open = journal.missing(args.faults, args.per_boot);
    open.reverse();
    let jobs = args.jobs.clamp(1, open.len().max(1));
    let setups: Result<Vec<_>> = (0..jobs).map(|job| setup.for_job(job)).collect();
    let setups = setups?;
    let drive = Drive {
        bar: progress(args.faults, &open),
        journal: Mutex::new(journal),
        open: Mutex::new(open),
        stop: AtomicBool::new(false),
    };
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads = setups.iter().map(|setup| scope.spawn(|| drive.work(setup)));
        let threads: Vec<_> = threads.collect();
        threads.into_iter().map(|thread| thread.join()).collect()
    });
    drive.bar.finish();
    for result in results {
        result.map_err(|_| Error::new("a thread of the campaign has panicked"))??;
    }
    journal.sort();
    Ok(())
}

fn progress(faults: u64, open: &[Range<u64>]) -> ProgressBar {
    let bar = ProgressBar::new(faults);
    let style = "{elapsed_precise} {wide_bar} {pos}/{len} {per_sec} {msg}";
    if let Ok(style) = ProgressStyle::with_template(style) {
        bar.set_style(style);
    }
    let open: u64 = open.iter().map(|range| range.end - range.start).sum();
    bar.set_position(faults - open);
    bar.reset_eta();
    bar
}

impl Drive<'_> {
    /// One machine at a time, until no range is left.
    fn work(&self, setup: &Setup) -> Result<()> {
        while let Some(range) = self.next() {
            let mut first = range.start;
            while first < range.end && !self.stop.load(Ordering::Relaxed) {
                let boot = self.boot(setup, first..range.end);
                first = boot.inspect_err(|_| self.stop.store(true, Ordering::Relaxed))?;
            }
        }
        Ok(())
    }

    fn next(&self) -> Option<Range<u64>> {
        match self.stop.load(Ordering::Relaxed) {
            true => None,
            false => self.open.lock().ok()?.pop(),
        }
    }

    fn journal<T>(&self, work: impl FnOnce(&mut Journal) -> Result<T>) -> Result<T> {
        let journal = self.journal.lock();
        let mut journal = journal.map_err(|_| Error::new("another thread has panicked"))?;
        work(&mut journal)
    }

    /// One boot; says which trial comes after it.
    fn boot(&self, setup: &Setup, range: Range<u64>) -> Result<u64> {
        let first = range.start;
        let mut failure = None;
        let boot = setup.boot(first, range.end, &mut |trial| {
            failure = failure.take().or(self.add(trial).err());
        })?;
        if let Some(error) = failure {
            return Err(error);
        }
        let kept = |what| setup.folder.join(format!("boot-{first}.{what}"));
        let serial = kept("serial");
        let is_bad = self.journal(|journal| Ok(journal.is_bad(first)))? || boot.end != End::Done;
        if is_bad {
            // The judge replays its journal.
            std::fs::copy(setup.attached(), kept("img")).context("keep the disk")?;
        }
        let verdict = disks::judge(setup, &boot);
        let entry = entry(first, &boot, &verdict);
        if entry.disk.is_some() || is_bad {
            workspace::write(&serial, boot.output.as_bytes())?;
            let disk = entry.disk.as_deref();
            self.say(&format!(
                "boot at trial {first}: {}{}",
                boot.end.name(),
                disk.map_or(String::new(), |text| format!("; disk: {text}"))
            ));
        }
        self.journal(|journal| journal.add_boot(entry))?;
        match boot.next {
            next if next == first => {
                let message = format!("the system did not start: {}", boot.end.name());
                Err(Error::new(message).help(format!("see '{}'", serial.display())))
            }
            next => Ok(next),
        }
    }

    fn add(&self, trial: Trial) -> Result<()> {
        let counts = self.journal(|journal| {
            journal.add_trial(trial)?;
            Ok(journal.counts())
        })?;
        let bar = &self.bar;
        bar.inc(1);
        bar.set_message(counts.clone());
        if bar.is_hidden() && bar.position().is_multiple_of(LINE_EVERY) {
            let (at, rate) = (bar.position(), bar.per_sec());
            let of = bar.length().unwrap_or(at);
            println!("{at}/{of}: {rate:.2} per second; {counts}");
        }
        Ok(())
    }

    /// A hidden bar prints nothing.
    fn say(&self, line: &str) {
        match self.bar.is_hidden() {
            true => println!("{line}"),
            false => self.bar.println(line),
        }
    }
}

fn entry(first: u64, boot: &Boot, verdict: &Verdict) -> BootEntry {
    BootEntry {
        boot: first,
        next: boot.next,
        end: boot.end.name().to_owned(),
        disk: verdict.clone().err(),
        seconds: boot.elapsed.as_secs_f64(),
    }
}
