// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! A test PD that breaks the disk under its driver, as a faulty device would break: it stops answering, or
//! finds itself in trouble and asks for a reset.
//!
//! It has a budget smaller than its period and never blocks; that is its only clock.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

use blk_service::{QUEUE_SIZE_MAX, QueueLayout};
use microkit_abi::syscalls;
use sel4_microkit::{Handler, NullHandler, protection_domain, var};
use sel4_shared_memory::SharedMut;

/// Device status (virtio 1.2, section 4.2.2). Writing 0 resets the device, which then answers nobody.
const STATUS: usize = 0x70;
const REGISTERS_BYTES: usize = 0x1000;

/// Number of the queue that has work (same section).
const QUEUE_NOTIFY: usize = 0x50;

/// The driver's queue comes first in its memory, and is as long as QEMU lets it be: there is the available
/// ring's index, in the upper half of a word.
const AVAILABLE: usize = QueueLayout {
    size: QUEUE_SIZE_MAX,
}
.available();
/// So many commands more than there can be, in that half.
const ASTRAY: u32 = 0x4000 << 16;

/// Periods until the system works, and between two failures.
const START: u32 = 10;
const REST: u32 = 9;

#[protection_domain(stack_size = 0x4000, heap_size = 0x4000)]
fn init() -> impl Handler {
    pd_setup::log();
    let mapped = |vaddr, bytes| SharedMut::from_mapped(vaddr, bytes).expect("system.xml maps it");
    let mut registers = mapped(*var!(virtio_mmio_vaddr: usize = 0), REGISTERS_BYTES);
    let mut queue = mapped(*var!(dma_vaddr: usize = 0), AVAILABLE + 4);
    rest(START);
    for count in 0_u32.. {
        if count.is_multiple_of(2) {
            log::info!("the disk stops");
            registers.store_u32(STATUS, 0);
        } else {
            log::info!("the disk gets into trouble");
            // The driver stores its own index before it notifies the disk; so this is done here, too.
            let index = queue.load_u32(AVAILABLE);
            queue.store_u32(AVAILABLE, index.wrapping_add(ASTRAY));
            registers.store_u32(QUEUE_NOTIFY, 0);
        }
        rest(REST);
    }
    NullHandler::new()
}

fn rest(periods: u32) {
    (0..periods).for_each(|_| syscalls::yield_now());
}
