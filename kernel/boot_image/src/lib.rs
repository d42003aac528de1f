// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The image that the development kernel boots from: its layout, a reader and (on the host) a builder.

#![cfg_attr(not(any(test, feature = "std")), no_std)]
#![forbid(unsafe_code)]

#[cfg(feature = "std")]
pub mod spec;
#[cfg(feature = "std")]
pub use spec::SystemSpec;
