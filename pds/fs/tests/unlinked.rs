// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Links, attributes, and files that somebody has open although their last name is gone: over restarts of the
//! service, over power cuts, and to the last `close`.

mod common;

use common::{Random, SharedWorld, World, client, image};
use fs_client::events::{Answer, Requests};
use fs_client::{Attributes, Errno, Error, File, FileRecord, FileSystem, OpenOptions, Time};

fn is<T>(errno: Errno) -> Result<T, Error> {
    Err(Error::Errno(errno))
}

fn world(clients: usize) -> SharedWorld {
    World::new(image::make(16, &["-b", "4096"]), clients)
}

fn free_blocks(fs: &FileSystem) -> u64 {
    fs.space().unwrap().blocks_free
}

fn read_write(fs: &FileSystem, path: &str) -> File {
    let options = OpenOptions::new().read(true).write(true).create(true);
    options.open(fs, path).unwrap()
}

fn contents(file: &File) -> Vec<u8> {
    let mut bytes = vec![0; file.metadata().unwrap().len() as usize];
    assert_eq!(file.read_at(0, &mut bytes).unwrap(), bytes.len());
    bytes
}

#[test]
fn links_are_names_of_one_file() {
    if !image::have_tools() {
        return;
    }
    let world = world(1);
    let fs = client(&world, 0);
    fs.write("/a", b"one").unwrap();
    fs.create_dir("/d").unwrap();
    fs.hard_link("/a", "/d/b").unwrap();
    assert_eq!(fs.metadata("/a").unwrap().links(), 2);
    assert_eq!(
        fs.metadata("/a").unwrap().inode(),
        fs.metadata("/d/b").unwrap().inode()
    );
    fs.write("/d/b", b"other").unwrap();
    assert_eq!(fs.read("/a").unwrap(), b"other");
    assert_eq!(fs.hard_link("/a", "/d/b"), is(Errno::Exists));
    assert_eq!(fs.hard_link("/none", "/x"), is(Errno::NoEntry));
    assert_eq!(fs.hard_link("/d", "/x"), is(Errno::Perm));
    assert_eq!(fs.hard_link("/a", "/none/x"), is(Errno::NoEntry));
    // A rename between two names of one file does nothing.
    fs.rename("/a", "/d/b").unwrap();
    assert_eq!(fs.metadata("/a").unwrap().links(), 2);
    fs.remove_file("/a").unwrap();
    assert_eq!(fs.metadata("/d/b").unwrap().links(), 1);
    assert_eq!(fs.read("/d/b").unwrap(), b"other");
    image::check(&world.borrow().image(), true).unwrap();
}

#[test]
fn symbolic_links_are_followed_where_posix_says() {
    if !image::have_tools() {
        return;
    }
    let world = world(1);
    let fs = client(&world, 0);
    fs.create_dir("/d").unwrap();
    fs.write("/d/f", b"file").unwrap();
    fs.symlink("d/f", "/l").unwrap();
    fs.symlink("/d", "/folder").unwrap();
    fs.symlink("none", "/dangling").unwrap();
    fs.symlink("loop", "/loop").unwrap();
    let long = format!("/d/{}f", "./".repeat(40));
    fs.symlink(&long, "/long").unwrap();
    assert_eq!(fs.read_link("/l").unwrap(), b"d/f");
    assert_eq!(fs.read_link("/long").unwrap(), long.as_bytes());
    assert_eq!(fs.read_link("/d/f"), is(Errno::Invalid));
    for path in ["/l", "/folder/f", "/long", "/folder/../l"] {
        assert_eq!(fs.read(path).unwrap(), b"file", "{path}");
    }
    assert!(fs.symlink_metadata("/l").unwrap().is_symlink());
    assert!(fs.symlink_metadata("/folder/").unwrap().is_dir());
    assert!(fs.metadata("/l").unwrap().is_file());
    assert_eq!(fs.metadata("/loop").err(), is::<()>(Errno::Loop).err());
    assert_eq!(fs.symlink("x", "/l"), is(Errno::Exists));
    assert_eq!(fs.symlink("", "/x"), is(Errno::NoEntry));
    assert_eq!(fs.create_dir("/dangling"), is(Errno::Exists));
    let open = |options: OpenOptions, path| options.open(&fs, path).map(|_| ());
    let read = OpenOptions::new().read(true);
    let write = OpenOptions::new().write(true);
    assert_eq!(open(read.no_follow(true), "/l"), is(Errno::Loop));
    assert_eq!(open(read.no_follow(true), "/folder/f"), Ok(()));
    assert_eq!(
        open(read.directory(true).no_follow(true), "/folder"),
        is(Errno::NotDirectory)
    );
    assert_eq!(open(read, "/dangling"), is(Errno::NoEntry));
    assert_eq!(open(write.create_new(true), "/dangling"), is(Errno::Exists));
    // Creating through a link makes what it points to.
    assert_eq!(open(write.create(true), "/dangling"), Ok(()));
    assert!(fs.metadata("/none").unwrap().is_file());
    fs.rename("/l", "/d/l").unwrap();
    assert_eq!(fs.read("/d/l"), is(Errno::NoEntry));
    fs.remove_file("/dangling").unwrap();
    assert!(fs.exists("/none").unwrap());
    image::check(&world.borrow().image(), true).unwrap();
}

