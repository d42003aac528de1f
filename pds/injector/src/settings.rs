// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What the host tells the injector: it is put into the machine's memory before the boot, so that one image
//! serves the whole campaign.

/// Physical address of the region `injector_settings` (`overlay.xml`).
pub const ADDRESS: u64 = 0x5100_0000;
/// First word.
pub const MAGIC: u64 = u64::from_le_bytes(*b"KINJSET1");
/// Words of settings.
pub const WORDS: usize = 16;

/// Kills per 1000 seconds, one rate after the other: 0, then 0.1 to 20 per second.
pub const RATES_PER_1000_S: [u64; 9] = [0, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000];

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Of the campaign.
    pub seed: u64,
    /// Number of the boot's first trial.
    pub first: u64,
    /// One more than that of its last.
    pub end: u64,
    /// Which classes: [`crate::class::Class::bit`].
    pub classes: u64,
    /// Which victims: bit n is [`crate::plan::VICTIMS`]\[n\].
    pub victims: u64,
    /// Guest milliseconds without a finished round after which the system counts as lost; with
    /// [`Mode::Rates`], for which each rate is measured.
    pub lost_after_ms: u64,
    /// Who makes the faults.
    pub mode: Mode,
}

/// Who makes the faults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// The injector.
    #[default]
    Inside,
    /// The host, through a debugger; the injector says when a trial begins, and judges it.
    Outside,
    /// Nobody: the injector kills at a steady rate, and counts what the application gets done.
    Rates,
}

impl Settings {
    /// As the words of the region.
    pub fn words(&self) -> [u64; WORDS] {
        let mut words = [0; WORDS];
        words[..8].copy_from_slice(&[
            MAGIC,
            self.seed,
            self.first,
            self.end,
            self.classes,
            self.victims,
            self.lost_after_ms,
            self.mode as u64,
        ]);
        words
    }

    /// Reads them; `None` when nobody has put any there.
    pub fn parse(words: &[u64; WORDS]) -> Option<Self> {
        (words[0] == MAGIC).then(|| Self {
            seed: words[1],
            first: words[2],
            end: words[3],
            classes: words[4],
            victims: words[5],
            lost_after_ms: words[6],
            mode: match words[7] {
                1 => Mode::Outside,
                2 => Mode::Rates,
                _ => Mode::Inside,
            },
        })
    }
}

/// What the host says of a fault that it has made, in the same region behind the settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Made {
    /// In which trial.
    pub trial: u64,
    /// Whether there was an opportunity.
    pub is_made: bool,
    /// Where.
    pub place: u64,
    /// What was there.
    pub old: u64,
    /// What is there now.
    pub new: u64,
}

impl Made {
    /// Offset in the region, in words.
    pub const AT: usize = 32;
    /// How many.
    pub const WORDS: usize = 5;

    /// As words.
    pub fn words(&self) -> [u64; Self::WORDS] {
        let made = u64::from(self.is_made);
        [self.trial + 1, made, self.place, self.old, self.new]
    }

    /// Reads them; `None` when nothing was ever made.
    pub fn parse(words: &[u64; Self::WORDS]) -> Option<Self> {
        Some(Self {
            trial: words[0].checked_sub(1)?,
            is_made: words[1] != 0,
            place: words[2],
            old: words[3],
            new: words[4],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let settings = Settings {
            seed: 1,
            first: 2,
            end: 3,
            classes: 4,
            victims: 5,
            lost_after_ms: 7,
            mode: Mode::Inside,
        };
        for mode in [Mode::Inside, Mode::Outside, Mode::Rates] {
            let settings = Settings { mode, ..settings };
            assert_eq!(Settings::parse(&settings.words()), Some(settings));
        }
        assert_eq!(Settings::parse(&[0; WORDS]), None);
        let made = Made {
            trial: 8,
            is_made: true,
            place: 9,
            old: 10,
            new: 11,
        };
        assert_eq!(Made::parse(&made.words()), Some(made));
        assert_eq!(Made::parse(&[0; Made::WORDS]), None);
    }
}
