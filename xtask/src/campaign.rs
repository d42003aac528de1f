// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! `cargo xtask campaign`: puts one fault after the other into the running system, and says what each came
//! to.
//!
//! The faults are made by PD `injector` (`pds/injector`), which also judges each trial. The host boots the
//! machine, takes the records out of its memory, boots again only when the system is lost or enough trials
//! were made, and judges the disk at the end of each boot. Every trial goes to a file of JSON lines as
//! soon as it is over, so that a campaign can be interrupted, resumed, and any trial be replayed.

mod ablation;
mod boot;
mod disks;
mod drive;
mod gdb;
mod journal;
mod outside;
mod rates;
mod report;
mod stats;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use injector_service::class::Class;
use injector_service::plan::VICTIMS;
use injector_service::settings::{Mode, Settings};

use crate::cli::{Ablation, CampaignArgs, KernelArgs, SystemArgs, Through};
use crate::error::{Context, Error, Result};
use crate::kernels::{self, Choice};
use crate::qemu::{self, Machine};
use crate::system::System;
use crate::{build, disk, image, samples, workspace};
use boot::Boot;
use journal::{Campaign, Journal, Trial};

/// Adds the injector, and a PD that keeps the processor busy: see `demo`.
const OVERLAYS: [&str; 4] = [
    "pds/injector/overlay.xml",
    "pds/test_spin/overlay.xml",
    "pds/app_sqlite/overlay.xml",
    "pds/injector/apps.xml",
];
/// Room behind the file system, for the application on raw blocks.
const RAW_MEGABYTES: u64 = 4;
/// For a campaign without restarts.
const NO_RESTARTS: &str = "pds/injector/ablation_none.xml";
/// Where nobody is restarted, or comes back with nothing, nobody has to be waited for so long.
const LOST_AFTER_NONE_MS: u64 = 3_000;
/// Guest time without a finished round after which the system is lost. Every timeout of policy.toml is
/// shorter.
const LOST_AFTER_MS: u64 = 15_000;
/// Faults of the short campaign, and how many of them must have an effect: four in ten have.
const SHORT_FAULTS: u64 = 200;
const SHORT_MANIFESTED_MIN: u64 = 50;
/// The disk that a machine works on, in its folder.
const DISK: &str = "disk.img";
/// Its megabytes, without the room behind the file system.
const DISK_MEGABYTES: u64 = 64;

/// Runs the command.
///
/// # Errors
///
/// When the campaign cannot be run, or with `--strict` when something was lost, wrong or dead.
pub fn run(args: &CampaignArgs) -> Result<()> {
    let choice = kernels::choose(&args.kernel)?;
    println!("kernel: {} ({})", choice.target.name(), choice.reason);
    if args.rates {
        let folder = folder(args, &choice, "rates")?;
        return rates::run(args, &Setup::make(args, &choice, &folder)?);
    }
    if let Some(trial) = args.replay {
        let folder = folder(args, &choice, part(args))?;
        return replay(args, &Setup::make(args, &choice, &folder)?, trial);
    }
    if args.ablation != Ablation::All {
        return one(args, &choice).and_then(|journal| finish(args, &choice, &journal));
    }
    let mut summaries = Vec::new();
    for ablation in [
        Ablation::None,
        Ablation::Stateless,
        Ablation::KeepMemory,
        Ablation::Full,
    ] {
        println!("\n{}:", ablation.name());
        let part = CampaignArgs {
            ablation,
            trials: None,
            ..args.clone()
        };
        let journal = one(&part, &choice)?;
        let summary = stats::Summary::of(&journal);
        println!("{}", report::table(&summary));
        summaries.push((journal, summary));
    }
    println!("{}", report::ablation_table(&summaries));
    let rows = report::ablation_rows(&summaries);
    report::save(&common(args, &choice)?.join(report::ABLATION), &rows)?;
    finish_files(args, &choice, &summaries)
}

/// The reports of an ablation are those of its last part, with the table of all of them.
fn finish_files(
    args: &CampaignArgs,
    choice: &Choice,
    all: &[(Journal, stats::Summary)],
) -> Result<()> {
    let (Some((journal, summary)), common) = (all.last(), common(args, choice)?) else {
        return Ok(());
    };
    if let Some(path) = &args.html {
        let extra = report::Extra::read(&common);
        workspace::write(path, report::html(journal, summary, &extra).as_bytes())?;
    }
    match &args.json {
        Some(path) => report::save(path, &report::ablation_rows(all)),
        None => Ok(()),
    }
}

/// Where everything goes that is said of one kernel.
fn common(args: &CampaignArgs, choice: &Choice) -> Result<PathBuf> {
    let name = choice.target.name().replace(' ', "-");
    let folder = args.build_dir.join("campaign").join(name);
    workspace::make_folder(&folder)?;
    Ok(folder)
}

fn folder(args: &CampaignArgs, choice: &Choice, part: &str) -> Result<PathBuf> {
    let folder = match part {
        "" => common(args, choice)?,
        part => common(args, choice)?.join(part),
    };
    workspace::make_folder(&folder)?;
    Ok(folder)
}

