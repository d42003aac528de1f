// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Decides which protection domain is killed next, where in its program, and how.
//!
//! A kill is one instruction, written over the `nop` of a fault point (`recovery::fault_point!`) in
//! the victim's running code: the victim dies when it next gets there, in the middle of what it
//! was doing. Its supervisor loads the code afresh, so a kill undoes itself.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

#[cfg(feature = "pd")]
pub mod killer;
pub mod plan;
pub mod points;
pub mod settings;
