// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! A test PD that dies at the start of every life, so that its supervisor has to give up.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

use sel4_microkit::{Handler, NullHandler, protection_domain};

#[protection_domain(stack_size = 0x4000, heap_size = 0x1000)]
fn init() -> impl Handler {
    pd_setup::log();
    recovery::ready();
    // Nothing that the compiler can see makes it so.
    assert!(recovery::ticks() == 0, "always");
    NullHandler::new()
}
