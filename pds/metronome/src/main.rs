// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The sentinel's clock: notifies it once per period, and uses no device for that.
//!
//! Its budget in system.xml is smaller than its period, so the kernel lets it run once per period, and
//! `Yield` gives up what is left of the budget. So the sentinel notices a dead time service whatever has
//! become of the timers of the board. The sentinel restarts it like any child.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

use microkit_abi::syscalls;
use sel4_microkit::{Channel, Handler, NullHandler, protection_domain};

const SENTINEL: Channel = Channel::new(2);

#[protection_domain(stack_size = 0x2000, heap_size = 0x1000)]
fn init() -> impl Handler {
    loop {
        SENTINEL.notify();
        syscalls::yield_now();
        // The type of a handler that there will never be.
        if false {
            break NullHandler::new();
        }
    }
}
