// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! One run: an application works on a machine whose services die, and on what a power cut leaves of it;
//! everything that it was told has to be so.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use app_demo_service::round::{self, Left, Shape};
use app_demo_service::watch::Watch;
use app_demo_service::work::{Failure, Work};

use crate::clock::Channel;
use crate::image;
use crate::machine::{Fates, Machine, PowerCut, SharedMachine, application};
use crate::random::Random;

/// Rounds of the application in a life of the machine, where nobody says otherwise.
pub const ROUNDS: u32 = 6;
/// Lives of the machine, each but the last ended by a power cut if it gets that far.
const MACHINES: u32 = 3;
/// Looks of the file service at its disk before the power goes, at most.
const CUT_AFTER: u64 = 2_000;
/// One run in so many lets the host's e2fsck look at the disk.
const FSCK_EVERY: u64 = 16;

/// What a run came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Services, supervisors and machines that died.
    pub crashes: u64,
    /// Power cuts among them.
    pub cuts: u64,
    /// Operations that the application was answered.
    pub operations: u64,
}

/// What was written and synchronized, and has to be there whatever happens.
#[derive(Default)]
struct Standing {
    kept: Option<Left>,
    last: Option<Left>,
    rounds: u32,
}

type Files = Work<Channel>;

/// Runs run `run` of `seed` on `disk`, with so many rounds in each life of the machine.
///
/// # Errors
///
/// Says what is not as it has to be.
pub fn run(disk: &[u8], seed: u64, run: u64, rounds: u32) -> Result<Tally, String> {
    let random = Random::of_run(seed, run);
    let mut image = disk.to_vec();
    let mut standing = Standing::default();
    let mut tally = Tally::default();
    for number in 0..MACHINES {
        let is_last = number + 1 == MACHINES;
        let cut_after = (!is_last).then(|| random.below(CUT_AFTER));
        let fates = Fates::new(&random, cut_after);
        let machine = Machine::new(image, &random, &fates);
        let outcome = live(&machine, &fates, &mut standing, &mut tally, rounds);
        tally.crashes += fates.deaths();
        match outcome? {
            End::Cut => {
                tally.cuts += 1;
                tally.crashes += 1;
                let media = machine.borrow().media();
                image = media.borrow_mut().cut();
            }
            End::Finished => {
                let media = machine.borrow().media();
                image = media.borrow().now.clone();
            }
        }
    }
    if run.is_multiple_of(FSCK_EVERY) {
        image::check(&image, true)?;
    }
    Ok(tally)
}

enum End {
    Cut,
    Finished,
}

fn live(
    machine: &SharedMachine,
    fates: &Fates,
    standing: &mut Standing,
    tally: &mut Tally,
    rounds: u32,
) -> Result<End, String> {
    let worked = catch_unwind(AssertUnwindSafe(|| {
        let (files, timers) = application(machine);
        let watch = Watch::start(timers).map_err(|error| format!("timers: {error:?}"))?;
        let mut work = Work::new(files, watch);
        let result = work_on(&mut work, standing, rounds);
        tally.operations += work.tally.operations;
        result.map_err(|failure| failure.to_string())?;
        fates.make_peace();
        let timers = work
            .watch
            .finish()
            .map_err(|error| format!("timers: {error:?}"))?;
        match timers.is_right() {
            true => Ok(End::Finished),
            false => Err(format!(
                "timers did not do what they were asked: {timers:?}"
            )),
        }
    }));
    match worked {
        Ok(result) => result,
        Err(payload) if payload.is::<PowerCut>() => Ok(End::Cut),
        Err(payload) => match message(&*payload) {
            Some(text) => Err(format!("panic: {text}")),
            None => resume_unwind(payload),
        },
    }
}

fn message(payload: &dyn std::any::Any) -> Option<String> {
    let text = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
}

fn work_on(work: &mut Files, standing: &mut Standing, rounds: u32) -> Result<(), Failure> {
    // After a power cut, what was synchronized is there.
    for left in [&standing.kept, &standing.last].into_iter().flatten() {
        round::check(work, left)?;
    }
    if standing.kept.is_none() {
        let output = round::OUTPUT;
        if work.run("stat", output, |files| files.exists(output))? {
            round::remove_tree(work, output)?;
        }
        work.run("mkdir", output, |files| files.create_dir(output))?;
        standing.kept = Some(round::write(work, 0, &Shape::SMALL)?);
    }
    for _ in 0..rounds {
        standing.rounds += 1;
        let written = round::write(work, standing.rounds, &Shape::SMALL)?;
        // Until it is being removed, the round before counts.
        if let Some(last) = standing.last.take() {
            round::check(work, &last)?;
            round::remove_tree(work, &last.folder)?;
        }
        round::check(work, &written)?;
        standing.last = Some(written);
    }
    if let Some(kept) = &standing.kept {
        round::check(work, kept)?;
    }
    Ok(())
}

/// An empty disk, made by the host's mke2fs.
pub fn disk() -> Vec<u8> {
    image::make(12, &["-J", "size=4"])
}

/// Whether the host has the tools.
pub fn have_tools() -> bool {
    image::have_tools()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_right_and_repeat() {
        if !have_tools() {
            return;
        }
        let disk = disk();
        let first = run(&disk, 1, 0, 1).expect("nothing is wrong");
        let again = run(&disk, 1, 0, 1).expect("nothing is wrong");
        assert!(first.crashes > 20, "{first:?}");
        assert_eq!(
            (first.crashes, first.cuts, first.operations),
            (again.crashes, again.cuts, again.operations)
        );
    }
}
