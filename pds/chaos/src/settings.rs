// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! How a test sets the pace of the killing: what it may put into the region `chaos_seed`.
//!
//! | bytes | what |
//! |---|---|
//! | 0..8 | seed |
//! | 8..12 | periods before the first kill |
//! | 12..16 | periods that a planted instruction may wait for its victim |
//! | 16..20 | periods of rest after that |
//! | 20..24 | 1: after each kill, kill the next life too, while it starts |
//!
//! Little-endian; all but the first are 0 for the default. A period is that of the PD in system.xml.

/// Bytes of the settings.
pub const BYTES: usize = 24;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Of the sequence; the log says it.
    pub seed: u64,
    /// Periods before the first kill: the services start.
    pub start: u32,
    /// Periods that a planted instruction may wait for its victim before it is taken back.
    pub patience: u32,
    /// Periods of rest between two kills, so that the system also works undisturbed.
    pub rest: u32,
    /// Whether a life that has just begun is killed at a point that those which work do not reach.
    pub again: bool,
}

impl Settings {
    /// Where nobody says otherwise.
    pub const DEFAULT: Self = Self {
        seed: 1,
        start: 10,
        patience: 20,
        rest: 2,
        again: false,
    };

    /// Reads them; every content means something.
    pub fn parse(bytes: &[u8; BYTES]) -> Self {
        let (seed, rest) = bytes.split_first_chunk().expect("24 bytes");
        let number = |index: usize, default| {
            let mut bytes = [0; 4];
            bytes.copy_from_slice(&rest[index * 4..][..4]);
            match u32::from_le_bytes(bytes) {
                0 => default,
                number => number,
            }
        };
        Self {
            seed: u64::from_le_bytes(*seed),
            start: number(0, Self::DEFAULT.start),
            patience: number(1, Self::DEFAULT.patience),
            rest: number(2, Self::DEFAULT.rest),
            again: number(3, 0) != 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_alone_leaves_the_pace_as_it_is() {
        let mut bytes = [0; BYTES];
        bytes[0] = 7;
        let expected = Settings {
            seed: 7,
            ..Settings::DEFAULT
        };
        assert_eq!(Settings::parse(&bytes), expected);
        bytes[8] = 1;
        bytes[13] = 1;
        bytes[16] = 3;
        bytes[20] = 1;
        let expected = Settings {
            seed: 7,
            start: 1,
            patience: 256,
            rest: 3,
            again: true,
        };
        assert_eq!(Settings::parse(&bytes), expected);
    }
}
