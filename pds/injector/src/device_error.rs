// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The disk reports an error for a command: its status is changed when the disk has carried it out, and
//! before its driver has looked.

use injector_service::queue;
use injector_service::random::Random;

use crate::inject::Injected;
use crate::look::Machine;

/// Where the driver has told the disk of commands. While it stands there, the disk carries them out: on a
/// quick host it would have done so before the driver sleeps, and no interrupt would find it any to take.
const TOLD: &str = "blk.after_kick";
/// Where it is about to give the disk a command again.
const RETRY: &str = "blk.before_retry";
/// Times that the driver is stopped there: not each time it has something with the disk.
const TRIES: usize = 12;
/// Periods in which there has to be one.
const PATIENCE: u32 = 12;
/// Periods in which the driver, which stands before its look, has to come to the retry.
const RETRY_PATIENCE: u32 = 3;

/// Makes the fault.
pub fn change(machine: &mut Machine, victim: usize, random: &mut Random) -> Option<Injected> {
    let place = |name: &str| {
        let mut points = machine.victims[victim].points.points.iter();
        points
            .find(|point| point.name == name)
            .map(|point| point.address)
    };
    let (told, retry) = (place(TOLD)?, place(RETRY)?);
    let status = (0..TRIES).find_map(|_| {
        machine.victims[victim].stop_at(told, PATIENCE)?;
        // It goes on when we rest, and not before.
        let unseen = machine.queue.unseen();
        let chosen = random.below(unseen.len() as u64) as usize;
        unseen.get(chosen).copied()
    })?;
    machine.dma.store_u8(status, queue::FAILED);
    // Not before the driver is seen there is it known that it has seen the error.
    let reached = machine.victims[victim]
        .stop_at(retry, RETRY_PATIENCE)
        .is_some();
    let (old, new) = (queue::DONE.into(), queue::FAILED.into());
    Some(Injected {
        reached,
        ..Injected::at(status as u64, old, new)
    })
}
