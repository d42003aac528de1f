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

/// What the register becomes behind 1024, 2048 and 4096 zeros, for each of its bits alone.
static BEHIND_ZEROS: [[u32; 32]; 3] = [behind(10), behind(11), behind(12)];

/// The same for `2^log` zeros.
const fn behind(log: u32) -> [u32; 32] {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    // One bit of zero, for each bit of the register.
    let mut bits = [0; 32];
    bits[0] = POLYNOMIAL;
    let mut at = 1;
    while at < 32 {
        bits[at] = 1 << (at - 1);
        at += 1;
    }
    let mut doubled = 0;
    while doubled < log + 3 {
        let mut twice = [0; 32];
        let mut at = 0;
        while at < 32 {
            twice[at] = apply(&bits, bits[at]);
            at += 1;
        }
        bits = twice;
        doubled += 1;
    }
    bits
}

const fn apply(bits: &[u32; 32], register: u32) -> u32 {
    let mut sum = 0;
    let mut left = register;
    while left != 0 {
        sum ^= bits[left.trailing_zeros() as usize];
        left &= left - 1;
    }
    sum
}

/// `crc32c(register, zeros)` for as many zeros as a block has.
///
/// # Panics
///
/// When no block has so many.
pub fn behind_zeros(register: u32, block_size: usize) -> u32 {
    let table = match block_size {
        1024 => 0,
        2048 => 1,
        4096 => 2,
        _ => panic!("no block has {block_size} bytes"),
    };
    apply(&BEHIND_ZEROS[table], register)
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

    #[test]
    fn zeros_need_not_be_read() {
        for size in [1024, 2048, 4096] {
            for register in [0, 1, SEED, 0x8000_0000, 0x1234_5678] {
                let zeros = alloc::vec![0; size];
                assert_eq!(behind_zeros(register, size), crc32c(register, &zeros));
            }
        }
    }
}
