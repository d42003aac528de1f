// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Region `fs_cache_index`: what is in the block cache, for the next life of ours.
//!
//! The cache's blocks lie in memory shared with the disk and outlive us; so does this index. It says
//! what is in each slot, where the journal is, and how far both are. What counts changes with one store,
//! so a life may end at any store:
//!
//! | offset | what |
//! |---|---|
//! | 0 | head: magic (stored last), checksum, geometry, superblocks, runs of the journal. Written at mount |
//! | 4096, 4160 | [`Progress`], the two copies in turn; the valid one with the higher number counts |
//! | 4224 | [`Intent`]: the transaction that is about to be written to the journal |
//! | 4352 | counters of changes of files, for clients that read without us (`proto::fs::direct`) |
//! | 8192 | one [`Entry`] per slot; its last word is stored last, and 0 means that the slot is free |
//! | at the end | [`RECORDS`] writes that are to be carried out ([`DeferredWrite`]), their checksums last |
//!
//! An entry whose block has the bit [`DEFERRED`] is of a write that is to be carried out: the bits below
//! are the number of the file, and the word of the version is the number of the block in it.
//!
//! The upper 16 bits of an entry's first word count how often the slot was used, so that no entry comes
//! again.
//!
//! A *version* is the number of a transaction. An entry with a version above the progress' is not committed;
//! it counts only when the intent says that its transaction was complete, and then the next life
//! writes that transaction to the journal again: same blocks, same place. Two entries of one block: the
//! higher version counts. An entry is dirty when its version is above the progress' `home`.
//!
//! Anything that contradicts itself makes the whole index worthless, and the journal on the disk is read as
//! if there were none.

mod deferred;

use alloc::vec;
use alloc::vec::Vec;

use core::sync::atomic::{Ordering, fence};

use jbd2::{Extent, Journal, JournalMap, Position};
use proto::fs::direct::{self, BLOCK_BITS, Lease, counter_at};
use sel4_shared_memory::{Crc32c, SharedMut};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::layout::SUPERBLOCK_BYTES;
pub use deferred::DeferredWrite;
use deferred::RECORD_BYTES;

const MAGIC: u64 = u64::from_le_bytes(*b"KFSINDX1");
const HEAD_BYTES: usize = 4096;
const PROGRESS: [usize; 2] = [4096, 4160];
const INTENT: usize = 4224;
const ENTRIES: usize = direct::ENTRIES_AT;
const ENTRY_BYTES: usize = direct::ENTRY_BYTES;

/// Writes that may wait at once.
pub const RECORDS: usize = 64;
/// In the block of an entry: a write that is to be carried out has put it there.
pub const DEFERRED: u64 = 1 << (BLOCK_BITS - 1);

/// Where each part of the head is.
const FIXED: usize = 16;
const FILE_SYSTEM: usize = 1024;
const JOURNAL: usize = 2048;
const EXTENTS: usize = 3072;
const EXTENT_BYTES: usize = 16;
/// A journal in more pieces is not kept; it is read from the disk at each restart.
const EXTENTS_MAX: usize = (HEAD_BYTES - EXTENTS) / EXTENT_BYTES;

/// The fixed part of the head.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct FixedWire {
    slots: u64,
    block_size: u64,
    disk_bytes: u64,
    extents: u32,
    wide: u32,
}

/// How far everything is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The last committed transaction.
    pub version: u64,
    /// The last one whose blocks are at home.
    pub home: u64,
    /// How far the journal is written.
    pub position: Position,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct ProgressWire {
    number: u64,
    version: u64,
    home: u64,
    head: u32,
    used: u32,
    sequence: u32,
    checksum: u32,
}

/// A transaction that is complete in memory and about to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intent {
    /// Its number.
    pub version: u64,
    /// The time that its commit block carries.
    pub seconds: u64,
    /// Blocks in it.
    pub blocks: u32,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct IntentWire {
    version: u64,
    seconds: u64,
    blocks: u32,
    checksum: u32,
}

/// What is in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Number of the block.
    pub block: u64,
    /// The transaction that wrote it; 0: it was read from the disk.
    pub version: u64,
    /// Checksum of the contents.
    pub contents: u32,
}

/// What never changes while a disk is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// The file system's superblock when it was mounted.
    pub superblock: [u8; SUPERBLOCK_BYTES],
    /// Bytes of the disk.
    pub disk_bytes: u64,
    /// Bytes of a block.
    pub block_size: usize,
    /// Slots of the cache.
    pub slots: usize,
}

/// The region.
#[derive(Debug)]
pub struct Index {
    region: SharedMut,
    number: u64,
}

fn sum<T: IntoBytes + Immutable>(value: &T) -> u32 {
    let bytes = value.as_bytes();
    Crc32c::new().bytes(&bytes[..bytes.len() - 4]).finish()
}

fn seal(block: u64, version: u64, contents: u32) -> u64 {
    let sum = Crc32c::new().word(block).word(version);
    let sum = sum.word(u64::from(contents)).finish();
    // 0 in the whole word is a free slot.
    u64::from(contents) | u64::from(sum.max(1)) << 32
}

