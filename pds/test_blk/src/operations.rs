// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Every operation once, with an answer that can be checked, on a disk that has them all.

use proto::blk::{
    Completion, DEVICE_DISCARDS, DEVICE_FLUSHES, DEVICE_READ_ONLY, DEVICE_WRITES_ZEROES,
    IDENTITY_BYTES, Operation, RequestWire, SECTOR_BYTES, Segment, Status, TRANSFER_BYTES_MAX,
};
use sel4_shared_memory::SharedMut;
use test_blk_service::contents;

use crate::{Disk, Failure, PAGE};

/// Where on the disk; the exerciser works below.
const SECTOR: u64 = 16_384;
const WORDS: usize = TRANSFER_BYTES_MAX as usize / 8;
/// Four pieces with gaps between them.
const PIECE_BYTES: u32 = TRANSFER_BYTES_MAX / 4;
const PIECE_DISTANCE: u32 = PIECE_BYTES + 0x1200;
/// Where the same comes back in one piece.
const WHOLE: Segment = Segment {
    offset: 0x20_0000,
    bytes: TRANSFER_BYTES_MAX,
};
/// Sectors of the megabyte that are zeroed.
const ZEROES: core::ops::Range<u64> = 100..1300;

/// Checks a disk that refuses some requests. Says whether this is one.
pub fn refused(disk: &mut Disk, description: &Completion) -> Result<bool, Failure> {
    let write = RequestWire::write(0, PAGE);
    let read = RequestWire::read(0, PAGE);
    if description.status == Status::NoDevice {
        log::info!("KIND no disk");
        for wire in [read, write, RequestWire::plain(Operation::Flush)] {
            disk.expect(&wire, Status::NoDevice)?;
        }
        return Ok(true);
    }
    disk.expect(&read, Status::Done)?;
    if description.flags & DEVICE_READ_ONLY != 0 {
        log::info!("KIND read-only");
        disk.expect(&write, Status::ReadOnly)?;
        let zeroes = RequestWire::sectors(Operation::WriteZeroes, 0, 8);
        if disk.ask(&zeroes).status == Status::Done {
            return Err(Failure::Text("zeroes on a read-only disk"));
        }
        disk.expect(&RequestWire::read(8, PAGE), Status::Done)?;
        return Ok(true);
    }
    Ok(false)
}

/// Tries all operations, and requests that must be refused.
pub fn check(disk: &mut Disk, description: &Completion) -> Result<(), Failure> {
    let all = DEVICE_FLUSHES | DEVICE_DISCARDS | DEVICE_WRITES_ZEROES;
    if description.flags & all != all {
        return Err(Failure::Text(
            "QEMU's disk flushes, discards and writes zeroes",
        ));
    }
    scattered_megabyte(disk)?;
    disk.expect(
        &RequestWire::sectors(
            Operation::WriteZeroes,
            SECTOR + ZEROES.start,
            (ZEROES.end - ZEROES.start) as u32,
        ),
        Status::Done,
    )?;
    disk.expect(&RequestWire::read(SECTOR, WHOLE), Status::Done)?;
    verify(&disk.data, |sector| ZEROES.contains(&sector))?;
    disk.expect(&RequestWire::plain(Operation::Flush), Status::Done)?;
    let discard = RequestWire::sectors(Operation::Discard, SECTOR, 2048);
    disk.expect(&discard, Status::Done)?;
    let name = Segment {
        offset: 0,
        bytes: IDENTITY_BYTES,
    };
    let identify = RequestWire::transfer(Operation::Identify, 0, &[name]);
    disk.expect(&identify, Status::Done)?;
    let mut identity = [0; IDENTITY_BYTES as usize];
    disk.data.as_shared_ref().read_bytes(0, &mut identity);
    log::info!("identity: {}", identity.escape_ascii());
    senseless(disk, description.value)
}

fn scattered_megabyte(disk: &mut Disk) -> Result<(), Failure> {
    let mut pieces = [PAGE; 4];
    for (index, piece) in pieces.iter_mut().enumerate() {
        piece.offset = index as u32 * PIECE_DISTANCE;
        piece.bytes = PIECE_BYTES;
        let words = PIECE_BYTES as usize / 8;
        for word in 0..words {
            let at = piece.offset as usize + word * 8;
            disk.data
                .store_u64(at, contents(7, 1, index * words + word));
        }
    }
    let write = RequestWire::transfer(Operation::Write, SECTOR, &pieces);
    let done = disk.ask(&write);
    if (done.status, done.bytes) != (Status::Done, TRANSFER_BYTES_MAX) {
        return Err(Failure::Text("a megabyte in four pieces is not written"));
    }
    disk.expect(&RequestWire::read(SECTOR, WHOLE), Status::Done)?;
    verify(&disk.data, |_| false)
}

/// Looks at the megabyte that was read.
fn verify(data: &SharedMut, zeroed: impl Fn(u64) -> bool) -> Result<(), Failure> {
    for word in 0..WORDS {
        let found = data.load_u64(WHOLE.offset as usize + word * 8);
        let sector = (word * 8 / SECTOR_BYTES as usize) as u64;
        let expected = if zeroed(sector) {
            0
        } else {
            contents(7, 1, word)
        };
        if found != expected {
            return Err(Failure::Text("the megabyte does not come back as it was"));
        }
    }
    Ok(())
}

/// Requests to sectors, memory or in forms that there are not. `sectors` is the size of the disk.
pub fn senseless(disk: &mut Disk, sectors: u64) -> Result<(), Failure> {
    let end = disk.data.len() as u32;
    let piece = |offset, bytes| Segment { offset, bytes };
    let (small, half) = (piece(0, 512), TRANSFER_BYTES_MAX / 2);
    let cases = [
        (RequestWire::read(sectors - 1, small), Status::Done),
        (RequestWire::read(sectors, small), Status::OutOfRange),
        (RequestWire::write(sectors, small), Status::OutOfRange),
        (
            RequestWire::write(sectors - 1, piece(0, 1024)),
            Status::OutOfRange,
        ),
        (RequestWire::write(u64::MAX - 1, small), Status::OutOfRange),
        (RequestWire::write(u64::MAX, small), Status::OutOfRange),
        (
            RequestWire::sectors(Operation::Discard, sectors - 1, 2),
            Status::OutOfRange,
        ),
        (
            RequestWire::sectors(Operation::WriteZeroes, sectors, 1),
            Status::OutOfRange,
        ),
        (RequestWire::read(0, piece(end, 512)), Status::BadAddress),
        (
            RequestWire::read(0, piece(end - 512, 1024)),
            Status::BadAddress,
        ),
        (
            RequestWire::read(0, piece(0xffff_fe00, 512)),
            Status::BadAddress,
        ),
        (RequestWire::read(0, piece(3, 512)), Status::Invalid),
        (RequestWire::read(0, piece(0, 511)), Status::Invalid),
        (
            RequestWire::transfer(Operation::Read, 0, &[piece(0, half), piece(0, half), small]),
            Status::Invalid,
        ),
        (
            RequestWire::sectors(Operation::Discard, 0, 0),
            Status::Invalid,
        ),
    ];
    for (wire, expected) in cases {
        disk.expect(&wire, expected)?;
    }
    Ok(())
}
