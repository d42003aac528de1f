// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Faults from outside the machine, through QEMU's gdbstub: the way in which others measure.
//!
//! PD `injector` says that a trial begins by writing a word that we watch, and judges it afterwards.
//! Between the two we let the machine run for a time that is drawn, and then until the victim comes along
//! one of its fault points; we let it go a drawn number of instructions further, and change one thing
//! ([`fault`]). Breakpoints are QEMU's: no byte of the guest is changed for them, and all time is the
//! guest's, so a trial can be repeated.
//!
//! Whose address space it is says the PD's own name, which the Microkit tool puts into every program: a
//! stopped PD can be told from others without knowledge of the kernel.

mod fault;

use std::path::Path;
use std::time::{Duration, Instant};

use app_demo_service::board::word;
use injector_service::class::Class;
use injector_service::plan::{Plan, VICTIMS};
use injector_service::random::Random;
use injector_service::record::{self, header};
use injector_service::settings::{self, Made, Mode, Settings};

use super::Setup;
use super::ablation::Ablator;
use super::gdb::{Gdb, Stop};
use crate::cli::Ablation;
use crate::cut;
use crate::error::{Error, Result};
use crate::system::System;
use crate::top::qmp::Qmp;
use crate::workspace;
use fault::Change;

/// Periods of the injector before the victim's points are watched, at most. Without breakpoints the
/// machine is some ten times as fast.
const DELAY_MAX: u64 = 20;
/// Instructions from the point to the fault, at most.
const STEPS_MAX: u64 = 160;
/// Periods of the injector in which the victim has to come along: the slowest is asked every 20 ms.
const PATIENCE: u64 = 200;
/// Periods for which a disk is slow, or does next to nothing, at most.
const SLOW_MAX: u64 = 500;
const STOPPED_MAX: u64 = 3_000;
/// Requests per second of such disks. The second is as slow as can be: before QEMU resets a device it
/// finishes what the device has, up to a hundred requests, and the guest stands still meanwhile.
const SLOW_PER_SECOND: u64 = 100;
const STOPPED_PER_SECOND: u64 = 4;
/// Points of the victim that are drawn for a trial.
const POINTS_DRAWN: usize = 1;
/// The page in which the injector tells the host how far it is.
const CONTROL: &str = "injector_to_app_demo_control";
/// Places where nobody does anything of interest.
const NO_PLACES: [&str; 2] = ["runtime.block_for_ever", "runtime.die_now"];
/// Where QEMU's gdbstub listens, in the campaign's folder.
pub const SOCKET: &str = "gdb.sock";

/// Where things are in a PD's program.
struct Program {
    points: Vec<u64>,
    beat: Option<u64>,
    name_at: u64,
    start_info: u64,
    data_bytes: u64,
}

impl Program {
    /// A few of its points: where it answers its supervisor, and others that are drawn. Not all, because
    /// QEMU is slow on every page with a breakpoint.
    fn choose(&self, random: &mut Random) -> Vec<u64> {
        let count = self.points.len() as u64;
        let mut chosen: Vec<_> = (0..POINTS_DRAWN)
            .filter_map(|_| self.points.get(random.below(count) as usize).copied())
            .chain(self.beat)
            .collect();
        chosen.sort_unstable();
        chosen.dedup();
        chosen
    }
}

/// What is to be put back.
struct Undo {
    physical: u64,
    old: Vec<u8>,
    new: Vec<u8>,
}

/// A trial whose fault is not made yet.
struct Hunt {
    trial: u64,
    plan: Plan,
    points: Vec<u64>,
    steps: u64,
    /// Periods until the points are watched.
    delay: u64,
    /// Periods that are left.
    ticks: u32,
    /// The disk is slow as long as they last: so many requests per second.
    per_second: Option<u64>,
}

/// See the module.
pub struct Outside {
    gdb: Gdb,
    settings: Settings,
    programs: Vec<Program>,
    begin: u64,
    tick: u64,
    hunt: Option<Hunt>,
    undo: Option<Undo>,
    ablator: Option<Ablator>,
}

