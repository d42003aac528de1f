// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The file of a campaign: JSON lines, the first says what campaign it is, each other one is a trial or
//! the end of a boot. A file whose last line was cut off by an interruption is taken up at the line before.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};

use injector_service::class::Class;
use injector_service::outcome::Outcome;
use injector_service::plan::VICTIMS;
use injector_service::record::Record;
use serde::{Deserialize, Serialize};

use crate::cli::{Ablation, Through};
use crate::error::{Context, Error, Result};
use crate::workspace;

/// Everything that a trial follows from, but for its number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Campaign {
    /// `dev` or `sel4`.
    pub kernel: String,
    /// Its configuration.
    pub config: String,
    /// The seed.
    pub seed: u64,
    /// Classes, all when there are none.
    pub classes: Vec<String>,
    /// Victims, all when there are none.
    pub pds: Vec<String>,
    /// Who makes the faults.
    #[serde(default = "injector")]
    pub through: String,
    /// How much of the recovery there is.
    #[serde(default = "full")]
    pub ablation: String,
    /// The sources.
    pub commit: String,
}

fn injector() -> String {
    Through::Injector.name().to_owned()
}

fn full() -> String {
    Ablation::Full.name().to_owned()
}

/// One trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// Its number.
    pub trial: u64,
    /// The first trial of its boot.
    pub boot: u64,
    /// Class.
    pub class: String,
    /// Victim.
    pub pd: String,
    /// The second victim, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub second: Option<String>,
    /// Where, in hexadecimal.
    pub place: String,
    /// What was there.
    pub old: String,
    /// What is there now.
    pub new: String,
    /// Whether the victim is known to have run into it.
    pub reached: bool,
    /// What it came to.
    pub outcome: String,
    /// Restarts by victim.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub restarts: BTreeMap<String, u8>,
    /// To the first restart, in nanoseconds of guest time.
    pub detected_ns: u64,
    /// To the first answer after it.
    pub served_ns: u64,
    /// Longest operation of the application.
    pub slowest_ns: u64,
    /// Errors, wrong contents, missing contents.
    pub troubles: [u64; 3],
    /// Early, lost, extra, clock backwards.
    pub timers: [u64; 4],
    /// Answered operations.
    pub operations: u64,
    /// Length of the trial.
    pub took_ns: u64,
}

/// The end of a boot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BootEntry {
    /// Its first trial.
    pub boot: u64,
    /// The trial that the next boot begins with.
    pub next: u64,
    /// How it ended.
    pub end: String,
    /// What is wrong with the disk.
    pub disk: Option<String>,
    /// Of the host.
    pub seconds: f64,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Campaign(Campaign),
    Trial(Trial),
    Boot(BootEntry),
}

impl Trial {
    /// From what the injector has recorded.
    pub fn of(record: &Record, boot: u64) -> Self {
        let pd = |index: u64| {
            let victim = usize::try_from(index)
                .ok()
                .and_then(|index| VICTIMS.get(index));
            victim.map_or("?", |(name, _)| name).to_owned()
        };
        let restarts = VICTIMS.iter().zip(record.restarts);
        Self {
            trial: record.trial,
            boot,
            class: Class::from_number(record.class)
                .map_or("?", Class::name)
                .to_owned(),
            pd: pd(record.victim),
            second: (record.second > 0).then(|| pd(record.second - 1)),
            place: format!("{:#x}", record.place),
            old: format!("{:#x}", record.old),
            new: format!("{:#x}", record.new),
            reached: record.reached != 0,
            outcome: record.outcome.name().to_owned(),
            restarts: restarts
                .filter(|(_, count)| *count > 0)
                .map(|((name, _), count)| ((*name).to_owned(), count))
                .collect(),
            detected_ns: record.detected_ns,
            served_ns: record.served_ns,
            slowest_ns: record.slowest_ns,
            troubles: record.troubles,
            timers: record.timers,
            operations: record.operations,
            took_ns: record.took_ns,
        }
    }

