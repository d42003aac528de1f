// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Where the clients' memory and channels are, kept for the next life.
//!
//! The topology table says all that, and reading and checking it takes most of a start. It does not
//! change while the machine runs. So the first life notes what it found in memory of the driver's
//! own, with a checksum and the table's own checksum as a key; later lives take the note when both
//! are right, and read the table otherwise.

use alloc::vec::Vec;

use sel4_shared_memory::{Crc32c, SharedMut, SharedRef};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes that the driver leaves to its next life: a page of `blk_dma`.
pub const NOTE_BYTES: usize = 0x1000;
/// The first of them are this note; the rest is for [`crate::Doubt`].
pub const PLACES_BYTES: usize = NOTE_BYTES - 8;

const KEY: usize = 0;
const SEAL: usize = 8;
const DMA_PADDR: usize = 16;
const FIRST: usize = 24;
const CLIENTS_MAX: usize = (PLACES_BYTES - FIRST) / size_of::<Place>();
/// Not the checksum of nothing.
const VERSION: u64 = 1;

/// One client.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Place {
    /// Channel to the client.
    pub channel: u64,
    /// Number of its partition, or 0 for the whole disk.
    pub partition: u64,
    /// Address and size of `<client>_to_blk_requests`.
    pub requests: [u64; 2],
    /// Address and size of `blk_to_<client>_completions`.
    pub completions: [u64; 2],
    /// Physical address and size of its data.
    pub data: [u64; 2],
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// Physical address of `blk_dma`.
    pub dma_paddr: u64,
    /// The clients.
    pub clients: Vec<Place>,
}

impl Places {
    /// Notes them. `key` stands for the table that they come from.
    pub fn store(&self, to: &mut SharedMut, key: u64) {
        to.store_u64(SEAL, 0);
        if self.clients.len() > CLIENTS_MAX {
            return;
        }
        to.store_u64(KEY, key);
        to.store_u64(DMA_PADDR, self.dma_paddr);
        for (index, client) in self.clients.iter().enumerate() {
            to.write_words(FIRST + index * size_of::<Place>(), client);
        }
        let count = self.clients.len();
        let seal = seal(&to.as_shared_ref(), count);
        to.store_u64(SEAL, u64::from(seal) << 32 | count as u64);
    }

    /// Takes the note of an earlier life, if it is whole and of this table.
    #[must_use]
    pub fn load(from: &SharedRef, key: u64) -> Option<Self> {
        let word = from.load_u64(SEAL);
        let count = word as u32 as usize;
        let plausible = from.load_u64(KEY) == key && word != 0 && count <= CLIENTS_MAX;
        if !plausible || seal(from, count) != (word >> 32) as u32 {
            return None;
        }
        let place = |index| from.read_words(FIRST + index * size_of::<Place>());
        Some(Self {
            dma_paddr: from.load_u64(DMA_PADDR),
            clients: (0..count).map(place).collect(),
        })
    }
}

fn seal(note: &SharedRef, count: usize) -> u32 {
    let end = FIRST + count * size_of::<Place>();
    let words = (DMA_PADDR..end).step_by(8).map(|at| note.load_u64(at));
    let start = Crc32c::new().word(VERSION).word(note.load_u64(KEY));
    words.fold(start, Crc32c::word).finish()
}

#[cfg(test)]
mod tests {
    use sel4_shared_memory::host::{HostRegion, Life};

    use super::*;

    fn places(count: u64) -> Places {
        let client = |index| Place {
            channel: index,
            partition: index * 3,
            requests: [index + 1, 0x1_0000],
            completions: [index + 2, 0x1_0000],
            data: [index + 3, 0x20_0000],
        };
        Places {
            dma_paddr: 0xa200_0000,
            clients: (0..count).map(client).collect(),
        }
    }

    #[test]
    fn what_is_noted_is_found_with_the_same_key_only() {
        for count in [0, 1, 2, 63] {
            let region = HostRegion::new(NOTE_BYTES);
            let mut note = region.shared_mut(&Life::endless());
            assert_eq!(Places::load(&region.shared_ref(), 7), None);
            places(count).store(&mut note, 7);
            assert_eq!(Places::load(&region.shared_ref(), 7), Some(places(count)));
            assert_eq!(Places::load(&region.shared_ref(), 8), None);
        }
        let region = HostRegion::new(NOTE_BYTES);
        places(64).store(&mut region.shared_mut(&Life::endless()), 7);
        assert_eq!(Places::load(&region.shared_ref(), 7), None, "too many");
    }

    #[test]
    fn a_damaged_note_is_none() {
        let region = HostRegion::new(NOTE_BYTES);
        places(2).store(&mut region.shared_mut(&Life::endless()), 7);
        let good = region.bytes();
        for bit in 0..(FIRST + 2 * size_of::<Place>()) * 8 {
            let byte = good[bit / 8] ^ 1 << (bit % 8);
            region.set_bytes(bit / 8, &[byte]);
            assert_eq!(Places::load(&region.shared_ref(), 7), None, "bit {bit}");
            region.set_bytes(bit / 8, &good[bit / 8..=bit / 8]);
        }
    }

    #[test]
    fn a_life_that_dies_while_it_notes_leaves_none_or_all() {
        for steps in 0..40 {
            let region = HostRegion::new(NOTE_BYTES);
            places(3).store(&mut region.shared_mut(&Life::endless()), 7);
            let life = Life::of_steps(steps);
            let _ = life.run(|| places(1).store(&mut region.shared_mut(&life), 9));
            let found = Places::load(&region.shared_ref(), 9);
            assert!(found.is_none_or(|found| found == places(1)));
        }
    }
}
