// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What a life finds of the one before it: registers and return addresses.
//!
//! A restart sets the program counter and nothing else, so the first instructions of a life see the
//! registers in which the last one ended, and its stack. The entry code of `sel4-microkit` saves
//! both here before it uses any of them. Asking the kernel for the registers would cost the
//! supervisor a thousand instructions more while the child waits.
//!
//! The memory is scratch: no restart clears it, so [`LastLife::is_found_by`] says whose finding it is.
//! The supervisor reads it. A PD can write anything here; what it says is an allegation.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// General registers, x0 to x30.
const GENERAL: usize = 31;
/// Most return addresses that are saved.
const FRAMES_MAX: usize = 15;

/// See the module.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct LastLife {
    /// [`LastLife::MARK`] xor the epoch of the life that found this, written last.
    pub seal: u64,
    /// Counter at the beginning of the life that found this.
    pub entry_ticks: u64,
    /// Stack pointer.
    pub sp: u64,
    /// x0 to x30.
    pub x: [u64; GENERAL],
    /// How many return addresses there are.
    pub frame_count: u64,
    /// Return addresses from the chain of frame records, innermost first, without the link register.
    pub frames: [u64; FRAMES_MAX],
}

const _: () = assert!(size_of::<LastLife>() == LastLife::BYTES);

impl LastLife {
    /// "LASTLIFE", read as a little-endian number.
    pub const MARK: u64 = u64::from_le_bytes(*b"LASTLIFE");
    /// Bytes.
    pub const BYTES: usize = 400;
    /// Offset of x0.
    pub const X_OFFSET: usize = core::mem::offset_of!(Self, x);
    /// Offset of the number of return addresses.
    pub const FRAME_COUNT_OFFSET: usize = core::mem::offset_of!(Self, frame_count);
    /// Offset of the return addresses.
    pub const FRAMES_OFFSET: usize = core::mem::offset_of!(Self, frames);
    /// Most return addresses.
    pub const FRAMES_MAX: usize = FRAMES_MAX;

    /// Whether the life with this epoch has saved this at its beginning.
    #[must_use]
    pub const fn is_found_by(&self, epoch: u32) -> bool {
        self.seal == Self::MARK ^ epoch as u64
    }

    /// The return addresses.
    #[must_use]
    pub fn frames(&self) -> &[u64] {
        &self.frames[..(self.frame_count as usize).min(FRAMES_MAX)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::FromZeros;

    #[test]
    fn a_finding_belongs_to_one_life() {
        let mut last = LastLife::new_zeroed();
        assert!(!last.is_found_by(0));
        last.seal = LastLife::MARK ^ 7;
        assert!(last.is_found_by(7) && !last.is_found_by(6));
    }

    #[test]
    fn a_silly_count_is_cut() {
        let mut last = LastLife::new_zeroed();
        last.frame_count = u64::MAX;
        assert_eq!(last.frames().len(), FRAMES_MAX);
    }
}
