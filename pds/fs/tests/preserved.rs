// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The cache that outlives the service: nothing committed is lost or read again, wherever it died.

mod common;

use common::workload::{self, Step, Tree};
use common::{Random, SharedWorld, World, client, image};
use fs_client::OpenOptions;

/// A cache of 112 blocks of 1 KiB: checkpoints and evictions come soon.
const MEMORY: usize = 1 << 17;

fn file(letter: u8, length: usize) -> Vec<u8> {
    (0..length)
        .map(|index| letter.wrapping_add((index / 511) as u8))
        .collect()
}

/// Steps that bring the store to do everything that it ever does.
fn script() -> Vec<Step> {
    let name = |text: &str| text.to_owned();
    vec![
        Step::CreateNew(name("/a")),
        Step::Append(name("/a"), file(b'a', 30_000)),
        Step::Overwrite(name("/a"), 5_000, file(b'b', 9_000)),
        Step::Mkdir(name("/d0")),
        Step::CreateNew(name("/d0/f0")),
        Step::Append(name("/d0/f0"), file(b'c', 40_000)),
        Step::Sync,
        Step::Overwrite(name("/d0/f0"), 20_000, file(b'd', 35_000)),
        Step::Rename(name("/d0/f0"), name("/a")),
        Step::Truncate(name("/a"), 4097),
        Step::CreateNew(name("/e")),
        Step::Append(name("/e"), file(b'e', 36_000)),
        Step::Unlink(name("/a")),
        Step::Append(name("/e"), file(b'f', 20_000)),
        Step::Overwrite(name("/e"), 3_000, file(b'g', 30_000)),
        Step::Truncate(name("/e"), 9_000),
        Step::Append(name("/e"), file(b'h', 30_000)),
        Step::Link(name("/e"), name("/d0/f1")),
        Step::Symlink(name("d0/f1"), name("/l")),
        Step::Chmod(name("/l"), 0o600),
        Step::Unlink(name("/e")),
        Step::UnlinkOpen(name("/d0/f1")),
    ]
}

fn run(world: &SharedWorld, context: &str) -> Tree {
    let mut model = Tree::new();
    for step in script() {
        let expected = workload::apply(&mut model, &step);
        let found = workload::run(&client(world, 0), &step);
        assert!(
            found == expected.map_err(fs_client::Error::Errno),
            "{context}: {step:?}"
        );
        // Evicts what was written before, so that it is read again.
        for path in ["/a", "/e", "/d0/f0"] {
            if let Some(bytes) = workload::contents(&model, path) {
                assert!(
                    client(world, 0).read(path).as_deref() == Ok(bytes),
                    "{context}: {path}"
                );
            }
        }
    }
    model
}

fn fresh(disk: &[u8]) -> SharedWorld {
    let world = World::with_memory(disk.to_vec(), 1, MEMORY);
    client(&world, 0).sync().unwrap();
    world
}

/// Every store to the index, and every write to the disk, is the last one of a life; the next lives go on.
/// `KINTSUGI_STRIDE` leaves some out.
#[test]
fn killed_at_every_store() {
    if !image::have_tools() {
        return;
    }
    let stride = std::env::var("KINTSUGI_STRIDE").map_or(23, |text| text.parse().unwrap());
    let disk = image::make(8, &["-b", "1024", "-J", "size=1"]);
    let world = fresh(&disk);
    let before = world.borrow().life.steps_made();
    run(&world, "undisturbed");
    let steps = world.borrow().life.steps_made() - before;
    let counters = world.borrow_mut().counters();
    assert!(
        counters.checkpoints > 2 && counters.misses > 10 && counters.fresh_blocks > 50,
        "{counters:?}"
    );
    let (mut redone, mut lives) = (0, 0);
    let mut random = Random::new(1);
    for at in (0..steps).step_by(stride) {
        let world = fresh(&disk);
        world.borrow_mut().kill();
        // The second life dies at the step, the third soon after, in or behind its recovery.
        world.borrow_mut().deaths = vec![random.below(60), at];
        let model = run(&world, &format!("step {at}"));
        let found = workload::read_tree(&client(&world, 0), "").unwrap();
        assert!(
            found == model,
            "step {at}: {}",
            workload::difference(&model, &found)
        );
        redone += world.borrow_mut().redone();
        lives += world.borrow().lives;
        if at % 50 == 0 {
            image::check(&world.borrow().image(), true).unwrap();
        }
    }
    eprintln!("{steps} steps, {lives} lives, {redone} transactions redone by the last ones");
    assert!(
        redone > 0,
        "no life died between a transaction's announcement and its end"
    );
}

