// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Bytes that are about to be written to a file: ours, or a client's, which are copied once.
//!
//! A client that changes its bytes while we copy them gets a mixture of both, and nothing else comes of it:
//! nobody looks at them here.

use alloc::vec;
use alloc::vec::Vec;

use sel4_shared_memory::{SharedMut, SharedRef};

/// Where the bytes are.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// In our own memory.
    Own(&'a [u8]),
    /// In a region that a client writes: the place has been checked.
    Shared {
        /// The region.
        region: &'a SharedRef,
        /// First byte.
        at: usize,
        /// Bytes.
        length: usize,
    },
}

impl<'a> Source<'a> {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Own(bytes) => bytes.len(),
            Self::Shared { length, .. } => *length,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A part of them.
    ///
    /// # Panics
    ///
    /// When there are not so many.
    #[must_use]
    pub fn part(&self, from: usize, count: usize) -> Self {
        match *self {
            Self::Own(bytes) => Self::Own(&bytes[from..from + count]),
            Self::Shared { region, at, length } => {
                assert!(from <= length && count <= length - from, "no such part");
                let at = at + from;
                let length = count;
                Self::Shared { region, at, length }
            }
        }
    }

    /// Copies them into a region of ours.
    pub fn put(&self, memory: &mut SharedMut, to: usize) {
        match *self {
            Self::Own(bytes) => memory.write_bytes(to, bytes),
            Self::Shared { region, at, length } => memory.copy_from(to, region, at, length),
        }
    }

    /// The same for whole blocks; returns the checksum of what was copied.
    pub fn put_summed(&self, memory: &mut SharedMut, to: usize) -> u32 {
        match *self {
            Self::Own(bytes) => memory.write_bytes_summed(to, bytes),
            Self::Shared { region, at, length } => memory.copy_from_summed(to, region, at, length),
        }
    }

    /// A copy of them.
    pub fn to_vec(&self) -> Vec<u8> {
        match *self {
            Self::Own(bytes) => bytes.to_vec(),
            Self::Shared { region, at, length } => {
                let mut bytes = vec![0; length];
                region.read_bytes(at, &mut bytes);
                bytes
            }
        }
    }
}

impl<'a, T: AsRef<[u8]> + ?Sized> From<&'a T> for Source<'a> {
    fn from(bytes: &'a T) -> Self {
        Self::Own(bytes.as_ref())
    }
}
