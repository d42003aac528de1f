// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! A client that breaks the rules, beside one that keeps them and checks that nothing happens to it.

use microkit_wait::poll;
use proto::blk::{Operation, RequestWire, Segment, Status};
use test_blk_service::{BLOCK_BYTES, Random};

use crate::{BLK, Disk, Failure, PAGE, REGION_BYTES, operations};

const ROUNDS: u32 = 40;
/// Words written into the table in each round.
const WORDS: u32 = 500;
/// Where the table's slots are; most of the damage goes there.
const TABLE_BYTES: u32 = 256 + 64 * 64;

/// A page that is written, and never read into.
const FULL_PAGE: Segment = Segment {
    offset: BLOCK_BYTES,
    bytes: BLOCK_BYTES,
};

pub fn run(disk: &mut Disk) -> Result<(), Failure> {
    let mut random = Random(3);
    let describe = RequestWire::plain(Operation::Describe);
    let sectors = disk.ask(&describe).value;
    log::info!("the partition has {sectors} sectors");
    // Not what a blank disk is full of.
    disk.data
        .fill(FULL_PAGE.offset as usize, FULL_PAGE.bytes as usize, 0x66);
    for _ in 0..ROUNDS {
        operations::senseless(disk, sectors)?;
        // A request of each slot is there when the scribbling begins.
        while disk.table.submit(&RequestWire::read(0, PAGE)).is_ok() {}
        scribble(&mut random);
        start_over(disk);
        disk.expect(&describe, Status::Done)?;
        disk.expect(&RequestWire::write(sectors - 8, FULL_PAGE), Status::Done)?;
        disk.expect(&RequestWire::read(sectors - 8, PAGE), Status::Done)?;
    }
    Ok(())
}

/// Writes anything anywhere into our side of the table, and has the service look at it.
fn scribble(random: &mut Random) {
    let (mut requests, _) = Disk::regions();
    for _ in 0..WORDS {
        let bound = match random.below(8) {
            0 => REGION_BYTES as u32,
            _ => TABLE_BYTES,
        };
        let at = random.below(bound / 8) as usize * 8;
        let word = u64::from(random.below(u32::MAX)) << 32 | u64::from(random.below(u32::MAX));
        // Small numbers pass for slots, stamps and tails more often.
        let word = if random.below(2) == 0 {
            word & 0xff
        } else {
            word
        };
        requests.store_u64(at, word);
        if random.below(4) == 0 {
            BLK.notify();
        }
    }
}

/// Begins with an empty table, as after our own death with a damaged region.
fn start_over(disk: &mut Disk) {
    let (mut requests, _) = Disk::regions();
    requests.fill(0, REGION_BYTES, 0);
    *disk = Disk::attach();
    poll(BLK);
}
