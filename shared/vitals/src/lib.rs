// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The vitals page of a protection domain: what it shows its supervisor while it lives.
//!
//! Region `NAME_vitals`, written by the PD alone. The supervisor asks by notification, and the PD's
//! event loop counts one beat up; how a beat that stays away is judged is the supervisor's business.
//! Every field is one word, so a PD that dies leaves no field half written. A PD can write anything
//! here: the worst that it gets by that is a restart too many or too few of itself.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

use sel4_shared_memory::SharedMut;
use shared_words::{HEADER_WORDS, Header, Words, WordsMut};

/// Header of a vitals page.
pub const HEADER: Header = Header {
    magic: u64::from_le_bytes(*b"KVITALS1"),
    version: 2,
};

/// Answers to the supervisor, ever.
pub const BEATS: usize = HEADER_WORDS;
/// Counter at the latest answer.
pub const BEAT_TICKS: usize = HEADER_WORDS + 1;
/// Counter when the event loop handed the present event on; 0 while it waits for one.
pub const BUSY_SINCE: usize = HEADER_WORDS + 2;
/// Events handled, waits ended, pulses: it moves as long as the PD does anything.
pub const PROGRESS: usize = HEADER_WORDS + 3;
/// Channels that the PD waits for in the middle of an event, as bits; 0 when it does not.
pub const WAITING: usize = HEADER_WORDS + 4;
/// Work that was accepted and is not finished.
pub const OUTSTANDING: usize = HEADER_WORDS + 5;
/// Work that was finished, ever.
pub const DONE: usize = HEADER_WORDS + 6;
/// Of a supervisor: one more than the highest priority below it at which somebody does not answer or
/// had the processor at its last look; 0 when there is none.
pub const OCCUPIED: usize = HEADER_WORDS + 7;
/// Questions in a row at which the PD found done what an interrupt should have told it of.
pub const LATE_INTERRUPTS: usize = HEADER_WORDS + 8;
/// Questions in a row at which the PD found that whom it had told of work did not know of it.
pub const LATE_WORK: usize = HEADER_WORDS + 9;
/// Work that was accepted and waits for nobody but the PD itself.
pub const OWN: usize = HEADER_WORDS + 10;

const WORDS: usize = HEADER_WORDS + SHOWN;
/// Words behind the header, from [`BEATS`] to [`OWN`].
pub const SHOWN: usize = 11;

/// The page is too small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooSmall;

/// The PD's side.
#[derive(Debug)]
pub struct Vitals {
    page: SharedMut,
}

impl Vitals {
    /// Takes the page at the beginning of life `epoch`, which is busy starting.
    ///
    /// # Errors
    ///
    /// [`TooSmall`]
    pub fn attach(page: SharedMut, epoch: u32, ticks: u64) -> Result<Self, TooSmall> {
        let mut page = page;
        if page.word_count() < WORDS {
            return Err(TooSmall);
        }
        if HEADER.check(&page).is_err() {
            HEADER.begin(&mut page);
            (HEADER_WORDS..WORDS).for_each(|word| page.set_word(word, 0));
            HEADER.finish(&mut page);
        }
        for word in [
            WAITING,
            OUTSTANDING,
            OCCUPIED,
            LATE_INTERRUPTS,
            LATE_WORK,
            OWN,
        ] {
            page.set_word(word, 0);
        }
        page.set_word(BUSY_SINCE, ticks.max(1));
        // Last: with the epoch begins what is said of this life.
        Header::set_epoch(&mut page, epoch);
        Ok(Self { page })
    }

    fn add_one(&mut self, word: usize) {
        let value = self.page.word(word);
        self.page.set_word(word, value.wrapping_add(1));
    }

    /// Answers the supervisor.
    pub fn beat(&mut self, ticks: u64) {
        self.page.set_word(BEAT_TICKS, ticks);
        self.add_one(BEATS);
    }

    /// An event is going to be handled.
    pub fn busy(&mut self, ticks: u64) {
        self.page.set_word(BUSY_SINCE, ticks.max(1));
    }

    /// The event has been handled.
    pub fn idle(&mut self) {
        self.page.set_word(BUSY_SINCE, 0);
        self.pulse();
    }

    /// A long piece of work goes on.
    pub fn pulse(&mut self) {
        self.add_one(PROGRESS);
    }

    /// Waits for these channels in the middle of an event; for none: does so no more.
    pub fn waiting(&mut self, channels: u64) {
        self.page.set_word(WAITING, channels);
        if channels == 0 {
            self.pulse();
        }
    }

    /// States how much work is there, and how much was finished in this life.
    pub fn work(&mut self, outstanding: u64, done: u64) {
        self.page.set_word(DONE, done);
        self.page.set_word(OUTSTANDING, outstanding);
    }

    /// States how much of the work waits for nobody but this PD.
    pub fn own(&mut self, own: u64) {
        self.page.set_word(OWN, own);
    }

    /// States at how many questions in a row interrupts were missing, and at how many others did not
    /// know of what they were told.
    pub fn late(&mut self, interrupts: u64, work: u64) {
        self.page.set_word(LATE_INTERRUPTS, interrupts);
        self.page.set_word(LATE_WORK, work);
    }

