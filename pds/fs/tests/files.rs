// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The client library on the service on a disk of the host's mke2fs: what POSIX says, and what the host's
//! tools find afterwards.

mod common;

use common::image::{self, TempFile};
use common::{Random, World, client};
use embedded_io::{Read, Seek, SeekFrom, Write};
use fs_client::{Errno, Error, File, OpenOptions};

fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut random = Random::new(seed);
    (0..length).map(|_| random.next() as u8).collect()
}

fn is(errno: Errno) -> Option<Error> {
    Some(Error::Errno(errno))
}

/// Names in a directory, sorted.
fn names_in(fs: &fs_client::FileSystem, path: &str) -> Vec<String> {
    let mut names: Vec<_> = fs
        .read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    names
}

/// All operations once, on each block size that mke2fs makes.
#[test]
fn every_operation_and_then_e2fsck() {
    if !image::have_tools() {
        return;
    }
    for block_size in ["1024", "2048", "4096"] {
        let world = World::new(image::make(24, &["-b", block_size]), 1);
        let fs = client(&world, 0);
        fs.create_dir("/a").unwrap();
        fs.create_dir("/a/b").unwrap();
        assert_eq!(fs.create_dir("/a").err(), is(Errno::Exists));
        assert_eq!(fs.create_dir("/x/y").err(), is(Errno::NoEntry));
        let big = bytes(1, 700_000);
        fs.write("/a/b/big", &big).unwrap();
        assert!(fs.read("/a/b/big").unwrap() == big);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&fs, "a/f")
            .unwrap();
        assert_eq!(file.write(b"hello world").unwrap(), 11);
        file.seek(SeekFrom::Start(6)).unwrap();
        file.write_all(b"W").unwrap();
        file.seek(SeekFrom::End(-5)).unwrap();
        let mut word = [0; 8];
        assert_eq!(file.read(&mut word).unwrap(), 5);
        assert_eq!(&word[..5], b"World");
        assert_eq!(file.read(&mut word).unwrap(), 0);
        let again = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&fs, "/a/f");
        assert_eq!(again.err(), is(Errno::Exists));
        let mut log = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&fs, "/log")
            .unwrap();
        for _ in 0..3 {
            log.write_all(b"line\n").unwrap();
        }
        log.sync_all().unwrap();
        assert_eq!(fs.read("/log").unwrap(), b"line\nline\nline\n");
        log.set_len(7).unwrap();
        log.set_len(9).unwrap();
        assert_eq!(fs.read("/log").unwrap(), b"line\nli\0\0");
        fs.rename("/log", "/a/log2").unwrap();
        assert_eq!(fs.metadata("/log").err(), is(Errno::NoEntry));
        fs.rename("/a/f", "/a/log2").unwrap();
        assert_eq!(fs.read("/a/log2").unwrap(), b"hello World");
        // Its name is gone, the file is not.
        assert_eq!(log.metadata().map(|found| found.links()), Ok(0));
        assert_eq!(fs.rename("/a", "/a/b/c").err(), is(Errno::Invalid));
        assert_eq!(fs.rename("/a/b/big", "/a/b").err(), is(Errno::IsDirectory));
        assert_eq!(fs.rename("/a/b", "/a/b/big").err(), is(Errno::Invalid));
        assert_eq!(fs.remove_dir("/a/b").err(), is(Errno::NotEmpty));
        assert_eq!(fs.remove_file("/a/b").err(), is(Errno::IsDirectory));
        let metadata = fs.metadata("/a/b/big").unwrap();
        assert!(metadata.is_file() && metadata.len() == 700_000 && metadata.links() == 1);
        fs.remove_file("/a/b/big").unwrap();
        fs.remove_dir("/a/b").unwrap();
        assert_eq!(names_in(&fs, "/"), ["a", "lost+found"]);
        assert!(fs.space().unwrap().blocks_free > 1000);
        drop(fs);
        let image = world.borrow().image();
        image::check(&image, true).unwrap_or_else(|error| panic!("{block_size}: {error}"));
    }
}

