// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What the application writes: byte streams that follow from a seed, so that anybody can say what
//! has to be in a file who knows the file's seed and size.

use crate::alive;

/// The seed that belongs to a label (FNV-1a, 64 bits).
pub fn seed(label: &str) -> u64 {
    label.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Word number `index` of a stream: SplitMix64 (Steele, Lea, Flood 2014), which can be entered anywhere.
fn word(seed: u64, index: u64) -> [u8; 8] {
    let mut word = seed.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    (word ^ word >> 31).to_le_bytes()
}

/// The parts of `bytes` that lie in one word each, with what has to be there.
fn each_part(seed: u64, offset: u64, length: usize, mut part: impl FnMut(usize, &[u8])) {
    let mut done = 0;
    while done < length {
        let place = offset + done as u64;
        let inside = (place % 8) as usize;
        let count = (8 - inside).min(length - done);
        part(done, &word(seed, place / 8)[inside..inside + count]);
        done += count;
        if (done - count) / alive::STEP_BYTES != done / alive::STEP_BYTES {
            alive::pulse();
        }
    }
}

/// Writes what the stream has at `offset`.
pub fn fill(seed: u64, offset: u64, bytes: &mut [u8]) {
    each_part(seed, offset, bytes.len(), |at, part| {
        bytes[at..at + part.len()].copy_from_slice(part);
    });
}

/// Compares with what the stream has at `offset`; says which byte of `bytes` is in the wrong part.
pub fn first_difference(seed: u64, offset: u64, bytes: &[u8]) -> Option<usize> {
    let mut found = None;
    each_part(seed, offset, bytes.len(), |at, part| {
        if found.is_none() && bytes[at..at + part.len()] != *part {
            let same = bytes[at..].iter().zip(part).take_while(|(a, b)| a == b);
            found = Some(at + same.count());
        }
    });
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_the_same_wherever_it_is_entered() {
        let mut whole = [0; 100];
        fill(7, 0, &mut whole);
        for offset in 0..40 {
            for length in 0..40 {
                let mut part = vec![0; length];
                fill(7, offset as u64, &mut part);
                assert_eq!(part, whole[offset..offset + length]);
                assert_eq!(first_difference(7, offset as u64, &part), None);
            }
        }
    }

    #[test]
    fn the_first_different_byte_is_found() {
        let mut bytes = [0; 64];
        fill(seed("a"), 3, &mut bytes);
        for index in 0..bytes.len() {
            let mut wrong = bytes;
            wrong[index] ^= 1;
            assert_eq!(first_difference(seed("a"), 3, &wrong), Some(index));
        }
    }

    #[test]
    fn streams_do_not_change() {
        // Computed by another program; the host compares disks of earlier runs with them.
        let mut bytes = [0; 8];
        fill(seed("golden"), 0, &mut bytes);
        assert_eq!(seed("golden"), 0x2b72_c88e_fe37_d9c4);
        assert_eq!(u64::from_le_bytes(bytes), 0xa90e_0a46_f956_a476_u64);
    }
}
