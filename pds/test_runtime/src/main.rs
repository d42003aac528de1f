// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! A test PD: checks on the target what the host cannot run, the runtime's memory functions, the ones for
//! shared memory (`shared.rs`) and the delivery of notifications to a PD that waits inside its `init`, with
//! the action that its handler puts off then.
//!
//! system.xml runs the program twice; `signaller` is the one that signals.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

mod shared;

use alloc::{vec, vec::Vec};
use core::hint::black_box;

use log::info;
use sel4_microkit::{
    Channel, ChannelSet, DeferredAction, DeferredActionSlot, Handler, Infallible, pd_name,
    protection_domain,
};

/// What `init` waits for.
const AWAITED: Channel = Channel::new(2);
/// What arrives before that.
const OTHER: Channel = Channel::new(3);

/// Longer than two rounds of the 256-byte loops, with every remainder.
const LENGTH_MAX: usize = 600;
/// Every position in a 16-byte vector.
const OFFSET_MAX: usize = 16;
const BUFFER: usize = 800;

#[protection_domain(stack_size = 0x4000, heap_size = 0x10000)]
fn init() -> impl Handler {
    pd_setup::log();
    if pd_name() == Ok("signaller") {
        // Of lower priority: the other one waits already.
        OTHER.notify();
        AWAITED.notify();
    } else {
        let checks = copies() + moves() + fills() + comparisons();
        info!("memory functions: {checks} checks passed");
        info!("shared memory: {} checks passed", shared::checks());
        microkit_wait::wait_for(AWAITED);
    }
    Runtime {
        answer: DeferredActionSlot::new(),
    }
}

struct Runtime {
    answer: DeferredActionSlot,
}

impl Handler for Runtime {
    type Error = Infallible;

    fn notified(&mut self, channels: ChannelSet) -> Result<(), Infallible> {
        for channel in channels.iter() {
            assert!(channel == OTHER, "a bit that `init` has taken came again");
            if pd_name() == Ok("signaller") {
                info!("KINTSUGI|PASS what the handler of that put off was done");
                continue;
            }
            info!("KINTSUGI|PASS what came while init waited was delivered");
            assert!(self.answer.defer_notify(OTHER).is_ok(), "there is none yet");
        }
        Ok(())
    }

    fn take_deferred_action(&mut self) -> Option<DeferredAction> {
        self.answer.take()
    }
}

fn pattern() -> Vec<u8> {
    (0..BUFFER).map(|i| (i * 7 + i / 256) as u8).collect()
}

/// Checks that `found` is `background` except for `[at, at + part.len())`, which is `part`.
fn check(found: &[u8], background: &[u8], at: usize, part: &[u8], what: &str) {
    for (i, &byte) in found.iter().enumerate() {
        let inside = i.checked_sub(at).and_then(|offset| part.get(offset));
        let expected = inside.unwrap_or(&background[i]);
        assert!(
            byte == *expected,
            "{what}: {} bytes at {at}: byte {i}",
            part.len()
        );
    }
}

fn copies() -> u32 {
    let (source, background) = (pattern(), vec![0xa5; BUFFER]);
    let mut count = 0;
    for length in 0..LENGTH_MAX {
        for from in 0..OFFSET_MAX {
            for to in [0, 1, 7, 8, 15] {
                let mut target = background.clone();
                let part = &source[from..from + length];
                black_box(&mut target)[to..to + length].copy_from_slice(black_box(part));
                check(&target, &background, to, part, "memcpy");
                count += 1;
            }
        }
    }
    count
}

fn moves() -> u32 {
    let source = pattern();
    let mut count = 0;
    for length in 0..LENGTH_MAX {
        for distance in -70_isize..=70 {
            let (from, to) = (100, (100 + distance) as usize);
            let mut target = source.clone();
            black_box(&mut target).copy_within(from..from + length, to);
            check(
                &target,
                &source,
                to,
                &source[from..from + length],
                "memmove",
            );
            count += 1;
        }
    }
    count
}

fn fills() -> u32 {
    let background = pattern();
    let mut count = 0;
    for length in 0..LENGTH_MAX {
        for at in 0..OFFSET_MAX {
            let mut target = background.clone();
            black_box(&mut target)[at..at + length].fill(black_box(0x3c));
            check(
                &target,
                &background,
                at,
                &[0x3c; LENGTH_MAX][..length],
                "memset",
            );
            count += 1;
        }
    }
    count
}

fn comparisons() -> u32 {
    use core::cmp::Ordering::{Equal, Greater, Less};
    let left = pattern();
    let mut count = 0;
    for length in 0..80 {
        for offset in [0, 3, 8] {
            let mut right = left[..length].to_vec();
            right.splice(0..0, vec![0; offset]);
            let order = |right: &[u8]| black_box(&left[..length]).cmp(black_box(&right[offset..]));
            assert!(order(&right) == Equal, "memcmp: {length} equal bytes");
            for position in 0..length {
                let byte = left[position];
                right[offset + position] = byte.wrapping_add(1);
                let expected = if byte == u8::MAX { Greater } else { Less };
                assert!(
                    order(&right) == expected,
                    "memcmp: {length} bytes, byte {position}"
                );
                right[offset + position] = byte;
                count += 1;
            }
        }
    }
    count
}
