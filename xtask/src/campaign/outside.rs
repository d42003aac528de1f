// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Faults from outside the machine, through QEMU's gdbstub: the way in which others measure.
//!
//! PD `injector` says that a trial begins by coming along a point of its own, and judges it afterwards.
//! Between the two we let the machine run until the victim comes along one of its fault points for a
//! number of times that is drawn, let it go a drawn number of instructions further, and change one thing
//! ([`fault`]). Breakpoints are QEMU's: no byte of the guest is changed for them, and all time is the
//! guest's, so a trial can be repeated.
//!
//! Whose address space it is says the PD's own name, which the Microkit tool puts into every program at the
//! same address: a stopped PD can be told from others without knowledge of the kernel.

mod fault;

use std::path::Path;
use std::time::{Duration, Instant};

use injector_service::class::Class;
use injector_service::plan::{Plan, VICTIMS};
use injector_service::record::{self, header};
use injector_service::settings::{self, Made, Settings};

use super::Setup;
use super::gdb::{Gdb, PC};
use crate::cut;
use crate::error::{Error, Result};
use crate::system::System;
use crate::top::qmp::Qmp;
use crate::workspace;
use fault::Change;

/// The victim comes along its points so many times, at most, before it is hit.
const VISITS_MAX: u64 = 4;
/// Instructions from the point to the fault, at most.
const STEPS_MAX: u64 = 160;
/// Periods of the injector in which the victim has to come along: the slowest is asked every 20 ms.
const PATIENCE: u64 = 200;
/// Periods for which a disk is slow, or does next to nothing, at most.
const SLOW_MAX: u64 = 500;
const STOPPED_MAX: u64 = 3_000;
/// Requests per second of such disks.
const SLOW_PER_SECOND: u64 = 100;
const STOPPED_PER_SECOND: u64 = 1;
/// Places where nobody does anything of interest.
const NO_PLACES: [&str; 2] = ["runtime.block_for_ever", "runtime.die_now"];
/// Where QEMU's gdbstub listens, in the campaign's folder.
pub const SOCKET: &str = "gdb.sock";
/// Longest name of a PD that is compared.
const NAME_BYTES: usize = 32;

/// Where things are in a PD's program.
struct Program {
    points: Vec<u64>,
    start_info: u64,
    data_bytes: u64,
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
    visits: u64,
    steps: u64,
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
    name_at: u64,
    hunt: Option<Hunt>,
    undo: Option<Undo>,
}

