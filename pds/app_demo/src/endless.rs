// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The application's work under a fault-injection campaign: rounds without an end, each compared twice,
//! and whatever goes wrong is counted on the score board instead of ending the work.

use fs_client::FileSystem;
use log::{info, warn};
use timer_client::{Service, Timers};

use crate::board::Board;
use crate::round::{self, Left, Shape};
use crate::watch::{Counts, Watch};
use crate::work::{Failure, Work};

/// Rounds from one look at the files that stay to the next.
const KEPT_EVERY: u32 = 4;

fn counts(counts: Counts) -> [u64; 4] {
    [
        counts.early,
        counts.lost,
        counts.extra,
        counts.clock_backwards,
    ]
}

/// What has to be on the disk.
#[derive(Default)]
struct Standing {
    /// Written once, never touched again.
    kept: Option<Left>,
    /// The latest round.
    last: Option<Left>,
}

/// Works until the board says that it is over, and announces what is on the disk then.
///
/// # Errors
///
/// When timers cannot even be started, or the end fails.
pub fn run<S: Service>(files: FileSystem, timers: Timers<S>, board: Board) -> Result<(), Failure> {
    let watch = Watch::start(timers)?;
    let mut work = Work::new(files, watch);
    work.board = Some(board);
    let mut standing = Standing::default();
    let mut number = 0;
    while !is_over(&work) {
        number += 1;
        let before = counts(work.watch.counts());
        let result = turn(&mut work, &mut standing, number);
        let now = counts(work.watch.counts());
        let bytes = work.tally.bytes_read;
        if let Some(board) = &mut work.board {
            board.timers(before, now);
            if result.is_ok() {
                board.round(bytes);
            }
        }
        if let Err(failure) = result {
            // What it was has been counted where it was found. Whatever is there now is nobody's.
            warn!("TROUBLE {failure}");
            standing = Standing::default();
        }
    }
    for left in [&standing.kept, &standing.last].into_iter().flatten() {
        round::announce(&mut work, left)?;
    }
    work.run("fsync", "/", FileSystem::sync)?;
    info!("endless: rounds={number} errors={}", work.tally.errors);
    Ok(())
}

fn is_over<S>(work: &Work<S>) -> bool {
    work.board.as_ref().is_some_and(Board::is_over)
}

/// One round: new files are written, then those of the round before are compared once more and removed,
/// then the new ones are compared.
fn turn<S: Service>(
    work: &mut Work<S>,
    standing: &mut Standing,
    number: u32,
) -> Result<(), Failure> {
    if standing.kept.is_none() {
        clear(work)?;
        standing.kept = Some(round::write(work, 0, &Shape::SMALL)?);
    }
    let mut left = round::write(work, number, &Shape::SMALL)?;
    if let Some(last) = standing.last.take() {
        round::check(work, &last)?;
        round::remove_tree(work, &last.folder)?;
        left.removed.push(last.folder);
    }
    round::check(work, &left)?;
    standing.last = Some(left);
    if number.is_multiple_of(KEPT_EVERY)
        && let Some(kept) = &standing.kept
    {
        round::check(work, kept)?;
    }
    Ok(())
}

/// Removes what an earlier life or a failed round has left.
fn clear<S: Service>(work: &mut Work<S>) -> Result<(), Failure> {
    let output = round::OUTPUT;
    if work.run("stat", output, |files| files.exists(output))? {
        round::remove_tree(work, output)?;
    }
    work.run("mkdir", output, |files| files.create_dir(output))
}
