// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! A test PD of the lowest priority that counts while nobody else has anything to do.
//!
//! Under `-icount shift=0`, where an instruction is a nanosecond, the time that passes minus the
//! time counted here is the work of everybody else. The loop has three instructions: add, store,
//! branch.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

use sel4_microkit::{Handler, NullHandler, protection_domain, var};
use sel4_shared_memory::SharedMut;

const REGION_BYTES: usize = 0x1000;

#[protection_domain(stack_size = 0x4000, heap_size = 0x1000)]
fn init() -> impl Handler {
    let vaddr = *var!(spin_counter_vaddr: usize = 0);
    let mut counter = SharedMut::from_mapped(vaddr, REGION_BYTES).expect("spin_counter is mapped");
    let mut count = 0_u64;
    while count < u64::MAX {
        count += 1;
        counter.store_u64(0, count);
    }
    NullHandler::new()
}
