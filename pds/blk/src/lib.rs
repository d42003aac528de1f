// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The block service: requests of its clients to a virtio disk and back.
//!
//! [`Service`] decides which request goes to the device when, and what its client is told. It knows
//! the device only as a [`Device`]; [`VirtioDisk`] is the one that we have. `main.rs` brings events
//! in and notifications out.
//!
//! Nothing here outlives a crash, and nothing has to: what is unfinished is in the request tables.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod device;
mod doubt;
mod gpt;
mod lateness;
mod places;
mod service;
mod virtio;
mod virtqueue;
mod watchdog;

#[cfg(test)]
mod tests;

pub use device::{Command, Device, Info, Outcome, TAGS};
pub use doubt::Doubt;
pub use places::{NOTE_BYTES, PLACES_BYTES, Place, Places};
pub use service::{ClientMemory, RETRIES_MAX, SecondOpinion, Service, Share};
pub use virtio::{NoDisk, QUEUE_SIZE_MAX, VirtioDisk};
pub use virtqueue::{DESCRIPTOR_BYTES, NEXT, QueueLayout, WRITE};
