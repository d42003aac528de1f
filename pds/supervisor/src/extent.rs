// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Decides how much of a child's memory a restart restores: always data and bss, its code when there
//! is reason to doubt it.
//!
//! Code is mapped read-only in the child, so only its supervisor or a fault of the memory can have
//! changed it. Restoring all of it takes ten times as long as the rest of a restart. So
//! - a child that died at an instruction whose surroundings are as in the saved ELF keeps its code;
//! - where they differ, the page around the instruction is restored;
//! - everything is restored when that is not enough or nothing is known: the child hung or panicked, or its
//!   program counter is in no code, or it died as the last time, or soon after its start.

/// How much is restored, besides data and bss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Nothing.
    Data,
    /// The page of the code region with this offset in it.
    Page(usize),
    /// All code.
    All,
}

/// A life that ends so soon gives reason to doubt what it was loaded with.
const SOON_US: u64 = 5_000;

/// What is remembered of one child. A supervisor that is restarted itself starts with doubts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Doubts {
    /// Where the last life ended.
    last_pc: Option<u64>,
    /// When this life was started, in microseconds.
    started_us: Option<u64>,
}

/// Where a child died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Program counter.
    pub pc: u64,
    /// The same as an offset in the code region.
    pub offset: usize,
    /// The instructions around it are those of the saved ELF.
    pub is_intact: bool,
}

impl Doubts {
    /// Decides about a death at `place`, if that is known and in the child's code, and notes the new
    /// life that begins now.
    pub fn on_death(&mut self, place: Option<Place>, now_us: u64) -> Extent {
        let soon = self
            .started_us
            .is_none_or(|started| now_us.saturating_sub(started) < SOON_US);
        let again = self.last_pc.is_some() && self.last_pc == place.map(|place| place.pc);
        *self = Self {
            last_pc: place.map(|place| place.pc),
            started_us: Some(now_us),
        };
        match place {
            Some(_) if soon || again => Extent::All,
            Some(place) if place.is_intact => Extent::Data,
            Some(place) => Extent::Page(place.offset),
            None => Extent::All,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn place(pc: u64, is_intact: bool) -> Option<Place> {
        let offset = pc as usize;
        Some(Place {
            pc,
            offset,
            is_intact,
        })
    }

    /// A child that was started at 0 and died once, at 1 s.
    fn known() -> Doubts {
        let mut doubts = Doubts::default();
        doubts.on_death(None, 0);
        doubts.on_death(place(8, true), 1_000_000);
        doubts
    }

    #[test]
    fn sound_code_stays() {
        assert_eq!(known().on_death(place(12, true), 2_000_000), Extent::Data);
    }

    #[test]
    fn a_changed_page_is_restored() {
        let extent = known().on_death(place(12, false), 2_000_000);
        assert_eq!(extent, Extent::Page(12));
    }

    #[test]
    fn doubt_restores_everything() {
        // Nothing known of the life before, hung or nowhere, soon again, the same place again.
        let mut fresh = Doubts::default();
        assert_eq!(fresh.on_death(place(8, true), 9_000_000), Extent::All);
        assert_eq!(known().on_death(None, 2_000_000), Extent::All);
        assert_eq!(known().on_death(place(12, true), 1_004_999), Extent::All);
        assert_eq!(known().on_death(place(8, true), 2_000_000), Extent::All);
        assert_eq!(known().on_death(place(8, false), 2_000_000), Extent::All);
    }

    #[test]
    fn two_hangs_are_not_one_place() {
        let mut doubts = known();
        assert_eq!(doubts.on_death(None, 2_000_000), Extent::All);
        assert_eq!(doubts.on_death(place(12, true), 3_000_000), Extent::Data);
    }
}