/// One campaign, or what there is of it.
fn one(args: &CampaignArgs, choice: &Choice) -> Result<Journal> {
    let folder = folder(args, choice, part(args))?;
    let path = args.trials.clone();
    let path = path.unwrap_or_else(|| folder.join("trials.jsonl"));
    let campaign = campaign_of(args, choice);
    if args.report {
        return Journal::open(&path, &campaign, true);
    }
    let setup = Setup::make(args, choice, &folder)?;
    let mut journal = Journal::open(&path, &campaign, args.resume)?;
    drive::all(args, &setup, &mut journal)?;
    Ok(journal)
}

/// Folder of the parts of an ablation, below that of the kernel.
fn part(args: &CampaignArgs) -> &'static str {
    match args.ablation {
        Ablation::Full => "",
        other => other.name(),
    }
}

/// The campaign that is part of all tests: short, and whatever is lost, wrong or dead fails it.
///
/// # Errors
///
/// When it does, or too few faults have shown any effect.
pub fn short(kernel: KernelArgs, build_dir: &Path) -> Result<()> {
    let args = CampaignArgs {
        kernel,
        faults: SHORT_FAULTS,
        seed: 1,
        class: Vec::new(),
        pd: Vec::new(),
        through: Through::Injector,
        ablation: Ablation::Full,
        rates: false,
        rate_seconds: 0,
        json: None,
        html: None,
        resume: false,
        report: false,
        trials: None,
        replay: None,
        replay_from: None,
        per_boot: SHORT_FAULTS,
        jobs: 1,
        strict: true,
        build_dir: build_dir.to_owned(),
    };
    let choice = kernels::choose(&args.kernel)?;
    let journal = one(&args, &choice)?;
    let manifested = stats::Summary::of(&journal).all.manifested();
    finish(&args, &choice, &journal)?;
    match manifested {
        SHORT_MANIFESTED_MIN.. => Ok(()),
        few => Err(Error::new(format!("only {few} faults had any effect"))),
    }
}

fn finish(args: &CampaignArgs, choice: &Choice, journal: &Journal) -> Result<()> {
    let summary = stats::Summary::of(journal);
    println!("\n{}", report::table(&summary));
    if let Some(path) = &args.json {
        workspace::write(path, report::json(journal, &summary).as_bytes())?;
    }
    if let Some(path) = &args.html {
        let extra = report::Extra::read(&common(args, choice)?);
        workspace::write(path, report::html(journal, &summary, &extra).as_bytes())?;
    }
    println!("trials: {}", journal.path.display());
    match args.strict && summary.failures() > 0 {
        true => Err(Error::new(format!(
            "{} trials or disks ended badly; replay one with --replay N",
            summary.failures()
        ))),
        false => Ok(()),
    }
}

fn campaign_of(args: &CampaignArgs, choice: &Choice) -> Campaign {
    let (kernel, config) = match &choice.target {
        kernels::Target::Dev => ("dev", "release"),
        kernels::Target::Sel4 { config, .. } => ("sel4", config.name()),
    };
    Campaign {
        kernel: kernel.to_owned(),
        config: config.to_owned(),
        seed: args.seed,
        classes: args.class.clone(),
        pds: args.pd.clone(),
        through: args.through.name().to_owned(),
        ablation: args.ablation.name().to_owned(),
        commit: journal::commit(),
    }
}

/// What all boots share, but for `work` and what is in it.
#[derive(Clone)]
pub struct Setup {
    machine: Machine,
    board: Arc<crate::board::Board>,
    /// Of the build and the report.
    folder: PathBuf,
    /// Of one machine at a time: its disk, socket and settings.
    work: PathBuf,
    /// The disk that each boot gets a copy of, and the files in it.
    disk: PathBuf,
    files: PathBuf,
    pds: Vec<String>,
    system: Arc<System>,
    settings: Settings,
    ablation: Ablation,
    /// Nobody else uses the folder while this is open.
    _lock: Arc<File>,
}

/// The disk of the machine that works in a folder. What the host's power cut would do to it is not the
/// question.
fn attached_to(work: &Path) -> PathBuf {
    qemu::with_options(&work.join(DISK), "cache=unsafe")
}

/// Two campaigns in one folder would each give the other's machine a fresh disk while it runs.
fn lock(folder: &Path) -> Result<File> {
    let path = folder.join("lock");
    workspace::write(&path, b"")?;
    let what = format!("open '{}'", path.display());
    let file = File::open(&path).context(what)?;
    file.try_lock().map_err(|_| {
        Error::new(format!("another campaign uses '{}'", folder.display()))
            .help("wait for it, or choose another --build-dir")
    })?;
    Ok(file)
}