    /// States the highest priority that is occupied below this supervisor.
    pub fn occupied(&mut self, priority: Option<u8>) {
        self.page.set_word(
            OCCUPIED,
            priority.map_or(0, |priority| u64::from(priority) + 1),
        );
    }
}

/// What a supervisor sees of a PD.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Which life it is about.
    pub epoch: Option<u32>,
    /// [`BEATS`].
    pub beats: u64,
    /// [`PROGRESS`].
    pub progress: u64,
    /// It handles an event and does not wait.
    pub runs: bool,
    /// It waits in the middle of an event.
    pub waits: bool,
    /// [`OUTSTANDING`].
    pub outstanding: u64,
    /// [`DONE`].
    pub done: u64,
    /// [`OCCUPIED`], decoded.
    pub occupied: Option<u8>,
    /// [`LATE_INTERRUPTS`].
    pub late_interrupts: u64,
    /// [`LATE_WORK`].
    pub late_work: u64,
    /// [`OWN`].
    pub own: u64,
}

/// The words behind the header, for a record of a death; zeros if nobody has formatted the page.
#[must_use]
pub fn words(page: &impl Words) -> [u64; SHOWN] {
    let mut words = [0; SHOWN];
    if page.word_count() >= WORDS && HEADER.check(page).is_ok() {
        for (index, word) in words.iter_mut().enumerate() {
            *word = page.word(HEADER_WORDS + index);
        }
    }
    words
}

/// Reads a page; one that nobody has formatted says nothing.
#[must_use]
pub fn read(page: &impl Words) -> Seen {
    if page.word_count() < WORDS || HEADER.check(page).is_err() {
        return Seen::default();
    }
    let waits = page.word(WAITING) != 0;
    Seen {
        epoch: Header::epoch(page),
        beats: page.word(BEATS),
        progress: page.word(PROGRESS),
        runs: page.word(BUSY_SINCE) != 0 && !waits,
        waits,
        outstanding: page.word(OUTSTANDING),
        done: page.word(DONE),
        occupied: page
            .word(OCCUPIED)
            .checked_sub(1)
            .and_then(|priority| priority.try_into().ok()),
        late_interrupts: page.word(LATE_INTERRUPTS),
        late_work: page.word(LATE_WORK),
        own: page.word(OWN),
    }
}

#[cfg(test)]
mod tests {
    use sel4_shared_memory::host::{HostRegion, Life};

    use super::*;

    #[test]
    fn what_is_written_is_seen() {
        let region = HostRegion::new(0x1000);
        assert_eq!(read(&region.shared_ref()), Seen::default());
        let mut vitals = Vitals::attach(region.shared_mut(&Life::endless()), 3, 5).expect("fits");
        let seen = || read(&region.shared_ref());
        assert_eq!(
            seen(),
            Seen {
                epoch: Some(3),
                runs: true,
                ..Seen::default()
            }
        );
        vitals.beat(9);
        vitals.idle();
        assert_eq!((seen().beats, seen().progress, seen().runs), (1, 1, false));
        vitals.busy(10);
        vitals.waiting(4);
        assert!(seen().waits && !seen().runs);
        vitals.waiting(0);
        vitals.work(7, 8);
        vitals.occupied(Some(140));
        let now = seen();
        assert!(now.runs && now.progress == 2);
        assert_eq!((now.outstanding, now.done, now.occupied), (7, 8, Some(140)));
        vitals.occupied(None);
        assert_eq!(seen().occupied, None);
        vitals.late(1, 2);
        vitals.own(3);
        let now = seen();
        assert_eq!((now.late_interrupts, now.late_work, now.own), (1, 2, 3));
        let words = words(&region.shared_ref());
        assert_eq!((words[0], words[5], words[6], words[10]), (1, 7, 8, 3));
    }

    #[test]
    fn a_new_life_keeps_the_beats_and_forgets_the_work() {
        let region = HostRegion::new(0x1000);
        let mut vitals = Vitals::attach(region.shared_mut(&Life::endless()), 0, 1).expect("fits");
        vitals.beat(2);
        vitals.work(7, 8);
        vitals.waiting(1);
        vitals.late(4, 4);
        vitals.own(4);
        Vitals::attach(region.shared_mut(&Life::endless()), 1, 3).expect("fits");
        let seen = read(&region.shared_ref());
        assert_eq!((seen.epoch, seen.beats, seen.outstanding), (Some(1), 1, 0));
        assert!(seen.runs);
        assert_eq!((seen.late_interrupts, seen.late_work, seen.own), (0, 0, 0));
    }

    #[test]
    fn dying_while_formatting_formats_again() {
        for steps in 0..24 {
            let region = HostRegion::new(0x1000);
            let life = Life::of_steps(steps);
            let _ = life.run(|| Vitals::attach(region.shared_mut(&life), 0, 1));
            let seen = read(&region.shared_ref());
            assert!(seen.epoch.is_none_or(|epoch| epoch == 0));
            Vitals::attach(region.shared_mut(&Life::endless()), 1, 1).expect("fits");
            assert_eq!(read(&region.shared_ref()).epoch, Some(1));
        }
        let tiny = HostRegion::new(64);
        assert!(Vitals::attach(tiny.shared_mut(&Life::endless()), 0, 1).is_err());
        assert_eq!(read(&tiny.shared_ref()), Seen::default());
    }
}
