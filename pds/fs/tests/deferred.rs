// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Writes that are acknowledged first and carried out later: nobody can tell, whoever dies and whenever.

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};

use common::{Random, SharedWorld, World, client, image};
use embedded_io::{Read, Seek, SeekFrom, Write};
use fs_client::{Error, File, FileSystem, OpenOptions};
use proto::fs::Errno;

/// Whole blocks that say where they belong.
fn blocks(first: usize, count: usize, size: usize) -> Vec<u8> {
    (first * size / 8..(first + count) * size / 8)
        .flat_map(|word| {
            (word as u64)
                .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .to_le_bytes()
        })
        .collect()
}

fn appending(fs: &FileSystem, path: &str) -> File {
    let mut options = OpenOptions::new();
    options = options.read(true).write(true).create(true).append(true);
    options.open(fs, path).unwrap()
}

fn waiting(world: &SharedWorld) -> usize {
    let mut world = world.borrow_mut();
    world.service().volume().unwrap().deferred_count()
}

#[test]
fn many_writes_are_one_transaction() {
    if !image::have_tools() {
        return;
    }
    let world = World::new(image::make(12, &["-b", "4096"]), 1);
    let fs = client(&world, 0);
    let mut file = File::create(&fs, "/f").unwrap();
    let before = world.borrow_mut().counters();
    for number in 0..24 {
        file.write_all(&blocks(4 * number, 4, 4096)).unwrap();
    }
    assert_eq!(waiting(&world), 24);
    let written = world.borrow_mut().counters();
    assert_eq!((written.commits, written.deferred), (before.commits, 24));
    fs.sync().unwrap();
    let after = world.borrow_mut().counters();
    assert_eq!((after.commits, after.carried_out), (before.commits + 1, 1));
    assert_eq!((after.fresh_blocks, waiting(&world)), (96, 0));
    // It is in the cache as if it had been read.
    let reads = world.borrow().media.borrow().reads;
    world.borrow_mut().kill();
    assert!(fs.read("/f").unwrap() == blocks(0, 96, 4096));
    assert_eq!(world.borrow().media.borrow().reads, reads);
    let again = World::new(world.borrow().image(), 1);
    assert!(client(&again, 0).read("/f").unwrap() == blocks(0, 96, 4096));
    image::check(&again.borrow().image(), true).unwrap();
}

/// More than may wait at once, at the end of several files in turn, in the sizes that clients use.
#[test]
fn what_does_not_fit_is_carried_out() {
    if !image::have_tools() {
        return;
    }
    let world = World::new(image::make(24, &["-b", "4096"]), 1);
    let fs = client(&world, 0);
    let mut files: Vec<_> = ["/a", "/b"].map(|path| appending(&fs, path)).into();
    for number in 0..40 {
        files[number % 3 / 2]
            .write_all(&blocks(16 * number, 16, 4096))
            .unwrap();
        assert!(waiting(&world) <= 64);
    }
    let counters = world.borrow_mut().counters();
    assert!(
        counters.deferred == 40 && counters.carried_out > 4,
        "{counters:?}"
    );
    let of = |turn: usize| -> Vec<u8> {
        let numbers = (0..40).filter(|number| number % 3 / 2 == turn);
        numbers
            .flat_map(|number| blocks(16 * number, 16, 4096))
            .collect()
    };
    assert!(fs.read("/a").unwrap() == of(0) && fs.read("/b").unwrap() == of(1));
    image::check(&world.borrow().image(), true).unwrap();
}

