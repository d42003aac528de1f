// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Leaves the fault to the host, which stops the machine at the two points here.

use recovery::fault_point;

use crate::inject::Injected;
use crate::look::Machine;
use crate::rest;

/// Periods that the host gets; it gives up earlier.
const PATIENCE: u32 = 8_000;

/// Waits until the host has made the fault of this trial; `None` when it had no opportunity.
pub fn wait(machine: &Machine, trial: u64) -> Option<Injected> {
    begin();
    for _ in 0..PATIENCE {
        rest(1);
        tick();
        let made = machine.made().filter(|made| made.trial == trial);
        if let Some(made) = made {
            return made
                .is_made
                .then(|| Injected::at(made.place, made.old, made.new));
        }
    }
    None
}

/// The host sees that a trial begins.
#[inline(never)]
fn begin() {
    fault_point!("injector.begin");
}

/// The host sees that a period has passed.
#[inline(never)]
fn tick() {
    fault_point!("injector.tick");
}
