// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Leaves the fault to the host, which stops the machine when one of two words here is written.

use app_demo_service::board::word;

use crate::inject::Injected;
use crate::look::Machine;
use crate::rest;

/// Periods that the host gets; it gives up earlier.
const PATIENCE: u64 = 8_000;

/// Waits until the host has made the fault of this trial; `None` when it had no opportunity.
pub fn wait(machine: &mut Machine, trial: u64) -> Option<Injected> {
    machine.tell_host(word::BEGIN, trial + 1);
    for period in 0..PATIENCE {
        rest(1);
        machine.tell_host(word::TICK, period);
        let made = machine.made().filter(|made| made.trial == trial);
        if let Some(made) = made {
            return made
                .is_made
                .then(|| Injected::at(made.place, made.old, made.new));
        }
    }
    None
}