impl Setup {
    fn make(args: &CampaignArgs, choice: &Choice, folder: &Path) -> Result<Self> {
        let lock = lock(folder)?;
        let root = workspace::root();
        let none = (args.ablation == Ablation::None).then_some(NO_RESTARTS);
        let overlays = OVERLAYS.into_iter().chain(none);
        let built = build::build(&SystemArgs {
            kernel: args.kernel.clone(),
            system: root.join("system.xml"),
            overlay: overlays.map(|path| root.join(path)).collect(),
            search_path: Vec::new(),
            build_dir: folder.to_path_buf(),
        })?;
        let image = image::make_for(&built, &choice.target)?;
        let files = folder.join("files");
        samples::make(&files)?;
        let disk = folder.join("fresh.img");
        disk::make_ext4(&disk, DISK_MEGABYTES, Some(&files))?;
        disk::grow(&disk, DISK_MEGABYTES + RAW_MEGABYTES)?;
        let pds = built.loaded.system.pds.iter().map(|pd| pd.name.clone());
        Ok(Self {
            machine: Machine {
                image,
                disk: Some(attached_to(folder)),
                icount: true,
                extra: &[],
            },
            pds: pds.collect(),
            system: Arc::new(built.loaded.system),
            board: Arc::new(built.board),
            folder: folder.to_path_buf(),
            work: folder.to_path_buf(),
            disk,
            files,
            settings: settings(args)?,
            ablation: args.ablation,
            _lock: Arc::new(lock),
        })
    }

    /// The same for one more machine at the same time.
    fn for_job(&self, job: usize) -> Result<Self> {
        let work = self.folder.join(format!("job-{job}"));
        workspace::make_folder(&work)?;
        let image = work.join(self.machine.image.file_name().unwrap_or_default());
        std::fs::copy(&self.machine.image, &image).context("copy the image")?;
        Ok(Self {
            machine: Machine {
                image,
                disk: Some(attached_to(&work)),
                ..self.machine.clone()
            },
            work,
            ..self.clone()
        })
    }

    fn fresh_disk(&self) -> Result<()> {
        std::fs::copy(&self.disk, self.attached())
            .map(|_| ())
            .map_err(|error| Error::new(format!("copy the disk: {error}")))
    }

    fn attached(&self) -> PathBuf {
        self.work.join(DISK)
    }

    /// Boots with a fresh disk and runs trials `first..end`.
    fn boot(&self, first: u64, end: u64, on_trial: &mut dyn FnMut(Trial)) -> Result<Boot> {
        self.fresh_disk()?;
        let settings = Settings {
            first,
            end,
            ..self.settings
        };
        boot::run(self, &settings, on_trial)
    }
}

fn settings(args: &CampaignArgs) -> Result<Settings> {
    let mut classes = 0;
    for name in &args.class {
        let class = Class::from_name(name).ok_or_else(|| {
            let all: Vec<_> = Class::ALL.iter().map(|class| class.name()).collect();
            Error::new(format!("there is no class '{name}'")).help(all.join(", "))
        })?;
        classes |= class.bit();
    }
    let mut victims = 0;
    for name in &args.pd {
        let index = VICTIMS.iter().position(|(victim, _)| victim == name);
        let index = index.ok_or_else(|| {
            let all = VICTIMS.map(|(victim, _)| victim);
            Error::new(format!("'{name}' is no victim")).help(all.join(", "))
        })?;
        victims |= 1 << index;
    }
    let (mode, can): (_, fn(Class) -> bool) = match args.through {
        Through::Injector => (Mode::Inside, Class::is_inside),
        Through::Gdbstub => (Mode::Outside, Class::is_outside),
    };
    let possible = Class::ALL.iter().filter(|class| can(**class));
    let possible = possible.fold(0, |mask, class| mask | class.bit());
    if classes & !possible != 0 {
        return Err(Error::new(format!(
            "not all of these classes can be made through the {}",
            args.through.name()
        )));
    }
    let all_if_none = |mask: u64, all: u64| if mask == 0 { all } else { mask };
    Ok(Settings {
        seed: args.seed,
        first: 0,
        end: 0,
        classes: all_if_none(classes, possible),
        victims: all_if_none(victims, u64::MAX),
        lost_after_ms: match args.ablation {
            _ if args.rates => args.rate_seconds * 1_000,
            Ablation::None | Ablation::Stateless => LOST_AFTER_NONE_MS,
            _ => LOST_AFTER_MS,
        },
        mode: if args.rates { Mode::Rates } else { mode },
    })
}

/// Boots as the boot of the recorded trial began, and runs up to it.
fn replay(args: &CampaignArgs, setup: &Setup, trial: u64) -> Result<()> {
    let first = args.replay_from.unwrap_or(trial);
    let mut last = None;
    let boot = setup.boot(first, trial + 1, &mut |trial| last = Some(trial))?;
    let serial = setup.folder.join("replay.serial");
    workspace::write(&serial, boot.output.as_bytes())?;
    let verdict = disks::judge(setup, &boot);
    let Some(last) = last else {
        return Err(Error::new("the system did not start"));
    };
    println!(
        "{}",
        serde_json::to_string_pretty(&last).unwrap_or_default()
    );
    println!(
        "disk: {}",
        verdict.err().unwrap_or_else(|| "sound".to_owned())
    );
    println!("serial output: {}", serial.display());
    Ok(())
}
