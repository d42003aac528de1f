// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Journal on disk in the format of JBD2, so that `e2fsck` and Linux replay what we wrote.
//!
//! Whatever is in the journal must not be written anywhere else until it is checkpointed; the caller sees to
//! that. So replaying the transactions in order always gives the right blocks, and this writer never
//! needs revoke records; replay honours them, because Linux may have left some. Checksums are
//! version 3 (CRC-32C in every descriptor, for every block and in the commit block).
//!
//! What this crate decides: the bytes in the journal, when a flush separates them, and what a replay
//! writes home. It does not know ext4: the caller says where the journal's blocks are, keeps
//! ext4's "needs recovery" flag set, and decides when to write blocks home ("checkpoint").
//!
//! Order of a commit: descriptors and blocks, flush, commit block. The commit block itself is durable
//! at the next flush: a killed process loses nothing, a power cut at most the transactions since the
//! last flush, and always the newest ones first. [`Journal::commit`] says it again.
//!
//! Format: `Documentation/filesystems/ext4/journal.rst` in Linux.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod checksum;
pub mod format;
mod in_place;
mod journal;
mod map;
mod replay;

#[cfg(test)]
mod tests;

pub use in_place::InPlace;
pub use journal::{Content, Journal, Position};
pub use map::{Extent, JournalMap};
pub use replay::{ReplayReport, Survey, Take};

/// Blocks of the file system, numbered from 0, each of [`BlockDevice::block_size`] bytes.
pub trait BlockDevice {
    /// What can go wrong down there.
    type Error;

    /// Bytes of a block: 1024, 2048 or 4096.
    fn block_size(&self) -> usize;

    /// Reads whole blocks from `block` on.
    ///
    /// # Errors
    ///
    /// As the device reports.
    fn read(&mut self, block: u64, bytes: &mut [u8]) -> Result<(), Self::Error>;

    /// Writes whole blocks from `block` on. Not durable, and not ordered, until the next flush.
    ///
    /// # Errors
    ///
    /// As the device reports; an error may also be reported by the next flush.
    fn write(&mut self, block: u64, bytes: &[u8]) -> Result<(), Self::Error>;

    /// Lets nothing that is written from here on be durable before all that was written until here.
    ///
    /// # Errors
    ///
    /// As [`BlockDevice::flush`], which this is unless the device need not wait.
    fn barrier(&mut self) -> Result<(), Self::Error> {
        self.flush()
    }

    /// Returns when all blocks written before are durable.
    ///
    /// # Errors
    ///
    /// As the device reports, for this flush or for a write before it.
    fn flush(&mut self) -> Result<(), Self::Error>;
}

/// Why the journal cannot be used, or a transaction not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JournalError<E> {
    /// The device failed.
    Device(E),
    /// The journal's first block is no journal superblock, or contradicts itself.
    NotAJournal,
    /// The journal superblock's checksum differs.
    BadChecksum,
    /// The journal has features that we do not know; the payload has their bits.
    UnknownFeatures(u32),
    /// Replay found a committed transaction whose block `journal_block` is damaged.
    DamagedTransaction {
        /// Block of the journal, counted from its start.
        journal_block: u32,
    },
    /// The transaction has more blocks than the journal ever has room for.
    TooLarge,
    /// There is no room until the caller has checkpointed.
    Full,
}

impl<E> From<E> for JournalError<E> {
    fn from(error: E) -> Self {
        Self::Device(error)
    }
}
