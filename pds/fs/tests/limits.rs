// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Root folders and shares: what a client cannot see, and cannot use up.

mod common;

use common::{Random, SharedWorld, World, client, image, workload};
use fs_client::{Errno, Error, File, FileSystem, OpenOptions};
use fs_service::limits::Limits;

fn is<T>(errno: Errno) -> Result<T, Error> {
    Err(Error::Errno(errno))
}

fn rooted(root: &str) -> Limits {
    Limits {
        root: root.as_bytes().to_vec(),
        ..Limits::default()
    }
}

fn world(limits: Vec<Option<Limits>>) -> SharedWorld {
    let world = World::new(image::make(24, &["-b", "1024"]), limits.len());
    world.borrow_mut().limits = Some(limits);
    world
}

fn names_in(fs: &FileSystem, path: &str) -> Vec<String> {
    let names = fs.read_dir(path).unwrap();
    let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names
}

#[test]
fn a_path_cannot_leave_its_root() {
    if !image::have_tools() {
        return;
    }
    let limits = vec![
        Some(rooted("/a/b")),
        Some(rooted("/c")),
        Some(Limits::default()),
        None,
    ];
    let world = world(limits);
    let [inner, other, all, nobody] = [0, 1, 2, 3].map(|number| client(&world, number));
    all.write("/secret", b"secret").unwrap();
    other.write("/theirs", b"theirs").unwrap();
    inner.write("/mine", b"mine").unwrap();
    assert_eq!(names_in(&inner, "/"), ["mine"]);
    assert_eq!(names_in(&all, "/"), ["a", "c", "lost+found", "secret"]);
    assert_eq!(all.read("/a/b/mine").unwrap(), b"mine");
    inner.symlink("/secret", "/absolute").unwrap();
    inner.symlink("../../secret", "/relative").unwrap();
    inner.symlink("/../../c", "/folder").unwrap();
    inner.create_dir("/d").unwrap();
    inner.symlink("../../../../c/theirs", "/d/deep").unwrap();
    for path in [
        "/secret",
        "../secret",
        "/../../secret",
        "/d/../../../secret",
        "/absolute",
        "/relative",
        "/folder/theirs",
        "/d/deep",
        "/../c/theirs",
        "/.kintsugi-results",
        "/lost+found",
    ] {
        assert_eq!(inner.read(path), is(Errno::NoEntry), "{path}");
        assert_eq!(
            inner.rename("/mine", &format!("{path}/x")),
            is(Errno::NoEntry),
            "{path}"
        );
        assert_eq!(
            inner.hard_link(path, "/got"),
            match path {
                // A link to the symbolic link itself.
                "/absolute" | "/relative" | "/d/deep" => Ok(()),
                _ => is(Errno::NoEntry),
            },
            "{path}"
        );
        let _ = inner.remove_file("/got");
    }
    // Names that go up end at its root, where it may make them.
    inner.write("/../../up", b"up").unwrap();
    assert_eq!(all.read("/a/b/up").unwrap(), b"up");
    assert_eq!(inner.remove_dir("/"), is(Errno::Invalid));
    assert_eq!(inner.remove_dir("/.."), is(Errno::Invalid));
    assert_eq!(nobody.read("/secret"), is(Errno::Access));
    assert_eq!(nobody.space().err(), is::<()>(Errno::Access).err());
    // Its folder is moved away under it: it gets a new one, and keeps what it has open.
    let open = File::open(&inner, "/mine").unwrap();
    all.rename("/a", "/moved").unwrap();
    assert_eq!(inner.read("/mine"), is(Errno::NoEntry));
    assert_eq!(open.metadata().unwrap().len(), 4);
    image::check(&world.borrow().image(), true).unwrap();
}

fn share(root: &str) -> Limits {
    Limits {
        bytes_max: Some(300 * 1024),
        files_max: Some(20),
        open_max: 3,
        requests_max: 2,
        ..rooted(root)
    }
}

