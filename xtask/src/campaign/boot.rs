// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! One boot of a campaign: QEMU runs, and the injector's records are read out of its memory.

use std::io::Read;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use injector_service::outcome::Outcome;
use injector_service::record::{self, RECORD_WORDS, Record, State, header};
use injector_service::settings::{self, Mode, Settings};

use super::Setup;
use super::journal::Trial;
use super::outside::{self, Outside};
use crate::cli::Ablation;
use crate::error::{Context, Result};
use crate::top::memory::{PAGE, Physical};
use crate::top::qmp::Qmp;
use crate::{qemu, run, workspace};

/// How often the records are read.
const POLL: Duration = Duration::from_millis(200);
/// Guest time that stands still for so long does not go on. A guard: nothing is measured by the host's clock.
const STANDSTILL: Duration = Duration::from_secs(90);
/// A boot says some 100 KiB. One that says so much prints without end, and nobody below the console gets on.
const FLOOD_BYTES: usize = 16 << 20;
/// A machine that is reset so often during one trial does not get out of what makes it reset.
const RESETS_MAX: u64 = 3;
/// The application has so long to say what it has left on the disk.
const LAST_WORDS: Duration = Duration::from_secs(60);

/// How a boot ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All trials were made.
    Done,
    /// The injector says that nothing goes on.
    Lost,
    /// Not even the injector goes on.
    Standstill,
    /// The console prints without end.
    Flood,
    /// The machine is reset again and again.
    Resets,
    /// QEMU ended.
    Exited,
}

impl End {
    /// For reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Lost => "lost",
            Self::Standstill => "standstill",
            Self::Flood => "flood",
            Self::Resets => "resets",
            Self::Exited => "exited",
        }
    }
}

/// A finished boot.
pub struct Boot {
    /// How it ended.
    pub end: End,
    /// The first trial that it did not finish.
    pub next: u64,
    /// Its serial output.
    pub output: String,
    /// Of the host.
    pub elapsed: Duration,
}

struct Records {
    bytes: Vec<u8>,
}

impl Records {
    fn word(&self, offset: usize) -> u64 {
        let bytes = self.bytes.get(offset..offset + 8);
        bytes
            .and_then(|bytes| bytes.try_into().ok())
            .map_or(0, u64::from_le_bytes)
    }

    fn header(&self, index: usize) -> u64 {
        self.word(index * 8)
    }

    fn record(&self, trial: u64) -> Option<Record> {
        let offset = Record::offset(trial);
        let mut words = [0; RECORD_WORDS];
        for (index, word) in words.iter_mut().enumerate() {
            *word = self.word(offset + index * 8);
        }
        Record::parse(&words).filter(|record| record.trial == trial)
    }

    fn done(&self, trial: u64) -> Option<Record> {
        let record = self.record(trial);
        record.filter(|record| record.state == State::Done)
    }
}

/// Runs trials `settings.first..settings.end`, each of which is handed over as soon as it is over.
///
/// # Errors
///
/// When QEMU cannot be started or does not answer.
pub fn run(setup: &Setup, settings: &Settings, on_trial: &mut dyn FnMut(Trial)) -> Result<Boot> {
    let path = setup.work.join("settings.bin");
    let bytes: Vec<u8> = settings
        .words()
        .into_iter()
        .flat_map(u64::to_le_bytes)
        .collect();
    workspace::write(&path, &bytes)?;
    let mut command = qemu::command(&setup.board, &setup.machine)?;
    let loader = format!(
        "loader,file={},addr={:#x},force-raw=on",
        path.display(),
        settings::ADDRESS
    );
    command.args(["-device", &loader]);
    let stub = setup.work.join(outside::SOCKET);
    let debugged = settings.mode == Mode::Outside || setup.ablation != Ablation::Full;
    if debugged {
        let argument = format!("unix:{},server=on,wait=off", stub.display());
        command.args(["-gdb", &argument]);
    }
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let started = Instant::now();
    let mut child = command.spawn().context("run QEMU")?;
    let output = collect(&mut child);
    let watched = watch(setup, settings, &mut child, &output, on_trial);
    // Ended already in some cases; an error here means just that.
    let _ = child.kill();
    child.wait().context("wait for QEMU")?;
    let (end, next) = watched?;
    let output = output.lock().map_or(String::new(), |text| text.clone());
    Ok(Boot {
        end,
        next,
        output,
        elapsed: started.elapsed(),
    })
}

