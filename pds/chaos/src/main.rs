// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! A test PD that kills others: writes faulting instructions over their fault points.
//!
//! It has a budget smaller than its period and never blocks: `Yield` gives up the rest of the
//! budget, so that it gets the processor once per period, above the priority of its victims and
//! whatever they do. That is its only clock, and works on any board.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::{format, string::String, vec, vec::Vec};

use chaos_service::{
    plan::{Death, Kill, NOP, Plan},
    points::{self, Points},
    settings::Settings,
};
use log::{info, warn};
use microkit_abi::{cache, syscalls};
use recovery::StartInfo;
use sel4_microkit::{Handler, NullHandler, protection_domain};
use sel4_shared_memory::{SharedMut, SharedRef};
use topology::Topology;

/// A point that its victim did not reach is tried again when it has been drawn so many times.
const CHANCE: u32 = 8;

/// Periods in which a life that has just begun has started, or will not get to the point.
const START_PERIODS: u32 = 8;
/// Periods after a hang until its supervisor must have noticed.
const HANG_PATIENCE_PERIODS: u32 = 450;
/// A victim whose heartbeat goes on after so many periods has not reached the point.
const HEARTBEAT_PERIODS: u32 = 20;

struct Victim {
    name: String,
    points: Points,
    /// How often in a row the victim did not get to each point.
    misses: Vec<u32>,
    code: SharedMut,
    code_base: u64,
    data: SharedRef,
    vitals: Option<SharedRef>,
    kills: u32,
}

#[protection_domain(stack_size = 0x4000, heap_size = 0x40000)]
fn init() -> impl Handler {
    pd_setup::log();
    let topology = pd_setup::topology();
    let settings = topology.region("chaos_seed");
    let Settings {
        seed,
        start,
        patience,
        rest: rest_periods,
        again,
    } = settings.map_or(Settings::DEFAULT, |region| {
        Settings::parse(&pd_setup::reads(&region).read(0))
    });
    let mut victims = victims(&topology);
    let hangs = topology.region("chaos_hangs").is_some();
    let counts: Vec<_> = victims
        .iter()
        .map(|victim| victim.points.points.len())
        .collect();
    info!(
        "seed={seed} hangs={hangs} victims={} points={}",
        victims.len(),
        counts.iter().sum::<usize>()
    );
    let mut plan = Plan::new(seed, hangs);
    rest(start);
    while let Some(kill) = plan.next(&counts) {
        let victim = &mut victims[kill.victim];
        if victim.worth_trying(kill.point) {
            let killed = attempt(victim, kill, patience);
            if killed && again && !hangs {
                strike_again(victim, kill);
            }
            rest(rest_periods);
        }
    }
    warn!("nothing to kill");
    NullHandler::new()
}

fn rest(periods: u32) {
    (0..periods).for_each(|_| syscalls::yield_now());
}

/// Everybody whose code, data and saved ELF this PD maps.
fn victims(topology: &Topology<'static>) -> Vec<Victim> {
    let parts = topology.regions().filter_map(|code| {
        let name = code.name.strip_suffix("_code")?;
        let data = topology
            .regions()
            .find(|region| region.name.strip_suffix("_data") == Some(name))?;
        let elf = topology
            .regions()
            .find(|region| region.name.strip_suffix("_elf") == Some(name))?;
        let code_base = recovery::CODE_BASE;
        let points = points::find(&pd_setup::reads(&elf), code_base..code_base + code.size);
        Some(Victim {
            name: name.into(),
            misses: vec![0; points.points.len()],
            points,
            code: pd_setup::writes(&code),
            code_base,
            data: pd_setup::reads(&data),
            vitals: topology
                .region(&format!("{name}_vitals"))
                .map(|region| pd_setup::reads(&region)),
            kills: 0,
        })
    });
    parts.collect()
}

impl Victim {
    fn write(&mut self, point: usize, instruction: u32) {
        let offset = (self.points.points[point].address - self.code_base) as usize;
        self.code.store_u32(offset, instruction);
        cache::unify_instructions(self.code.addr() + offset, size_of::<u32>());
    }

    /// Some points are on the way of few lives (the first one's) or of none but a new one's: those
    /// that were missed get one chance in [`CHANCE`], so that the others get the time.
    fn worth_trying(&mut self, point: usize) -> bool {
        match &mut self.misses[point] {
            0 => true,
            misses => {
                *misses += 1;
                misses.is_multiple_of(CHANCE)
            }
        }
    }

    /// How often it has answered its supervisor, if that can be seen.
    fn beats(&self) -> u64 {
        self.vitals
            .as_ref()
            .map_or(0, |page| vitals::read(page).beats)
    }

    fn epoch(&self) -> u32 {
        // Start information comes right after the stack, whose size it states itself: look for it
        // at page boundaries.
        (0..self.data.len())
            .step_by(0x1000)
            .map(|offset| self.data.read::<[u8; size_of::<StartInfo>()]>(offset))
            .find_map(|bytes| StartInfo::parse(&bytes).ok())
            .map_or(0, |info| info.epoch.get())
    }
}

/// Kills a life that has just begun, while it starts: at one of the points that lives at work do not reach.
fn strike_again(victim: &mut Victim, kill: Kill) {
    let missed = (0..victim.misses.len()).filter(|point| victim.misses[*point] > 0);
    let missed: Vec<_> = missed.collect();
    if let Some(&point) = missed.get(victim.kills as usize % missed.len().max(1)) {
        attempt(victim, Kill { point, ..kill }, START_PERIODS);
        victim.misses[point] = 1;
    }
}

/// Plants the instruction and waits until it has killed; says whether it has.
fn attempt(victim: &mut Victim, kill: Kill, patience: u32) -> bool {
    let epoch = victim.epoch();
    let Some((place, target)) = victim.points.place(kill.point, kill.death) else {
        return false;
    };
    let address = victim.points.points[place].address;
    victim.write(place, kill.death.instruction(address, target));
    let patience = match kill.death.is_hang() {
        true => patience.max(HANG_PATIENCE_PERIODS),
        false => patience,
    };
    let mut beats = victim.beats();
    for period in 1..=patience {
        rest(1);
        if period % HEARTBEAT_PERIODS == 0 && kill.death != Death::LostIrq {
            let before = core::mem::replace(&mut beats, victim.beats());
            if before != beats && period > HEARTBEAT_PERIODS && kill.death.is_hang() {
                // It lives, so it does not come to that point.
                break;
            }
        }
        if victim.epoch() != epoch {
            victim.kills += 1;
            victim.misses[kill.point] = 0;
            let point = &victim.points.points[place].name;
            let (name, count) = (&victim.name, victim.kills);
            info!(
                "KILL pd={name} point={point} death={} count={count}",
                kill.death.name()
            );
            return true;
        }
    }
    victim.write(place, NOP);
    victim.misses[kill.point] = 1;
    false
}
