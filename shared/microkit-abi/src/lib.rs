// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The system calls of seL4 (MCS, AArch64) and what Microkit puts where in a PD's CSpace.
//!
//! Everything is said in numbers that hold for all three kernel configurations (debug, release,
//! benchmark) of Microkit 2.3.0, so that one ELF file runs on each: where the numbers differ, the
//! configuration is found out at run time ([`KernelConfig::detect`]). No header of libsel4 is
//! needed.
//!
//! This crate decides nothing; `sel4-microkit` and the extension crates decide. Calls that can
//! only act on kernel objects are safe functions: a kernel object cannot be made to write this
//! PD's memory except through its own IPC buffer, which only this crate touches.

#![cfg_attr(not(test), no_std)]
#![cfg_attr(
    target_os = "none",
    expect(
        unsafe_code,
        reason = "the supervisor-call instruction and the IPC buffer"
    )
)]

pub mod badge;
pub mod labels;
pub mod message;
pub mod registers;
pub mod slots;

#[cfg(target_os = "none")]
pub mod cache;
#[cfg(target_os = "none")]
mod config;
#[cfg(target_os = "none")]
pub mod first_reply;
#[cfg(target_os = "none")]
pub mod ipc_buffer;
#[cfg(target_os = "none")]
pub mod noted;
#[cfg(target_os = "none")]
pub mod psci;
#[cfg(target_os = "none")]
pub mod syscalls;
#[cfg(target_os = "none")]
pub mod tcb;
#[cfg(target_os = "none")]
pub mod watch;

#[cfg(target_os = "none")]
pub use config::KernelConfig;