/// What waits is carried out before anybody could see that it does.
#[test]
fn nobody_sees_less_than_was_acknowledged() {
    if !image::have_tools() {
        return;
    }
    type Look = fn(&FileSystem, &mut File, u64);
    let looks: [Look; 7] = [
        |fs, _, end| assert_eq!(fs.metadata("/f").unwrap().len(), end),
        |_, file, end| assert_eq!(file.metadata().unwrap().len(), end),
        |fs, _, end| assert_eq!(fs.read("/f").unwrap().len() as u64, end),
        |_, file, end| assert_eq!(file.seek(SeekFrom::End(0)), Ok(end)),
        |fs, file, _| {
            let before = fs.metadata("/f").unwrap().blocks();
            assert_eq!(before * 512, file.metadata().unwrap().len());
        },
        |_, file, end| {
            let mut bytes = [0; 4096];
            assert_eq!(file.read_at(end - 4096, &mut bytes), Ok(4096));
            assert!(bytes[..] == blocks(end as usize / 4096 - 1, 1, 4096));
        },
        |fs, file, end| {
            fs.rename("/f", "/g").unwrap();
            assert_eq!(fs.metadata("/g").unwrap().len(), end);
            fs.rename("/g", "/f").unwrap();
            file.seek(SeekFrom::Start(0)).unwrap();
            assert_eq!(file.read(&mut [0; 1]), Ok(1));
        },
    ];
    let world = World::new(image::make(12, &["-b", "4096"]), 2);
    let (writer, reader) = (client(&world, 0), client(&world, 1));
    let mut file = File::create(&writer, "/f").unwrap();
    let mut other = File::open(&reader, "/f").unwrap();
    writer.write("/else", &[7; 100]).unwrap();
    let mut elsewhere = File::open(&reader, "/else").unwrap();
    for (number, look) in looks.iter().enumerate() {
        file.write_all(&blocks(4 * number, 4, 4096)).unwrap();
        // This has nothing to do with it.
        elsewhere.seek(SeekFrom::Start(0)).unwrap();
        assert_eq!(elsewhere.read(&mut [0; 9]), Ok(9));
        assert_eq!(waiting(&world), 1, "look {number}");
        if number % 2 == 1 {
            world.borrow_mut().kill();
        }
        look(&reader, &mut other, (number as u64 + 1) * 4 * 4096);
        assert_eq!(waiting(&world), 0, "look {number}");
    }
}

/// Whoever wakes the service twice and wants nothing.
#[test]
fn what_waits_is_carried_out_when_nobody_asks_for_anything() {
    if !image::have_tools() {
        return;
    }
    let world = World::new(image::make(12, &["-b", "4096"]), 1);
    let fs = client(&world, 0);
    let mut file = File::create(&fs, "/f").unwrap();
    file.write_all(&blocks(0, 8, 4096)).unwrap();
    for (is_quiet, is_due) in [(true, false), (false, false), (true, true)] {
        let due = world.borrow_mut().service().has_idle_work(is_quiet);
        assert_eq!((due, waiting(&world)), (is_due, 1));
    }
    world.borrow_mut().service().idle();
    assert_eq!(waiting(&world), 0);
    let again = World::new(world.borrow().image(), 1);
    assert!(client(&again, 0).read("/f").unwrap() == blocks(0, 8, 4096));
}

/// Every kind of thing that happens between, before and after such writes. Returns what is in the files.
fn script(world: &SharedWorld) -> Vec<Vec<u8>> {
    const SIZE: usize = 1024;
    let (fs, other) = (client(world, 0), client(world, 1));
    let mut log = appending(&fs, "/log");
    let mut model = [vec![], vec![], vec![]];
    let mut both = appending(&other, "/log");
    let append = |file: &mut File, count: usize, model: &mut Vec<u8>| {
        let bytes = blocks(model.len() / SIZE, count, SIZE);
        file.write_all(&bytes).unwrap();
        model.extend(bytes);
    };
    append(&mut log, 4, &mut model[0]);
    append(&mut both, 5, &mut model[0]);
    append(&mut log, 4, &mut model[0]);
    fs.write("/small", b"small").unwrap();
    let mut data = File::create(&other, "/data").unwrap();
    append(&mut data, 6, &mut model[1]);
    append(&mut log, 4, &mut model[0]);
    append(&mut data, 4, &mut model[1]);
    assert_eq!(fs.read("/small").unwrap(), b"small");
    append(&mut log, 4, &mut model[0]);
    other.sync().unwrap();
    // Inside of what waits.
    append(&mut data, 8, &mut model[1]);
    data.write_all_at(9_000, &[1; 3_000]).unwrap();
    model[1][9_000..12_000].fill(1);
    append(&mut data, 4, &mut model[1]);
    data.set_len(11 * 1024).unwrap();
    model[1].truncate(11 * 1024);
    data.seek(SeekFrom::End(0)).unwrap();
    append(&mut data, 4, &mut model[1]);
    // Blocks are freed and not yet durably so: what waits goes through the journal.
    other.remove_file("/small").unwrap();
    append(&mut data, 5, &mut model[1]);
    append(&mut data, 5, &mut model[1]);
    // Without a name.
    let mut gone = appending(&fs, "/gone");
    append(&mut gone, 4, &mut model[2]);
    fs.remove_file("/gone").unwrap();
    append(&mut gone, 4, &mut model[2]);
    append(&mut gone, 4, &mut model[2]);
    // So far beyond the end that it is not appended.
    data.write_all_at(60_000, &[9; 1024]).unwrap();
    model[1].resize(60_000, 0);
    model[1].extend([9; 1024]);
    append(&mut log, 12, &mut model[0]);
    append(&mut both, 4, &mut model[0]);
    let mut left = vec![0; model[2].len()];
    gone.seek(SeekFrom::Start(0)).unwrap();
    gone.read_exact(&mut left).unwrap();
    assert!(left == model[2], "the file without a name");
    // It goes while something of it waits.
    append(&mut gone, 4, &mut model[2]);
    drop(gone);
    append(&mut log, 4, &mut model[0]);
    model[..2].to_vec()
}

