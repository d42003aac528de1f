// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The decisions of a supervisor: what a fault means, whether the child is restarted, and what of
//! its saved ELF goes where. `main.rs` receives the faults and carries out what is decided here.
//!
//! Nothing here makes a system call, so all of it runs in `cargo test`.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod extent;
pub mod fault;
pub mod id_registers;
pub mod image;
pub mod liveness;
pub mod probe;
pub mod report;
pub mod state;
pub mod tree;