/// What is in the cache is there again without one read of the disk, dirty or clean.
#[test]
fn a_restart_reads_nothing_that_is_cached() {
    if !image::have_tools() {
        return;
    }
    let world = World::new(image::make(12, &["-b", "4096"]), 1);
    let contents = file(b'x', 300_000);
    client(&world, 0).write("/clean", &contents).unwrap();
    client(&world, 0).write("/dirty", &contents).unwrap();
    // The disk of a second boot has it; reading makes it clean in the cache.
    let second = World::new(world.borrow().image(), 1);
    assert_eq!(client(&second, 0).read("/clean").unwrap(), contents);
    client(&second, 0).write("/dirty", &contents[1..]).unwrap();
    for _ in 0..3 {
        second.borrow_mut().kill();
        let reads = second.borrow().media.borrow().reads;
        assert_eq!(client(&second, 0).read("/clean").unwrap(), contents);
        assert_eq!(client(&second, 0).read("/dirty").unwrap(), &contents[1..]);
        assert_eq!(second.borrow().media.borrow().reads, reads);
    }
}

/// Bytes of the cache that changed while nobody looked are found; so is a damaged index.
#[test]
fn damage_is_found_and_mended() {
    if !image::have_tools() {
        return;
    }
    let disk = image::make(12, &["-b", "4096"]);
    let first = World::new(disk, 1);
    let contents = file(b'y', 40_000);
    client(&first, 0).write("/f", &contents).unwrap();
    client(&first, 0).sync().unwrap();
    let world = World::new(first.borrow().image(), 1);
    assert_eq!(client(&world, 0).read("/f").unwrap(), contents);
    world.borrow_mut().kill();
    // The file's blocks are clean and somewhere in the first slots.
    let bytes = world.borrow().memory.bytes();
    let at = bytes
        .windows(64)
        .position(|part| part == &contents[8192..8256]);
    world.borrow().memory.set_bytes(at.unwrap() + 8, &[0xee]);
    assert_eq!(client(&world, 0).read("/f").unwrap(), contents);
    assert_eq!(world.borrow_mut().counters().damaged, 1);
    client(&world, 0).write("/g", &contents).unwrap();
    for at in [0, 30, 1030, 4100, 8192, 8200, 8230] {
        world.borrow_mut().kill();
        let index = world.borrow().index.clone().unwrap();
        let old = index.bytes()[at];
        index.set_bytes(at, &[old ^ 0x10]);
        assert_eq!(client(&world, 0).read("/f").unwrap(), contents, "byte {at}");
        assert_eq!(client(&world, 0).read("/g").unwrap(), contents, "byte {at}");
    }
    image::check(&world.borrow().image(), true).unwrap();
}

/// Bytes of the superblock that were damaged, and what we know of it then, do not get to the disk.
#[test]
fn a_damaged_superblock_is_not_committed() {
    if !image::have_tools() {
        return;
    }
    let disk = image::make(12, &["-b", "4096"]);
    let magic_block_size_and_inodes = [0x38, 0x18, 0x28];
    for byte in magic_block_size_and_inodes {
        let world = World::new(disk.clone(), 1);
        let contents = file(b'z', 40_000);
        let fs = client(&world, 0);
        fs.write("/f", &contents).unwrap();
        let open = OpenOptions::new().read(true).write(true).open(&fs, "/f");
        let open = open.unwrap();
        // It grows past `rsext4`, which would write its own copy of the superblock over the damaged one.
        open.write_at(40_000, &contents).unwrap();
        let memory = world.borrow().memory.clone();
        let bytes = memory.bytes();
        let is_superblock = |at: &usize| bytes[at + 0x38..at + 0x3a] == [0x53, 0xef];
        let places = (0x400..bytes.len() - 0x400).step_by(0x1000);
        for at in places.filter(is_superblock) {
            memory.set_bytes(at + byte, &[bytes[at + byte] ^ 0x40]);
        }
        let write = || open.write_at(80_000, &contents);
        let life = std::panic::catch_unwind(std::panic::AssertUnwindSafe(write));
        assert!(life.is_err(), "byte {byte:#x}");
        let world = World::new(world.borrow().media.borrow().image(), 1);
        assert_eq!(client(&world, 0).read("/f").unwrap(), contents.repeat(2));
        image::check(&world.borrow().image(), true).unwrap();
    }
}