fn fresh(disk: &[u8]) -> SharedWorld {
    // So little that slots are taken again, and some 14 blocks may wait.
    let world = World::with_memory(disk.to_vec(), 2, 1 << 17);
    client(&world, 0).sync().unwrap();
    world
}

/// Every store to the index and every write to the disk is the last one of a life, and the next lives go on.
#[test]
fn killed_at_every_store() {
    if !image::have_tools() {
        return;
    }
    let stride = std::env::var("KINTSUGI_STRIDE").map_or(7, |text| text.parse().unwrap());
    let disk = image::make(8, &["-b", "1024", "-J", "size=1"]);
    let world = fresh(&disk);
    let before = world.borrow().life.steps_made();
    script(&world);
    let steps = world.borrow().life.steps_made() - before;
    let counters = world.borrow_mut().counters();
    assert!(
        counters.deferred > 12 && counters.carried_out > 6 && counters.fresh_blocks > 20,
        "{counters:?}"
    );
    let (mut recorded, mut random) = (0, Random::new(3));
    for at in (0..steps).step_by(stride) {
        let world = fresh(&disk);
        world.borrow_mut().kill();
        // The second life dies at the step, the third soon after.
        world.borrow_mut().deaths = vec![random.below(80), at];
        let run = catch_unwind(AssertUnwindSafe(|| script(&world)));
        let model = run.unwrap_or_else(|_| panic!("step {at}"));
        for _ in 0..2 {
            for (path, expected) in ["/log", "/data"].iter().zip(&model) {
                let found = client(&world, 0).read(path).unwrap();
                assert!(found == *expected, "step {at}: {path}");
            }
            world.borrow_mut().kill();
        }
        recorded += world.borrow().recorded;
        if at % 50 < stride as u64 {
            image::check(&world.borrow().image(), true).unwrap();
        }
    }
    eprintln!("{steps} steps, {recorded} answered from the record");
    assert!(recorded > 0, "no life died before its answer");
}

/// A world in which writes wait, and its service is dead.
fn left_waiting() -> (SharedWorld, Vec<u8>) {
    let world = World::new(image::make(12, &["-b", "4096"]), 1);
    let fs = client(&world, 0);
    let mut file = File::create(&fs, "/f").unwrap();
    file.write_all(&blocks(0, 4, 4096)).unwrap();
    fs.sync().unwrap();
    file.write_all(&blocks(4, 5, 4096)).unwrap();
    file.write_all(&blocks(9, 5, 4096)).unwrap();
    assert_eq!(waiting(&world), 2);
    world.borrow_mut().kill();
    (world, blocks(0, 14, 4096))
}

/// Whatever else is damaged in the index, and makes it worthless, what waits is carried out all the same.
#[test]
fn a_damaged_index_loses_no_write_that_waits() {
    if !image::have_tools() {
        return;
    }
    // Head, geometry, superblock, journal, both copies of the progress, and an entry of some other block.
    for places in [
        &[0][..],
        &[20],
        &[1030],
        &[2050],
        &[4100, 4164],
        &[8192 + 16],
    ] {
        let (world, contents) = left_waiting();
        let index = world.borrow().index.clone().unwrap();
        for at in places {
            index.set_bytes(*at, &[index.bytes()[*at] ^ 0x10]);
        }
        let fs = client(&world, 0);
        assert!(fs.read("/f").unwrap() == contents, "{places:?}");
        fs.sync().unwrap();
        let again = World::new(world.borrow().image(), 1);
        assert!(
            client(&again, 0).read("/f").unwrap() == contents,
            "{places:?}"
        );
        image::check(&again.borrow().image(), true).unwrap();
    }
}

