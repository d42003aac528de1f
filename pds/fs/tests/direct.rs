// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! A client that has the cache mapped reads without the service, also while it is dead, and never reads
//! what is no longer so.

mod common;

use common::{Random, SharedWorld, World, client, image};
use fs_client::{DirectRegions, File, FileSystem, OpenOptions};

const PAGE: usize = 4096;

fn direct_client(world: &SharedWorld, number: usize) -> FileSystem {
    let fs = client(world, number);
    let world = world.borrow();
    fs.read_directly(DirectRegions {
        cache: world.memory.shared_ref(),
        index: world.index.as_ref().unwrap().shared_ref(),
    });
    fs
}

fn pages(first: u8, count: usize) -> Vec<u8> {
    (0..count * PAGE)
        .map(|index| first.wrapping_add((index / 100) as u8))
        .collect()
}

#[test]
fn cached_pages_are_read_while_the_service_is_dead() {
    if !image::have_tools() {
        return;
    }
    let world = World::new(image::make(12, &["-b", "4096"]), 1);
    let fs = direct_client(&world, 0);
    let contents = pages(1, 20);
    fs.write("/f", &contents).unwrap();
    let file = File::open(&fs, "/f").unwrap();
    let mut page = vec![0; PAGE];
    for (number, expected) in contents.chunks(PAGE).enumerate() {
        file.read_at((number * PAGE) as u64, &mut page).unwrap();
        assert!(page == expected);
    }
    let before = fs.direct_reads();
    world.borrow_mut().kill();
    let lives = world.borrow().lives;
    for (number, expected) in contents.chunks(PAGE).enumerate() {
        file.read_at((number * PAGE) as u64, &mut page).unwrap();
        assert!(page == expected);
    }
    // Several pages at once, not from the start of one to the end of another.
    let mut part = vec![0; 3 * PAGE];
    assert_eq!(file.read_at(1000, &mut part), Ok(part.len()));
    assert!(part == contents[1000..1000 + part.len()]);
    let direct = fs.direct_reads() - before;
    assert_eq!((direct, world.borrow().lives), (21, lives));
}

/// What the service has read ahead is found without it, up to the end of the file.
#[test]
fn pages_read_ahead_need_no_service() {
    if !image::have_tools() {
        return;
    }
    let contents: Vec<u8> = pages(1, 400)[..400 * PAGE - 1000].to_vec();
    let disk = image::fill(
        &image::make(12, &["-b", "4096"]),
        &[],
        &[("/f", contents.as_slice())],
    );
    let world = World::new(disk, 1);
    let fs = direct_client(&world, 0);
    let file = File::open(&fs, "/f").unwrap();
    let mut page = vec![0; PAGE];
    for (number, expected) in contents.chunks(PAGE).enumerate() {
        let read = file.read_at((number * PAGE) as u64, &mut page).unwrap();
        assert!(page[..read] == *expected, "page {number}");
    }
    // One of 64 is asked for, the last one, which is no whole page, and a few where slots are not in order.
    let direct = fs.direct_reads();
    assert!((380..=400 - 7 - 1).contains(&direct), "{direct}");
    assert_eq!(file.read_at(400 * PAGE as u64, &mut page), Ok(0));
}

/// Another client changes the file in every way, blocks are evicted, the service dies: what is read is
/// always what was acknowledged last.
#[test]
fn what_has_changed_is_never_read() {
    if !image::have_tools() {
        return;
    }
    let disk = image::make(12, &["-b", "4096"]);
    for seed in 1..6 {
        let mut random = Random::new(seed);
        let world = World::with_memory(disk.clone(), 2, 1 << 20);
        let (reader, writer) = (direct_client(&world, 0), client(&world, 1));
        let mut model = pages(0, 30);
        writer.write("/f", &model).unwrap();
        writer.write("/other", &pages(9, 150)).unwrap();
        let mut file = File::open(&reader, "/f").unwrap();
        let open = || OpenOptions::new().write(true).open(&writer, "/f").unwrap();
        for round in 0..2500 {
            let at = random.below(model.len() as u64 - 1) as usize;
            match random.below(60) {
                0..4 => {
                    let bytes = vec![round as u8; 1 + random.below(6000) as usize];
                    let bytes = &bytes[..bytes.len().min(model.len() - at)];
                    open().write_all_at(at as u64, bytes).unwrap();
                    model[at..at + bytes.len()].copy_from_slice(bytes);
                }
                4 => {
                    model.truncate(at.max(5 * PAGE));
                    open().set_len(model.len() as u64).unwrap();
                    model.resize(30 * PAGE, 0);
                    open().set_len(model.len() as u64).unwrap();
                }
                5 => {
                    writer.remove_file("/f").unwrap();
                    model = pages(round as u8, 30);
                    writer.write("/f", &model).unwrap();
                    file = File::open(&reader, "/f").unwrap();
                }
                6 => assert!(writer.read("/other").unwrap() == pages(9, 150)),
                7 => world.borrow_mut().kill(),
                _ => {}
            }
            if random.below(20) == 0 {
                for (number, expected) in model.chunks(PAGE).enumerate() {
                    let mut found = vec![0; PAGE];
                    let read = file.read_at((number * PAGE) as u64, &mut found).unwrap();
                    assert!(found[..read] == *expected, "seed {seed} round {round}");
                }
            }
            let at = random.below(30) as usize * PAGE;
            let length = PAGE * (1 + random.below(2) as usize);
            let mut found = vec![0; length.min(model.len() - at)];
            let read = file.read_at(at as u64, &mut found).unwrap();
            assert_eq!(read, found.len(), "seed {seed} round {round}");
            assert!(found == model[at..at + read], "seed {seed} round {round}");
        }
        assert!(reader.direct_reads() > 100, "{}", reader.direct_reads());
        assert!(world.borrow().lives > 5);
    }
}
