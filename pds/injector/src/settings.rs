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
    /// Guest milliseconds without a finished round after which the system counts as lost.
    pub lost_after_ms: u64,
}

impl Settings {
    /// As the words of the region.
    pub fn words(&self) -> [u64; WORDS] {
        let mut words = [0; WORDS];
        words[..7].copy_from_slice(&[
            MAGIC,
            self.seed,
            self.first,
            self.end,
            self.classes,
            self.victims,
            self.lost_after_ms,
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
        };
        assert_eq!(Settings::parse(&settings.words()), Some(settings));
        assert_eq!(Settings::parse(&[0; WORDS]), None);
    }
}
