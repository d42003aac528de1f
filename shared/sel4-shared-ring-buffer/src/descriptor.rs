// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What a ring carries unless its users say otherwise: a buffer and a number.

use core::ops::Range;

use zerocopy::{FromBytes, Immutable, IntoBytes};

/// A buffer in a region that both ends map, and a number that comes back with it.
///
/// Written by the peer: check the range against the region before use.
#[derive(Copy, Clone, Debug, PartialOrd, Ord, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct Descriptor {
    encoded_addr: usize,
    len: u32,
    _padding: [u8; 4],
    cookie: usize,
}

impl Descriptor {
    /// Makes a descriptor.
    #[must_use]
    pub const fn new(encoded_addr: usize, len: u32, cookie: usize) -> Self {
        Self {
            encoded_addr,
            len,
            _padding: [0; 4],
            cookie,
        }
    }

    /// Makes a descriptor of a range.
    ///
    /// # Panics
    ///
    /// When the range is longer than 4 GiB.
    #[must_use]
    pub fn from_encoded_addr_range(encoded_addr_range: Range<usize>, cookie: usize) -> Self {
        let len = encoded_addr_range
            .len()
            .try_into()
            .expect("shorter than 4 GiB");
        Self::new(encoded_addr_range.start, len, cookie)
    }

    /// Where the buffer begins, in whatever way the users have agreed on.
    #[must_use]
    pub const fn encoded_addr(&self) -> usize {
        self.encoded_addr
    }

    /// Sets where the buffer begins.
    pub const fn set_encoded_addr(&mut self, encoded_addr: usize) {
        self.encoded_addr = encoded_addr;
    }

    /// Length of the buffer in bytes.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "upstream's name")]
    pub const fn len(&self) -> u32 {
        self.len
    }

    /// Sets the length of the buffer.
    pub const fn set_len(&mut self, len: u32) {
        self.len = len;
    }

    /// The number that comes back with the buffer.
    #[must_use]
    pub const fn cookie(&self) -> usize {
        self.cookie
    }

    /// Sets the number.
    pub const fn set_cookie(&mut self, cookie: usize) {
        self.cookie = cookie;
    }

    /// The buffer as a range.
    ///
    /// # Panics
    ///
    /// When it wraps around, as upstream. A peer can send that: use
    /// [`Self::checked_encoded_addr_range`].
    #[must_use]
    pub fn encoded_addr_range(&self) -> Range<usize> {
        self.checked_encoded_addr_range()
            .expect("the range does not wrap around")
    }

    /// The buffer as a range, unless it wraps around. (Not in upstream.)
    #[must_use]
    pub fn checked_encoded_addr_range(&self) -> Option<Range<usize>> {
        Some(self.encoded_addr..self.encoded_addr.checked_add(self.len as usize)?)
    }
}
