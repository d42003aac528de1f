// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Which end of a ring, and of a pair of rings, this program is: type parameters.

use crate::ring::{InitialState, InitializationStrategy};

/// The end that provides free descriptors.
pub enum Provide {}
/// The end that uses them and returns them.
pub enum Use {}
/// The end that writes into a ring.
pub enum Write {}
/// The end that reads from a ring.
pub enum Read {}

/// [`Write`] or [`Read`].
pub trait RingBufferRole: sealed::Role {
    /// The role as a value.
    const ROLE: RingBufferRoleValue;
}

/// [`Write`] or [`Read`] as a value.
#[derive(Debug, Copy, Clone, PartialOrd, Ord, PartialEq, Eq, Hash)]
pub enum RingBufferRoleValue {
    /// [`Write`].
    Write,
    /// [`Read`].
    Read,
}

impl RingBufferRoleValue {
    /// Says whether it is [`Write`].
    #[must_use]
    pub fn is_write(self) -> bool {
        self == Self::Write
    }

    /// Says whether it is [`Read`].
    #[must_use]
    pub fn is_read(self) -> bool {
        self == Self::Read
    }
}

impl RingBufferRole for Write {
    const ROLE: RingBufferRoleValue = RingBufferRoleValue::Write;
}

impl RingBufferRole for Read {
    const ROLE: RingBufferRoleValue = RingBufferRoleValue::Read;
}

/// [`Provide`] or [`Use`].
pub trait RingBuffersRole: sealed::Role {
    /// Role in the ring of free descriptors.
    type FreeRole: RingBufferRole;
    /// Role in the ring of used descriptors.
    type UsedRole: RingBufferRole;

    /// The role as a value.
    const ROLE: RingBuffersRoleValue;

    /// How this end begins.
    fn default_initialization_strategy() -> InitializationStrategy;
}

/// [`Provide`] or [`Use`] as a value.
#[derive(Debug, Copy, Clone, PartialOrd, Ord, PartialEq, Eq, Hash)]
pub enum RingBuffersRoleValue {
    /// [`Provide`].
    Provide,
    /// [`Use`].
    Use,
}

impl RingBuffersRoleValue {
    /// Says whether it is [`Provide`].
    #[must_use]
    pub fn is_provide(self) -> bool {
        self == Self::Provide
    }

    /// Says whether it is [`Use`].
    #[must_use]
    pub fn is_use(self) -> bool {
        self == Self::Use
    }
}

impl RingBuffersRole for Provide {
    type FreeRole = Write;
    type UsedRole = Read;

    const ROLE: RingBuffersRoleValue = RingBuffersRoleValue::Provide;

    fn default_initialization_strategy() -> InitializationStrategy {
        InitializationStrategy::UseAndWriteState(InitialState::default())
    }
}

impl RingBuffersRole for Use {
    type FreeRole = Read;
    type UsedRole = Write;

    const ROLE: RingBuffersRoleValue = RingBuffersRoleValue::Use;

    fn default_initialization_strategy() -> InitializationStrategy {
        InitializationStrategy::ReadState
    }
}

mod sealed {
    pub trait Role {}
    impl Role for super::Provide {}
    impl Role for super::Use {}
    impl Role for super::Write {}
    impl Role for super::Read {}
}
