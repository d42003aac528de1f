// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The whole application on the simulated machine, on a disk made by the host's mke2fs. The services die
//! between any two of their steps; the application has to see nothing of it, and e2fsck neither.

use std::time::Duration;

use app_demo_service::{Extent, run};
use simulation::image;
use simulation::machine::{Fates, Machine, application};
use simulation::random::Random;

const EXTENT: Extent = Extent {
    rounds_min: 3,
    work_min: Duration::ZERO,
    rounds_max: 3,
};

/// Runs the application; returns its error, and how often a service or the supervisor died.
fn run_on(disk: Vec<u8>, deadly: bool, seed: u64) -> (Option<String>, u64) {
    let random = Random::of_run(seed, 0);
    let fates = Fates::new(&random, None);
    if !deadly {
        fates.make_peace();
    }
    let machine = Machine::new(disk, &random, &fates);
    let (files, timers) = application(&machine);
    let failure = run(files, timers, EXTENT).err();
    if failure.is_none() {
        let media = machine.borrow().media();
        image::check(&media.borrow().now, true)
            .unwrap_or_else(|found| panic!("seed {seed}: {found}"));
    }
    (failure.map(|failure| failure.to_string()), fates.deaths())
}

fn disk() -> Vec<u8> {
    let contents = [vec![1; 70_000], vec![2; 3]];
    let files = [
        ("/a/long", contents[0].as_slice()),
        ("/short", contents[1].as_slice()),
    ];
    image::fill(&image::make(32, &[]), &["/a"], &files)
}

#[test]
fn all_is_right_while_nobody_dies() {
    if image::have_tools() {
        assert_eq!(run_on(disk(), false, 1), (None, 0));
    }
}

#[test]
fn all_is_right_while_services_die() {
    if !image::have_tools() {
        return;
    }
    for seed in 1..=2 {
        let (failure, deaths) = run_on(disk(), true, seed);
        assert_eq!(failure, None, "seed {seed}");
        assert!(deaths > 40, "seed {seed}: {deaths} deaths");
    }
}

#[test]
fn a_disk_without_files_is_one_clear_error() {
    let (failure, _) = run_on(vec![0; 1 << 20], false, 1);
    let expected = "statfs /: file system needs cleaning";
    assert_eq!(failure.as_deref(), Some(expected));
}
