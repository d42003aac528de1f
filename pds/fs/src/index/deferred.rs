// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The records of writes that are to be carried out, at the end of the region. Each counts from its last
//! store on, and until another one takes its place: by then it has long been carried out.

use alloc::vec::Vec;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{DEFERRED, Entry, Index, RECORDS, sum};

/// Bytes of a record.
pub(super) const RECORD_BYTES: usize = size_of::<DeferredWire>();

/// A write that was acknowledged, and is carried out later (`crate::deferred`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeferredWrite {
    /// Such writes are counted from 1.
    pub number: u64,
    /// Sequence number of its request.
    pub sequence: u64,
    /// The file.
    pub inode: u32,
    /// See [`crate::layout::Inode::generation`].
    pub generation: u64,
    /// Where it begins.
    pub offset: u64,
    /// Bytes.
    pub length: u32,
    /// The client.
    pub client: u16,
    /// Slot of its request.
    pub slot: u16,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct DeferredWire {
    number: u64,
    sequence: u64,
    generation: u64,
    offset: u64,
    inode: u32,
    length: u32,
    client: u16,
    slot: u16,
    checksum: u32,
}

impl From<&DeferredWrite> for DeferredWire {
    fn from(write: &DeferredWrite) -> Self {
        let mut wire = Self {
            number: write.number,
            sequence: write.sequence,
            generation: write.generation,
            offset: write.offset,
            inode: write.inode,
            length: write.length,
            client: write.client,
            slot: write.slot,
            checksum: 0,
        };
        wire.checksum = sum(&wire);
        wire
    }
}

impl Index {
    fn record_at(&self, number: u64) -> usize {
        let end = self.region.len() & !7;
        end - (1 + number as usize % RECORDS) * RECORD_BYTES
    }

    /// Says that a write is to be carried out. It counts from the last store on.
    pub fn set_deferred(&mut self, write: &DeferredWrite) {
        let at = self.record_at(write.number);
        self.region.write_words(at, &DeferredWire::from(write));
    }

    /// The writes that were to be carried out, those that have been since among them, in their order.
    pub fn deferred(&self) -> Vec<DeferredWrite> {
        let places = (0..RECORDS as u64).map(|number| self.record_at(number));
        let wires = places.map(|at| self.region.read::<DeferredWire>(at));
        let mut found: Vec<_> = wires
            .filter(|wire| wire.number != 0 && wire.checksum == sum(wire))
            .map(|wire| DeferredWrite {
                number: wire.number,
                sequence: wire.sequence,
                inode: wire.inode,
                generation: wire.generation,
                offset: wire.offset,
                length: wire.length,
                client: wire.client,
                slot: wire.slot,
            })
            .collect();
        found.sort_unstable_by_key(|write| write.number);
        found
    }

    /// Forgets them all; for the first mount of a boot.
    pub fn forget_deferred(&mut self) {
        for number in 0..RECORDS as u64 {
            let at = self.record_at(number);
            self.region.fill(at, RECORD_BYTES, 0);
        }
    }

    /// Whether the next life would find the write and its blocks, the first of which is `first`.
    pub fn has_deferred(
        &self,
        write: &DeferredWrite,
        first: u64,
        slots: &[u32],
        sums: impl Iterator<Item = u32>,
    ) -> bool {
        let wire: DeferredWire = self.region.read(self.record_at(write.number));
        let wanted = DeferredWire::from(write);
        wire.as_bytes() == wanted.as_bytes()
            && (first..)
                .zip(slots)
                .zip(sums)
                .all(|((logical, slot), contents)| {
                    let block = DEFERRED | u64::from(write.inode);
                    let version = logical;
                    self.get(*slot as usize)
                        == Ok(Some(Entry {
                            block,
                            version,
                            contents,
                        }))
                })
    }
}
