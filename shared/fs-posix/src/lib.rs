// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The files of POSIX.1-2017 (`open`, `pread`, `fsync`, `rename`, `opendir`, ...) on the file service, for
//! programs in C; the headers in `include/` have POSIX's names, so that programs are compiled as they are.
//!
//! Module [`posix`] decides what each function does, in safe Rust, on crate `fs-client`; module [`ffi`]
//! takes C's pointers. A restart of the service changes nothing for the program.

#![cfg_attr(not(test), no_std)]
#![expect(unsafe_code, reason = "functions that C calls, with C's pointers")]

extern crate alloc;

pub mod ffi;
pub mod posix;

#[cfg(all(feature = "c", target_os = "none"))]
mod panic;
