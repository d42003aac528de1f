// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! CRC-32C as ext4 and JBD2 chain it: any seed, no inversion at the end.

use sel4_shared_memory::Crc32c;

/// Seed of a checksum that continues no other.
pub const SEED: u32 = !0;

/// Continues checksum `seed` over `bytes`.
pub fn crc32c(seed: u32, bytes: &[u8]) -> u32 {
    Crc32c::resume(seed).bytes(bytes).register()
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
