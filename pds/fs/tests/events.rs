// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The client library's event style: many requests under way, each answered once with its own data, while
//! the service dies.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use common::{Random, SharedWorld, World, image};
use fs_client::events::{Answer, Cursor, Opened, Refused, Requests, Token};
use fs_client::{Errno, Error, OpenOptions, Regions};
use sel4_shared_memory::host::Life;

const DEPTH: usize = 16;

fn attach(world: &SharedWorld) -> Requests {
    let link = world.borrow().links[0].clone();
    let regions = Regions {
        requests: link.requests.shared_mut(&Life::endless()),
        completions: link.completions.shared_ref(),
        output: link.to_service.shared_mut(&Life::endless()),
        input: link.to_client.shared_ref(),
    };
    Requests::attach(regions, DEPTH).unwrap()
}

fn answers(world: &SharedWorld, requests: &mut Requests) -> BTreeMap<Token, Result<Answer, Error>> {
    let mut found = BTreeMap::new();
    while requests.under_way() > 0 {
        world.borrow_mut().run();
        while let Some((token, answer)) = requests.next_answer() {
            assert!(found.insert(token, answer).is_none(), "answered twice");
        }
    }
    found
}

fn one(world: &SharedWorld, requests: &mut Requests, token: Token) -> Result<Answer, Error> {
    let mut found = answers(world, requests);
    assert_eq!(found.len(), 1);
    found.remove(&token).expect("it is that one's")
}

fn open(world: &SharedWorld, requests: &mut Requests, path: &str) -> Opened {
    let options = OpenOptions::new().read(true).write(true).create(true);
    let token = requests.open(path, &options).unwrap();
    match one(world, requests, token) {
        Ok(Answer::Opened(file)) => file,
        other => panic!("{other:?}"),
    }
}

fn content(random: &mut Random, place: u64) -> Vec<u8> {
    let bytes = 1 + random.below(5000) as usize;
    (0..bytes)
        .map(|at| (place * 31 + at as u64) as u8)
        .collect()
}

#[test]
fn every_answer_belongs_to_its_request_while_the_service_dies() {
    if !image::have_tools() {
        return;
    }
    for seed in 1..=4 {
        let mut random = Random::new(seed);
        let world = World::new(image::make(32, &[]), 1);
        world.borrow_mut().deaths = (0..40).map(|_| 1 + random.below(200)).collect();
        let mut requests = attach(&world);
        let files: Vec<_> = (0..4)
            .map(|number| open(&world, &mut requests, &format!("/{number}")))
            .collect();
        for round in 0..6 {
            let pieces: Vec<_> = (0..DEPTH as u64)
                .map(|place| content(&mut random, place + round))
                .collect();
            let at = |place: usize| (&files[place % 4], place as u64 * 8192);
            let mut wanted = BTreeMap::new();
            for (place, piece) in pieces.iter().enumerate() {
                let (file, offset) = at(place);
                let token = requests.write(file, offset, piece).unwrap();
                let end = offset + piece.len() as u64;
                wanted.insert(token, Ok(Answer::Written(piece.len(), end)));
            }
            assert_eq!(requests.sync(), Err(Refused::Busy));
            assert_eq!(answers(&world, &mut requests), wanted, "seed {seed}");
            wanted.clear();
            for (place, piece) in pieces.iter().enumerate() {
                let (file, offset) = at(place);
                let token = requests.read(file, offset, piece.len()).unwrap();
                wanted.insert(token, Ok(Answer::Read(piece.clone())));
            }
            assert_eq!(answers(&world, &mut requests), wanted, "seed {seed}");
        }
        assert!(world.borrow().lives > 10, "seed {seed}");
        image::check(&world.borrow().image(), true).unwrap();
    }
}

