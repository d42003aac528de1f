// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Disks that refuse or fail writes, and file systems with errors: what was acknowledged can be read,
//! nothing is changed, and the client is told why.

mod common;

use common::{Random, SharedWorld, World, client, image, workload};
use fs_client::{Errno, Error, File, FileSystem, OpenOptions};
use workload::Tree;

fn is<T>(errno: Errno) -> Result<T, Error> {
    Err(Error::Errno(errno))
}

/// A disk with files whose journal is not empty: the image of a service that was killed.
fn used(arguments: &[&str]) -> (Vec<u8>, Tree) {
    let world = World::new(image::make(16, arguments), 1);
    let fs = client(&world, 0);
    let mut random = Random::new(5);
    let mut model = Tree::new();
    for _ in 0..80 {
        let step = workload::draw(&mut random, "/");
        let expected = workload::apply(&mut model, &step).map_err(Error::Errno);
        assert_eq!(workload::run(&fs, &step), expected);
    }
    fs.write("/known", b"known").unwrap();
    let known = workload::Node::file(b"known".to_vec());
    model.insert("/known".to_owned(), known);
    let image = world.borrow().image();
    (image, model)
}

fn everything_is_refused(fs: &FileSystem) {
    let open = |options: OpenOptions| options.open(fs, "/known").map(|_| ());
    assert_eq!(open(OpenOptions::new().write(true)), is(Errno::ReadOnly));
    assert_eq!(fs.write("/new", b"x"), is(Errno::ReadOnly));
    assert_eq!(fs.create_dir("/new"), is(Errno::ReadOnly));
    assert_eq!(fs.remove_file("/known"), is(Errno::ReadOnly));
    assert_eq!(fs.rename("/known", "/new"), is(Errno::ReadOnly));
    assert_eq!(fs.hard_link("/known", "/new"), is(Errno::ReadOnly));
    assert_eq!(fs.symlink("/known", "/new"), is(Errno::ReadOnly));
    assert_eq!(fs.set_permissions("/known", 0), is(Errno::ReadOnly));
    assert_eq!(fs.read("/known").unwrap(), b"known");
    assert_eq!(fs.read("/none"), is(Errno::NoEntry));
    assert!(fs.space().is_ok());
}

#[test]
fn a_disk_that_refuses_writes_is_read_with_its_journal() {
    if !image::have_tools() {
        return;
    }
    let (disk, model) = used(&["-b", "4096"]);
    let world = World::new(disk.clone(), 1);
    world.borrow().media.borrow_mut().read_only = true;
    let fs = client(&world, 0);
    for _ in 0..2 {
        let found = workload::read_tree(&fs, "").unwrap();
        assert!(found == model, "{}", workload::difference(&model, &found));
        everything_is_refused(&fs);
        assert_eq!(fs.sync(), Ok(()));
        world.borrow_mut().kill();
    }
    assert!(world.borrow().image() == disk, "something was written");
}

#[test]
fn a_file_system_with_errors_is_not_written() {
    if !image::have_tools() {
        return;
    }
    let (mut disk, model) = used(&["-b", "1024", "-O", "^metadata_csum"]);
    // "Errors detected".
    disk[1024 + 0x3a] |= 2;
    let world = World::new(disk.clone(), 1);
    let fs = client(&world, 0);
    let found = workload::read_tree(&fs, "").unwrap();
    assert!(found == model, "{}", workload::difference(&model, &found));
    everything_is_refused(&fs);
    assert!(world.borrow().image() == disk, "something was written");
    // Once e2fsck has looked at it, it is used again.
    let checked = image::check(&disk, false).unwrap();
    let world = World::new(checked, 1);
    client(&world, 0).write("/new", b"new").unwrap();
}

