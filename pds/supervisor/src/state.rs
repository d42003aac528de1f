// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What a supervisor keeps in region `NAME_state`, which survives its own restarts.
//!
//! Layout, little endian: 64 bytes for the supervisor itself, then one [`EntryWire`] per child id. Only
//! the supervisor writes here, so a wrong checksum means that it died while it wrote the entry:
//! the child was about to be loaded, and is loaded again. The times in the history have no checksum; a
//! torn one is a wrong time, which shortens or lengthens one window. The last death has one, and is
//! there as long as nobody has reported it.

use sel4_shared_memory::{Crc32c, SharedMut};
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::tree::{History, Phase, Record};

const MAGIC: u64 = u64::from_le_bytes(*b"KSUPSTAT");
const HEADER_BYTES: usize = 64;
const ESCALATED_OFFSET: usize = 8;

/// One child's entry.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct EntryWire {
    phase: U32,
    epoch: U32,
    restarts: U32,
    check: U32,
    history: [U64; size_of::<History>() / 8],
    death: [U64; DEATH_WORDS],
}

/// Words of a death, the last one its checksum.
const DEATH_WORDS: usize = 6;

/// A death that is to be reported: an encoded fault, the epoch of the life, and the time.
pub type DeathWords = [u64; DEATH_WORDS - 1];

/// Bit of the phase's word: the child is loaded from its other program.
const FALLBACK_BIT: u32 = 8;
const ENTRY_BYTES: usize = size_of::<EntryWire>();
const RECORD_BYTES: usize = 16;
const DEATH_OFFSET: usize = RECORD_BYTES + size_of::<History>();

/// Bytes that the region must have for children with ids up to `id_max`.
pub const fn region_bytes(id_max: usize) -> usize {
    HEADER_BYTES + (id_max + 1) * ENTRY_BYTES
}

/// The preserved region.
pub struct State {
    region: SharedMut,
}

const fn pair(low: u32, high: u32) -> u64 {
    low as u64 | (high as u64) << 32
}

fn check(phase: u32, epoch: u32, restarts: u32) -> u32 {
    Crc32c::new()
        .word(pair(phase, epoch))
        .word(u64::from(restarts))
        .finish()
}

fn check_death(death: &DeathWords) -> u32 {
    let sum = death
        .iter()
        .fold(Crc32c::new(), |sum, word| sum.word(*word));
    sum.finish()
}

impl State {
    /// Takes the region; a fresh one (zero, or left by something else) is formatted. Says whether it
    /// held a state.
    pub fn attach(mut region: SharedMut) -> (Self, bool) {
        let known = region.load_u64(0) == MAGIC;
        if !known {
            region.fill(0, region.len(), 0);
            let mut state = Self { region };
            for id in 0..(state.region.len() - HEADER_BYTES) / ENTRY_BYTES {
                state.store(id, &Record::default());
                state.clear_death(id);
            }
            state.region.store_u64(0, MAGIC);
            return (state, false);
        }
        (Self { region }, known)
    }

    /// Whether the last life ended by escalating.
    pub fn escalated(&self) -> bool {
        self.region.load_u32(ESCALATED_OFFSET) != 0
    }

    /// Remembers for the next life that this one ends by escalating, or that it has begun anew.
    pub fn set_escalated(&mut self, escalated: bool) {
        self.region
            .store_u32(ESCALATED_OFFSET, u32::from(escalated));
    }

    fn offset(id: usize) -> usize {
        HEADER_BYTES + id * ENTRY_BYTES
    }

    /// Stores a child's record.
    pub fn store(&mut self, id: usize, record: &Record) {
        let phase = record.phase as u32 | u32::from(record.fallback) << FALLBACK_BIT;
        let (epoch, restarts) = (record.epoch, record.restarts);
        let words = [phase, epoch, restarts, check(phase, epoch, restarts)].map(U32::new);
        self.region.write(Self::offset(id), &words);
    }

    /// Stores the time of the restart with number `restarts` in a child's history.
    pub fn store_time(&mut self, id: usize, position: usize, time_ms: u64) {
        self.region
            .store_u64(Self::offset(id) + RECORD_BYTES + position * 8, time_ms);
    }

    /// Stores a death that is to be reported.
    pub fn store_death(&mut self, id: usize, death: &DeathWords) {
        let offset = Self::offset(id) + DEATH_OFFSET;
        for (index, word) in death.iter().enumerate() {
            self.region.store_u64(offset + index * 8, *word);
        }
        let check = u64::from(check_death(death));
        self.region.store_u64(offset + (DEATH_WORDS - 1) * 8, check);
    }

    /// The death was reported.
    pub fn clear_death(&mut self, id: usize) {
        let offset = Self::offset(id) + DEATH_OFFSET + (DEATH_WORDS - 1) * 8;
        self.region.store_u64(offset, u64::MAX);
    }

