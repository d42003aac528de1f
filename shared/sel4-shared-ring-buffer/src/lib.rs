// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Rings of descriptors in memory that two protection domains share.
//!
//! Names, memory layout and meanings are those of the crate of the same name in rust-sel4 v5.0.0
//! (a subset), so that a PD of ours can sit at the other end of a ring of theirs.
//!
//! Each end keeps copies of both indices. Its own index it never reads back; the peer's may only
//! move towards its own, by not more than there is, and anything else is a
//! [`PeerMisbehaviorError`]. Unlike upstream, the peer's index is loaded with acquire ordering, so
//! the descriptors before it are visible.
//!
//! A ring forgets what was in it when an end starts anew: requests that must survive belong in a
//! `request-table`.

#![cfg_attr(not(test), no_std)]

mod descriptor;
mod ring;
pub mod roles;

#[cfg(test)]
mod tests;

pub use descriptor::Descriptor;
pub use ring::{
    InitialState, InitializationStrategy, PeerMisbehaviorError, RING_BUFFER_SIZE, RawRingBuffer,
    RingBuffer,
};

use roles::RingBuffersRole;
use sel4_shared_memory::SharedMemoryRef;

/// Two rings: one with free descriptors, and one with used ones on their way back.
pub struct RingBuffers<'a, R: RingBuffersRole, F, T = Descriptor> {
    free: RingBuffer<'a, R::FreeRole, T>,
    used: RingBuffer<'a, R::UsedRole, T>,
    notify: F,
}

impl<'a, R: RingBuffersRole, F, T: Copy> RingBuffers<'a, R, F, T> {
    /// Joins two rings and the way to tell the peer.
    pub fn new(
        free: RingBuffer<'a, R::FreeRole, T>,
        used: RingBuffer<'a, R::UsedRole, T>,
        notify: F,
    ) -> Self {
        Self { free, used, notify }
    }

    /// Takes both rings as is usual for the role: who provides descriptors empties the rings.
    pub fn from_ptrs_using_default_initialization_strategy_for_role(
        free: SharedMemoryRef<'a, RawRingBuffer<T>>,
        used: SharedMemoryRef<'a, RawRingBuffer<T>>,
        notify: F,
    ) -> Self {
        let strategy = R::default_initialization_strategy();
        Self::new(
            RingBuffer::new(free, strategy),
            RingBuffer::new(used, strategy),
            notify,
        )
    }

    /// The ring of free descriptors.
    pub fn free(&self) -> &RingBuffer<'a, R::FreeRole, T> {
        &self.free
    }

    /// The ring of used descriptors.
    pub fn used(&self) -> &RingBuffer<'a, R::UsedRole, T> {
        &self.used
    }

    /// The ring of free descriptors, to work on.
    pub fn free_mut(&mut self) -> &mut RingBuffer<'a, R::FreeRole, T> {
        &mut self.free
    }

    /// The ring of used descriptors, to work on.
    pub fn used_mut(&mut self) -> &mut RingBuffer<'a, R::UsedRole, T> {
        &mut self.used
    }
}

impl<U, R: RingBuffersRole, F: Fn() -> U, T> RingBuffers<'_, R, F, T> {
    /// Tells the peer to look.
    pub fn notify(&self) -> U {
        (self.notify)()
    }
}

impl<U, R: RingBuffersRole, F: FnMut() -> U, T> RingBuffers<'_, R, F, T> {
    /// Tells the peer to look.
    pub fn notify_mut(&mut self) -> U {
        (self.notify)()
    }
}