    /// Its outcome.
    pub fn outcome(&self) -> Outcome {
        Outcome::from_name(&self.outcome).unwrap_or(Outcome::SystemLost)
    }
}

/// See the module.
pub struct Journal {
    /// The file.
    pub path: PathBuf,
    /// Of which campaign.
    pub campaign: Campaign,
    /// In order, once the campaign is over.
    pub trials: Vec<Trial>,
    /// In order, once the campaign is over.
    pub boots: Vec<BootEntry>,
    file: File,
}

/// The commit of the sources, with a plus sign when they have been changed since.
pub fn commit() -> String {
    let git = |arguments: &[&str]| {
        let mut command = std::process::Command::new("git");
        let output = command
            .args(arguments)
            .current_dir(workspace::root())
            .output();
        output
            .ok()
            .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
            .unwrap_or_default()
    };
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]);
    let plus = if changed.is_empty() { "" } else { "+" };
    format!("{}{plus}", git(&["rev-parse", "--short=12", "HEAD"]))
}

impl Journal {
    /// Whether any trial of the boot that began with this one was worse than unnoticed.
    pub fn is_bad(&self, boot: u64) -> bool {
        let mut trials = self.trials.iter().filter(|trial| trial.boot == boot);
        trials.any(|trial| trial.outcome() > Outcome::Unnoticed)
    }

    /// Begins the file anew, or takes it up where it ended.
    ///
    /// # Errors
    ///
    /// When it belongs to another campaign, or cannot be written.
    pub fn open(path: &Path, campaign: &Campaign, resume: bool) -> Result<Self> {
        let what = format!("write '{}'", path.display());
        let old = match resume && path.is_file() {
            true => std::fs::read_to_string(path).context(&what)?,
            false => String::new(),
        };
        let mut journal = Self {
            path: path.to_owned(),
            campaign: campaign.clone(),
            trials: Vec::new(),
            boots: Vec::new(),
            file: File::create(path).context(&what)?,
        };
        let lines = old
            .lines()
            .map_while(|line| serde_json::from_str(line).ok());
        for line in lines {
            match line {
                Line::Campaign(found) => {
                    journal.same(&found, &old)?;
                    // The sources that it began with are those that its first trials speak of.
                    journal.campaign = found;
                }
                Line::Trial(trial) => journal.trials.push(trial),
                Line::Boot(boot) => journal.boots.push(boot),
            }
        }
        journal.sort();
        journal.rewrite()?;
        Ok(journal)
    }

    /// A resumed campaign has to be the same but for the sources, which may have been mended since.
    fn same(&self, found: &Campaign, old: &str) -> Result<()> {
        let with_our_commit = Campaign {
            commit: self.campaign.commit.clone(),
            ..found.clone()
        };
        if with_our_commit == self.campaign {
            return Ok(());
        }
        std::fs::write(&self.path, old).context("put the file back")?;
        let message = format!("'{}' belongs to another campaign", self.path.display());
        Err(Error::new(message).help("give --trials another file, or leave out --resume"))
    }

    fn rewrite(&mut self) -> Result<()> {
        self.line(&self.campaign.clone())?;
        for trial in self.trials.clone() {
            self.line(&trial)?;
        }
        for boot in self.boots.clone() {
            self.line(&boot)?;
        }
        Ok(())
    }

    fn line(&mut self, value: &impl Serialize) -> Result<()> {
        let text = serde_json::to_string(value).context("write JSON")?;
        writeln!(self.file, "{text}").context(format!("write '{}'", self.path.display()))
    }

    /// Trials and boots in the order of their numbers: several machines add theirs as they come.
    pub fn sort(&mut self) {
        self.trials.sort_by_key(|trial| trial.trial);
        self.boots.sort_by_key(|boot| boot.boot);
    }