impl Index {
    /// Takes the region. Nothing in it counts until [`Index::restore`] or [`Index::publish`].
    pub fn new(region: SharedMut) -> Self {
        Self { region, number: 0 }
    }

    /// Slots that the region has room for.
    pub fn slots_max(&self) -> usize {
        let others = ENTRIES + RECORDS * RECORD_BYTES;
        self.region.len().saturating_sub(others) / ENTRY_BYTES
    }

    /// Makes the index worthless: the next life reads the journal on the disk.
    pub fn invalidate(&mut self) {
        self.region.store_u64(0, 0);
    }

    /// Writes the head, so that from here on the index counts. Entries and progress come first. False:
    /// this journal cannot be described, and the index stays worthless.
    pub fn publish(&mut self, geometry: &Geometry, journal: &Journal) -> bool {
        let extents = journal.map().extents();
        if extents.len() > EXTENTS_MAX || geometry.slots > self.slots_max() {
            return false;
        }
        let mut head = vec![0; HEAD_BYTES];
        let fixed = FixedWire {
            slots: geometry.slots as u64,
            block_size: geometry.block_size as u64,
            disk_bytes: geometry.disk_bytes,
            extents: extents.len() as u32,
            wide: u32::from(journal.is_wide()),
        };
        head[FIXED..FIXED + size_of::<FixedWire>()].copy_from_slice(fixed.as_bytes());
        head[FILE_SYSTEM..JOURNAL].copy_from_slice(&geometry.superblock);
        head[JOURNAL..EXTENTS].copy_from_slice(&journal.superblock_bytes());
        for (index, extent) in extents.iter().enumerate() {
            let at = EXTENTS + index * EXTENT_BYTES;
            head[at..at + 4].copy_from_slice(&extent.logical.to_le_bytes());
            head[at + 4..at + 8].copy_from_slice(&extent.length.to_le_bytes());
            head[at + 8..at + 16].copy_from_slice(&extent.physical.to_le_bytes());
        }
        let checksum = Crc32c::new().bytes(&head[FIXED..]).finish();
        self.region.write_bytes(FIXED, &head[FIXED..]);
        self.region.store_u64(8, u64::from(checksum));
        self.region.store_u64(0, MAGIC);
        true
    }

    /// Reads the head and the progress that an earlier life has left.
    pub fn restore(&mut self) -> Option<(Geometry, Journal, Progress)> {
        if self.region.load_u64(0) != MAGIC {
            return None;
        }
        let mut head = vec![0; HEAD_BYTES];
        self.region.read_bytes(0, &mut head);
        let checksum = Crc32c::new().bytes(&head[FIXED..]).finish();
        if self.region.load_u64(8) != u64::from(checksum) {
            return None;
        }
        let (fixed, _) = FixedWire::read_from_prefix(&head[FIXED..]).ok()?;
        let geometry = Geometry {
            superblock: head[FILE_SYSTEM..JOURNAL].try_into().ok()?,
            disk_bytes: fixed.disk_bytes,
            block_size: fixed.block_size as usize,
            slots: fixed.slots as usize,
        };
        let table = head[EXTENTS..].chunks_exact(EXTENT_BYTES);
        let extents: Vec<_> = table.take(fixed.extents as usize).map(extent).collect();
        let progress = self.progress()?;
        let journal = Journal::go_on(
            JournalMap::new(extents)?,
            geometry.block_size,
            fixed.wide != 0,
            head[JOURNAL..EXTENTS].try_into().ok()?,
            progress.position,
        )?;
        let fits = geometry.slots <= self.slots_max();
        fits.then_some((geometry, journal, progress))
    }

    fn progress(&mut self) -> Option<Progress> {
        let valid = PROGRESS
            .iter()
            .map(|at| self.region.read::<ProgressWire>(*at))
            .filter(|wire| wire.number != 0 && wire.checksum == sum(wire));
        let wire = valid.max_by_key(|wire| wire.number)?;
        self.number = wire.number;
        Some(Progress {
            version: wire.version,
            home: wire.home,
            position: Position {
                head: wire.head,
                used: wire.used,
                sequence: wire.sequence,
            },
        })
    }

    /// Stores how far everything is; what was is valid until the last store.
    pub fn set_progress(&mut self, progress: &Progress) {
        self.number += 1;
        let mut wire = ProgressWire {
            number: self.number,
            version: progress.version,
            home: progress.home,
            head: progress.position.head,
            used: progress.position.used,
            sequence: progress.position.sequence,
            checksum: 0,
        };
        wire.checksum = sum(&wire);
        let at = PROGRESS[(self.number % 2) as usize];
        self.region.write_words(at, &wire);
    }

    /// Whether the next life would begin with what this transaction has left.
    pub fn has_version(&self, version: u64) -> bool {
        let mut known = PROGRESS
            .map(|at| self.region.read::<ProgressWire>(at))
            .into_iter();
        known.any(|wire| wire.version == version && wire.checksum == sum(&wire))
    }

