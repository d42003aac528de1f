// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! A test PD that is loaded in place of `test_crash` when that one has died too often, and lives.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

use sel4_microkit::{Handler, NullHandler, protection_domain};

#[protection_domain(stack_size = 0x4000, heap_size = 0x1000)]
fn init() -> impl Handler {
    pd_setup::log();
    recovery::ready();
    log::info!("the other program is at work");
    NullHandler::new()
}
