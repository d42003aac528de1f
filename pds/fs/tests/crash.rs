// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Crashes: the service killed at every step of its work, and power cuts of the disk.
//!
//! The oracle is strict. Steps are made one after the other, so what is found after a crash must be,
//! byte by byte, the state after some number of steps: at least those that were acknowledged (for
//! a power cut, those that an `fsync` covers), and at most the one that was under way besides.
//!
//! `KINTSUGI_TRIALS=n` sets the number of trials of each kind, `KINTSUGI_SEED` the first seed.

mod common;

use std::rc::Rc;

use common::media::Event;
use common::workload::{self, Step, Tree};
use common::{Random, SharedWorld, World, client, image};
use fs_client::Error;

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

fn trials() -> u64 {
    from_environment("KINTSUGI_TRIALS", 45)
}

fn seed() -> u64 {
    from_environment("KINTSUGI_SEED", 1)
}

/// An image whose journal is small, so that it wraps. Each block size in turn.
fn fresh_image(number: u64) -> Vec<u8> {
    match number % 3 {
        0 => image::make(8, &["-b", "1024", "-J", "size=1"]),
        1 => image::make(12, &["-b", "4096", "-J", "size=4"]),
        _ => image::make(8, &["-b", "2048", "-J", "size=2"]),
    }
}

fn read_image(bytes: Vec<u8>) -> Result<Tree, Error> {
    let world = World::new(bytes, 1);
    workload::read_tree(&client(&world, 0), "")
}

/// Makes a step and checks what it returns against the model.
fn check_step(world: &SharedWorld, model: &mut Tree, step: &Step, context: &str) {
    let fs = client(world, 0);
    let expected = workload::apply(model, step).map_err(Error::Errno);
    let found = workload::run(&fs, step);
    assert_eq!(found, expected, "{context}: {step:?}");
}

/// The service dies at a step, and again while it recovers; the client sees nothing of it.
#[test]
fn killed_at_any_step_with_the_client_going_on() {
    if !image::have_tools() {
        return;
    }
    let mut recorded = 0;
    for trial in 0..trials() {
        let mut random = Random::new(seed() * 1_000_003 + trial);
        let world = World::new(fresh_image(trial), 1);
        let context = format!("seed {} trial {trial}", seed());
        let mut model = Tree::new();
        // The first mount has a test of its own. Then, a death every few operations, some in recovery.
        client(&world, 0).sync().unwrap();
        world.borrow_mut().deaths = (0..40).map(|_| random.below(100)).collect();
        world.borrow_mut().kill();
        for _ in 0..100 {
            let step = workload::draw(&mut random, "/");
            check_step(&world, &mut model, &step, &context);
        }
        assert!(
            world.borrow().lives > 20,
            "{context}: {} lives",
            world.borrow().lives
        );
        recorded += world.borrow().recorded;
        let found = workload::read_tree(&client(&world, 0), "").unwrap();
        assert!(
            found == model,
            "{context}: {}",
            workload::difference(&model, &found)
        );
        if trial % 4 == 0 {
            let checked = image::check(&world.borrow().image(), true);
            let checked = checked.unwrap_or_else(|error| panic!("{context}: {error}"));
            let found = read_image(checked).unwrap();
            assert!(
                found == model,
                "{context}: {}",
                workload::difference(&model, &found)
            );
        }
    }
    eprintln!("{recorded} requests were answered from the record");
    assert!(
        recorded > 0,
        "the deaths never hit the window before a completion"
    );
}

/// A run of which every event of the disk is known.
struct Recording {
    world: SharedWorld,
    /// State of the model after each step.
    states: Vec<Rc<Tree>>,
    /// Events of the disk when each step was acknowledged.
    acknowledged: Vec<usize>,
    /// Events when each step was in the journal, too: later, for one that was carried out later.
    settled: Vec<usize>,
    /// Number of steps that were durable, with the events after which that held.
    durable: Vec<(usize, usize)>,
    checkpoints: u64,
    /// Writes that were acknowledged before they were carried out.
    deferred: u64,
}

fn record(seed: u64, steps: usize) -> Recording {
    let mut random = Random::new(seed);
    let steps = (0..steps).map(|_| workload::draw(&mut random, "/"));
    record_steps(seed, steps.collect())
}

