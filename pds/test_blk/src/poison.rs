// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! A program error in the service that one kind of request meets: with the faulting instruction in the
//! saved ELF, every life dies of it. The request must fail after a set number of tries, and all others
//! must not.

use microkit_wait::wait_for;
use proto::blk::{Operation, RequestWire, Segment, Status};
use test_blk_service::BLOCK_BYTES;

use crate::planter::{Planter, Where};
use crate::{BLK, Disk, Failure, PAGE};

/// On the way of discard and write-zeroes only.
const POINT: &str = "blk.range";
/// Lives that a request may cost (`blk_service`), and one that looks once more.
const DEATHS: u32 = 6;
const NEIGHBOURS: u32 = 40;
const ROUNDS: u32 = 10;
const SECTOR: u64 = 1 << 14;

pub fn run(disk: &mut Disk, planter: &mut Planter) -> Result<(), Failure> {
    let zeroes = RequestWire::sectors(Operation::WriteZeroes, SECTOR, 8);
    disk.expect(&zeroes, Status::Done)?;
    for round in 0..ROUNDS {
        let places = [Where::Saved, Where::Running];
        places.iter().for_each(|place| planter.plant(*place, POINT));
        let before = planter.epoch();
        among_others(disk, &zeroes, round)?;
        let deaths = planter.epoch() - before;
        log::info!("POISON round={round} deaths={deaths}");
        if deaths != DEATHS {
            return Err(Failure::Text("another number of deaths"));
        }
        places.iter().for_each(|place| planter.clear(*place, POINT));
        // The service goes on, and the same request is welcome again.
        disk.expect(&zeroes, Status::Done)?;
        disk.expect(&RequestWire::read(SECTOR, PAGE), Status::Done)?;
    }
    Ok(())
}

/// Makes the request with others before and after it.
fn among_others(disk: &mut Disk, zeroes: &RequestWire, round: u32) -> Result<(), Failure> {
    let mut poison = 0;
    for index in 0..=NEIGHBOURS {
        let page = Segment {
            offset: index * BLOCK_BYTES,
            bytes: BLOCK_BYTES,
        };
        let sector = u64::from(index) * 8;
        let wire = match index {
            _ if index == round * 4 => *zeroes,
            _ if index % 2 == 0 => RequestWire::read(sector, page),
            _ => RequestWire::write(sector, page),
        };
        let slot = disk.table.submit(&wire).expect("there is room");
        if index == round * 4 {
            poison = disk.table.sequence(slot);
        }
    }
    BLK.notify();
    while disk.table.outstanding_count() > 0 {
        let Some((_, sequence, completion)) = disk.table.next_completion() else {
            wait_for(BLK);
            continue;
        };
        let expected = match sequence == poison {
            true => Status::Io,
            false => Status::Done,
        };
        if completion.check().status != expected {
            return Err(Failure::Text("the wrong request failed, or none"));
        }
    }
    Ok(())
}
