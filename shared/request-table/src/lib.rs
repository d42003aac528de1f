// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Requests that survive the death of whoever made them or serves them.
//!
//! A table lies in two shared regions: the client alone writes its requests into one, the server
//! alone writes completions into the other. Slot *i* of one belongs to slot *i* of the other.
//!
//! - A request is *pending* while its stamp (sequence number and a pending bit, one word, stored
//!   at once) says so. The client clears the bit when it has consumed the completion, not before.
//! - A pending request is *unfinished* while the completion slot does not carry the same stamp with
//!   a good checksum. A server that starts anew is given every unfinished request again.
//! - Each side also has a ring of slot numbers, which says where to look. It is only a hint: a ring
//!   that is lost, torn or wrong costs a look at the whole table.
//! - Each side notifies the other, but for a client that says that it looks for itself (decision 0080).
//!
//! What holds whatever dies between whichever two stores:
//! - A client that lives gets each of its completions exactly once.
//! - A request is handed to a server at most once per life of that server, unless the server takes
//!   it back ([`Server::take_back`]), and at least once in all.
//!   Whether a repetition does harm is for the protocol above to say; the sequence number, which
//!   never repeats and only grows, lets a server recognise one.
//! - A client that is restarted finds what its earlier life had not consumed ([`Client::outstanding`]).
//!   A completion whose consumer died right after taking it is gone with it.
//!
//! What a peer writes is copied out once and checked. Impossible contents are counted and skipped:
//! a hostile peer can starve its own requests, and nothing else. Checksums find torn and damaged
//! slots; they are no defence against a peer that computes them.

#![cfg_attr(not(any(test, loom)), no_std)]
#![forbid(unsafe_code)]

mod client;
mod counts;
#[cfg(not(loom))]
pub mod inspect;
mod layout;
#[cfg(all(test, loom))]
mod model;
mod ring;
mod server;
#[cfg(all(test, not(loom)))]
mod tests;
mod whole;

pub use client::{Client, Full};
pub use layout::{AttachError, SLOTS, Slot, region_bytes};
pub use server::{Server, Ticket};
pub use whole::Whole;