fn record_steps(seed: u64, steps: Vec<Step>) -> Recording {
    let world = World::new(fresh_image(seed), 1);
    let mut model = Tree::new();
    // The first life is mounted before the recording begins; see `first_mount` for that part.
    client(&world, 0).sync().unwrap();
    world.borrow().media.borrow_mut().begin_recording();
    let mut recording = Recording {
        world: Rc::clone(&world),
        states: vec![Rc::new(model.clone())],
        acknowledged: vec![0],
        settled: vec![0],
        durable: vec![(0, 0)],
        checkpoints: 0,
        deferred: 0,
    };
    for (number, step) in steps.into_iter().enumerate() {
        check_step(&world, &mut model, &step, &format!("recording {seed}"));
        let events = world.borrow().media.borrow().events.len();
        recording.states.push(Rc::new(model.clone()));
        recording.acknowledged.push(events);
        let mut world = world.borrow_mut();
        let volume = world.service().volume().expect("it is mounted");
        if volume.deferred_count() == 0 {
            recording.settled.resize(number + 2, events);
        }
        if matches!(step, Step::Sync) {
            recording.durable.push((number + 1, events));
        }
    }
    let count = recording.states.len();
    recording.settled.resize(count, usize::MAX);
    let counters = world.borrow_mut().counters();
    recording.checkpoints = counters.checkpoints;
    recording.deferred = counters.deferred;
    recording
}

impl Recording {
    /// Steps that had been acknowledged after `events`.
    fn acknowledged_by(&self, events: usize) -> usize {
        self.acknowledged.partition_point(|at| *at <= events) - 1
    }

    /// Steps that were in the journal by then.
    fn settled_by(&self, events: usize) -> usize {
        self.settled.partition_point(|at| *at <= events) - 1
    }

    /// Steps that an `fsync` covered by then.
    fn durable_by(&self, events: usize) -> usize {
        self.durable
            .iter()
            .rev()
            .find(|(_, at)| *at <= events)
            .map_or(0, |(steps, _)| *steps)
    }

    /// Checks that an image is the state after `least..=most` steps.
    fn check(&self, image: &[u8], least: usize, most: usize, context: &str) {
        if let Err(wrong) = self.judge(image, least, most) {
            panic!("{context}: {wrong}");
        }
    }

    fn judge(&self, image: &[u8], least: usize, most: usize) -> Result<(), String> {
        let found = read_image(image.to_vec()).map_err(|error| error.to_string())?;
        let most = most.min(self.states.len() - 1);
        // Steps that change nothing make equal states, so look at all of them.
        if (least..=most).any(|steps| *self.states[steps] == found) {
            return Ok(());
        }
        let difference = workload::difference(&self.states[least], &found);
        Err(format!("not a state of {least}..={most}: {difference}"))
    }

    /// Mounts the image while recording, cuts that too, and checks what comes out.
    fn check_second_cut(
        &self,
        image: &[u8],
        random: &mut Random,
        bounds: (usize, usize),
        context: &str,
    ) {
        let world = World::new(image.to_vec(), 1);
        world.borrow().media.borrow_mut().begin_recording();
        client(&world, 0)
            .sync()
            .unwrap_or_else(|error| panic!("{context}: {error}"));
        let world = world.borrow();
        let media = world.media.borrow();
        let at = random.below(media.events.len() as u64 + 1) as usize;
        let cut = if random.below(2) == 0 {
            media.killed_at(at, 512 * random.below(8) as usize)
        } else {
            media.cut_at(at, 50, random)
        };
        self.check(
            &cut,
            bounds.0,
            bounds.1,
            &format!("{context}, second cut at {at}"),
        );
    }
}

/// Checks the image with e2fsck, which replays the journal, and then with our eyes.
///
/// A superblock of which only one sector arrived is more than e2fsck can deal with on a disk without
/// a second one (we can: the journal has it whole). Such an image is left out.
fn check_by_host(recording: &Recording, image: &[u8], bounds: (usize, usize), context: &str) {
    if !fs_service::layout::is_intact(&image[1024..2048]) {
        eprintln!("{context}: torn superblock, not shown to e2fsck");
        return;
    }
    let checked = image::check(image, true).unwrap_or_else(|error| panic!("{context}: {error}"));
    recording.check(
        &checked,
        bounds.0,
        bounds.1,
        &format!("{context}, after e2fsck"),
    );
}

