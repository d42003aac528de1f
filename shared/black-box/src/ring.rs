// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The black box: a ring of records in memory that nobody clears.
//!
//! | offset | what |
//! |---|---|
//! | 0 | header of `shared-words`: magic, version, length, CRC, sealed epoch of the writer |
//! | 32 | sealed count of boots, one store |
//! | 1024 | slots of 1024 bytes, each sealed by itself |
//!
//! There is no index that could disagree with the slots: the newest record is the valid one with
//! the highest sequence number, and the next goes to slot `sequence % slots`. So whatever is
//! interrupted costs at most the record that was being written and the one it replaces.
//!
//! At power-on the memory holds anything. A region without a valid header is formatted; a slot
//! without a valid CRC does not exist.
//!
//! The memory must be one that the kernel neither clears nor hands out: on QEMU virt a fixed
//! physical address below 0x6000_0000, which survives a PSCI SYSTEM_RESET.

use core::ops::Range;

use sel4_shared_memory::{SharedMut, SharedRef};
use shared_words::{Header, Words, WordsMut, seal, unseal};
use zerocopy::{FromBytes, IntoBytes};

use crate::record::RecordWire;

const HEADER: Header = Header {
    magic: u64::from_le_bytes(*b"KBLAKBOX"),
    version: 2,
};
/// Word of the sealed count of boots.
const BOOTS: usize = 4;
const SLOT_BYTES: usize = size_of::<RecordWire>();

/// Smallest region that makes sense: the header's slot and two records.
pub const REGION_BYTES_MIN: usize = 3 * SLOT_BYTES;

/// The region is smaller than [`REGION_BYTES_MIN`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooSmall;

/// What was there when a supervisor attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attached {
    /// This boot's number, from 1.
    pub boot: u32,
    /// There was no black box: power-on, or another version.
    pub formatted: bool,
}

/// The writer of a black box.
#[derive(Debug)]
pub struct BlackBox {
    memory: SharedMut,
    slots: u64,
    /// Sequence number of the next record.
    next: u64,
    boot: u32,
}

const fn slot_count(bytes: usize) -> usize {
    bytes / SLOT_BYTES - 1
}

const fn slot_offset(slot: usize) -> usize {
    (slot + 1) * SLOT_BYTES
}

impl BlackBox {
    /// Attaches in the first life of a supervisor (`epoch` 0, which is a new boot) or in a later one.
    ///
    /// # Errors
    ///
    /// [`TooSmall`].
    pub fn attach(memory: SharedMut, epoch: u32) -> Result<(Self, Attached), TooSmall> {
        if memory.len() < REGION_BYTES_MIN {
            return Err(TooSmall);
        }
        let slots = slot_count(memory.len()) as u64;
        let mut black_box = Self {
            memory,
            slots,
            next: 0,
            boot: 1,
        };
        let boots = match HEADER.check(&black_box.memory) {
            Ok(()) => unseal(black_box.memory.word(BOOTS)),
            Err(_) => None,
        };
        let formatted = boots.is_none();
        let last = boots.unwrap_or(0) as u32;
        if formatted {
            black_box.format();
        }
        black_box.boot = if epoch == 0 || last == 0 {
            last.saturating_add(1)
        } else {
            last
        };
        black_box
            .memory
            .set_word(BOOTS, seal(u64::from(black_box.boot)));
        Header::set_epoch(&mut black_box.memory, epoch);
        let newest = black_box
            .slots_in_use()
            .map(|wire| wire.head.sequence)
            .max();
        black_box.next = newest.map_or(0, |sequence| sequence.saturating_add(1));
        let attached = Attached {
            boot: black_box.boot,
            formatted,
        };
        Ok((black_box, attached))
    }

    fn format(&mut self) {
        HEADER.begin(&mut self.memory);
        for slot in 0..self.slots as usize {
            // The mark and the CRC: without them a slot is none.
            self.memory.store_u64(slot_offset(slot), 0);
        }
        self.memory.set_word(BOOTS, seal(0));
        HEADER.finish(&mut self.memory);
    }

    /// This boot's number.
    #[must_use]
    pub fn boot(&self) -> u32 {
        self.boot
    }

    /// Numbers, seals and stores a record. Returns which bytes of the region have changed, so that
    /// the caller can clean them out of the caches: a reset does not.
    pub fn push(&mut self, wire: &mut RecordWire) -> Range<usize> {
        wire.head.sequence = self.next;
        wire.head.boot = self.boot;
        wire.seal();
        let offset = slot_offset((self.next % self.slots) as usize);
        self.memory.write_bytes(offset, wire.as_bytes());
        self.next = self.next.saturating_add(1);
        offset..offset + SLOT_BYTES
    }

    /// Address of the region, for cache maintenance.
    #[must_use]
    pub fn addr(&self) -> usize {
        self.memory.addr()
    }

    fn slots_in_use(&self) -> impl Iterator<Item = RecordWire> {
        valid(self.memory.as_shared_ref(), 0..self.slots as usize)
    }

    /// Valid records, oldest first.
    pub fn records(&self) -> impl Iterator<Item = RecordWire> + use<> {
        let region = self.memory.as_shared_ref();
        // Slots in the order in which they were written: the next one to be overwritten first.
        let (slots, next) = (self.slots as usize, (self.next % self.slots) as usize);
        valid(region.clone(), next..slots).chain(valid(region, 0..next))
    }
}

fn valid(region: SharedRef, slots: Range<usize>) -> impl Iterator<Item = RecordWire> {
    slots.filter_map(move |slot| {
        let mut wire = RecordWire::empty();
        region.read_bytes(slot_offset(slot), wire.as_mut_bytes());
        wire.is_valid().then_some(wire)
    })
}

/// Bytes of a region as words, for the header.
struct Bytes<'a>(&'a [u8]);

impl Words for Bytes<'_> {
    fn word_count(&self) -> usize {
        self.0.len() / 8
    }

    fn word(&self, index: usize) -> u64 {
        let mut word = [0; 8];
        word.copy_from_slice(&self.0[index * 8..][..8]);
        u64::from_le_bytes(word)
    }
}

/// For the host: the number of the current boot and the valid records, in no particular order, of
/// a black box whose bytes were copied out of a machine; `None` when it is no black box.
pub fn records_in(bytes: &[u8]) -> Option<(u32, impl Iterator<Item = RecordWire>)> {
    if bytes.len() < REGION_BYTES_MIN || HEADER.check(&Bytes(bytes)).is_err() {
        return None;
    }
    let boot = unseal(Bytes(bytes).word(BOOTS))? as u32;
    let slots = bytes[SLOT_BYTES..].chunks_exact(SLOT_BYTES);
    let wires = slots.filter_map(|slot| RecordWire::read_from_bytes(slot).ok());
    Some((boot, wires.filter(RecordWire::is_valid)))
}
