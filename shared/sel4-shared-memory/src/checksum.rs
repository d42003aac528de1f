// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! CRC-32C (Castagnoli), the checksum of everything that outlives its writer.
//!
//! It finds halves left by a protection domain that died, mismatched builds and flipped bits. It is
//! no defence against a hostile peer, which can compute it as well as we can.
//!
//! On the target this is the CRC extension of the Armv8-A cores (present on every board that the
//! Microkit supports on AArch64): one instruction per 8 bytes. Elsewhere it is a table.

/// A CRC-32C being computed.
#[derive(Clone, Copy, Debug)]
pub struct Crc32c(u32);

impl Crc32c {
    /// Starts a checksum of nothing.
    #[inline]
    #[must_use]
    pub const fn new() -> Self {
        Self(!0)
    }

    /// Goes on from a register that [`Self::register`] returned, or that another format begins with.
    #[inline]
    #[must_use]
    pub const fn resume(register: u32) -> Self {
        Self(register)
    }

    /// The register as it is, without the inversion at the end: ext4 and JBD2 chain checksums so.
    #[inline]
    #[must_use]
    pub const fn register(self) -> u32 {
        self.0
    }

    /// Adds eight bytes, least significant first.
    #[inline]
    #[must_use]
    pub fn word(self, word: u64) -> Self {
        Self(imp::word(self.0, word))
    }

    /// Adds `bytes`.
    #[inline]
    #[must_use]
    pub fn bytes(self, bytes: &[u8]) -> Self {
        Self(imp::bytes(self.0, bytes))
    }

    /// Adds memory that others may write meanwhile.
    ///
    /// # Safety
    ///
    /// `bytes` must be valid for reads of `len` bytes.
    #[cfg(all(target_arch = "aarch64", target_os = "none"))]
    pub(crate) unsafe fn memory(self, bytes: *const u8, len: usize) -> Self {
        // SAFETY: the caller vouched for the range.
        Self(unsafe { imp::memory(self.0, bytes, len) })
    }

    /// Returns the checksum of everything added so far.
    #[inline]
    #[must_use]
    pub const fn finish(self) -> u32 {
        !self.0
    }
}

impl Default for Crc32c {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(target_arch = "aarch64", target_os = "none"))]
mod imp {
    use core::arch::asm;