#[test]
fn attributes_are_stored_to_the_nanosecond() {
    if !image::have_tools() {
        return;
    }
    let world = world(1);
    let fs = client(&world, 0);
    fs.write("/f", b"x").unwrap();
    fs.symlink("f", "/l").unwrap();
    let attributes = Attributes {
        mode: Some(0o4751),
        accessed: Time::At(5_000_000_007),
        modified: Time::At(-3),
    };
    fs.set_attributes("/l", &attributes).unwrap();
    world.borrow_mut().kill();
    let found = fs.metadata("/f").unwrap();
    assert_eq!(found.permissions(), 0o4751);
    assert_eq!((found.accessed(), found.modified()), (5_000_000_007, -3));
    // Beyond 2038, and one alone.
    let file = File::open(&fs, "/f").unwrap();
    let late = 5_000_000_000_000_000_001;
    let attributes = Attributes {
        modified: Time::At(late),
        ..Attributes::default()
    };
    file.set_attributes(&attributes).unwrap();
    let found = fs.metadata("/f").unwrap();
    assert_eq!((found.accessed(), found.modified()), (5_000_000_007, late));
    let now = Attributes {
        modified: Time::Now,
        ..Attributes::default()
    };
    fs.set_attributes("/f", &now).unwrap();
    let found = fs.metadata("/f").unwrap().modified();
    assert!(found / 1_000_000_000 >= 1_700_000_000 && found < late);
    fs.set_symlink_attributes("/l", &now).unwrap();
    assert_eq!(fs.set_attributes("", &now), is(Errno::NoEntry));
    assert_eq!(fs.set_permissions("/f", 0o10000), is(Errno::Invalid));
    let image = image::check(&world.borrow().image(), true).unwrap();
    let again = World::new(image, 1);
    let found = client(&again, 0).metadata("/f").unwrap();
    assert_eq!(
        (found.accessed(), found.permissions()),
        (5_000_000_007, 0o4751)
    );
}

/// A file without a name is a file, for all who have it open, until the last of them closes it.
#[test]
fn a_file_stays_until_the_last_close() {
    if !image::have_tools() {
        return;
    }
    let world = world(2);
    let (fs, other) = (client(&world, 0), client(&world, 1));
    let file = read_write(&fs, "/f");
    file.write_all_at(0, &[7; 200_000]).unwrap();
    let before = free_blocks(&other);
    let theirs = File::open(&other, "/f").unwrap();
    let clone = file.clone();
    other.remove_file("/f").unwrap();
    assert_eq!(fs.metadata("/f").err(), is::<()>(Errno::NoEntry).err());
    assert_eq!(file.metadata().unwrap().links(), 0);
    for lives in 0..3 {
        file.write_all_at(10, &[lives; 5]).unwrap();
        world.borrow_mut().kill();
        assert_eq!(
            contents(&theirs)[8..16],
            [7, 7, lives, lives, lives, lives, lives, 7]
        );
    }
    // Another file of the same name, and a name that is found nowhere.
    fs.write("/f", b"new").unwrap();
    let names: Vec<_> = fs
        .read_dir("/")
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert_eq!(
        fs.metadata("/.kintsugi-unlinked").err(),
        is::<()>(Errno::Perm).err()
    );
    drop(file);
    drop(theirs);
    assert_eq!(contents(&clone).len(), 200_000);
    assert!(free_blocks(&fs) <= before);
    world.borrow_mut().kill();
    drop(clone);
    // The first request finds nothing to do yet: the last life did not know of it.
    fs.sync().unwrap();
    assert!(free_blocks(&fs) > before + 45);
    image::check(&world.borrow().image(), true).unwrap();
}

/// So is one that another one was renamed over.
#[test]
fn a_file_that_was_renamed_over_stays_too() {
    if !image::have_tools() {
        return;
    }
    let world = world(1);
    let fs = client(&world, 0);
    fs.write("/old", b"old").unwrap();
    fs.write("/new", b"new").unwrap();
    let old = File::open(&fs, "/old").unwrap();
    fs.rename("/new", "/old").unwrap();
    world.borrow_mut().kill();
    assert_eq!(contents(&old), b"old");
    assert_eq!(fs.read("/old").unwrap(), b"new");
    // With two names, the other one stays.
    fs.hard_link("/old", "/second").unwrap();
    let file = File::open(&fs, "/old").unwrap();
    fs.remove_file("/old").unwrap();
    assert_eq!(file.metadata().unwrap().links(), 1);
    fs.remove_file("/second").unwrap();
    assert_eq!(
        (file.metadata().unwrap().links(), contents(&file)),
        (0, b"new".to_vec())
    );
}

