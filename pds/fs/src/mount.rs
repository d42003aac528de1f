// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! From a disk to a store: look at the superblock, replay the journal, begin to write it.
//!
//! A restart of ours within one boot takes over the journal of the last life and writes nothing
//! ([`jbd2::Journal::resume`]). Otherwise the order matters when we are killed anywhere in here:
//! 1. What the journal holds goes home. Killed: done again.
//! 2. "Needs recovery" is set on the disk, flushed. Killed: as before, or an empty journal is replayed.
//! 3. The journal begins anew: what it held is forgotten, and from now on it may hold what is nowhere
//!    else.
//!
//! A journal without "needs recovery" is not replayed, as in Linux and e2fsck: somebody has checked
//! the file system, or made it, and the journal is left over.

use alloc::vec;

use jbd2::{BlockDevice, Journal, JournalError, ReplayReport};
use recovery::fault_point;

use crate::disk::{Disk, DiskError};
use crate::index::Index;
use crate::layout::{self, LayoutError, SUPERBLOCK_AT, SUPERBLOCK_BYTES, Superblock};
use crate::raw::{RawBlocks, Strip};
use crate::store::{Store, StoreError};

/// Why there is nothing to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MountError {
    /// The disk is missing, or failed.
    Disk(DiskError),
    /// It holds no file system that we can use.
    Layout(LayoutError),
    /// The journal cannot be used; e2fsck may know more.
    Journal,
    /// A committed transaction is damaged; nothing was replayed.
    DamagedJournal {
        /// Block of the journal.
        block: u32,
    },
    /// `rsext4` refuses the file system.
    Refused(rsext4::Ext4ErrorKind),
}

impl core::fmt::Display for MountError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Disk(DiskError::NoDevice) => f.write_str("no disk"),
            Self::Disk(_) => f.write_str("the disk cannot be read"),
            Self::Layout(error) => error.fmt(f),
            Self::Journal => f.write_str("the journal cannot be used; run e2fsck"),
            Self::DamagedJournal { block } => {
                write!(f, "block {block} of the journal is damaged; run e2fsck")
            }
            Self::Refused(kind) => write!(f, "the file system cannot be mounted: {kind}"),
        }
    }
}

impl From<DiskError> for MountError {
    fn from(error: DiskError) -> Self {
        Self::Disk(error)
    }
}

impl From<LayoutError> for MountError {
    fn from(error: LayoutError) -> Self {
        Self::Layout(error)
    }
}

impl From<JournalError<DiskError>> for MountError {
    fn from(error: JournalError<DiskError>) -> Self {
        match error {
            JournalError::Device(error) => Self::Disk(error),
            JournalError::DamagedTransaction { journal_block } => Self::DamagedJournal {
                block: journal_block,
            },
            _ => Self::Journal,
        }
    }
}

/// Why nothing is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadOnly {
    /// The disk refuses writes.
    Disk,
    /// The file system has errors.
    Errors,
    /// A write failed.
    Failed,
}

impl core::fmt::Display for ReadOnly {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Disk => "the disk refuses writes",
            Self::Errors => "the file system has errors; run e2fsck",
            Self::Failed => "a write to the disk has failed",
        })
    }
}

/// What was opened.
#[derive(Debug)]
pub struct Opened<D: Disk> {
    /// Its blocks.
    pub store: Store<D>,
    /// What its superblock says.
    pub superblock: Superblock,
    /// What came from the journal.
    pub report: ReplayReport,
    /// Why nothing may be written, where that is so.
    pub read_only: Option<ReadOnly>,
}

/// Most bytes of the shared memory that are the strip for runs of blocks.
const STRIP_BYTES_MAX: usize = 1024 * 1024;