/// Every prefix of the writes to the disk, some with a torn last block.
#[test]
fn killed_at_every_write() {
    if !image::have_tools() {
        return;
    }
    let trials = trials();
    for run in 0..3 {
        let recording = record(seed() * 1000 + run, 1200);
        let world = recording.world.borrow();
        let media = world.media.borrow();
        assert!(recording.checkpoints > 2, "the log never wrapped");
        assert!(recording.deferred > 3, "nothing was carried out later");
        let stride = (media.events.len() as u64 / trials.div_ceil(3)).max(1);
        let mut random = Random::new(seed() + run);
        let mut at = random.below(stride) as usize;
        let mut number = 0;
        while at < media.events.len() {
            let context = format!("seed {} run {run} killed at {at}", seed());
            let bounds = (recording.settled_by(at), recording.acknowledged_by(at) + 1);
            let image = media.killed_at(at, 512 * random.below(8) as usize);
            recording.check(&image, bounds.0, bounds.1, &context);
            if number % 3 == 0 {
                recording.check_second_cut(&image, &mut random, bounds, &context);
            }
            if number % 5 == 0 {
                check_by_host(&recording, &image, bounds, &context);
            }
            number += 1;
            at += 1 + random.below(2 * stride) as usize;
        }
    }
}

/// Power cuts: writes since the last flush are there or not, whole or torn, in any combination.
#[test]
fn power_cut_at_random_writes() {
    if !image::have_tools() {
        return;
    }
    let trials = trials();
    for run in 0..3 {
        let recording = record(seed() * 1000 + 500 + run, 1200);
        let world = recording.world.borrow();
        let media = world.media.borrow();
        let mut random = Random::new(seed() + 77 + run);
        // A random cut, or one around the end of a checkpoint, which is where a flush too few shows.
        let ends = media.superblock_writes();
        assert!(ends.len() > 2, "{} checkpoints", ends.len());
        let mut cuts: Vec<usize> = (0..trials.div_ceil(3))
            .map(|_| random.below(media.events.len() as u64 + 1) as usize)
            .collect();
        for _ in 0..trials.div_ceil(6) {
            let end = ends[random.below(ends.len() as u64) as usize];
            cuts.extend([end + 1, end - random.below(20) as usize]);
        }
        for (number, at) in cuts.into_iter().enumerate() {
            let percent = [10, 50, 90][random.below(3) as usize];
            let context = format!("seed {} run {run} cut at {at} ({percent} %)", seed());
            let bounds = (recording.durable_by(at), recording.acknowledged_by(at) + 1);
            let image = media.cut_at(at, percent, &mut random);
            recording.check(&image, bounds.0, bounds.1, &context);
            if number % 3 == 0 {
                recording.check_second_cut(&image, &mut random, bounds, &context);
            }
            if number % 5 == 0 {
                check_by_host(&recording, &image, bounds, &context);
            }
        }
    }
}

/// Steps in which blocks come and go: written past the journal, overwritten through it, freed with and
/// without a flush, and taken again.
fn steps_that_reuse_blocks(random: &mut Random) -> Vec<Step> {
    let path = || "/f".to_owned();
    let other = || "/g".to_owned();
    let mut steps = vec![Step::CreateNew(path()), Step::CreateNew(other())];
    let mut fill = 0;
    for _ in 0..30 {
        let mut bytes = |length: u64| {
            fill += 1;
            vec![fill; length as usize]
        };
        steps.push(Step::Append(path(), bytes(20_000 + random.below(60_000))));
        if random.below(2) == 0 {
            steps.push(Step::Overwrite(path(), 5_000, bytes(random.below(15_000))));
        }
        if random.below(2) == 0 {
            steps.push(Step::Sync);
        }
        match random.below(4) {
            0 => steps.push(Step::Rename(other(), path())),
            1 => steps.push(Step::Unlink(path())),
            _ => steps.push(Step::Truncate(path(), random.below(9_000))),
        }
        if random.below(2) == 0 {
            steps.push(Step::Sync);
        }
        // Refused where it is there already.
        steps.extend([Step::CreateNew(path()), Step::CreateNew(other())]);
        steps.push(Step::Append(path(), bytes(20_000 + random.below(30_000))));
        steps.push(Step::Append(other(), bytes(17_000)));
    }
    steps
}