#[test]
fn each_request_says_what_has_come_of_it() {
    if !image::have_tools() {
        return;
    }
    let world = World::new(image::make(32, &[]), 1);
    let mut requests = attach(&world);
    let file = open(&world, &mut requests, "/a");
    assert_eq!(file.size(), 0);
    let too_much = vec![0; requests.transfer_max() + 1];
    let refused = Err(Refused::Errno(Errno::Invalid));
    assert_eq!(requests.write(&file, 0, &too_much), refused);
    let mut done = |make: &dyn Fn(&mut Requests) -> Result<Token, Refused>| {
        let token = make(&mut requests).unwrap();
        one(&world, &mut requests, token)
    };
    assert_eq!(done(&|r| r.set_len(&file, 77)), Ok(Answer::Done));
    assert_eq!(done(&|r| r.rename("/a", "/b", false)), Ok(Answer::Done));
    match done(&|r| r.metadata("/b")) {
        Ok(Answer::Described(found)) => assert_eq!(found.len(), 77),
        other => panic!("{other:?}"),
    }
    let missing = Err(Error::Errno(Errno::NoEntry));
    assert_eq!(done(&|r| r.metadata("/a")), missing);
    assert_eq!(done(&|r| r.create_dir("/d")), Ok(Answer::Done));
    assert_eq!(done(&|r| r.remove_dir("/d")), Ok(Answer::Done));
    assert_eq!(done(&|r| r.remove_file("/b")), Ok(Answer::Done));
    assert_eq!(done(&|r| r.sync()), Ok(Answer::Done));
    let only_write = OpenOptions::new().append(true).create(true);
    let Ok(Answer::Opened(log)) = done(&|r| r.open("/log", &only_write)) else {
        panic!("not opened");
    };
    assert_eq!(
        done(&|r| r.write(&log, 0, b"12")),
        Ok(Answer::Written(2, 2))
    );
    assert_eq!(
        done(&|r| r.write(&log, 0, b"34")),
        Ok(Answer::Written(2, 4))
    );
    let refused = Err(Refused::Errno(Errno::BadHandle));
    assert_eq!(requests.read(&log, 0, 1), refused);
}

#[test]
fn links_and_folders_are_described() {
    if !image::have_tools() {
        return;
    }
    let world = World::new(image::make(32, &[]), 1);
    let mut requests = attach(&world);
    let file = open(&world, &mut requests, "/a");
    let folder = OpenOptions::new().read(true).directory(true);
    let mut done = |make: &dyn Fn(&mut Requests) -> Result<Token, Refused>| {
        let token = make(&mut requests).unwrap();
        assert!(!requests.remind());
        world.borrow_mut().run();
        assert!(requests.remind());
        one(&world, &mut requests, token).unwrap()
    };
    assert_eq!(done(&|r| r.symlink("a", "/l")), Answer::Done);
    assert_eq!(done(&|r| r.read_link("/l")), Answer::Target(b"a".to_vec()));
    let described = |answer| match answer {
        Answer::Described(metadata) => metadata,
        other => panic!("{other:?}"),
    };
    assert!(described(done(&|r| r.symlink_metadata("/l"))).is_symlink());
    let inode = described(done(&|r| r.metadata("/l"))).inode();
    assert_eq!(described(done(&|r| r.metadata_of(&file))).inode(), inode);
    assert_eq!(done(&|r| r.create_dir_with_mode("/d", 0o700)), Answer::Done);
    assert_eq!(described(done(&|r| r.metadata("/d"))).permissions(), 0o700);
    let Answer::Space(before) = done(&|r| r.space()) else {
        panic!("no space");
    };
    // More than one answer holds.
    let names: BTreeSet<_> = (0..300)
        .map(|number| format!("a file, number {number}"))
        .collect();
    for name in &names {
        done(&|r| r.hard_link("/a", &format!("/d/{name}")));
    }
    let Answer::Opened(opened) = done(&|r| r.open("/d", &folder)) else {
        panic!("not opened");
    };
    let (mut found, mut parts, mut next) = (BTreeSet::new(), 0, Some(Cursor::default()));
    while let Some(from) = next {
        let Answer::Entries(entries, more) = done(&|r| r.read_dir(&opened, from)) else {
            panic!("not listed");
        };
        for entry in entries {
            assert_eq!(entry.inode(), inode);
            assert!(found.insert(entry.file_name()), "listed twice");
        }
        (parts, next) = (parts + 1, more);
    }
    assert_eq!(found, names);
    assert!(parts > 1);
    let Answer::Space(after) = done(&|r| r.space()) else {
        panic!("no space");
    };
    assert_eq!(before.files_free, after.files_free);
    assert!(before.blocks_free > after.blocks_free);
}

#[test]
fn answers_to_an_earlier_life_are_dropped_and_their_strips_kept_until_then() {
    if !image::have_tools() {
        return;
    }
    let world = World::new(image::make(32, &[]), 1);
    let mut requests = attach(&world);
    let file = open(&world, &mut requests, "/a");
    for place in 0..5 {
        requests.write(&file, place * 100, b"x").unwrap();
    }
    drop(requests);
    let mut reborn = attach(&world);
    assert_eq!(reborn.under_way(), 5);
    let mut made = 0;
    while reborn.sync().is_ok() {
        made += 1;
    }
    assert_eq!(made, DEPTH - 5);
    let found = answers(&Rc::clone(&world), &mut reborn);
    assert_eq!(found.len(), DEPTH - 5);
    for _ in 0..DEPTH {
        reborn.sync().unwrap();
    }
}
