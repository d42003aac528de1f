// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Compares the block sum with its definition, and checks what it is said to find and to miss.

use super::{K, of};
use crate::Crc32c;
use crate::host::{Died, HostRegion, Life};

const BLOCK: usize = 4096;

/// The definition, byte by byte and lane by lane, in nothing but wide arithmetic.
fn naive(bytes: &[u8]) -> u32 {
    let mut state = Vec::new();
    for lane in 0..16 {
        let mut value = u64::from(K);
        for (group, words) in bytes.chunks(64).enumerate() {
            let word = (0..4).fold(0, |word, i| {
                word + (u64::from(words[lane * 4 + i]) << (8 * i))
            });
            value = (value * u64::from(K) + word) % (1 << 32);
            if group % 4 == 3 {
                value = (0..4).fold(0, |turned, i| turned << 8 | (value >> (8 * i) & 0xff));
            }
        }
        state.extend((0..4).map(|i| (value >> (8 * i)) as u8));
    }
    Crc32c::new().bytes(&state).finish()
}

/// Bytes of a generator with a long period, other ones for every `seed`.
fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 56) as u8
    };
    (0..len).map(|_| next()).collect()
}

#[test]
fn is_what_the_definition_says() {
    for (seed, len) in (0..=BLOCK).step_by(256).enumerate() {
        let bytes = noise(len, seed as u64);
        assert_eq!(of(&bytes), naive(&bytes), "{len} bytes");
    }
    assert_eq!(of(&[0xff; 512]), naive(&[0xff; 512]));
}

#[test]
fn the_known_value_is_the_one_of_the_target() {
    let bytes: Vec<u8> = (0..BLOCK).map(|at| (at * 7 + at / 256) as u8).collect();
    // The same value is in pds/test_runtime.
    assert_eq!(of(&bytes), 0xe1c0_82e5);
}