/// Blocks that are written before their transaction are never seen without it, and never harm who had them
/// before: kills and cuts around each of these writes.
#[test]
fn fresh_blocks_harm_nobody() {
    if !image::have_tools() {
        return;
    }
    for run in 0..3 {
        let mut random = Random::new(seed() * 31 + run);
        let recording = record_steps(run, steps_that_reuse_blocks(&mut random));
        let counters = recording.world.borrow_mut().counters();
        let counts = (counters.fresh_blocks, counters.journal_blocks);
        assert!(counts.0 > 300 && counts.1 > 600, "{counters:?}");
        let world = recording.world.borrow();
        let media = world.media.borrow();
        for number in 0..trials() * 2 {
            let at = random.below(media.events.len() as u64 + 1) as usize;
            let context = format!("seed {} run {run} at {at}", seed());
            let acknowledged = recording.acknowledged_by(at);
            let killed = media.killed_at(at, 512 * random.below(8) as usize);
            let settled = recording.settled_by(at);
            recording.check(&killed, settled, acknowledged + 1, &context);
            let percent = [10, 50, 90][random.below(3) as usize];
            let cut = media.cut_at(at, percent, &mut random);
            let bounds = (recording.durable_by(at), acknowledged + 1);
            let context = format!("{context}, cut, {percent} %");
            recording.check(&cut, bounds.0, bounds.1, &context);
            if number % 15 == 0 {
                check_by_host(&recording, &cut, bounds, &context);
            }
            if number % 10 == 0 {
                recording.check_second_cut(&cut, &mut random, bounds, &context);
            }
        }
    }
}

/// The harness finds a service that forgets the flush before blocks go home: the same cuts of the same run,
/// with and without that flush.
#[test]
fn a_missing_flush_before_blocks_go_home_is_found() {
    if !image::have_tools() {
        return;
    }
    // Each step writes several old blocks, of which the log has no older copy: a replay does not hide what
    // came home too early.
    let mut random = Random::new(seed());
    let path = || "/f".to_owned();
    let mut steps = vec![Step::CreateNew(path())];
    steps.extend((0..7).map(|_| Step::Append(path(), vec![1; 400_000])));
    steps.extend((0..300).map(|step| {
        let at = random.below(2700) * 1024;
        Step::Overwrite(path(), at, vec![step as u8; 12 * 1024])
    }));
    // Blocks of 1 KiB and a log of 1 MiB.
    let recording = record_steps(0, steps);
    assert!(recording.checkpoints > 2);
    let world = recording.world.borrow();
    let mut media = world.media.borrow_mut();
    // Backwards from the journal's superblock: flush, blocks going home, the flush in question.
    let mut cuts = Vec::new();
    for end in media.superblock_writes() {
        let is_flush = |index: &usize| matches!(media.events[*index], Event::Flush);
        if let Some(flush) = (0..end - 1).rev().find(is_flush) {
            cuts.extend((flush + 1..end - 1).map(|at| (flush, at)));
        }
    }
    let whole = media.events.clone();
    let mut found = 0;
    for _ in 0..trials() * 2 {
        let (flush, at) = cuts[random.below(cuts.len() as u64) as usize];
        let bounds = (recording.durable_by(at), recording.acknowledged_by(at) + 1);
        let sound = media.cut_at(at, 50, &mut random);
        recording.check(&sound, bounds.0, bounds.1, &format!("cut at {at}"));
        // Instead of it, a write of nothing: all numbers stay as they are.
        let bytes = Rc::new(Vec::new());
        media.events[flush] = Event::Write { at: 0, bytes };
        let mutant = media.cut_at(at, 50, &mut random);
        media.events[flush] = whole[flush].clone();
        // Any state will do, so that only a mixture of states counts.
        found += u32::from(recording.judge(&mutant, 0, bounds.1).is_err());
    }
    eprintln!("{found} of {} cuts show it", trials() * 2);
    assert!(
        found > 0,
        "the harness does not see that a flush is missing"
    );
}

/// The very first mount of a disk, cut at every write: e2fsck and we can always go on.
#[test]
fn first_mount_cut_at_every_write() {
    if !image::have_tools() {
        return;
    }
    for number in 0..3 {
        let fresh = fresh_image(number);
        let world = World::new(fresh, 1);
        world.borrow().media.borrow_mut().begin_recording();
        client(&world, 0).sync().unwrap();
        let world = world.borrow();
        let media = world.media.borrow();
        let mut random = Random::new(seed());
        let is_write = |event: &&Event| matches!(event, Event::Write { .. });
        assert!(media.events.iter().filter(is_write).count() > 20);
        for at in 0..=media.events.len() {
            let context = format!("image {number} cut at {at}");
            let cut = media.cut_at(at, 50, &mut random);
            for (image, torn) in [
                (media.killed_at(at, 512), true),
                (cut, true),
                (media.killed_at(at, 0), false),
            ] {
                let tree = read_image(image.clone()).unwrap_or_else(|e| panic!("{context}: {e}"));
                assert_eq!(tree, Tree::new(), "{context}");
                // e2fsck cannot mend a superblock of which one sector is old; we can.
                if at % 7 == 0 && !torn {
                    image::check(&image, true).unwrap_or_else(|e| panic!("{context}: {e}"));
                }
            }
        }
    }
}
