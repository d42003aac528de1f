// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Random file operations that know what must come of them: for the test PD `test_fs`, for the tests of the
//! file service on the host, and for the host tool, which judges what is left on the disk.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod model;
#[cfg(feature = "run")]
pub mod run;
pub mod settings;
pub mod sums;