/// Standard output as it comes.
fn collect(child: &mut Child) -> Arc<Mutex<String>> {
    let text = Arc::new(Mutex::new(String::new()));
    if let Some(mut stream) = child.stdout.take() {
        let text = Arc::clone(&text);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = stream.read(&mut buffer) {
                let part = String::from_utf8_lossy(&buffer[..length]).replace('\r', "");
                if let Ok(mut text) = text.lock() {
                    text.push_str(&part);
                }
            }
        });
    }
    text
}

fn connect(setup: &Setup, child: &mut Child) -> Result<Qmp> {
    let folder = setup.machine.image.parent().unwrap_or(&setup.work);
    let socket = qemu::socket(folder)
        .ok_or_else(|| crate::error::Error::new("the build folder's path is too long"))?;
    loop {
        match Qmp::connect(&socket, setup.work.join("records.bin")) {
            Ok(qmp) => return Ok(qmp),
            Err(error) => {
                if child.try_wait().context("look at QEMU")?.is_some() {
                    return Err(error);
                }
                std::thread::sleep(POLL / 4);
            }
        }
    }
}

fn watch(
    setup: &Setup,
    settings: &Settings,
    child: &mut Child,
    output: &Mutex<String>,
    on_trial: &mut dyn FnMut(Trial),
) -> Result<(End, u64)> {
    let mut qmp = connect(setup, child)?;
    let debugged = settings.mode == Mode::Outside || setup.ablation != Ablation::Full;
    let mut outside = match debugged {
        true => Some(Outside::attach(setup, settings)?),
        false => None,
    };
    let mut next = settings.first;
    let mut moved = (0, Instant::now());
    // The trial at hand, and how often the machine had started when that began.
    let mut started = (next, 1);
    loop {
        let worked = match &mut outside {
            Some(outside) => outside.work(&mut qmp, POLL),
            None => {
                std::thread::sleep(POLL);
                Ok(())
            }
        };
        if let Err(error) = worked {
            eprintln!("{error}");
            return Ok((End::Exited, next));
        }
        let pages = record::BYTES / PAGE as usize;
        let Ok(bytes) = qmp.read_pages(record::ADDRESS, pages) else {
            return Ok((End::Exited, next));
        };
        let records = Records { bytes };
        let ours = records.header(header::MAGIC) == record::MAGIC
            && records.header(header::FIRST) == settings.first;
        while let Some(record) = records.done(next).filter(|_| ours) {
            on_trial(Trial::of(&record, settings.first));
            next += 1;
        }
        let starts = records.header(header::STARTS);
        if started.0 != next {
            started = (next, starts);
        }
        let now = records.header(header::NOW_US);
        if now != moved.0 {
            moved = (now, Instant::now());
        }
        let flooded = || output.lock().is_ok_and(|text| text.len() > FLOOD_BYTES);
        let how = match records.header(header::END) {
            2 => {
                wait_for_last_words(output);
                return Ok((End::Done, next));
            }
            1 => End::Lost,
            _ if moved.1.elapsed() > STANDSTILL => End::Standstill,
            _ if flooded() => End::Flood,
            _ if ours && starts > started.1 + RESETS_MAX => End::Resets,
            _ => continue,
        };
        // The trial at hand is what did it, if that is not said already: after a reset of the machine it is
        // not (seL4 release at bd0a9c3, seed 1, trial 1610).
        if let Some(mut record) = records.record(next) {
            record.outcome = Outcome::SystemLost;
            on_trial(Trial::of(&record, settings.first));
            next += 1;
        }
        return Ok((how, next));
    }
}

fn wait_for_last_words(output: &Mutex<String>) {
    let started = Instant::now();
    let is_over = |text: &str| text.contains(run::PASS) || text.contains(run::FAIL);
    while started.elapsed() < LAST_WORDS && !output.lock().is_ok_and(|text| is_over(&text)) {
        std::thread::sleep(POLL);
    }
}