/// A power cut closes everything: the next boot removes what has no name.
#[test]
fn the_next_boot_removes_them() {
    if !image::have_tools() {
        return;
    }
    let world = world(1);
    let fs = client(&world, 0);
    fs.sync().unwrap();
    let before = free_blocks(&fs);
    let files: Vec<_> = (0..40)
        .map(|number| read_write(&fs, &format!("/f{number}")))
        .collect();
    for (number, file) in files.iter().enumerate() {
        file.write_all_at(0, &[1; 20_000]).unwrap();
        fs.remove_file(&format!("/f{number}")).unwrap();
    }
    fs.sync().unwrap();
    assert!(free_blocks(&fs) < before - 190);
    // What the host sees is sound, now and after the next boot.
    let image = image::check(&world.borrow().image(), true).unwrap();
    let again = World::new(image, 1);
    let fs = client(&again, 0);
    fs.sync().unwrap();
    // The folder itself stays.
    assert!(free_blocks(&fs) >= before - 1);
    image::check(&again.borrow().image(), true).unwrap();
}

/// What a client says to have open without having been given it keeps nothing, nor does what an earlier
/// life of it had.
#[test]
fn only_what_was_given_counts() {
    if !image::have_tools() {
        return;
    }
    let world = world(2);
    let (fs, other) = (client(&world, 0), client(&world, 1));
    let file = read_write(&fs, "/f");
    file.write_all_at(0, &[7; 200_000]).unwrap();
    let before = free_blocks(&fs);
    // Client 1 says that it has what client 0 was given.
    let record = file.record();
    let stolen = File::from_record(&other, &record).unwrap();
    drop(file);
    fs.remove_file("/f").unwrap();
    assert!(
        free_blocks(&fs) > before + 45,
        "a stolen handle keeps a file"
    );
    assert_eq!(stolen.metadata().err(), is::<()>(Errno::BadHandle).err());
    // Client 0 begins anew: what it had open is closed.
    let file = read_write(&fs, "/g");
    file.write_all_at(0, &[7; 200_000]).unwrap();
    let reborn = client(&world, 0);
    reborn.remove_file("/g").unwrap();
    assert!(free_blocks(&reborn) > before + 45);
    let found: Result<FileRecord, Error> = file.metadata().map(|_| file.record());
    assert_eq!(found, is(Errno::Stale));
}

/// The event style: a handle that was answered keeps its file, before and after the answer is taken.
#[test]
fn an_answer_that_nobody_took_keeps_its_file() {
    if !image::have_tools() {
        return;
    }
    let world = world(2);
    let other = client(&world, 1);
    other.write("/f", b"hello").unwrap();
    let regions = world.borrow().links[0].client_side();
    let mut requests = Requests::attach(regions, 4).unwrap();
    let read = OpenOptions::new().read(true);
    requests.open("/f", &read).unwrap();
    world.borrow_mut().run();
    world.borrow_mut().kill();
    other.remove_file("/f").unwrap();
    let Some((_, Ok(Answer::Opened(file)))) = requests.next_answer() else {
        panic!("it was there");
    };
    requests.sync().unwrap();
    world.borrow_mut().run();
    while requests.next_answer().is_some() {}
    requests.read(&file, 0, 10).unwrap();
    world.borrow_mut().run();
    let found = requests.next_answer().unwrap().1;
    assert_eq!(found, Ok(Answer::Read(b"hello".to_vec())));
    requests.close(file);
    other.sync().unwrap();
    requests.read(&file, 0, 10).unwrap();
    world.borrow_mut().run();
    assert_eq!(requests.next_answer().unwrap().1, is(Errno::Stale));
}

/// Files lose their names, and the service its lives, at every step.
#[test]
fn killed_at_any_step() {
    if !image::have_tools() {
        return;
    }
    for seed in 1..=6 {
        let mut random = Random::new(seed);
        let world = World::new(image::make(12, &["-b", "1024", "-J", "size=1"]), 2);
        let fs = client(&world, 0);
        fs.sync().unwrap();
        let before = free_blocks(&fs);
        world.borrow_mut().deaths = (0..60).map(|_| random.below(80)).collect();
        world.borrow_mut().kill();
        let mut open: Vec<(File, Vec<u8>)> = Vec::new();
        for round in 0..60_u8 {
            let path = format!("/f{}", random.below(3));
            let file = read_write(&fs, &path);
            let bytes = vec![round; 1 + random.below(9000) as usize];
            file.set_len(0).unwrap();
            file.write_all_at(0, &bytes).unwrap();
            match random.below(2) {
                0 => fs.remove_file(&path).unwrap(),
                _ => {
                    fs.write("/other", b"other").unwrap();
                    fs.rename("/other", &path).unwrap();
                }
            }
            open.push((file, bytes));
            if open.len() > 5 {
                open.swap_remove(random.below(5) as usize);
            }
            for (file, bytes) in &open {
                assert!(contents(file) == *bytes, "seed {seed} round {round}");
            }
        }
        assert!(world.borrow().lives > 10);
        world.borrow_mut().kill();
        world.borrow_mut().deaths.clear();
        drop(open);
        for name in 0..3 {
            let _ = fs.remove_file(&format!("/f{name}"));
        }
        fs.sync().unwrap();
        // Only the folder of unlinked files is more than before.
        assert!(free_blocks(&fs) >= before - 1, "seed {seed}");
        image::check(&world.borrow().image(), true).unwrap();
    }
}
