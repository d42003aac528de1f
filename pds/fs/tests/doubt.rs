// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! A life that finds the file system broken may be broken itself, and lets another one see.
//!
//! Campaign on seL4 release, seed 1, trial 199: one bit of an instruction, and every folder needed cleaning,
//! 180,000 times, until somebody else restarted the service.

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};

use common::{SharedWorld, World, client, image};
use fs_client::Error;
use proto::fs::Errno;

const NAME: &str = "a-name-that-is-found-once";

fn damaged() -> Vec<u8> {
    let folder = format!("/folder/{NAME}");
    let mut bytes = image::fill(
        &image::make(12, &["-b", "4096"]),
        &["/folder"],
        &[(&folder, b"contents")],
    );
    let at = bytes
        .windows(NAME.len())
        .rposition(|part| part == NAME.as_bytes());
    bytes[at.expect("it is in a block of its folder")] ^= 1;
    bytes
}

fn list(world: &SharedWorld) -> Result<usize, Error> {
    let entries: Result<Vec<_>, _> = client(world, 0).read_dir("/folder")?.collect();
    entries.map(|entries| entries.len())
}

/// Says whether the present life may end for a second opinion.
fn may_end(world: &SharedWorld, may: bool) {
    let mut world = world.borrow_mut();
    world.service().set_second_opinion(Box::new(move || may));
}

#[test]
fn the_second_life_is_believed() {
    if !image::have_tools() {
        return;
    }
    let world = World::new(damaged(), 1);
    may_end(&world, true);
    let first = catch_unwind(AssertUnwindSafe(|| list(&world)));
    assert!(first.is_err(), "the first life answers {first:?}");
    world.borrow_mut().kill();
    may_end(&world, true);
    // The request is still there.
    world.borrow_mut().run();
    assert_eq!(world.borrow().lives, 2);
}

#[test]
fn without_leave_the_first_is() {
    if !image::have_tools() {
        return;
    }
    let world = World::new(damaged(), 1);
    may_end(&world, false);
    assert!(matches!(
        list(&world),
        Err(Error::Errno(Errno::NeedsCleaning))
    ));
    assert_eq!(world.borrow().lives, 1);
}
