// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! An application in C: `program.c` on SQLite, which stands on the file service through POSIX's names.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

use c_library as _;
use fs_posix as _;
use sel4_microkit::{Handler, protection_domain};
use timer_posix as _;

#[protection_domain(stack_size = 0x20000, heap_size = 0x400000)]
fn init() -> impl Handler {
    c_program::run()
}
