// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What a body says about itself: an end-to-end check, from where a completion is decided to where its client
//! takes it. What it covers and where it is computed is for the protocol above to say.

/// A completion that may carry a checksum of its own.
///
/// The slot's checksum is made where the completion is stored, over whatever has become of it until then, and
/// can be made anew by whoever changes the slot. One that is not whole is treated as one that is not there:
/// its client does not take it, and its server runs the request again, as one that may have run.
pub trait Whole {
    /// Says whether it is what was decided as the answer to the request with this sequence number.
    #[inline(always)]
    fn is_whole(&self, _sequence: u64) -> bool {
        true
    }
}

impl<const N: usize> Whole for [u8; N] {}
