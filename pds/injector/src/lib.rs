// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Fault injection into a running machine: which fault comes next, how it is made, and what it came to.
//!
//! Everything here is pure and tested on the host; the host's `cargo xtask campaign` links it too, so that
//! settings, classes and records have one definition. What the faults do to memory, registers and
//! capabilities is `main.rs`.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod class;
pub mod instruction;
pub mod outcome;
pub mod plan;
pub mod queue;
pub mod random;
pub mod record;
pub mod settings;
