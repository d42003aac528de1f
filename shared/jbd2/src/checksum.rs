// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! CRC-32C as ext4 and JBD2 chain it: any seed, no inversion at the end.

use crc::{Algorithm, Crc, Table};

/// Castagnoli's polynomial, reflected, as in `CRC_32_ISCSI`, but without the inversions.
const ALGORITHM: Algorithm<u32> = Algorithm {
    width: 32,
    poly: 0x1edc_6f41,
    init: 0,
    refin: true,
    refout: true,
    xorout: 0,
    check: 0x58e3_fa20,
    residue: 0,
};

/// Sixteen bytes at a time; the tables take 16 KiB.
static CRC: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&ALGORITHM);

/// Seed of a checksum that continues no other.
pub const SEED: u32 = !0;

/// Continues checksum `seed` over `bytes`.
pub fn crc32c(seed: u32, bytes: &[u8]) -> u32 {
    let mut digest = CRC.digest_with_initial(seed.reverse_bits());
    digest.update(bytes);
    digest.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        assert_eq!(crc32c(SEED, b"123456789"), !0xe306_9283);
        assert_eq!(crc32c(crc32c(SEED, b"1234"), b"56789"), !0xe306_9283);
        assert_eq!(crc32c(SEED, b""), SEED);
    }
}
