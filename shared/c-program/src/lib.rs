// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What a protection domain written in C stands on: its `main`, and the functions of
//! `include/kintsugi/pd.h`. Crate `c-build` compiles it. The C interfaces of the services are crates of
//! their own, and are linked when the PD's `main.rs` says `use timer_posix as _;`.
//!
//! ```ignore
//! #[protection_domain(stack_size = 0x8000, heap_size = 0x10000)]
//! fn init() -> impl Handler {
//!     c_program::run()
//! }
//! ```

#![cfg_attr(not(test), no_std)]
#![cfg_attr(
    target_os = "none",
    expect(unsafe_code, reason = "functions that C calls, with C's pointers")
)]

#[cfg(target_os = "none")]
mod target;

#[cfg(target_os = "none")]
pub use target::run;
