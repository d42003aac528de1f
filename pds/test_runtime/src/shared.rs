// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Checks the assembly of `sel4-shared-memory`, which only exists on the target, against loops over
//! single bytes.

use alloc::{vec, vec::Vec};

use sel4_microkit::var;
use sel4_shared_memory::{SharedMut, SharedRef};

const REGION_BYTES: usize = 0x2000;
/// Longer than two rounds of 256 bytes, with every remainder.
const LENGTH_MAX: usize = 600;
/// What is looked at after each copy: it starts and ends inside of this.
const WINDOW: usize = 640;
/// Where copies come from and go to: aligned, one side only, both sides, across words and vectors.
const OFFSETS: [(usize, usize); 5] = [(0, 0), (1, 0), (0, 3), (8, 16), (15, 7)];

pub fn checks() -> u32 {
    let mapped = |vaddr| SharedMut::from_mapped(vaddr, REGION_BYTES).expect("system.xml maps it");
    let mut source = mapped(*var!(source_vaddr: usize = 0));
    let mut target = mapped(*var!(target_vaddr: usize = 0));
    for at in 0..REGION_BYTES {
        source.store_u8(at, pattern(at));
    }
    let source = source.as_shared_ref();
    let mut count = 0;
    for length in 0..LENGTH_MAX {
        for (from, to) in OFFSETS {
            copies(&source, &mut target, from, to, length);
            count += 4;
        }
    }
    count + sums(&source, &mut target)
}

/// Differs between neighbours, between vectors and between rounds.
fn pattern(at: usize) -> u8 {
    (at * 7 + at / 256) as u8
}

/// What the target holds before.
fn background(at: usize) -> u8 {
    !pattern(at)
}

fn copies(source: &SharedRef, target: &mut SharedMut, from: usize, to: usize, length: usize) {
    let expected = |at: usize| pattern(from + at);
    paint(target);
    target.copy_from(to, source, from, length);
    look(target, to, length, expected, "copy_from");

    let bytes: Vec<u8> = (from..from + length).map(pattern).collect();
    paint(target);
    target.write_bytes(to, &bytes);
    look(target, to, length, expected, "write_bytes");

    paint(target);
    target.fill(to, length, 0x3c);
    look(target, to, length, |_| 0x3c, "fill");

    let mut private = vec![0xa5; WINDOW];
    source.read_bytes(from, &mut private[to..to + length]);
    for (at, byte) in private.into_iter().enumerate() {
        let inside = (to..to + length).contains(&at);
        let expected = if inside { expected(at - to) } else { 0xa5 };
        assert!(
            byte == expected,
            "read_bytes: {length} bytes at {from} to {to}: byte {at}"
        );
    }
}

fn paint(target: &mut SharedMut) {
    for at in 0..WINDOW {
        target.store_u8(at, background(at));
    }
}

/// Checks that `[to, to + length)` is as `expected` and that nothing else has changed.
fn look(target: &SharedMut, to: usize, length: usize, expected: impl Fn(usize) -> u8, what: &str) {
    for at in 0..WINDOW {
        let inside = (to..to + length).contains(&at);
        let expected = if inside {
            expected(at - to)
        } else {
            background(at)
        };
        assert!(
            target.load_u8(at) == expected,
            "{what}: {length} bytes at {to}: byte {at}"
        );
    }
}

fn sums(source: &SharedRef, target: &mut SharedMut) -> u32 {
    // The same value is in block_sum/tests.rs: host and target agree.
    let known: Vec<u8> = (0..4096).map(pattern).collect();
    assert!(
        naive(&known) == 0xe1c0_82e5,
        "the plain sum of 4096 bytes: {:#x}",
        naive(&known)
    );
    let mut count = 1;
    for (from, to) in OFFSETS {
        for length in (0..=4096).step_by(256) {
            let bytes: Vec<u8> = (from..from + length).map(pattern).collect();
            let expected = naive(&bytes);
            let check = |found: u32, what: &str| {
                assert!(
                    found == expected,
                    "{what}: {length} bytes at {from}: {found:#x}"
                );
            };
            check(source.block_sum(from, length), "block_sum");
            target.fill(0, REGION_BYTES, 0xa5);
            check(
                target.copy_from_summed(to, source, from, length),
                "copy_from_summed",
            );
            holds(target, to, &bytes);
            target.fill(0, REGION_BYTES, 0x5a);
            check(target.write_bytes_summed(to, &bytes), "write_bytes_summed");
            holds(target, to, &bytes);
            check(
                target.block_sum(to, length),
                "block_sum of what was written",
            );
            count += 4;
        }
    }
    count
}

/// Checks that `target` is filled with one byte, but for `bytes` at `to`.
fn holds(target: &SharedMut, to: usize, bytes: &[u8]) {
    let other = target.load_u8(REGION_BYTES - 1);
    for at in 0..REGION_BYTES {
        let inside = at.checked_sub(to).and_then(|at| bytes.get(at));
        let expected = *inside.unwrap_or(&other);
        assert!(
            target.load_u8(at) == expected,
            "{} bytes at {to}: byte {at}",
            bytes.len()
        );
    }
}

/// The sum as block_sum.rs defines it, a lane after the other.
fn naive(bytes: &[u8]) -> u32 {
    const MULTIPLIER: u32 = 0xcf01_9d85;
    let mut crc = !0_u32;
    for lane in 0..16 {
        let mut value = MULTIPLIER;
        for (group, words) in bytes.chunks_exact(64).enumerate() {
            let word: [u8; 4] = core::array::from_fn(|i| words[lane * 4 + i]);
            value = value
                .wrapping_mul(MULTIPLIER)
                .wrapping_add(u32::from_le_bytes(word));
            if group % 4 == 3 {
                value = value.swap_bytes();
            }
        }
        // CRC-32C, bit by bit.
        crc ^= value;
        for _ in 0..32 {
            crc = (crc >> 1) ^ (0x82f6_3b78 & 0_u32.wrapping_sub(crc & 1));
        }
    }
    !crc
}