impl Outside {
    /// Takes a machine that was just started, and lets it run.
    ///
    /// # Errors
    ///
    /// When QEMU does not answer, or a program has no fault points.
    pub fn attach(setup: &Setup, settings: &Settings) -> Result<Self> {
        let (build_dir, system) = (&setup.folder, &setup.system);
        let mut gdb = connect(&setup.work.join(SOCKET))?;
        let ablator = match setup.ablation {
            Ablation::Full | Ablation::All => None,
            kind => Some(Ablator::attach(&mut gdb, setup, kind)?),
        };
        let page = system.pd("injector").and_then(|pd| {
            let map = pd.maps.iter().find(|map| map.region == CONTROL);
            Some(map?.vaddr)
        });
        let page = page.ok_or_else(|| Error::new("the injector does not map its control page"))?;
        let [begin, tick] = [word::BEGIN, word::TICK].map(|word| page + word as u64 * 8);
        let mut programs = Vec::new();
        for (name, _) in VICTIMS {
            programs.push(program(build_dir, system, name)?);
        }
        if settings.mode == Mode::Outside {
            gdb.set_watchpoint(begin, true)?;
        }
        gdb.go_on(Stop::Elsewhere)?;
        Ok(Self {
            gdb,
            settings: *settings,
            programs,
            begin,
            tick,
            hunt: None,
            undo: None,
            ablator,
        })
    }

    /// Does what there is to do for so long.
    ///
    /// # Errors
    ///
    /// When QEMU has ended.
    pub fn work(&mut self, qmp: &mut Qmp, time: Duration) -> Result<()> {
        let until = Instant::now() + time;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            let Some(stop) = self.gdb.stopped(left)? else {
                return Ok(());
            };
            self.on_stop(qmp, stop)?;
            self.gdb.go_on(stop)?;
        }
    }

    fn on_stop(&mut self, qmp: &mut Qmp, stop: Stop) -> Result<()> {
        match stop {
            Stop::Written(address) if address == self.begin => return self.on_begin(qmp),
            Stop::Written(address) if address == self.tick => return self.on_tick(qmp),
            _ => {}
        }
        if let Some(ablator) = &mut self.ablator {
            ablator.on_stop(&mut self.gdb, qmp)?;
        }
        let Some(hunt) = &self.hunt else {
            return Ok(());
        };
        let victim = hunt.plan.victim;
        let name_at = self.programs[victim].name_at;
        match self.gdb.is_in(name_at, VICTIMS[victim].0)? {
            true => self.on_victim(qmp),
            false => Ok(()),
        }
    }

    fn on_begin(&mut self, qmp: &mut Qmp) -> Result<()> {
        self.take_back()?;
        let trial_at = record::ADDRESS + header::TRIAL as u64 * 8;
        let trial = self.gdb.physical(|gdb| gdb.word(trial_at))?;
        let Some(mut plan) = Plan::draw(&self.settings, trial) else {
            return Ok(());
        };
        let delay = plan.random.below(DELAY_MAX);
        let steps = plan.random.below(STEPS_MAX);
        let (ticks, per_second) = match plan.class {
            Class::SlowDevice => (1 + plan.random.below(SLOW_MAX), Some(SLOW_PER_SECOND)),
            Class::StoppedDevice => (1 + plan.random.below(STOPPED_MAX), Some(STOPPED_PER_SECOND)),
            _ => (PATIENCE, None),
        };
        if let Some(per_second) = per_second {
            qmp.throttle(per_second)?;
        }
        let points = self.programs[plan.victim].choose(&mut plan.random);
        self.hunt = Some(Hunt {
            trial,
            plan,
            points,
            steps,
            delay,
            ticks: ticks as u32,
            per_second,
        });
        self.gdb.set_watchpoint(self.tick, true)?;
        self.watch_points()
    }

    /// Watches the victim's points from when that was drawn.
    fn watch_points(&mut self) -> Result<()> {
        match &self.hunt {
            Some(hunt) if hunt.delay == 0 && hunt.per_second.is_none() => {
                set_points(&mut self.gdb, hunt, true)
            }
            _ => Ok(()),
        }
    }

    fn on_tick(&mut self, qmp: &mut Qmp) -> Result<()> {
        let Some(hunt) = &mut self.hunt else {
            return Ok(());
        };
        if hunt.delay > 0 && hunt.per_second.is_none() {
            hunt.delay -= 1;
            return self.watch_points();
        }
        hunt.ticks = hunt.ticks.saturating_sub(1);
        if hunt.ticks > 0 {
            return Ok(());
        }
        let (trial, per_second) = (hunt.trial, hunt.per_second);
        if per_second.is_some() {
            qmp.throttle(0)?;
        }
        let change = per_second.map(|per_second| Change::register(0, 0, per_second));
        self.over(trial, change)
    }

    fn on_victim(&mut self, qmp: &mut Qmp) -> Result<()> {
        let Some(hunt) = &self.hunt else {
            return Ok(());
        };
        let (trial, steps, victim) = (hunt.trial, hunt.steps, hunt.plan.victim);
        let mut plan = hunt.plan.clone();
        let change = fault::make(&mut self.gdb, &mut plan, &self.programs[victim], steps)?;
        if let Some(change) = &change
            && change.is_memory
        {
            let physical = qmp.physical_address(change.place)?;
            self.undo = physical.map(|physical| Undo {
                physical,
                old: change.old_bytes.clone(),
                new: change.new_bytes.clone(),
            });
        }
        self.over(trial, change)
    }

    /// Tells the injector that this trial has its fault, or has none.
    fn over(&mut self, trial: u64, change: Option<Change>) -> Result<()> {
        self.gdb.set_watchpoint(self.tick, false)?;
        if let Some(hunt) = self.hunt.take().filter(|hunt| hunt.delay == 0) {
            set_points(&mut self.gdb, &hunt, false)?;
        }
        let made = change.map(|change| Made {
            trial,
            is_made: true,
            place: change.place,
            old: change.old,
            new: change.new,
        });
        let made = made.unwrap_or(Made {
            trial,
            ..Made::default()
        });
        let bytes: Vec<u8> = made
            .words()
            .into_iter()
            .flat_map(u64::to_le_bytes)
            .collect();
        let at = settings::ADDRESS + Made::AT as u64 * 8;
        self.gdb.physical(|gdb| gdb.write(at, &bytes))
    }

    /// Puts back what a fault has left, when nobody else has: the next trial begins with a whole system.
    fn take_back(&mut self) -> Result<()> {
        let Some(undo) = self.undo.take() else {
            return Ok(());
        };
        self.gdb.physical(|gdb| {
            let found = gdb.read(undo.physical, undo.new.len())?;
            match found.as_ref() == Some(&undo.new) {
                true => gdb.write(undo.physical, &undo.old),
                false => Ok(()),
            }
        })
    }
}

