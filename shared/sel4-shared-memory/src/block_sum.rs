// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The sum of a block: a checksum of memory for half of the instructions of a CRC, and for fewer still
//! where the block is copied anyway.
//!
//! The length is a multiple of 256 bytes, a round. A round is four groups of 16 little-endian words,
//! and word `i` of every group goes to lane `i`: `lane = word + lane * K`, modulo 2^32. At the end of a
//! round the bytes of every lane change places, so that what the top bits hold comes down to where a
//! multiplication spreads it. All lanes begin with `K`, so that zeros of different lengths differ. The
//! sum is the CRC-32C of the lanes at the end.
//!
//! - Any change inside of one aligned word of 32 bits is found: every step is a bijection of the lane
//!   (`K` is odd), and a CRC finds every burst of 32 bits.
//! - Others are missed with a chance of about 2^-32. Which of them is where it is weaker than a CRC: two
//!   changes of one lane in one round may cancel, if one of them adds or takes 45,000 or more (`K` is
//!   chosen for that). Two flips of single bits there cancel only if both hit the same one of the top
//!   three bits, and always do if that is the very top one.
//! - It is no defence against malice: whoever can write a block can find another one of the same sum.
//!
//! Tests compare it with a plain definition, on the host (`tests.rs`) and on the target (`pds/test_runtime`).

/// The length is a multiple of this.
const ROUND: usize = 256;

/// Refuses a length that has no sum.
#[inline]
pub(crate) fn check(len: usize) {
    assert!(
        len.is_multiple_of(ROUND),
        "a block sum is of whole rounds of 256 bytes"
    );
}

/// Five modulo eight, so that its powers stay clear of one and minus one; of those, one without short
/// vectors `(a, b)` with `a * K^n + b = 0` modulo 2^32 for `n` of 1, 2 and 3 (none of less than 64,000). A
/// test looks at them.
const K: u32 = 0xcf01_9d85;

#[cfg(all(target_arch = "aarch64", target_os = "none"))]
pub(crate) use target::{copy_and_sum, sum};

#[cfg(all(target_arch = "aarch64", target_os = "none"))]
mod target {
    use core::arch::asm;

    use super::K;
    use crate::checksum::Crc32c;

    /// The lanes are in `v4`..`v7` when a round begins, and there again when it ends.
    macro_rules! first_lanes {
        () => {
            "dup v16.4s, {k:w}
            mov v4.16b, v16.16b
            mov v5.16b, v16.16b
            mov v6.16b, v16.16b
            mov v7.16b, v16.16b"
        };
    }

    /// The lanes move from the second set of registers to the first, which holds the words.
    macro_rules! add_first {
        () => {
            "mla v0.4s, v4.4s, v16.4s
            mla v1.4s, v5.4s, v16.4s
            mla v2.4s, v6.4s, v16.4s
            mla v3.4s, v7.4s, v16.4s"
        };
    }

    /// And back.
    macro_rules! add_second {
        () => {
            "mla v4.4s, v0.4s, v16.4s
            mla v5.4s, v1.4s, v16.4s
            mla v6.4s, v2.4s, v16.4s
            mla v7.4s, v3.4s, v16.4s"
        };
    }

    macro_rules! end_round {
        () => {
            "rev32 v4.16b, v4.16b
            rev32 v5.16b, v5.16b
            rev32 v6.16b, v6.16b
            rev32 v7.16b, v7.16b
            subs {len}, {len}, #256"
        };
    }

    macro_rules! fold_lanes {
        () => {
            ".arch_extension crc
            umov {lanes}, v4.d[0]
            crc32cx {crc:w}, {crc:w}, {lanes}
            umov {lanes}, v4.d[1]
            crc32cx {crc:w}, {crc:w}, {lanes}
            umov {lanes}, v5.d[0]
            crc32cx {crc:w}, {crc:w}, {lanes}
            umov {lanes}, v5.d[1]
            crc32cx {crc:w}, {crc:w}, {lanes}
            umov {lanes}, v6.d[0]
            crc32cx {crc:w}, {crc:w}, {lanes}
            umov {lanes}, v6.d[1]
            crc32cx {crc:w}, {crc:w}, {lanes}
            umov {lanes}, v7.d[0]
            crc32cx {crc:w}, {crc:w}, {lanes}
            umov {lanes}, v7.d[1]
            crc32cx {crc:w}, {crc:w}, {lanes}"
        };
    }

    /// Returns the sum of `len` bytes at `src`.
    ///
    /// # Safety
    ///
    /// `src` must be valid for reads of `len` bytes, a multiple of [`super::ROUND`]. Others may write
    /// there meanwhile; then the sum is of bytes that were there at some time.
    pub(crate) unsafe fn sum(src: *const u8, len: usize) -> u32 {
        let mut crc = Crc32c::new().register();
        // SAFETY: reads `len` bytes, whole rounds, which the caller vouches for; the loads need no
        // alignment (header of copy.rs). The CRC instructions exist (header of checksum.rs).
        unsafe {
            asm!(
                first_lanes!(),
                "cbz {len}, 3f",
                "2:",
                "ld1 {{v0.16b-v3.16b}}, [{src}], #64",
                add_first!(),
                "ld1 {{v4.16b-v7.16b}}, [{src}], #64",
                // `v0`..`v3` hold the lanes, `v4`..`v7` the words.
                add_second!(),
                "ld1 {{v0.16b-v3.16b}}, [{src}], #64",
                add_first!(),
                "ld1 {{v4.16b-v7.16b}}, [{src}], #64",
                add_second!(),
                end_round!(),
                "b.ne 2b",
                "3:",
                fold_lanes!(),
                crc = inout(reg) crc,
                src = inout(reg) src => _,
                len = inout(reg) len => _,
                k = in(reg) K,
                lanes = out(reg) _,
                out("v0") _, out("v1") _, out("v2") _, out("v3") _,
                out("v4") _, out("v5") _, out("v6") _, out("v7") _,
                out("v16") _,
                options(readonly, nostack),
            );
        }
        Crc32c::resume(crc).finish()
    }