    /// The death that nobody has reported, if there is one. One that was torn is lost: its fault
    /// has not been dealt with either, and happens again.
    pub fn load_death(&self, id: usize) -> Option<DeathWords> {
        let words: [U64; DEATH_WORDS] = self.region.read(Self::offset(id) + DEATH_OFFSET);
        let (death, [check]) = words.split_at_checked(DEATH_WORDS - 1)? else {
            return None;
        };
        let death = core::array::from_fn(|index| death[index].get());
        (check.get() == u64::from(check_death(&death))).then_some(death)
    }

    /// Loads what is known of a child. A torn record counts as `Loading`, with the epoch that is
    /// there, whatever it says: an epoch need only differ from the last.
    pub fn load(&self, id: usize) -> (Record, History) {
        let entry: EntryWire = self.region.read(Self::offset(id));
        let (phase, epoch, restarts) = (entry.phase.get(), entry.epoch.get(), entry.restarts.get());
        let whole = entry.check.get() == check(phase, epoch, restarts);
        let fallback = phase & 1 << FALLBACK_BIT != 0;
        let phase = match phase & !(1 << FALLBACK_BIT) {
            0 if whole => Phase::New,
            2 if whole => Phase::Running,
            3 if whole => Phase::Stopped,
            _ => Phase::Loading,
        };
        (
            Record {
                phase,
                epoch,
                restarts,
                fallback,
            },
            entry.history.map(U64::get),
        )
    }
}

#[cfg(test)]
mod tests {
    use sel4_shared_memory::host::{HostRegion, Life};

    use super::*;

    #[test]
    fn a_fresh_region_knows_nobody() {
        let region = HostRegion::new(region_bytes(3));
        let (state, known) = State::attach(region.shared_mut(&Life::endless()));
        assert!(!known && !state.escalated());
        assert_eq!(state.load(3).0, Record::default());
    }

    #[test]
    fn what_was_stored_is_there_in_the_next_life() {
        let region = HostRegion::new(region_bytes(3));
        let record = Record {
            phase: Phase::Running,
            epoch: 7,
            restarts: 9,
            fallback: true,
        };
        let (mut state, _) = State::attach(region.shared_mut(&Life::endless()));
        state.store(2, &record);
        state.store_time(2, 8, 1234);
        state.set_escalated(true);
        let (state, known) = State::attach(region.shared_mut(&Life::endless()));
        assert!(known && state.escalated());
        let (found, history) = state.load(2);
        assert_eq!((found, history[8]), (record, 1234));
    }

    #[test]
    fn dying_in_the_middle_of_a_store_means_loading_or_one_of_the_two() {
        let old = Record {
            phase: Phase::Running,
            epoch: 7,
            restarts: 9,
            fallback: false,
        };
        let new = Record {
            phase: Phase::Stopped,
            epoch: 8,
            restarts: 10,
            fallback: true,
        };
        for torn in 0..=RECORD_BYTES {
            let region = HostRegion::new(region_bytes(0));
            let (mut state, _) = State::attach(region.shared_mut(&Life::endless()));
            state.store(0, &new);
            let after = region.bytes();
            state.store(0, &old);
            region.set_bytes(HEADER_BYTES, &after[HEADER_BYTES..HEADER_BYTES + torn]);
            let (found, _) = state.load(0);
            let fine = found == old || found == new || found.phase == Phase::Loading;
            assert!(fine, "{torn} bytes: {found:?}");
        }
    }

    #[test]
    fn a_death_is_there_until_it_is_reported() {
        let region = HostRegion::new(region_bytes(1));
        let (mut state, _) = State::attach(region.shared_mut(&Life::endless()));
        assert_eq!(state.load_death(1), None);
        state.store_death(1, &[1, 2, 3, 4, 5]);
        let (mut state, _) = State::attach(region.shared_mut(&Life::endless()));
        assert_eq!(state.load_death(1), Some([1, 2, 3, 4, 5]));
        assert_eq!(state.load_death(0), None);
        state.clear_death(1);
        assert_eq!(state.load_death(1), None);
        // Torn while it was stored.
        for steps in 0..5 {
            let life = Life::of_steps(steps);
            let (mut torn, _) = State::attach(region.shared_mut(&Life::endless()));
            torn.store_death(1, &[9; 5]);
            torn.clear_death(1);
            let (mut torn, _) = State::attach(region.shared_mut(&life));
            let _ = life.run(|| torn.store_death(1, &[6, 7, 8, 9, 10]));
            assert_eq!(torn.load_death(1), None, "{steps} steps");
        }
    }

    #[test]
    fn dying_while_formatting_formats_again() {
        for steps in 0..24 {
            let region = HostRegion::new(region_bytes(2));
            let life = Life::of_steps(steps);
            let died = life
                .run(|| drop(State::attach(region.shared_mut(&life))))
                .is_err();
            let (state, known) = State::attach(region.shared_mut(&Life::endless()));
            assert!(known != died);
            assert_eq!(state.load(2).0, Record::default());
        }
    }
}
