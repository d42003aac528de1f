// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! One trial's record, as it lies in the region `injector_to_host_records` for the host to read.
//!
//! The region has a physical address that no kernel clears, so it survives a reset of the machine, and
//! needs no console: a trial whose system is lost is on record too. It begins with a header of
//! [`RECORD_WORDS`] words; the record of trial `n` is at place `n % RECORDS`. A record's state is stored
//! last.

use crate::outcome::Outcome;

/// Physical address of the region (`overlay.xml`).
pub const ADDRESS: u64 = 0x5110_0000;
/// Bytes of the region.
pub const BYTES: usize = 0x10_0000;
/// Words of a record.
pub const RECORD_WORDS: usize = 32;
/// Records that the region holds.
pub const RECORDS: usize = BYTES / (RECORD_WORDS * 8) - 1;
/// First word of the header.
pub const MAGIC: u64 = u64::from_le_bytes(*b"KINJREC1");

/// Words of the header.
pub mod header {
    /// [`super::MAGIC`].
    pub const MAGIC: usize = 0;
    /// The boot's seed.
    pub const SEED: usize = 1;
    /// The boot's first trial.
    pub const FIRST: usize = 2;
    /// One more than the number of the latest finished trial.
    pub const FINISHED: usize = 3;
    /// How often the machine has started: more than 1 says that it was reset.
    pub const STARTS: usize = 4;
    /// 1 when the system is lost, 2 when all trials are done.
    pub const END: usize = 5;
    /// The trial at hand.
    pub const TRIAL: usize = 6;
    /// Guest time in microseconds at the injector's latest look.
    pub const NOW_US: usize = 7;
}

/// How far a trial is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Nothing is here.
    #[default]
    None = 0,
    /// Drawn, not injected.
    Begun = 1,
    /// Injected, not judged.
    Injected = 2,
    /// Over.
    Done = 3,
}

/// Victims that a record can speak of.
pub const VICTIMS_MAX: usize = 8;

/// See the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Number.
    pub trial: u64,
    /// How far it is.
    pub state: State,
    /// Number of the class.
    pub class: u64,
    /// Index of the victim.
    pub victim: u64,
    /// Where: an address in the victim, or the index of a shared region and an offset.
    pub place: u64,
    /// What was there.
    pub old: u64,
    /// What is there now.
    pub new: u64,
    /// Whether the victim has run into it: 1, or 0 when that cannot be known.
    pub reached: u64,
    /// What it came to.
    pub outcome: Outcome,
    /// Restarts of each victim while it lasted.
    pub restarts: [u8; VICTIMS_MAX],
    /// Nanoseconds from injection to the first restart seen.
    pub detected_ns: u64,
    /// Nanoseconds from injection to the first operation that was answered after it.
    pub served_ns: u64,
    /// Longest operation of the application.
    pub slowest_ns: u64,
    /// Operations that failed, were wrong, had lost something.
    pub troubles: [u64; 3],
    /// Timers: early, lost, extra, clock backwards.
    pub timers: [u64; 4],
    /// Operations that were answered.
    pub operations: u64,
    /// Nanoseconds that the trial took.
    pub took_ns: u64,
    /// Guest time at its begin, in microseconds.
    pub began_us: u64,
    /// Starts of the machine so far.
    pub starts: u64,
    /// Index of the second victim, plus 1.
    pub second: u64,
    /// Rounds that the application has finished since the injection.
    pub rounds: u64,
}

/// Index of the word with the state.
pub const STATE_WORD: usize = 1;

impl Record {
    /// As words. The last is a checksum.
    pub fn words(&self) -> [u64; RECORD_WORDS] {
        let mut words = [0; RECORD_WORDS];
        let list = [
            self.trial + 1,
            self.state as u64,
            self.class,
            self.victim,
            self.place,
            self.old,
            self.new,
            self.reached,
            self.outcome as u64,
            u64::from_le_bytes(self.restarts),
            self.detected_ns,
            self.served_ns,
            self.slowest_ns,
            self.troubles[0],
            self.troubles[1],
            self.troubles[2],
            self.timers[0],
            self.timers[1],
            self.timers[2],
            self.timers[3],
            self.operations,
            self.took_ns,
            self.began_us,
            self.starts,
            self.second,
            self.rounds,
        ];
        words[..list.len()].copy_from_slice(&list);
        words[RECORD_WORDS - 1] = checksum(&words);
        words
    }

    /// Reads one; `None` when it is not whole.
    pub fn parse(words: &[u64; RECORD_WORDS]) -> Option<Self> {
        if words[0] == 0 || words[RECORD_WORDS - 1] != checksum(words) {
            return None;
        }
        let state = match words[STATE_WORD] {
            1 => State::Begun,
            2 => State::Injected,
            3 => State::Done,
            _ => return None,
        };
        Some(Self {
            trial: words[0] - 1,
            state,
            class: words[2],
            victim: words[3],
            place: words[4],
            old: words[5],
            new: words[6],
            reached: words[7],
            outcome: Outcome::from_number(words[8])?,
            restarts: words[9].to_le_bytes(),
            detected_ns: words[10],
            served_ns: words[11],
            slowest_ns: words[12],
            troubles: [words[13], words[14], words[15]],
            timers: [words[16], words[17], words[18], words[19]],
            operations: words[20],
            took_ns: words[21],
            began_us: words[22],
            starts: words[23],
            second: words[24],
            rounds: words[25],
        })
    }

    /// Where the record of `trial` is, in bytes.
    pub const fn offset(trial: u64) -> usize {
        (1 + (trial % RECORDS as u64) as usize) * RECORD_WORDS * 8
    }
}

fn checksum(words: &[u64; RECORD_WORDS]) -> u64 {
    words[..RECORD_WORDS - 1]
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, word| {
            (hash ^ word)
                .wrapping_mul(0x0000_0100_0000_01b3)
                .rotate_left(23)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            trial: 4711,
            state: State::Done,
            class: 3,
            outcome: Outcome::Unnoticed,
            restarts: [1, 2, 3, 4, 5, 6, 7, 8],
            troubles: [1, 2, 3],
            timers: [4, 5, 6, 7],
            rounds: 9,
            ..Record::default()
        }
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(Record::parse(&record().words()), Some(record()));
        assert_eq!(Record::parse(&[0; RECORD_WORDS]), None);
    }

    #[test]
    fn every_changed_bit_is_noticed() {
        for word in 0..RECORD_WORDS {
            for bit in 0..64 {
                let mut words = record().words();
                words[word] ^= 1 << bit;
                assert_eq!(Record::parse(&words), None, "word {word} bit {bit}");
            }
        }
    }

    #[test]
    fn records_lie_in_the_region() {
        for trial in [0, 1, RECORDS as u64 - 1, RECORDS as u64, u64::MAX] {
            let offset = Record::offset(trial);
            assert!(offset >= RECORD_WORDS * 8 && offset + RECORD_WORDS * 8 <= BYTES);
        }
    }
}
