// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! A program in C (`program.c`) on the real file service, on a disk made by the host's mke2fs. The
//! service dies in the middle of its work, again and again, and the program sees nothing of it.

#![expect(
    unsafe_code,
    reason = "a program in C, and the functions that it calls"
)]

#[path = "../../../pds/fs/tests/common/mod.rs"]
mod common;

use std::sync::Mutex;

use common::{Random, World, image};
use fs_client::Peer;
use fs_posix::ffi::{Channel, Connection, Region, attach_to, kintsugi_files_attach};

#[link(name = "fs_posix_test_program", kind = "static")]
unsafe extern "C" {
    safe fn fs_posix_program() -> i32;
}

/// The library has one state, as a protection domain has one thread.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Runs the program; returns how often the service has begun a life.
fn run(seed: Option<u64>) -> u32 {
    let world = World::new(image::make(32, &[]), 1);
    if let Some(seed) = seed {
        let mut random = Random::new(seed);
        world.borrow_mut().deaths = (0..80).map(|_| 1 + random.below(80)).collect();
    }
    attach_to(common::client(&world, 0));
    let line = fs_posix_program();
    assert_eq!(line, 0, "program.c:{line} with seed {seed:?}");
    let image = world.borrow().image();
    image::check(&image, true).unwrap_or_else(|found| panic!("seed {seed:?}: {found}"));
    world.borrow().lives
}

#[test]
fn a_program_in_c_finds_what_posix_says() {
    let _one = ONE_AT_A_TIME.lock().unwrap();
    if image::have_tools() {
        assert_eq!(run(None), 1);
    }
}

#[test]
fn it_sees_nothing_of_the_services_deaths() {
    let _one = ONE_AT_A_TIME.lock().unwrap();
    if !image::have_tools() {
        return;
    }
    for seed in 1..=3 {
        let lives = run(Some(seed));
        assert!(lives > 20, "seed {seed}: {lives} lives");
    }
}

extern "C" fn nothing() {}

static CALLS: Mutex<String> = Mutex::new(String::new());

extern "C" fn note_notify() {
    CALLS.lock().unwrap().push('n');
}

extern "C" fn note_wait() {
    CALLS.lock().unwrap().push('w');
}

/// Campaign on seL4 release at a5e7c4a, seed 1, trials 4939 and 7697: one bit of an answer changed on its way
/// into the table. SQLite did not take it, and as it never asked again, it waited for ever.
#[test]
fn a_wait_that_brings_no_answer_asks_again() {
    let mut channel = Channel::new(note_notify, note_wait);
    let calls = || std::mem::take(&mut *CALLS.lock().unwrap());
    let mut looks = 0;
    for _ in 0..2 {
        // With an answer to each wait, that is all.
        channel.notify();
        channel.wait_or(&mut || panic!("nothing is missing"));
        assert_eq!(calls(), "nw");
    }
    for times in 1..4 {
        channel.wait_or(&mut || {
            looks += 1;
            false
        });
        assert_eq!((looks, calls().as_str()), (times, "nw"));
    }
    // It was there all the time, and only its notification was lost.
    channel.wait_or(&mut || true);
    assert_eq!(calls(), "");
}

#[test]
fn what_cannot_be_attached_is_an_error() {
    let _one = ONE_AT_A_TIME.lock().unwrap();
    let region = |bytes: usize| Region {
        start: vec![0u64; bytes / 8].leak().as_mut_ptr().cast(),
        size: bytes,
    };
    let mut connection = Connection {
        requests: region(64),
        completions: region(0x1_0000),
        output: region(0x1000),
        input: region(0x1000),
        notify: nothing,
        wait: nothing,
    };
    // SAFETY: the regions are leaked memory that nobody else uses.
    let attach = |connection: &Connection| unsafe { kintsugi_files_attach(connection) };
    assert_eq!(attach(&connection), -1);
    connection.requests = region(0x1_0000);
    assert_eq!(attach(&connection), 0);
    connection.requests.start = std::ptr::null_mut();
    assert_eq!(attach(&connection), -1);
}
