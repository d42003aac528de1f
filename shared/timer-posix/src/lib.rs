// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The clocks and timers of POSIX.1-2017 (`clock_gettime`, `timer_create`, `nanosleep`, ...) on the
//! time service, for programs in C; the header is `include/kintsugi/time.h`.
//!
//! Module [`posix`] decides what each function does, in safe Rust; module [`ffi`] takes C's pointers.
//! There are no signals in a protection domain: a timer has `SIGEV_NONE`, and the program asks
//! `kintsugi_timer_expired` whenever the service has notified. A restart of the service changes
//! nothing for the program.

#![cfg_attr(not(test), no_std)]
#![expect(unsafe_code, reason = "functions that C calls, with C's pointers")]

pub mod calendar;
pub mod ffi;
pub mod posix;

#[cfg(all(feature = "c", target_os = "none"))]
mod panic;

#[cfg(test)]
mod tests;
