// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The runtime of a Rust protection domain (PD) on the seL4 Microkit.
//!
//! The public API is a subset of the crate of the same name in rust-sel4 v5.0.0: what compiles
//! against this crate compiles against that one. Beneath, four things differ:
//!
//! - It needs no libsel4 headers, and one ELF file runs on the debug, release and benchmark
//!   kernels.
//! - A PD can be restarted in place: the entry code sets its own stack pointer, and `pd.ld` puts
//!   everything that a life changes into segments that the supervisor loads again.
//! - The first receive of every life is a `ReplyRecv` with the label
//!   [`microkit_abi::labels::RESTARTED`]: it wakes a caller that the last life left waiting, who
//!   would otherwise be lost, and does nothing when there is none.
//! - `memcpy`, `memmove`, `memset`, `memcmp` are fast.
//!
//! ```ignore
//! #![no_std]
//! #![no_main]
//!
//! use sel4_microkit::{Channel, ChannelSet, Handler, Infallible, protection_domain};
//!
//! const PEER: Channel = Channel::new(1);
//!
//! #[protection_domain]
//! fn init() -> impl Handler {
//!     Echo
//! }
//!
//! struct Echo;
//!
//! impl Handler for Echo {
//!     type Error = Infallible;
//!
//!     fn notified(&mut self, channels: ChannelSet) -> Result<(), Infallible> {
//!         if channels.contains(PEER) {
//!             PEER.notify();
//!         }
//!         Ok(())
//!     }
//! }
//! ```

#![cfg_attr(not(test), no_std)]
#![cfg_attr(
    target_os = "none",
    expect(unsafe_code, reason = "entry code, patched variables, the heap")
)]

mod channel;
mod message;

#[cfg(target_os = "none")]
mod defer;
#[cfg(target_os = "none")]
mod entry;
#[cfg(target_os = "none")]
mod handler;
#[cfg(target_os = "none")]
mod heap;
#[cfg(target_os = "none")]
mod memory_functions;
#[cfg(target_os = "none")]
pub mod panicking;
#[cfg(target_os = "none")]
mod printing;
#[cfg(target_os = "none")]
mod symbols;

pub use channel::{Channel, ChannelSet, Child, DisplayChannelSet, IrqAckError};
pub use core::convert::Infallible;
pub use message::{MessageInfo, MessageLabel, MessageRegisterValue};
pub use sel4_microkit_macros::protection_domain;

#[cfg(target_os = "none")]
pub use defer::{DeferredAction, DeferredActionInterface, DeferredActionSlot};
#[cfg(target_os = "none")]
pub use handler::{Handler, Never, NullHandler};
#[cfg(target_os = "none")]
pub use message::{
    get_mr, set_mr, with_msg_bytes, with_msg_bytes_mut, with_msg_regs, with_msg_regs_mut,
};
#[cfg(target_os = "none")]
pub use symbols::{pd_is_passive, pd_name};

/// What the macros need.
#[doc(hidden)]
#[cfg(target_os = "none")]
pub mod _private {
    pub use crate::entry::run_main;
    pub use crate::heap::{Heap, Scratch};
    pub use crate::printing::print;
    pub use crate::symbols::PatchedCell;
}