/// The host fills a disk, the service reads it; the service writes, the host reads.
#[test]
fn the_host_and_the_service_read_each_other() {
    if !image::have_tools() {
        return;
    }
    let long = "n".repeat(255);
    let path = format!("/deep/er/{long}");
    let (small, large) = (bytes(2, 100), bytes(3, 3 << 20));
    let files = [("/deep/small", &small[..]), (&path, &large[..])];
    let disk = image::fill(&image::make(24, &[]), &["/deep", "/deep/er"], &files);
    let world = World::new(disk, 1);
    let fs = client(&world, 0);
    assert_eq!(fs.read("/deep/small").unwrap(), small);
    assert_eq!(fs.read(&path).unwrap(), large);
    let too_long = "n".repeat(256);
    assert_eq!(fs.read(&too_long).err(), is(Errno::NameTooLong));
    let reply = bytes(4, 123_456);
    fs.write("/reply", &reply).unwrap();
    let checked = image::check(&world.borrow().image(), true).unwrap();
    let file = TempFile::with(&checked);
    assert_eq!(image::read(&file.0, "/reply"), reply);
    assert_eq!(image::read(&file.0, &path), large);
    // And once more with the service, on what e2fsck has replayed.
    let world = World::new(checked, 1);
    assert_eq!(client(&world, 0).read("/reply").unwrap(), reply);
}

/// Folders large enough for an index, listed in pieces.
#[test]
fn many_files_in_a_folder() {
    if !image::have_tools() {
        return;
    }
    let world = World::new(image::make(24, &["-b", "1024"]), 1);
    let fs = client(&world, 0);
    fs.create_dir("/many").unwrap();
    for number in 0..600 {
        File::create(&fs, &format!("/many/file-number-{number:05}")).unwrap();
    }
    for number in (0..600).step_by(3) {
        fs.remove_file(&format!("/many/file-number-{number:05}"))
            .unwrap();
    }
    let mut names: Vec<_> = fs
        .read_dir("/many")
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    let expected: Vec<_> = (0..600)
        .filter(|number| number % 3 != 0)
        .map(|number| format!("file-number-{number:05}"))
        .collect();
    assert_eq!(names, expected);
    image::check(&world.borrow().image(), true).unwrap();
}

/// A disk that is full says so, keeps what it has, and can be used on.
#[test]
fn full_disk() {
    if !image::have_tools() {
        return;
    }
    let world = World::new(image::make(16, &["-b", "4096"]), 1);
    let fs = client(&world, 0);
    let block = bytes(5, 200_000);
    let mut written = 0;
    let error = loop {
        match fs.write(&format!("/f{written}"), &block) {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error, Error::Errno(Errno::NoSpace));
    assert!(written > 20, "{written}");
    for number in 0..written {
        assert!(
            fs.read(&format!("/f{number}")).unwrap() == block,
            "{number}"
        );
    }
    fs.remove_file("/f0").unwrap();
    fs.write("/again", &block[..100_000]).unwrap();
    image::check(&world.borrow().image(), true).unwrap();
}

/// What is no file system that we can use gets an error for every request, and no crash.
#[test]
fn not_a_file_system() {
    let mut empty = vec![0; 8 << 20];
    let world = World::new(empty.clone(), 1);
    let fs = client(&world, 0);
    assert_eq!(fs.read("/a").err(), is(Errno::NeedsCleaning));
    assert_eq!(fs.sync().err(), is(Errno::NeedsCleaning));
    assert_eq!(world.borrow().image(), empty);
    empty.truncate(512);
    assert_eq!(
        client(&World::new(empty, 1), 0).read("/").err(),
        is(Errno::NeedsCleaning)
    );
    if image::have_tools() {
        let mut cut = image::make(24, &[]);
        cut.truncate(20 << 20);
        assert_eq!(
            client(&World::new(cut, 1), 0).read("/").err(),
            is(Errno::NeedsCleaning)
        );
        let plain = image::make(24, &["-O", "^has_journal"]);
        assert_eq!(
            client(&World::new(plain, 1), 0).read("/").err(),
            is(Errno::NeedsCleaning)
        );
    }
}
