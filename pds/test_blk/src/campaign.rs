// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The work under a fault-injection campaign: blocks behind the file system are written and read without an
//! end, and whatever goes wrong is counted on a score board.

use core::time::Duration;

use app_demo_service::board::{Board, Trouble};
use proto::blk::{Operation, RequestWire, SECTOR_BYTES};
use test_blk_service::{BLOCK_BYTES, Exerciser, Wrong};

use crate::{BLK, Disk, Failure, SEED};

/// At the end of the disk, where the campaign leaves room behind the file system.
const BLOCKS: u32 = 1024;
const DEPTH: usize = 8;
const PAUSE: Duration = Duration::from_millis(3);
/// Pauses without an answer after which the service is reminded.
const PATIENCE: u32 = 20;
/// Answers that are a round.
const ROUND: u32 = 8;

pub fn run(mut disk: Disk) -> Result<(), Failure> {
    let topology = pd_setup::topology();
    let region = |name| pd_setup::region(&topology, name);
    let mut board = Board::new(
        pd_setup::writes(&region("test_blk_to_injector_score")),
        pd_setup::reads(&region("injector_to_app_demo_control")),
    );
    let mut timers = pd_clients::timers(&topology);
    timers.cancel_all();
    let sectors = disk.ask(&RequestWire::plain(Operation::Describe)).value;
    let first = sectors * u64::from(SECTOR_BYTES) / u64::from(BLOCK_BYTES) - u64::from(BLOCKS);
    let exerciser = Exerciser::new(disk.table, disk.data, BLOCKS, DEPTH, SEED);
    let mut exerciser = exerciser.starting_at(first);
    let (mut idle, mut rounds, mut failures) = (0, 0, 0);
    loop {
        if exerciser.submit() {
            BLK.notify();
        }
        timers.sleep(PAUSE).map_err(|_| Failure::Text("no timer"))?;
        match exerciser.consume() {
            Ok(0) => idle += 1,
            Ok(count) => {
                idle = 0;
                (0..count).for_each(|_| board.operation(0));
            }
            Err(wrong) => {
                log::warn!("TROUBLE {wrong}");
                let trouble = match wrong {
                    Wrong::Contents { block, .. } => {
                        exerciser.forget(block);
                        Trouble::Wrong
                    }
                    Wrong::Failed(..) | Wrong::Unexpected(_) => Trouble::Error,
                };
                board.trouble(trouble, "raw blocks");
            }
        }
        while failures < exerciser.failures {
            failures += 1;
            board.trouble(Trouble::Error, "raw blocks");
        }
        if idle > PATIENCE && !exerciser.remind() {
            BLK.notify();
            idle = 0;
        }
        if exerciser.completed / ROUND > rounds {
            rounds = exerciser.completed / ROUND;
            let bytes = u64::from(exerciser.verified_blocks) * u64::from(BLOCK_BYTES);
            board.round(bytes);
        }
    }
}
