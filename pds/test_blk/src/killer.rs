// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Kills the service in the middle of its start, again and again: the instruction is in its code and in the
//! saved ELF for one period of this PD, which is above the service and has no other clock than its budget.

use microkit_abi::syscalls;

use crate::Failure;
use crate::planter::{Planter, Where};

/// On the way of every start, one after the other.
const START_POINTS: [&str; 4] = [
    "blk.after_device_reset",
    "blk.before_driver_ok",
    "blk.attached",
    "blk.served",
];
/// On the way of every request: where it dies first.
const BUSY_POINT: &str = "blk.after_take";
/// Rounds at least, and at most while some point was never deadly twice in a row, which is chance.
const ROUNDS: core::ops::RangeInclusive<u32> = 8..=40;
/// Periods until the service works, and between two rounds.
const START: u32 = 400;
const REST: u32 = 80;
/// Periods to wait for the first death.
const PATIENCE: u32 = 100;

pub fn run(planter: &mut Planter) -> Result<(), Failure> {
    rest(START);
    let mut met = [false; START_POINTS.len()];
    for round in 0..*ROUNDS.end() {
        if round >= *ROUNDS.start() && met.iter().all(|met| *met) {
            break;
        }
        for (point, met) in START_POINTS.into_iter().zip(&mut met) {
            let before = planter.epoch();
            // The supervisor restores code only where it has reason to doubt it.
            planter.plant(Where::Saved, point);
            planter.plant(Where::Running, point);
            planter.plant(Where::Running, BUSY_POINT);
            // When the disk is slow, nobody comes along there for a while.
            (0..PATIENCE).any(|_| {
                rest(1);
                planter.epoch() != before
            });
            let deaths = planter.epoch() - before;
            planter.clear(Where::Saved, point);
            planter.clear(Where::Running, point);
            planter.clear(Where::Running, BUSY_POINT);
            if deaths > 1 {
                *met = true;
                log::info!("RECOVERY point={point} deaths={}", deaths - 1);
            }
            rest(REST);
        }
    }
    Ok(())
}

fn rest(periods: u32) {
    (0..periods).for_each(|_| syscalls::yield_now());
}