    /// Forgets all progress, and every slot but those that `keep` says.
    pub fn clear(&mut self, slots: usize, keep: impl Fn(usize) -> bool) {
        self.invalidate();
        self.number = 0;
        for at in PROGRESS {
            self.region.fill(at, size_of::<ProgressWire>(), 0);
        }
        self.region.fill(INTENT, size_of::<IntentWire>(), 0);
        for slot in 0..slots.min(self.slots_max()) {
            if !keep(slot) {
                self.free(slot);
            }
        }
    }

    /// Says that all entries of the transaction are there.
    pub fn set_intent(&mut self, intent: &Intent) {
        let mut wire = IntentWire {
            version: intent.version,
            seconds: intent.seconds,
            blocks: intent.blocks,
            checksum: 0,
        };
        wire.checksum = sum(&wire);
        self.region.write_words(INTENT, &wire);
    }

    /// The last transaction that was complete in memory.
    pub fn intent(&self) -> Option<Intent> {
        let wire: IntentWire = self.region.read(INTENT);
        (wire.blocks != 0 && wire.checksum == sum(&wire)).then_some(Intent {
            version: wire.version,
            seconds: wire.seconds,
            blocks: wire.blocks,
        })
    }

    /// Whether the next life would find the transaction: its intent, and an entry for each of its blocks. It
    /// would go on with what was before otherwise (campaign on seL4 release, seed 2, trials 5712 and 5729).
    pub fn has(
        &self,
        intent: &Intent,
        mut blocks: impl ExactSizeIterator<Item = (u64, u32)>,
    ) -> bool {
        self.intent() == Some(*intent)
            && intent.blocks as usize == blocks.len()
            && blocks.all(|(block, slot)| {
                let entry = self.get(slot as usize).ok().flatten();
                entry.is_some_and(|entry| (entry.block, entry.version) == (block, intent.version))
            })
    }

    /// Says what is in a slot that was free.
    pub fn set(&mut self, slot: usize, entry: &Entry) {
        let at = ENTRIES + slot * ENTRY_BYTES;
        let uses = (self.region.load_u64(at) >> BLOCK_BITS).wrapping_add(1);
        let first = entry.block | uses << BLOCK_BITS;
        self.region.store_u64(at, first);
        self.region.store_u64(at + 8, entry.version);
        let seal = seal(first, entry.version, entry.contents);
        self.region.store_u64(at + 16, seal);
    }

    /// Says that a slot is free; before its contents change.
    pub fn free(&mut self, slot: usize) {
        self.region.store_u64(ENTRIES + slot * ENTRY_BYTES + 16, 0);
        // A client that reads the slot meanwhile must see this before the new contents.
        fence(Ordering::SeqCst);
    }

    /// Where a client finds what is in the slot; `None` when the slot is free.
    pub fn lease(&self, slot: usize) -> Option<Lease> {
        let at = ENTRIES + slot * ENTRY_BYTES;
        let last = self.region.load_u64(at + 16);
        (last != 0).then(|| Lease {
            slot: slot as u32,
            first: self.region.load_u64(at),
            last,
            follow: 0,
        })
    }

    /// Counts a change of a file's size or blocks, before it takes effect; without a file, of all files.
    pub fn count_change(&mut self, inode: Option<u32>) {
        let at = inode.map_or(direct::COUNTERS_AT, counter_at);
        self.region
            .store_u64(at, self.region.load_u64(at).wrapping_add(1));
    }

    /// What is in a slot; `None` when it is free.
    ///
    /// # Errors
    ///
    /// When the entry's checksum is wrong.
    #[inline]
    pub fn get(&self, slot: usize) -> Result<Option<Entry>, BadEntry> {
        entry(self.words(slot))
    }

    /// The same, not yet understood.
    #[inline]
    pub fn words(&self, slot: usize) -> WordsOfEntry {
        self.region.read_words(ENTRIES + slot * ENTRY_BYTES)
    }

    /// What is in [`ENTRIES_AT_ONCE`] slots from `first` on, which must all exist.
    pub fn get_some(&self, first: usize) -> [WordsOfEntry; ENTRIES_AT_ONCE] {
        self.region.read(ENTRIES + first * ENTRY_BYTES)
    }
}

/// Slots that a restart looks at together.
pub const ENTRIES_AT_ONCE: usize = 32;
/// An entry as it is in the region.
pub type WordsOfEntry = [u64; ENTRY_BYTES / 8];

/// What an entry says; `None` when its slot is free.
///
/// # Errors
///
/// When its checksum is wrong.
#[inline]
pub fn entry([first, version, last]: WordsOfEntry) -> Result<Option<Entry>, BadEntry> {
    if last == 0 {
        return Ok(None);
    }
    let entry = Entry {
        block: first & ((1 << BLOCK_BITS) - 1),
        version,
        contents: last as u32,
    };
    if last == seal(first, version, entry.contents) {
        Ok(Some(entry))
    } else {
        Err(BadEntry)
    }
}

/// An entry whose checksum is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadEntry;

fn extent(bytes: &[u8]) -> Extent {
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    Extent {
        logical: word(0),
        length: word(4),
        physical: u64::from(word(8)) | u64::from(word(12)) << 32,
    }
}

#[cfg(test)]
mod tests;