/// The disk begins to fail writes in the middle of the work.
///
/// Returns what is there: without the last step and, of which a part may have been acknowledged, with it;
/// and what was there when nothing waited to be carried out, as it is when the memory is gone too.
fn failing_from(seed: u64) -> (SharedWorld, [Tree; 3], FileSystem) {
    let mut random = Random::new(seed);
    let disk = image::make(16, &["-b", "1024", "-J", "size=1"]);
    let world = World::new(disk, 1);
    let fs = client(&world, 0);
    fs.write("/known", b"known").unwrap();
    let mut model = Tree::new();
    let known = workload::Node::file(b"known".to_vec());
    model.insert("/known".to_owned(), known);
    let mut settled = model.clone();
    let writes = 20 + random.below(400);
    world.borrow().media.borrow_mut().writes_left = Some(writes);
    for _ in 0..2000 {
        let step = workload::draw(&mut random, "/");
        let mut next = model.clone();
        let expected = workload::apply(&mut next, &step).map_err(Error::Errno);
        let found = workload::run(&fs, &step);
        if found == expected {
            model = next;
            let mut world = world.borrow_mut();
            if world.service().volume().unwrap().deferred_count() == 0 {
                settled.clone_from(&model);
            }
            continue;
        }
        // A step may be several requests: the first one that fails says so.
        assert!(
            [is(Errno::Io), is(Errno::ReadOnly)].contains(&found),
            "seed {seed}: {found:?}"
        );
        return (world, [model, next, settled], fs);
    }
    panic!("seed {seed}: it never failed");
}

#[test]
fn a_disk_that_begins_to_fail_loses_nothing_that_was_acknowledged() {
    if !image::have_tools() {
        return;
    }
    for seed in 1..=12 {
        let (world, states, fs) = failing_from(seed);
        let model = &states[0];
        everything_is_refused(&fs);
        let found = workload::read_tree(&fs, "").unwrap();
        assert!(
            states[..2].contains(&found),
            "seed {seed}: {}",
            workload::difference(model, &found)
        );
        let file = File::open(&fs, "/known").unwrap();
        // A new life of the service meets the same disk. It may have to find that out.
        world.borrow_mut().kill();
        let first = fs.write("/new", b"x");
        assert!(
            [is(Errno::Io), is(Errno::ReadOnly)].contains(&first),
            "{first:?}"
        );
        everything_is_refused(&fs);
        assert_eq!(file.metadata().map(|found| found.len()), Ok(5));
        // The next boot, with a disk that works again.
        let image = world.borrow().image();
        let again = World::new(image.clone(), 1);
        let found = workload::read_tree(&client(&again, 0), "").unwrap();
        // The transaction that failed may be there after all: nobody was told anything of it.
        assert!(
            states.contains(&found),
            "seed {seed}: {}",
            workload::difference(model, &found)
        );
        image::check(&again.borrow().image(), true).unwrap();
    }
}

/// Each write of an operation whose data go past the journal is the first one that fails.
#[test]
fn a_fresh_block_that_cannot_be_written_is_acknowledged_to_nobody() {
    if !image::have_tools() {
        return;
    }
    let disk = image::make(16, &["-b", "1024", "-J", "size=1"]);
    let mut refused = 0;
    for left in 1.. {
        let world = World::new(disk.clone(), 1);
        let fs = client(&world, 0);
        fs.write("/known", b"known").unwrap();
        let mut file = File::create(&fs, "/new").unwrap();
        world.borrow().media.borrow_mut().writes_left = Some(left);
        let written = embedded_io::Write::write(&mut file, &[7; 40_000]);
        if written.is_ok() {
            // The last one is a part of a block.
            assert_eq!(world.borrow_mut().counters().fresh_blocks, 39);
            break;
        }
        refused += 1;
        assert_eq!(written.map(|_| ()), is(Errno::Io), "{left} writes");
        assert_eq!(file.metadata().map(|found| found.len()), Ok(0));
        let again = World::new(world.borrow().image(), 1);
        let found = client(&again, 0).read("/new").unwrap();
        // The transaction that failed may be there after all.
        assert!([vec![], vec![7; 40_000]].contains(&found), "{left} writes");
        image::check(&again.borrow().image(), true).unwrap();
    }
    assert!(refused > 10, "it failed {refused} times");
}