    #[inline]
    pub(super) fn word(mut crc: u32, word: u64) -> u32 {
        // SAFETY: touches the named registers only. The instruction exists on every board that we
        // support (module header).
        unsafe {
            asm!(
                ".arch_extension crc",
                "crc32cx {crc:w}, {crc:w}, {word}",
                crc = inout(reg) crc,
                word = in(reg) word,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        crc
    }

    #[inline]
    pub(super) fn bytes(crc: u32, bytes: &[u8]) -> u32 {
        // SAFETY: a slice is valid.
        unsafe { memory(crc, bytes.as_ptr(), bytes.len()) }
    }

    /// # Safety
    ///
    /// `bytes` must be valid for reads of `len` bytes; others may write there meanwhile.
    #[inline]
    pub(crate) unsafe fn memory(mut crc: u32, bytes: *const u8, len: usize) -> u32 {
        // SAFETY: reads `len` bytes, which the caller vouches for. Loads of 8 bytes need no alignment:
        // this is Normal memory, and the kernels leave alignment checks off at EL0.
        unsafe {
            asm!(
                ".arch_extension crc",
                "subs {len}, {len}, #128",
                "b.lo 8f",
                "6:", // Blocks of 4 KiB go through here.
                "ldp {data}, {more}, [{at}], #128",
                "crc32cx {crc:w}, {crc:w}, {data}",
                "crc32cx {crc:w}, {crc:w}, {more}",
                "ldp {data}, {more}, [{at}, #-112]",
                "crc32cx {crc:w}, {crc:w}, {data}",
                "crc32cx {crc:w}, {crc:w}, {more}",
                "ldp {data}, {more}, [{at}, #-96]",
                "crc32cx {crc:w}, {crc:w}, {data}",
                "crc32cx {crc:w}, {crc:w}, {more}",
                "ldp {data}, {more}, [{at}, #-80]",
                "crc32cx {crc:w}, {crc:w}, {data}",
                "crc32cx {crc:w}, {crc:w}, {more}",
                "ldp {data}, {more}, [{at}, #-64]",
                "crc32cx {crc:w}, {crc:w}, {data}",
                "crc32cx {crc:w}, {crc:w}, {more}",
                "ldp {data}, {more}, [{at}, #-48]",
                "crc32cx {crc:w}, {crc:w}, {data}",
                "crc32cx {crc:w}, {crc:w}, {more}",
                "ldp {data}, {more}, [{at}, #-32]",
                "crc32cx {crc:w}, {crc:w}, {data}",
                "crc32cx {crc:w}, {crc:w}, {more}",
                "ldp {data}, {more}, [{at}, #-16]",
                "crc32cx {crc:w}, {crc:w}, {data}",
                "crc32cx {crc:w}, {crc:w}, {more}",
                "subs {len}, {len}, #128",
                "b.hs 6b",
                "8:",
                "adds {len}, {len}, #112",
                "b.mi 7f",
                "9:",
                "ldp {data}, {more}, [{at}], #16",
                "crc32cx {crc:w}, {crc:w}, {data}",
                "crc32cx {crc:w}, {crc:w}, {more}",
                "subs {len}, {len}, #16",
                "b.hs 9b",
                "7:",
                "adds {len}, {len}, #16",
                "tbz {len}, #3, 3f",
                "ldr {data}, [{at}], #8",
                "crc32cx {crc:w}, {crc:w}, {data}",
                "3:",
                "ands {len}, {len}, #7",
                "b.eq 5f",
                "4:",
                "ldrb {data:w}, [{at}], #1",
                "crc32cb {crc:w}, {crc:w}, {data:w}",
                "subs {len}, {len}, #1",
                "b.ne 4b",
                "5:",
                crc = inout(reg) crc,
                at = inout(reg) bytes => _,
                len = inout(reg) len => _,
                data = out(reg) _,
                more = out(reg) _,
                options(readonly, nostack),
            );
        }
        crc
    }
}

#[cfg(not(all(target_arch = "aarch64", target_os = "none")))]
mod imp {
    /// The polynomial 0x1EDC6F41 with its bits reversed.
    const POLYNOMIAL: u32 = 0x82f6_3b78;

    static TABLE: [u32; 256] = table();

    const fn table() -> [u32; 256] {
        let mut table = [0; 256];
        let mut byte = 0;
        while byte < 256 {
            let mut crc = byte as u32;
            let mut bit = 0;
            while bit < 8 {
                crc = if crc & 1 == 1 {
                    (crc >> 1) ^ POLYNOMIAL
                } else {
                    crc >> 1
                };
                bit += 1;
            }
            table[byte] = crc;
            byte += 1;
        }
        table
    }

    pub(super) fn word(crc: u32, word: u64) -> u32 {
        bytes(crc, &word.to_le_bytes())
    }

    pub(super) fn bytes(crc: u32, bytes: &[u8]) -> u32 {
        bytes.iter().fold(crc, |crc, byte| {
            TABLE[usize::from((crc as u8) ^ byte)] ^ (crc >> 8)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Crc32c;

    #[test]
    fn matches_the_published_check_values() {
        // RFC 3720, appendix B.4, and the check value of the CRC catalogue.
        assert_eq!(Crc32c::new().bytes(b"123456789").finish(), 0xe306_9283);
        assert_eq!(Crc32c::new().bytes(&[0; 32]).finish(), 0x8a91_36aa);
        assert_eq!(Crc32c::new().bytes(&[0xff; 32]).finish(), 0x62a8_ab43);
    }

    #[test]
    fn a_word_is_its_eight_bytes() {
        let word = 0x0123_4567_89ab_cdef_u64;
        assert_eq!(
            Crc32c::new().word(word).finish(),
            Crc32c::new().bytes(&word.to_le_bytes()).finish()
        );
    }
}