/// Opens the store.
///
/// `restarted`: an earlier life of ours in this boot has had the disk, so everything that it wrote is there,
/// and nobody else has written. Then what it had in memory is taken over, as `index` says; or, when
/// the index is of no use, its journal as it is. Otherwise the journal is replayed.
///
/// # Errors
///
/// Says why the disk cannot be used. It is untouched then, but for a replay that was cut short.
pub fn open<D: Disk>(
    mut disk: D,
    restarted: bool,
    mut index: Option<Index>,
) -> Result<Opened<D>, MountError> {
    let memory = disk.memory().len();
    let strip_bytes = (memory / 8).min(STRIP_BYTES_MAX) & !0xfff;
    let strip = Strip {
        start: memory - strip_bytes,
        length: strip_bytes,
    };
    let refuses = disk.is_read_only();
    let mut raw = RawBlocks::new(disk, strip);
    if refuses {
        return read_only(raw, strip, ReadOnly::Disk);
    }
    if restarted && let Some(left) = index.take() {
        match restore(raw, left, &strip)? {
            Ok(opened) => return Ok(opened),
            Err(back) => (raw, index) = back,
        }
    }
    if layout::has_errors(&read_superblock(&mut raw)?.1) {
        return read_only(raw, strip, ReadOnly::Errors);
    }
    let (mut store, superblock, superblock_bytes, report) = read(raw, index, strip, restarted)?;
    let bytes = store.journal().1.disk().bytes();
    store.publish_index(&superblock_bytes, bytes);
    Ok(Opened {
        store,
        superblock,
        report,
        read_only: None,
    })
}

/// Opens the store without a write: what the journal holds is only replayed in memory.
fn read_only<D: Disk>(
    mut raw: RawBlocks<D>,
    strip: Strip,
    why: ReadOnly,
) -> Result<Opened<D>, MountError> {
    let (superblock, bytes) = read_superblock(&mut raw)?;
    raw.set_block_size(superblock.block_size);
    let map = superblock.journal_map(&mut |block, to| raw.read(block, to))?;
    let map = map.ok_or(LayoutError::BadJournal)?;
    let journal = Journal::open(&mut raw, map, superblock.is_wide())?;
    let mut store = Store::new(raw, journal, superblock.blocks, strip.start, None);
    let mut report = ReplayReport::default();
    if layout::needs_recovery(&bytes) && store.journal().0.needs_replay() {
        report = resume(&mut store)?.ok_or(MountError::Journal)?;
    } else if !layout::is_intact(&bytes) {
        return Err(LayoutError::BadSuperblock.into());
    }
    store.give_up();
    Ok(Opened {
        store,
        superblock,
        report,
        read_only: Some(why),
    })
}

/// What cannot be taken over goes back to where it came from.
type Back<D> = (RawBlocks<D>, Option<Index>);

/// Takes over what an earlier life had in memory; nothing is read from the disk.
fn restore<D: Disk>(
    mut raw: RawBlocks<D>,
    mut index: Index,
    strip: &Strip,
) -> Result<Result<Opened<D>, Back<D>>, MountError> {
    let Some((geometry, journal, progress)) = index.restore() else {
        return Ok(Err((raw, Some(index))));
    };
    let superblock = Superblock::parse(&geometry.superblock, geometry.disk_bytes).ok();
    let same = superblock.is_some_and(|found| found.block_size == geometry.block_size)
        && raw.disk().bytes() == geometry.disk_bytes
        && strip.start / geometry.block_size.max(1) == geometry.slots;
    let Some(superblock) = superblock.filter(|_| same) else {
        return Ok(Err((raw, Some(index))));
    };
    raw.set_block_size(superblock.block_size);
    fault_point!("fs.before_restore");
    let left = (&geometry, journal, &progress);
    let mut store = match Store::restore(raw, index, left, superblock.blocks) {
        Ok(store) => store,
        Err((mut raw, index)) => {
            raw.set_block_size(1024);
            return Ok(Err((raw, index)));
        }
    };
    let read_only = match store.finish_last_transaction() {
        Ok(()) => None,
        Err(StoreError::Disk(_)) => {
            // Nobody was told of it. What was committed before can be read.
            store.give_up();
            Some(ReadOnly::Failed)
        }
        Err(_) => return Err(MountError::Journal),
    };
    let report = ReplayReport::default();
    Ok(Ok(Opened {
        store,
        superblock,
        report,
        read_only,
    }))
}

