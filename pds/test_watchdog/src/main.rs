// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! A test PD that ends the sentinel, whom no other PD watches: it is sent to an address where nothing is.
//!
//! It has a budget smaller than its period and never blocks; that is its only clock.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

use log::{error, info};
use microkit_abi::{slots, syscalls, tcb};
use sel4_microkit::{Handler, NullHandler, protection_domain};

/// Periods until the system works.
const START: u32 = 20;
/// Slot of the sentinel's thread (`cap_tcb` in the overlay).
const SENTINEL: usize = 1;
/// Nothing is mapped there.
const NOWHERE: u64 = 8;

#[protection_domain(stack_size = 0x4000, heap_size = 0x4000)]
fn init() -> impl Handler {
    pd_setup::log();
    (0..START).for_each(|_| syscalls::yield_now());
    info!("the sentinel ends");
    if tcb::restart(slots::user(SENTINEL), NOWHERE).is_err() {
        error!("no right to the sentinel");
    }
    NullHandler::new()
}