/// Sets or removes the breakpoints of a hunt that has any.
fn set_points(gdb: &mut Gdb, hunt: &Hunt, on: bool) -> Result<()> {
    let points = hunt.points.iter().filter(|_| hunt.per_second.is_none());
    for point in points {
        gdb.set_breakpoint(*point, on)?;
    }
    Ok(())
}

fn connect(socket: &Path) -> Result<Gdb> {
    let started = Instant::now();
    loop {
        match Gdb::connect(socket) {
            Err(_) if started.elapsed() < Duration::from_secs(10) => {
                std::thread::sleep(Duration::from_millis(20));
            }
            result => return result,
        }
    }
}

/// The fault points of a program.
fn points(build_dir: &Path, file: &str) -> Result<Vec<cut::FaultPoint>> {
    cut::fault_points(&workspace::read(&build_dir.join(file))?)
}

/// Where the fault point of this name is in a program.
pub fn point(build_dir: &Path, file: &str, name: &str) -> Result<u64> {
    let points = points(build_dir, file)?;
    let found = points.iter().find(|point| point.name == name);
    found
        .map(|point| point.address)
        .ok_or_else(|| Error::new(format!("'{file}' has no fault point '{name}'")))
}

/// Where a symbol of a program is.
pub fn symbol(build_dir: &Path, file: &str, name: &str) -> Result<u64> {
    use object::{Object, ObjectSymbol};
    let bytes = workspace::read(&build_dir.join(file))?;
    let elf = object::File::parse(&*bytes).ok();
    let found = elf.and_then(|elf| {
        let mut symbols = elf.symbols();
        Some(symbols.find(|symbol| symbol.name() == Ok(name))?.address())
    });
    found.ok_or_else(|| Error::new(format!("'{file}' has no symbol '{name}'")))
}

/// The file of a PD's program, with its symbols.
pub fn program_file(system: &System, name: &str) -> Result<String> {
    let image = system.pd(name);
    let image = image.and_then(|pd| pd.image.path.strip_suffix(crate::system::BOOT_SUFFIX));
    let image = image.ok_or_else(|| Error::new(format!("there is no restartable PD '{name}'")))?;
    Ok(format!("{image}.debug.elf"))
}

fn program(build_dir: &Path, system: &System, name: &str) -> Result<Program> {
    let file = program_file(system, name)?;
    let all = points(build_dir, &file)?;
    let beat = all.iter().find(|point| point.name == "runtime.beat");
    let region = system.region(&format!("{name}_data"));
    Ok(Program {
        beat: beat.map(|point| point.address),
        points: all
            .iter()
            .filter(|point| !NO_PLACES.contains(&point.name.as_str()) && point.address != 0)
            .map(|point| point.address)
            .collect(),
        name_at: symbol(build_dir, &file, "microkit_name")?,
        start_info: symbol(build_dir, &file, "__start_info")?,
        data_bytes: region.and_then(|region| region.size).unwrap_or(0x10_0000),
    })
}