    /// The trials below `faults` that are not there, as ranges from the first to before the last. A range
    /// ends at every multiple of `per_boot`, so that all boots are the same however many run at a time.
    pub fn missing(&self, faults: u64, per_boot: u64) -> Vec<Range<u64>> {
        let there: BTreeSet<_> = self.trials.iter().map(|trial| trial.trial).collect();
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for trial in (0..faults).filter(|trial| !there.contains(trial)) {
            match ranges.last_mut() {
                Some(last) if last.end == trial && !trial.is_multiple_of(per_boot.max(1)) => {
                    last.end += 1;
                }
                _ => ranges.push(trial..trial + 1),
            }
        }
        ranges
    }

    /// Adds a trial.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn add_trial(&mut self, trial: Trial) -> Result<()> {
        self.line(&trial)?;
        self.trials.push(trial);
        Ok(())
    }

    /// Adds the end of a boot.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn add_boot(&mut self, boot: BootEntry) -> Result<()> {
        self.line(&boot)?;
        self.boots.push(boot);
        Ok(())
    }

    /// What came out so far, for the progress bar.
    pub fn counts(&self) -> String {
        let count = |wanted: &dyn Fn(Outcome) -> bool| {
            self.trials
                .iter()
                .filter(|trial| wanted(trial.outcome()))
                .count()
        };
        format!(
            "recovered {} bad {}",
            count(&|outcome| outcome == Outcome::Unnoticed),
            count(&|outcome| outcome > Outcome::Unnoticed)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn campaign(seed: u64) -> Campaign {
        Campaign {
            kernel: "dev".to_owned(),
            config: "release".to_owned(),
            seed,
            classes: Vec::new(),
            pds: Vec::new(),
            through: injector(),
            ablation: full(),
            commit: "0".to_owned(),
        }
    }

    fn trial(number: u64) -> Trial {
        let record = Record {
            trial: number,
            outcome: Outcome::Unnoticed,
            restarts: [0, 0, 0, 2, 0, 0, 0, 0],
            ..Record::default()
        };
        Trial::of(&record, 0)
    }

    #[test]
    fn what_two_machines_have_left_open_is_made_up_for() {
        let path = std::env::temp_dir().join(format!("kintsugi-gaps-{}", std::process::id()));
        let mut journal = Journal::open(&path, &campaign(1), false).unwrap();
        for number in [4, 0, 5, 1, 2] {
            journal.add_trial(trial(number)).unwrap();
        }
        assert_eq!(journal.missing(9, 4), [3..4, 6..8, 8..9]);
        journal.sort();
        assert!(journal.trials.is_sorted_by_key(|trial| trial.trial));
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn an_interrupted_file_is_taken_up_and_another_campaigns_is_refused() {
        let path = std::env::temp_dir().join(format!("kintsugi-trials-{}", std::process::id()));
        let mut journal = Journal::open(&path, &campaign(1), false).unwrap();
        journal.add_trial(trial(0)).unwrap();
        journal.add_trial(trial(1)).unwrap();
        drop(journal);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, &text[..text.len() - 9]).unwrap();
        let mut journal = Journal::open(&path, &campaign(1), true).unwrap();
        assert_eq!(
            (journal.missing(3, 2), journal.trials.len()),
            (vec![1..2, 2..3], 1)
        );
        assert_eq!(journal.trials[0].restarts["fs"], 2);
        journal.add_trial(trial(1)).unwrap();
        drop(journal);
        assert!(Journal::open(&path, &campaign(2), true).is_err());
        let again = Journal::open(&path, &campaign(1), true).unwrap();
        assert_eq!(again.missing(9, 4), [2..4, 4..8, 8..9]);
        drop(again);
        let other = Journal::open(&path, &campaign(2), false).unwrap();
        assert_eq!(other.missing(3, 4), std::slice::from_ref(&(0..3)));
        std::fs::remove_file(&path).unwrap();
    }
}
