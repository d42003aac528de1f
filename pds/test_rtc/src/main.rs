// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! A test PD: sets the wall clock by steps and slews while somebody kills the time service, resets the
//! machine, and in the next boot finds the clock where it was set to.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

use core::time::Duration;

use log::info;
use microkit_abi::psci;
use pd_clients::TimerChannel;
use sel4_microkit::{Handler, NullHandler, protection_domain};
use timer_client::{SystemTime, Timers};

const ROUNDS: u64 = 30;
/// 2040-01-01: no host's clock shows this by itself.
const START_S: u64 = 2_208_988_800;
/// Each round steps the clock by so much, then slews it by half of that.
const STEP_S: u64 = 1000;
/// What the last round leaves in the device, and how much later the next boot may look.
const END_S: u64 = START_S + (ROUNDS - 1) * STEP_S + STEP_S / 2;
const REBOOT_S: u64 = 60;
const NS_PER_S: u64 = 1_000_000_000;

#[protection_domain(stack_size = 0x8000, heap_size = 0x40000)]
fn init() -> impl Handler {
    pd_setup::log();
    let mut timers = pd_clients::timers(&pd_setup::topology());
    let now_s = timers.clock().system_time().as_nanos() / NS_PER_S;
    info!("wall clock {now_s} s");
    if now_s < START_S {
        set_again_and_again(&mut timers);
        info!("resetting the machine");
        psci::system_reset();
        info!("KINTSUGI|FAIL no reset: smc is missing in system.xml");
    } else if (END_S..END_S + REBOOT_S).contains(&now_s) {
        info!("KINTSUGI|PASS the clock goes on from {END_S} s");
    } else {
        info!("KINTSUGI|FAIL the clock should go on from {END_S} s");
    }
    NullHandler::new()
}

fn set_again_and_again(timers: &mut Timers<TimerChannel>) {
    for round in 0..ROUNDS {
        let step_s = START_S + round * STEP_S;
        for (seconds, slew) in [(step_s, false), (step_s + STEP_S / 2, true)] {
            let time = SystemTime::from_nanos(seconds * NS_PER_S);
            timers.set_system_time(time, slew).expect("we may");
            timers
                .sleep(Duration::from_millis(5))
                .expect("a free timer");
        }
    }
}
