// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What a test PD is to do: the region `test_fs_settings`.
//!
//! | bytes | what |
//! |---|---|
//! | 0..8 | seed |
//! | 8..12 | [`Mode`] |
//! | 12..16 | steps at least |
//! | 16..20 | restarts of the service at least |
//!
//! Little-endian.

/// Bytes of the settings.
pub const BYTES: usize = 20;

/// What kind of test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Random steps, compared with the model.
    Random,
    /// Each kind of step, with the service killed at each of its fault points.
    Points,
    /// Random steps; each `fsync` is said, so that a power cut can be judged.
    Power,
    /// A disk that fills up.
    Full,
    /// A disk that refuses writes.
    ReadOnly,
    /// A disk that fails while it is used.
    Failing,
    /// The client `test_b` means harm; the others make random steps.
    Hostile,
    /// Reads of cached pages without the service.
    Direct,
    /// Many requests under way at once.
    Many,
    /// Writes, and then no more requests.
    Quiet,
}

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Of the sequence.
    pub seed: u64,
    /// What kind of test.
    pub mode: Mode,
    /// Steps at least.
    pub steps: u32,
    /// Restarts of the service at least.
    pub restarts: u32,
}

impl Settings {
    /// Reads them; every content means something.
    pub fn parse(bytes: &[u8; BYTES]) -> Self {
        let word = |at: usize| {
            let mut word = [0; 4];
            word.copy_from_slice(&bytes[at..at + 4]);
            u32::from_le_bytes(word)
        };
        Self {
            seed: u64::from(word(0)) | u64::from(word(4)) << 32,
            mode: match word(8) {
                1 => Mode::Points,
                2 => Mode::Power,
                3 => Mode::Full,
                4 => Mode::ReadOnly,
                5 => Mode::Failing,
                6 => Mode::Hostile,
                7 => Mode::Direct,
                8 => Mode::Many,
                9 => Mode::Quiet,
                _ => Mode::Random,
            },
            steps: word(12),
            restarts: word(16),
        }
    }

    /// The bytes that [`Self::parse`] reads.
    pub const fn bytes(&self) -> [u8; BYTES] {
        let words = [
            self.seed as u32,
            (self.seed >> 32) as u32,
            self.mode as u32,
            self.steps,
            self.restarts,
        ];
        let mut bytes = [0; BYTES];
        let mut at = 0;
        while at < BYTES {
            bytes[at] = words[at / 4].to_le_bytes()[at % 4];
            at += 1;
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        for mode in [Mode::Random, Mode::Points, Mode::Failing, Mode::Quiet] {
            let settings = Settings {
                seed: 0x1122_3344_5566_7788,
                mode,
                steps: 5000,
                restarts: 77,
            };
            assert_eq!(Settings::parse(&settings.bytes()), settings);
        }
    }
}
