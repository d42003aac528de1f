// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! A test PD: random operations on the file service in a folder of its own, compared with a model, and
//! `KINTSUGI|PASS` or `KINTSUGI|FAIL` in the end. Several can be clients of one service at once.
//!
//! In the end it leaves a list of its files with checksums on the disk, which the host compares with
//! what its own tools read.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

mod direct;
mod hostile;
mod many;
mod modes;

use alloc::format;
use alloc::string::{String, ToString};

use fs_client::{Errno, Error, FileSystem};
use sel4_microkit::{Channel, Handler, protection_domain};
use test_fs_service::model::{self, Node, Random, Step, Tree};
use test_fs_service::settings::{BYTES, Mode, Settings};
use test_fs_service::{run, sums};
use topology::Topology;

/// Steps between two looks at everything.
const LOOK_EVERY: u32 = 200;
/// Steps after which a test ends that does not get its restarts.
const STEPS_MAX: u32 = 400_000;

/// The client that does what only one can do.
const FIRST: &str = "test_a";
/// The client that asks the service whether it lives, where the system has no time service to remind its
/// supervisor.
const ASKER: &str = "test_b";
/// Its channel for that, of `quiet.xml`.
const QUESTIONS: Channel = Channel::new(3);
const QUESTION_MS: u64 = 20;
const QUESTION_COUNT: u32 = 20;

/// The client that means harm.
const HOSTILE: &str = "test_b";

/// What a test found to be wrong.
type Wrong = String;

struct Test {
    fs: FileSystem,
    name: &'static str,
    /// Our folder.
    prefix: String,
    random: Random,
    model: Tree,
    steps: u32,
}

impl Test {
    fn restarts(&self) -> u32 {
        self.fs.server_epoch().unwrap_or(0)
    }

    /// Makes our folder, empty.
    fn begin(&mut self) -> Result<(), Wrong> {
        let folder = self.prefix.trim_end_matches('/').to_string();
        let wrong = |error: Error| format!("begin: {error}");
        if let Err(error) = self.fs.create_dir(&folder) {
            if error != Error::Errno(Errno::Exists) {
                return Err(wrong(error));
            }
            let left = run::read_tree(&self.fs, &folder).map_err(wrong)?;
            for (path, contents) in left.iter().rev() {
                let removed = match contents {
                    Node::Folder => self.fs.remove_dir(path),
                    _ => self.fs.remove_file(path),
                };
                removed.map_err(wrong)?;
            }
        }
        self.fs.sync().map_err(wrong)
    }

    /// Makes a step; what it returns must be what the model says.
    fn step(&mut self, step: &Step) -> Result<(), Wrong> {
        self.steps += 1;
        let expected = model::apply(&mut self.model, step).map_err(Error::Errno);
        let found = run::run(&self.fs, step);
        if found == expected {
            return Ok(());
        }
        let number = self.steps;
        Err(format!(
            "step {number}: expected {expected:?}, got {found:?}: {}",
            shown(step)
        ))
    }

    fn draw(&mut self) -> Step {
        model::draw(&mut self.random, &self.prefix)
    }

    /// Compares everything in our folder with the model.
    fn look(&mut self) -> Result<(), Wrong> {
        let folder = self.prefix.trim_end_matches('/');
        let found = run::read_tree(&self.fs, folder);
        let found = found.map_err(|error| format!("step {}: look: {error}", self.steps))?;
        if found == self.model {
            return Ok(());
        }
        let difference = model::difference(&self.model, &found);
        Err(format!("after step {}: {difference}", self.steps))
    }

    /// Leaves the list of our files for the host.
    fn leave_sums(&mut self) -> Result<(), Wrong> {
        let path = format!("/{}{}", self.name, sums::ENDING);
        let list = sums::list(&self.model);
        let left = self.fs.write(&path, list.as_bytes());
        let left = left.and_then(|()| self.fs.sync());
        left.map_err(|error| format!("sums: {error}"))
    }

    fn random(&mut self, settings: &Settings) -> Result<(), Wrong> {
        let enough = |test: &Self| {
            (test.steps >= settings.steps && test.restarts() >= settings.restarts)
                || test.steps > STEPS_MAX
        };
        while !enough(self) {
            let step = self.draw();
            self.step(&step)?;
            if settings.mode == Mode::Power && matches!(step, Step::Sync) {
                log::info!("SYNCED step={}", self.steps);
            }
            if self.steps.is_multiple_of(LOOK_EVERY) {
                self.look()?;
            }
        }
        self.look()
    }

    fn all(&mut self, settings: &Settings, topology: &Topology<'static>) -> Result<(), Wrong> {
        match settings.mode {
            Mode::ReadOnly => return self.read_only(),
            Mode::Failing => return self.failing(settings),
            Mode::Direct => return self.direct(topology),
            Mode::Quiet if self.name == ASKER => {
                ask();
                return Ok(());
            }
            Mode::Quiet => return self.quiet(),
            Mode::Hostile if self.name == HOSTILE => return self.hostile(settings, topology),
            _ => {}
        }
        self.begin()?;
        log::info!("BEGIN seed={}", settings.seed);
        match settings.mode {
            Mode::Random | Mode::Power | Mode::Hostile => self.random(settings)?,
            Mode::Many => self.many(settings, topology)?,
            Mode::Points => self.points(topology)?,
            Mode::Full => self.full()?,
            Mode::ReadOnly | Mode::Failing | Mode::Direct | Mode::Quiet => {}
        }
        self.leave_sums()
    }
}

/// Passes this time, without a request.
fn pass(ms: u64) {
    let start = recovery::ticks();
    let ticks = recovery::ticks_per_second() * ms / 1_000;
    while recovery::ticks() - start < ticks {
        core::hint::spin_loop();
    }
}

fn ask() {
    for _ in 0..QUESTION_COUNT {
        pass(QUESTION_MS);
        QUESTIONS.notify();
    }
}

/// A step without its bytes.
fn shown(step: &Step) -> String {
    match step {
        Step::Append(path, bytes) => format!("append {} to {path}", bytes.len()),
        Step::Overwrite(path, at, bytes) => format!("write {} at {at} to {path}", bytes.len()),
        other => format!("{other:?}"),
    }
}

#[protection_domain(stack_size = 0x8000, heap_size = 0x800000)]
fn init() -> impl Handler {
    pd_setup::log();
    let topology = pd_setup::topology();
    let region = topology.region("test_fs_settings");
    let region = region.expect("system.xml maps test_fs_settings");
    let mut settings = Settings::parse(&pd_setup::reads(&region).read::<[u8; BYTES]>(0));
    let name = topology.name();
    // Each client does something else.
    settings.seed += u64::from(name.as_bytes()[name.len() - 1]) << 32;
    let mut test = Test {
        fs: pd_clients::files(&topology),
        name,
        prefix: format!("/{name}/"),
        random: Random::new(settings.seed),
        model: Tree::new(),
        steps: 0,
    };
    // The others take part where several clients make a difference.
    let several = [Mode::Random, Mode::Hostile, Mode::Many];
    let takes_part = name == FIRST
        || several.contains(&settings.mode)
        || (settings.mode == Mode::Quiet && name == ASKER);
    let outcome = if takes_part {
        test.all(&settings, &topology)
    } else {
        Ok(())
    };
    match outcome {
        Ok(()) => log::info!(
            "KINTSUGI|PASS {name} steps={} restarts={}",
            test.steps,
            test.restarts()
        ),
        Err(wrong) => log::error!("KINTSUGI|FAIL {name} {wrong}"),
    }
    pd_setup::Done
}