    /// Copies `len` bytes from `src` to `dst`, which must not overlap, and returns the sum of what it
    /// has stored: every byte is loaded once.
    ///
    /// # Safety
    ///
    /// `src` must be valid for reads and `dst` for writes of `len` bytes, a multiple of
    /// [`super::ROUND`]. Others may write to `src` and read `dst` meanwhile.
    pub(crate) unsafe fn copy_and_sum(dst: *mut u8, src: *const u8, len: usize) -> u32 {
        let mut crc = Crc32c::new().register();
        // SAFETY: reads and writes `len` bytes, whole rounds, which the caller vouches for; neither
        // needs alignment (header of copy.rs). The CRC instructions exist (header of checksum.rs).
        unsafe {
            asm!(
                first_lanes!(),
                "cbz {len}, 3f",
                "2:",
                "ld1 {{v0.16b-v3.16b}}, [{src}], #64",
                "st1 {{v0.16b-v3.16b}}, [{dst}], #64",
                add_first!(),
                "ld1 {{v4.16b-v7.16b}}, [{src}], #64",
                "st1 {{v4.16b-v7.16b}}, [{dst}], #64",
                add_second!(),
                "ld1 {{v0.16b-v3.16b}}, [{src}], #64",
                "st1 {{v0.16b-v3.16b}}, [{dst}], #64",
                add_first!(),
                "ld1 {{v4.16b-v7.16b}}, [{src}], #64",
                "st1 {{v4.16b-v7.16b}}, [{dst}], #64",
                add_second!(),
                end_round!(),
                "b.ne 2b",
                "3:",
                fold_lanes!(),
                crc = inout(reg) crc,
                src = inout(reg) src => _,
                dst = inout(reg) dst => _,
                len = inout(reg) len => _,
                k = in(reg) K,
                lanes = out(reg) _,
                out("v0") _, out("v1") _, out("v2") _, out("v3") _,
                out("v4") _, out("v5") _, out("v6") _, out("v7") _,
                out("v16") _,
                options(nostack),
            );
        }
        Crc32c::resume(crc).finish()
    }
}

#[cfg(any(test, feature = "host", loom))]
pub(crate) use elsewhere::of;
#[cfg(not(any(all(target_arch = "aarch64", target_os = "none"), loom)))]
pub(crate) use elsewhere::{copy_and_sum, sum};

#[cfg(not(all(target_arch = "aarch64", target_os = "none")))]
mod elsewhere {
    use super::{K, ROUND};
    use crate::checksum::Crc32c;
    #[cfg(not(loom))]
    use crate::copy::copy;

    const LANES: usize = 16;
    const WORD: usize = size_of::<u32>();

    struct Lanes([u32; LANES]);

    impl Lanes {
        const fn new() -> Self {
            Self([K; LANES])
        }

        fn round(&mut self, bytes: &[u8]) {
            for group in bytes.chunks_exact(LANES * WORD) {
                for (lane, word) in self.0.iter_mut().zip(group.as_chunks().0) {
                    *lane = u32::from_le_bytes(*word).wrapping_add(lane.wrapping_mul(K));
                }
            }
            self.0 = self.0.map(u32::swap_bytes);
        }

        fn finish(self) -> u32 {
            let mut crc = Crc32c::new();
            for lane in self.0 {
                crc = crc.bytes(&lane.to_le_bytes());
            }
            crc.finish()
        }
    }

    /// Returns the sum of `bytes`, whole rounds.
    #[cfg(any(test, feature = "host", loom))]
    pub(crate) fn of(bytes: &[u8]) -> u32 {
        super::check(bytes.len());
        let mut lanes = Lanes::new();
        bytes.chunks_exact(ROUND).for_each(|r| lanes.round(r));
        lanes.finish()
    }

    /// Returns the sum of `len` bytes at `src`.
    ///
    /// # Safety
    ///
    /// As for the assembly version above.
    #[cfg(not(loom))]
    pub(crate) unsafe fn sum(src: *const u8, len: usize) -> u32 {
        let mut lanes = Lanes::new();
        for done in (0..len).step_by(ROUND) {
            let mut round = [0; ROUND];
            // SAFETY: the caller vouched for `len` bytes, whole rounds; `round` is our own.
            unsafe { copy(round.as_mut_ptr(), src.wrapping_add(done), ROUND) };
            lanes.round(&round);
        }
        lanes.finish()
    }

    /// Copies `len` bytes and returns the sum of what it has stored.
    ///
    /// # Safety
    ///
    /// As for the assembly version above.
    #[cfg(not(loom))]
    pub(crate) unsafe fn copy_and_sum(dst: *mut u8, src: *const u8, len: usize) -> u32 {
        let mut lanes = Lanes::new();
        for done in (0..len).step_by(ROUND) {
            let mut round = [0; ROUND];
            // SAFETY: the caller vouched for `len` bytes, whole rounds; `round` is our own.
            unsafe { copy(round.as_mut_ptr(), src.wrapping_add(done), ROUND) };
            // SAFETY: as above.
            unsafe { copy(dst.wrapping_add(done), round.as_ptr(), ROUND) };
            lanes.round(&round);
        }
        lanes.finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
