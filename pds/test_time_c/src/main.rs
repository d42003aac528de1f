// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! A test PD in C: `program.c` uses the clocks and timers of POSIX, and checks every answer.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

use sel4_microkit::{Handler, protection_domain};
use timer_posix as _;

#[protection_domain(stack_size = 0x10000, heap_size = 0x40000)]
fn init() -> impl Handler {
    c_program::run()
}
