// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! A test PD, twice in its system: as `test_handles`, and as `test_thief`, which shows the file service
//! handles that it was not given. They pass handles to each other in files. The service dies meanwhile
//! (`chaos.xml`), and `test_handles` itself once, in the middle: its next life may not go on with the
//! handles of the first.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

use embedded_io::{Read, Seek, SeekFrom, Write};
use fs_client::{Errno, Error, File, FileRecord, FileSystem, OpenOptions};
use log::{error, info};
use sel4_microkit::{Handler, protection_domain};
use zerocopy::{FromBytes, IntoBytes};

/// What the two pass to each other: a record of an open file.
const RECORD: &str = "/record";
/// The file behind it.
const SECRET: &str = "/secret";
/// The thief has been refused.
const REFUSED: &str = "/refused";
/// app_demo makes this when it has read the whole disk, where it must not see files vanish.
const OTHER_IS_READY: &str = "/kintsugi-out";
/// Reads and writes through one handle, while the service dies.
const ROUNDS: u32 = 12_000;

type Outcome = Result<(), &'static str>;

fn works<T>(what: &'static str, result: Result<T, Error>) -> Result<T, &'static str> {
    result.map_err(|error| {
        error!("{what}: {error}");
        what
    })
}

/// Reading and writing through a record must both fail so.
fn is_refused(fs: &FileSystem, record: &FileRecord, errno: Errno) -> Outcome {
    let mut file = works("the record", File::from_record(fs, record))?;
    let mut bytes = [0; 8];
    if file.read(&mut bytes) != Err(Error::Errno(errno)) || bytes != [0; 8] {
        return Err("a read was not refused");
    }
    match file.write(b"stolen") == Err(Error::Errno(errno)) {
        true => Ok(()),
        false => Err("a write was not refused"),
    }
}

/// Every bit of the handle, which comes first in the record.
fn try_edits(fs: &FileSystem, record: &FileRecord) -> Outcome {
    for bit in 0..24 * 8 {
        let mut edited = *record;
        edited.as_mut_bytes()[bit / 8] ^= 1 << (bit % 8);
        is_refused(fs, &edited, Errno::BadHandle)?;
    }
    Ok(())
}

fn open_options() -> OpenOptions {
    OpenOptions::new().read(true).write(true)
}

fn stored_record(fs: &FileSystem) -> Option<FileRecord> {
    let bytes = fs.read(RECORD).ok()?;
    FileRecord::read_from_bytes(&bytes).ok()
}

fn wait_for(fs: &FileSystem, path: &'static str) -> Outcome {
    while !works(path, fs.exists(path))? {}
    Ok(())
}

fn victim_first_life(fs: &FileSystem) -> Outcome {
    let opened = open_options().create_new(true).open(fs, SECRET);
    let mut file = works("create", opened)?;
    works("write", file.write_all(b"untouched"))?;
    // Whole at once, as it is one write; and the name only when it is complete.
    works("store", fs.write("/record.new", file.record().as_bytes()))?;
    works("rename", fs.rename("/record.new", RECORD))?;
    for round in 0..ROUNDS {
        works("seek", file.seek(SeekFrom::Start(16)))?;
        works("write", file.write_all(&round.to_le_bytes()))?;
        let mut bytes = [0; 4];
        works("read", file.read_at(16, &mut bytes))?;
        if u32::from_le_bytes(bytes) != round || file.position() != 20 {
            return Err("a round read something else");
        }
    }
    wait_for(fs, REFUSED)?;
    let mut bytes = [0; 9];
    works("read", file.read_at(0, &mut bytes))?;
    match &bytes == b"untouched" {
        true => Ok(()),
        false => Err("the thief has written"),
    }
}

fn victim_second_life(fs: &FileSystem) -> Outcome {
    let record = stored_record(fs).ok_or("no record")?;
    is_refused(fs, &record, Errno::Stale)?;
    let file = works("open", open_options().open(fs, SECRET))?;
    try_edits(fs, &file.record())?;
    let again = works("the record", File::from_record(fs, &file.record()))?;
    let mut bytes = [0; 9];
    works("read", again.read_at(0, &mut bytes))?;
    match &bytes == b"untouched" {
        true => Ok(()),
        false => Err("the file has changed"),
    }
}

fn thief(fs: &FileSystem) -> Outcome {
    wait_for(fs, RECORD)?;
    let record = stored_record(fs).ok_or("no record")?;
    for _ in 0..100 {
        is_refused(fs, &record, Errno::BadHandle)?;
    }
    works("create", fs.write(REFUSED, b""))?;
    Ok(())
}

fn run() -> Outcome {
    let topology = pd_setup::topology();
    let me = topology.name();
    let fs = pd_clients::files(&pd_setup::topology());
    wait_for(&fs, OTHER_IS_READY)?;
    if me == "test_thief" {
        return thief(&fs);
    }
    if recovery::epoch() == 0 {
        victim_first_life(&fs)?;
        info!("now without memory");
        panic!("on purpose");
    }
    victim_second_life(&fs)
}

#[protection_domain(stack_size = 0x8000, heap_size = 0x80000)]
fn init() -> impl Handler {
    pd_setup::log();
    let result = run();
    // Twice: a console that dies in a line sends one of its characters twice.
    for _ in 0..2 {
        match result {
            Ok(()) => info!("KINTSUGI|PASS handles"),
            Err(what) => error!("KINTSUGI|FAIL {what}"),
        }
    }
    pd_setup::Done
}