#[test]
fn every_flipped_bit_is_found() {
    let mut block = noise(BLOCK, 1);
    let sum = of(&block);
    for bit in 0..BLOCK * 8 {
        block[bit / 8] ^= 1 << (bit % 8);
        assert_ne!(of(&block), sum, "bit {bit}");
        block[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn every_changed_word_is_found() {
    let mut block = noise(BLOCK, 2);
    let sum = of(&block);
    for (at, to) in (0..BLOCK).step_by(4).zip(noise(BLOCK, 3).chunks(4)) {
        let was: [u8; 4] = block[at..at + 4].try_into().unwrap();
        block[at..at + 4].copy_from_slice(to);
        assert_ne!(of(&block), sum, "word at {at}");
        block[at..at + 4].copy_from_slice(&was);
    }
}

#[test]
fn groups_that_change_places_are_found() {
    let block = noise(BLOCK, 4);
    let groups = BLOCK / 64;
    for left in 0..groups {
        for right in left + 1..groups {
            let mut swapped = block.clone();
            for i in 0..64 {
                swapped.swap(left * 64 + i, right * 64 + i);
            }
            assert_ne!(of(&swapped), of(&block), "groups {left} and {right}");
        }
    }
}

#[test]
fn two_flips_of_a_lane_in_neighbouring_rounds_are_found() {
    let block = noise(BLOCK, 5);
    // The last group of a round and the first one of the next; all bits, among them the top ones.
    for at in (192..BLOCK - 64).step_by(256) {
        for bit in 0..64 * 8 {
            let mut flipped = block.clone();
            flipped[at + bit / 8] ^= 1 << (bit % 8);
            flipped[at + 64 + bit / 8] ^= 1 << (bit % 8);
            assert_ne!(
                of(&flipped),
                of(&block),
                "bit {bit} of {at} and of the next group"
            );
        }
    }
}

#[test]
fn two_flips_inside_of_a_round_cancel_at_the_top_only() {
    let block = noise(BLOCK, 6);
    for (near, far) in [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)] {
        for bit in 0..32 {
            let mut flipped = block.clone();
            flipped[512 + near * 64 + bit / 8] ^= 1 << (bit % 8);
            flipped[512 + far * 64 + bit / 8] ^= 1 << (bit % 8);
            let found = of(&flipped) != of(&block);
            assert!(found || bit >= 29, "bit {bit} of groups {near} and {far}");
            assert!(!found || bit < 31, "the header says that these cancel");
        }
    }
}

#[test]
fn small_changes_of_a_lane_in_one_round_do_not_cancel() {
    // What becomes of a change in the one to three steps until the other one.
    for power in [K, K.wrapping_pow(2), K.wrapping_pow(3)] {
        for change in 1..=45_000_u32 {
            let left = change.wrapping_mul(power) as i32;
            assert!(left.unsigned_abs() > 45_000, "{change} and {left}");
        }
    }
}

#[test]
fn zeros_and_ones_of_different_lengths_differ() {
    for byte in [0, 0xff] {
        let mut sums: Vec<u32> = (0..=64).map(|n| of(&vec![byte; n * 256])).collect();
        sums.sort_unstable();
        sums.dedup();
        assert_eq!(sums.len(), 65);
    }
}

#[test]
fn regions_sum_what_they_hold_and_what_they_copy() {
    let (from, to) = (HostRegion::new(BLOCK), HostRegion::new(BLOCK));
    let bytes = noise(BLOCK, 7);
    from.set_bytes(0, &bytes);
    let mut writer = to.shared_mut(&Life::endless());
    for (at, len) in [(0, BLOCK), (8, 1024), (3, 512), (BLOCK, 0)] {
        let part = &bytes[at..at + len];
        assert_eq!(from.shared_ref().block_sum(at, len), naive(part));
        writer.fill(0, BLOCK, 0);
        let start = BLOCK - at - len;
        assert_eq!(
            writer.copy_from_summed(start, &from.shared_ref(), at, len),
            naive(part)
        );
        assert_eq!(to.bytes()[start..start + len], *part);
        assert_eq!(
            to.bytes().iter().filter(|b| **b != 0).count(),
            part.iter().filter(|b| **b != 0).count()
        );
        writer.fill(0, BLOCK, 0);
        assert_eq!(writer.write_bytes_summed(start, part), naive(part));
        assert_eq!(to.bytes()[start..start + len], *part);
        assert_eq!(writer.block_sum(start, len), naive(part));
    }
}

#[test]
fn copies_with_a_sum_are_as_many_stores_as_without() {
    let from = HostRegion::new(BLOCK);
    let steps = |work: &dyn Fn(&mut crate::SharedMut)| {
        let life = Life::endless();
        work(&mut HostRegion::new(BLOCK).shared_mut(&life));
        life.steps_made()
    };
    let bytes = noise(512, 8);
    assert_eq!(
        steps(&|to| to.copy_from(8, &from.shared_ref(), 0, 512)),
        steps(&|to| _ = to.copy_from_summed(8, &from.shared_ref(), 0, 512)),
    );
    assert_eq!(
        steps(&|to| to.write_bytes(4, &bytes)),
        steps(&|to| _ = to.write_bytes_summed(4, &bytes)),
    );
    let (to, life) = (HostRegion::new(BLOCK), Life::of_steps(3));
    let died = life.run(|| to.shared_mut(&life).write_bytes_summed(0, &bytes));
    assert_eq!((died, &to.bytes()[..24]), (Err(Died), &bytes[..24]));
    assert!(to.bytes()[24..].iter().all(|b| *b == 0));
}

#[test]
#[should_panic(expected = "whole rounds of 256 bytes")]
fn half_a_round_panics() {
    let _ = HostRegion::new(BLOCK).shared_ref().block_sum(0, 128);
}

#[test]
#[should_panic(expected = "outside of the shared region")]
fn a_source_outside_of_its_region_panics() {
    let from = HostRegion::new(512).shared_ref();
    let mut to = HostRegion::new(BLOCK).shared_mut(&Life::endless());
    let _ = to.copy_from_summed(0, &from, 512, 256);
}

#[test]
#[should_panic(expected = "outside of the shared region")]
fn a_target_outside_of_its_region_panics() {
    let mut to = HostRegion::new(512).shared_mut(&Life::endless());
    let _ = to.write_bytes_summed(264, &[0; 256]);
}