impl Outside {
    /// Takes a machine that was just started, and lets it run.
    ///
    /// # Errors
    ///
    /// When QEMU does not answer, or a program has no fault points.
    pub fn attach(setup: &Setup, settings: &Settings) -> Result<Self> {
        let (build_dir, system) = (&setup.folder, &setup.system);
        let mut gdb = connect(&build_dir.join(SOCKET))?;
        let injector = points(build_dir, "injector.debug.elf")?;
        let of_injector = |name: &str| {
            let point = injector.iter().find(|point| point.name == name);
            point
                .map(|point| point.address)
                .ok_or_else(|| Error::new(format!("the injector has no point '{name}'")))
        };
        let (begin, tick) = (
            of_injector("injector.begin")?,
            of_injector("injector.tick")?,
        );
        let mut programs = Vec::new();
        for (name, _) in VICTIMS {
            programs.push(program(build_dir, system, name)?);
        }
        let name_at = symbol(build_dir, "injector.debug.elf", "microkit_name")?;
        gdb.set_breakpoint(begin, true)?;
        gdb.go_on()?;
        Ok(Self {
            gdb,
            settings: *settings,
            programs,
            begin,
            tick,
            name_at,
            hunt: None,
            undo: None,
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
            if left.is_zero() || !self.gdb.stopped(left)? {
                return Ok(());
            }
            self.on_stop(qmp)?;
            self.gdb.go_on()?;
        }
    }

    fn on_stop(&mut self, qmp: &mut Qmp) -> Result<()> {
        let pc = self.gdb.registers()?[PC];
        if (pc == self.begin || pc == self.tick) && self.is("injector")? {
            return match pc == self.begin {
                true => self.on_begin(qmp),
                false => self.on_tick(qmp),
            };
        }
        let Some(hunt) = &self.hunt else {
            return Ok(());
        };
        if self.is(VICTIMS[hunt.plan.victim].0)? {
            return self.on_victim(qmp);
        }
        Ok(())
    }

    /// Whether the stopped PD is called so.
    fn is(&mut self, name: &str) -> Result<bool> {
        let found = self.gdb.read(self.name_at, NAME_BYTES)?;
        let found = found.unwrap_or_default();
        let length = found.iter().position(|byte| *byte == 0);
        Ok(found.get(..length.unwrap_or(0)) == Some(name.as_bytes()))
    }

    fn on_begin(&mut self, qmp: &mut Qmp) -> Result<()> {
        self.take_back()?;
        self.gdb.physical(true)?;
        let trial = self.gdb.word(record::ADDRESS + header::TRIAL as u64 * 8);
        self.gdb.physical(false)?;
        let trial = trial?;
        let Some(mut plan) = Plan::draw(&self.settings, trial) else {
            return Ok(());
        };
        let visits = 1 + plan.random.below(VISITS_MAX);
        let steps = plan.random.below(STEPS_MAX);
        let (ticks, per_second) = match plan.class {
            Class::SlowDevice => (1 + plan.random.below(SLOW_MAX), Some(SLOW_PER_SECOND)),
            Class::StoppedDevice => (1 + plan.random.below(STOPPED_MAX), Some(STOPPED_PER_SECOND)),
            _ => (PATIENCE, None),
        };
        if let Some(per_second) = per_second {
            qmp.throttle(per_second)?;
        }
        self.hunt = Some(Hunt {
            trial,
            plan,
            visits,
            steps,
            ticks: ticks as u32,
            per_second,
        });
        self.set_trap(true)
    }

    /// The victim's points and the injector's periods.
    fn set_trap(&mut self, on: bool) -> Result<()> {
        let Some(hunt) = &self.hunt else {
            return Ok(());
        };
        self.gdb.set_breakpoint(self.tick, on)?;
        if hunt.per_second.is_some() {
            return Ok(());
        }
        for point in &self.programs[hunt.plan.victim].points {
            self.gdb.set_breakpoint(*point, on)?;
        }
        Ok(())
    }

    fn on_tick(&mut self, qmp: &mut Qmp) -> Result<()> {
        let Some(hunt) = &mut self.hunt else {
            return Ok(());
        };
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
        let Some(hunt) = &mut self.hunt else {
            return Ok(());
        };
        hunt.visits = hunt.visits.saturating_sub(1);
        if hunt.visits > 0 {
            return Ok(());
        }
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
        self.set_trap(false)?;
        self.hunt = None;
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
        self.gdb.write_physical(at, &bytes)
    }

    /// Puts back what a fault has left, when nobody else has: the next trial begins with a whole system.
    fn take_back(&mut self) -> Result<()> {
        let Some(undo) = self.undo.take() else {
            return Ok(());
        };
        self.gdb.physical(true)?;
        let found = self.gdb.read(undo.physical, undo.new.len())?;
        let written = match found.as_ref() == Some(&undo.new) {
            true => self.gdb.write(undo.physical, &undo.old),
            false => Ok(()),
        };
        self.gdb.physical(false)?;
        written
    }
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

fn points(build_dir: &Path, file: &str) -> Result<Vec<cut::FaultPoint>> {
    cut::fault_points(&workspace::read(&build_dir.join(file))?)
}

fn symbol(build_dir: &Path, file: &str, name: &str) -> Result<u64> {
    use object::{Object, ObjectSymbol};
    let bytes = workspace::read(&build_dir.join(file))?;
    let elf = object::File::parse(&*bytes).ok();
    let found = elf.and_then(|elf| {
        let mut symbols = elf.symbols();
        Some(symbols.find(|symbol| symbol.name() == Ok(name))?.address())
    });
    found.ok_or_else(|| Error::new(format!("'{file}' has no symbol '{name}'")))
}

fn program(build_dir: &Path, system: &System, name: &str) -> Result<Program> {
    let pd = system.pds.iter().find(|pd| pd.name == name);
    let image = pd.and_then(|pd| pd.image.path.strip_suffix(crate::system::BOOT_SUFFIX));
    let image = image.ok_or_else(|| Error::new(format!("there is no restartable PD '{name}'")))?;
    let file = format!("{image}.debug.elf");
    let all = points(build_dir, &file)?.into_iter();
    let region = system.region(&format!("{name}_data"));
    Ok(Program {
        points: all
            .filter(|point| !NO_PLACES.contains(&point.name.as_str()) && point.address != 0)
            .map(|point| point.address)
            .collect(),
        start_info: symbol(build_dir, &file, "__start_info")?,
        data_bytes: region.and_then(|region| region.size).unwrap_or(0x10_0000),
    })
}