/// What is damaged itself is given up, and `fsync` says so, once; what was before it is there, and nothing
/// wrong.
#[test]
fn a_damaged_write_is_reported_and_not_carried_out() {
    if !image::have_tools() {
        return;
    }
    let (world, contents) = left_waiting();
    let bytes = world.borrow().memory.bytes();
    let in_second = &contents[10 * 4096..10 * 4096 + 64];
    let at = bytes.windows(64).position(|part| part == in_second);
    world.borrow().memory.set_bytes(at.unwrap() + 9, &[0xee]);
    let fs = client(&world, 0);
    // The first one who meets it is told; it may have been this life's fault, and the next one tries again.
    assert_eq!(fs.sync(), Err(Error::Errno(Errno::Io)));
    world.borrow_mut().kill();
    // So does nobody at all.
    for _ in 0..4 {
        let mut world = world.borrow_mut();
        if world.service().has_idle_work(true) {
            world.service().idle();
        }
    }
    assert_eq!(waiting(&world), 0);
    assert_eq!(fs.sync(), Err(Error::Errno(Errno::Io)));
    assert_eq!(fs.sync(), Ok(()));
    assert!(fs.read("/f").unwrap() == contents[..4 * 4096]);
    fs.write("/g", b"goes on").unwrap();
    image::check(&world.borrow().image(), true).unwrap();
}

/// A disk that fails: what was acknowledged can be read, in this life and in the next, and is carried out
/// by one that finds the disk mended.
#[test]
fn a_disk_that_fails_loses_no_write_that_waits() {
    if !image::have_tools() {
        return;
    }
    for left in [1, 3, 8, 13] {
        let (world, contents) = left_waiting();
        let fs = client(&world, 0);
        let mut file = appending(&fs, "/f");
        file.write_all(&blocks(14, 6, 4096)).unwrap();
        let contents = [contents, blocks(14, 6, 4096)].concat();
        world.borrow().media.borrow_mut().writes_left = Some(left);
        assert_eq!(fs.sync(), Err(Error::Errno(Errno::Io)), "{left}");
        for _ in 0..2 {
            // A new life has to find out.
            assert!(fs.sync().is_err());
            let length = file.metadata().map(|found| found.len());
            assert_eq!(length, Ok(contents.len() as u64), "{left}");
            let mut found = vec![0; contents.len()];
            file.seek(SeekFrom::Start(0)).unwrap();
            file.read_exact(&mut found).unwrap();
            assert!(found == contents, "{left}");
            world.borrow_mut().kill();
        }
        world.borrow().media.borrow_mut().writes_left = None;
        world.borrow_mut().kill();
        fs.sync().unwrap();
        let again = World::new(world.borrow().image(), 1);
        assert!(client(&again, 0).read("/f").unwrap() == contents, "{left}");
        image::check(&again.borrow().image(), true).unwrap();
    }
}

/// A disk that fills up: what is acknowledged finds room.
#[test]
fn what_is_acknowledged_finds_room() {
    if !image::have_tools() {
        return;
    }
    for size in [1024, 4096] {
        let disk = image::make(size as u64 / 1024 * 6, &["-b", &size.to_string()]);
        let world = World::new(disk, 1);
        let fs = client(&world, 0);
        let mut files: Vec<_> = (0..3).map(|n| appending(&fs, &format!("/f{n}"))).collect();
        let mut counts = [0; 3];
        let mut full = false;
        for number in 0.. {
            let which = number % 3;
            match files[which].write(&blocks(counts[which], 4, size)) {
                Ok(written) => counts[which] += written / size,
                Err(error) => {
                    assert_eq!(error, Error::Errno(Errno::NoSpace));
                    full = true;
                }
            }
            if number % 50 == 49 {
                world.borrow_mut().kill();
            }
            if full {
                break;
            }
        }
        assert!(counts[0] * size > 500_000, "{counts:?}");
        for (which, count) in counts.iter().enumerate() {
            let found = fs.read(&format!("/f{which}")).unwrap();
            assert!(found == blocks(0, *count, size), "file {which}");
        }
        fs.sync().unwrap();
        assert!(world.borrow_mut().counters().damaged == 0);
        image::check(&world.borrow().image(), true).unwrap();
    }
}