/// Opens the store with what the disk says.
fn read<D: Disk>(
    mut raw: RawBlocks<D>,
    index: Option<Index>,
    strip: Strip,
    restarted: bool,
) -> Result<(Store<D>, Superblock, [u8; SUPERBLOCK_BYTES], ReplayReport), MountError> {
    let (superblock, mut bytes) = read_superblock(&mut raw)?;
    raw.set_block_size(superblock.block_size);
    let map = superblock.journal_map(&mut |block, to| raw.read(block, to))?;
    let map = map.ok_or(LayoutError::BadJournal)?;
    let journal = Journal::open(&mut raw, map, superblock.is_wide())?;
    let mut store = Store::new(raw, journal, superblock.blocks, strip.start, index);
    if restarted {
        store.keep_all_left();
    }
    let ours = layout::is_intact(&bytes) && layout::needs_recovery(&bytes);
    if restarted
        && ours
        && let Some(report) = resume(&mut store)?
    {
        return Ok((store, superblock, bytes, report));
    }
    let (journal, raw) = store.journal();
    let report = replay(raw, journal, &mut bytes)?;
    let (superblock, bytes) = if report.transactions == 0 {
        (superblock, bytes)
    } else {
        raw.set_block_size(1024);
        let found = read_superblock(raw)?;
        raw.set_block_size(superblock.block_size);
        if !layout::is_intact(&found.1) {
            return Err(LayoutError::BadSuperblock.into());
        }
        found
    };
    set_needs_recovery(raw, &superblock, bytes)?;
    journal.start(raw)?;
    fault_point!("fs.after_journal_start");
    Ok((store, superblock, bytes, report))
}

/// Takes over the journal of an earlier life; `None` when it has to be replayed after all.
fn resume<D: Disk>(store: &mut Store<D>) -> Result<Option<ReplayReport>, MountError> {
    let (journal, raw) = store.journal();
    if !journal.can_resume() {
        return Ok(None);
    }
    let survey = journal.survey(raw)?;
    fault_point!("fs.before_resume");
    if !store.resume(&survey)? {
        return Ok(None);
    }
    let (transactions, blocks) = (survey.transactions, survey.blocks() as u32);
    Ok(Some(ReplayReport {
        transactions,
        blocks,
    }))
}

/// Replays the journal, or throws away what is left over in it.
///
/// A power cut may have torn the superblock while it went home; then its numbers that never change are
/// good enough to find the journal, which has it whole.
fn replay<D: Disk>(
    raw: &mut RawBlocks<D>,
    journal: &mut Journal,
    bytes: &mut [u8; SUPERBLOCK_BYTES],
) -> Result<ReplayReport, MountError> {
    let torn = !layout::is_intact(bytes);
    if journal.needs_replay() && (torn || layout::needs_recovery(bytes)) {
        fault_point!("fs.before_replay");
        let report = journal.replay(raw)?;
        fault_point!("fs.after_replay");
        if report.transactions != 0 {
            return Ok(report);
        }
    } else if journal.needs_replay() {
        journal.discard();
    }
    if torn && !layout::mend(bytes) {
        return Err(LayoutError::BadSuperblock.into());
    }
    Ok(ReplayReport::default())
}

/// Reads the superblock; the block size must be 1024 meanwhile.
fn read_superblock<D: Disk>(
    raw: &mut RawBlocks<D>,
) -> Result<(Superblock, [u8; SUPERBLOCK_BYTES]), MountError> {
    let disk_bytes = raw.disk().bytes();
    if disk_bytes < SUPERBLOCK_AT + SUPERBLOCK_BYTES as u64 {
        return Err(LayoutError::NotExt4.into());
    }
    let mut bytes = [0; SUPERBLOCK_BYTES];
    raw.read(SUPERBLOCK_AT / SUPERBLOCK_BYTES as u64, &mut bytes)?;
    Ok((Superblock::parse(&bytes, disk_bytes)?, bytes))
}

fn set_needs_recovery<D: Disk>(
    raw: &mut RawBlocks<D>,
    superblock: &Superblock,
    bytes: [u8; SUPERBLOCK_BYTES],
) -> Result<(), MountError> {
    let mut marked = bytes;
    layout::unmask(&mut marked);
    let (block, at) = superblock.place();
    let mut whole = vec![0; superblock.block_size];
    raw.read(block, &mut whole)?;
    if whole[at..at + SUPERBLOCK_BYTES] == marked {
        return Ok(());
    }
    whole[at..at + SUPERBLOCK_BYTES].copy_from_slice(&marked);
    raw.write(block, &whole)?;
    raw.flush()?;
    Ok(())
}