#[test]
fn a_share_ends() {
    if !image::have_tools() {
        return;
    }
    let world = world(vec![Some(share("/a")), Some(Limits::default())]);
    let (fs, all) = (client(&world, 0), client(&world, 1));
    fs.write("/f", &[1; 200_000]).unwrap();
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&fs, "/f")
        .unwrap();
    assert_eq!(file.write_all_at(200_000, &[2; 150_000]), is(Errno::Quota));
    assert_eq!(file.metadata().unwrap().len(), 200_000);
    // What needs no more room is allowed, and what was refused has left nothing.
    file.write_all_at(0, &[3; 200_000]).unwrap();
    file.write_all_at(200_000, &[2; 50_000]).unwrap();
    all.write("/b", &[1; 900_000]).unwrap();
    let space = fs.space().unwrap();
    assert_eq!((space.blocks, space.files), (300, 20));
    assert!(space.blocks_free < 60, "{space:?}");
    // A file without a name still counts, until nobody has it open.
    fs.remove_file("/f").unwrap();
    assert_eq!(fs.write("/g", &[1; 200_000]), is(Errno::Quota));
    drop(file);
    fs.write("/g", &[1; 200_000]).unwrap();
    fs.remove_file("/g").unwrap();
    let mut made = 0;
    let refused = loop {
        match fs.create_dir(&format!("/d{made}")) {
            Ok(()) => made += 1,
            Err(error) => break error,
        }
    };
    assert_eq!((refused, made), (Error::Errno(Errno::Quota), 19));
    let open = |path: &str| File::open(&fs, path);
    let opened: Vec<_> = (0..3)
        .map(|number| open(&format!("/d{number}")).unwrap())
        .collect();
    assert_eq!(open("/d3").err(), is::<()>(Errno::TooManyOpen).err());
    drop(opened);
    open("/d3").unwrap();
    image::check(&world.borrow().image(), true).unwrap();
}

/// The count that is carried from operation to operation is what a look at everything finds, whatever the
/// client does, whoever dies, and also after the next boot.
#[test]
fn what_is_counted_is_what_is_there() {
    if !image::have_tools() {
        return;
    }
    for seed in 1..=4 {
        let mut random = Random::new(seed);
        let world = world(vec![Some(share("/a")), Some(Limits::default())]);
        let (fs, all) = (client(&world, 0), client(&world, 1));
        fs.sync().unwrap();
        all.write("/other", &[1; 10_000]).unwrap();
        world.borrow_mut().deaths = (0..40).map(|_| random.below(80)).collect();
        world.borrow_mut().kill();
        let mut refused = 0;
        for round in 0..300 {
            let step = workload::draw(&mut random, "/");
            refused += u32::from(workload::run(&fs, &step) == is(Errno::Quota));
            if round % 10 == 0 {
                all.write(&format!("/other{}", random.below(3)), &vec![2; round * 50])
                    .unwrap();
            }
            if round % 50 == 0 {
                look(&world, (&fs, &all), seed);
            }
        }
        assert!(world.borrow().lives > 10);
        world.borrow_mut().deaths.clear();
        look(&world, (&fs, &all), seed);
        let image = image::check(&world.borrow().image(), true).unwrap();
        let again = World::new(image, 2);
        again.borrow_mut().limits = Some(vec![Some(share("/a")), Some(Limits::default())]);
        look(&again, (&client(&again, 0), &client(&again, 1)), seed);
        eprintln!("seed {seed}: {refused} refused");
    }
}

fn look(world: &SharedWorld, (fs, all): (&FileSystem, &FileSystem), seed: u64) {
    fs.sync().unwrap();
    let space = fs.space().unwrap();
    let root = all.metadata("/a").unwrap().inode();
    let mut world = world.borrow_mut();
    let volume = world.service().volume().unwrap();
    let found = volume.count_folder(root).unwrap();
    let counted = (300 - space.blocks_free, 20 - space.files_free);
    assert_eq!((found.blocks, found.inodes), counted, "seed {seed}");
}
