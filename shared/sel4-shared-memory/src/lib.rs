// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Memory that another protection domain or a device may change at any time.
//!
//! Decides how such memory is touched: never through `&T` or `&mut T`, only by copying values in
//! and out and by atomic loads and stores. What the bytes mean, and whether they can be believed,
//! is the business of the crates above (`request-table`, `proto`).
//!
//! Two views of the same rules:
//! - [`SharedRef`] and [`SharedMut`]: a whole region, addressed by byte offset. `SharedRef` is what
//!   a peer writes, `SharedMut` is what this side alone writes. New code uses these.
//! - [`SharedMemoryRef`] and [`SharedMemoryPtr`]: typed pointers, with the names and meanings of the
//!   crate of the same name in rust-sel4 v5.0.0 (a subset), so that code written for it compiles.

#![cfg_attr(not(any(test, feature = "host", loom)), no_std)]
#![expect(
    unsafe_code,
    reason = "the one place that dereferences memory which a peer can change"
)]

pub mod access;
mod block_sum;
mod checksum;
mod copy;
#[cfg(all(any(test, feature = "host"), not(loom)))]
pub mod host;
mod ptr;
#[cfg_attr(not(loom), path = "raw/memory.rs")]
#[cfg_attr(loom, path = "raw/model.rs")]
mod raw;
mod region;

pub use checksum::Crc32c;
pub use ptr::{Atomic, SharedMemory, SharedMemoryPtr, SharedMemoryRef};
#[cfg(loom)]
pub use raw::ModelRegion;
pub use region::{NotShareable, SharedMut, SharedRef};
