// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Connects a protection domain to the file service and the time service, wherever system.xml maps what
//! they share:
//!
//! ```ignore
//! let topology = pd_setup::topology();
//! let files = pd_clients::files(&topology);
//! let timers = pd_clients::timers(&topology);
//! ```
//!
//! The names are fixed: PD `NAME` shares `NAME_to_fs_requests`, `fs_to_NAME_completions`, `NAME_to_fs_data`
//! and `fs_to_NAME_data` with `fs`, and `timer_clock`, `NAME_to_timer_timers`, `timer_to_NAME_firings` with
//! `timer`; with `NAME_to_timer_control` it may set the wall clock. It has a channel to each.
//!
//! # Panics
//!
//! A region or channel that is missing is a mistake in system.xml: every function here panics with its
//! name.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

#[cfg(target_os = "none")]
extern crate alloc;

#[cfg(target_os = "none")]
mod target;

#[cfg(target_os = "none")]
pub use target::{
    TimerChannel, clock, file_cache, file_requests, files, files_channel, files_through_service,
    timers,
};
