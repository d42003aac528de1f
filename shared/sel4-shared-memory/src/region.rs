// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! A shared region as bytes at offsets: what the peer writes, and what this side alone writes.
//!
//! One writer per region is the rule of the whole system (`system.xml` maps a region `r` for its
//! reader). The two types carry that rule into the code: only [`SharedMut`] has stores, they need
//! `&mut`, and it cannot be cloned.
//!
//! An offset outside of the region is a bug of ours, not of the peer, and panics. Offsets that come
//! from a peer go through [`SharedRef::subregion`] first, which refuses.

use core::fmt;
use core::ptr::NonNull;

use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::checksum::Crc32c;
use crate::raw::Raw;

/// Where protection domains of this project have regions mapped, and nothing else.
///
/// The linker script puts every Rust object of a PD (code, data, stack, heap) below the first
/// address (0x20_0000 boot segment, 0x1000_0000 code, 0x2000_0000 data), and the Microkit puts the
/// IPC buffer and its own stack just below 2^40, far above the last one.
const WINDOW: core::ops::Range<usize> = 0x3000_0000..0x10_0000_0000;

/// An address range that cannot be a shared region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotShareable {
    vaddr: usize,
    len: usize,
}

impl fmt::Display for NotShareable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { vaddr, len } = self;
        write!(
            f,
            "{len:#x} bytes at {vaddr:#x} are no shared region: system.xml maps it outside of "
        )?;
        write!(f, "{:#x}..{:#x}, or not at all", WINDOW.start, WINDOW.end)
    }
}

fn in_window(vaddr: usize, len: usize) -> Result<NonNull<[u8]>, NotShareable> {
    let refused = NotShareable { vaddr, len };
    let end = vaddr.checked_add(len).ok_or(refused)?;
    let inside = cfg!(target_os = "none") && vaddr >= WINDOW.start && end <= WINDOW.end;
    if !inside || len == 0 || !vaddr.is_multiple_of(align_of::<u64>()) {
        return Err(refused);
    }
    let start = NonNull::new(core::ptr::with_exposed_provenance_mut(vaddr)).ok_or(refused)?;
    Ok(NonNull::slice_from_raw_parts(start, len))
}

/// Memory that a peer writes and this side only reads.
///
/// Nothing read here may be believed: copy it out once, check the copy, use the copy.
#[derive(Clone)]
pub struct SharedRef {
    raw: Raw,
}

/// Memory that this side alone writes; peers or devices read it (or, for DMA buffers, a device
/// writes it while this side knows to keep off).
pub struct SharedMut {
    raw: Raw,
}

impl SharedRef {
    /// Takes a region that a peer writes.
    ///
    /// # Safety
    ///
    /// For as long as the value or anything derived from it exists, `region` must be mapped
    /// readable, aligned to 8 bytes, Normal memory, and must not be touched by this program except
    /// through this crate (no `&T` into it, no part of its stack, heap or statics).
    #[must_use]
    pub const unsafe fn new(region: NonNull<[u8]>) -> Self {
        // SAFETY: our caller promised what `Raw::new` asks for; no store is ever made.
        let raw = unsafe { Raw::new(region) };
        Self { raw }
    }

    /// Takes the region that `system.xml` maps at `vaddr`, of `len` bytes.
    ///
    /// # Errors
    ///
    /// Refuses a range outside of the part of the address space that only holds mapped regions. On
    /// the host there is no such part, so it always refuses.
    pub fn from_mapped(vaddr: usize, len: usize) -> Result<Self, NotShareable> {
        let region = in_window(vaddr, len)?;
        // SAFETY: no Rust object of this program lives in the window (see `WINDOW`), so no `&T` can
        // point there. If nothing is mapped there, or not that much, an access faults: the
        // supervisor restarts us, and no memory is corrupted. That holds for any caller.
        Ok(unsafe { Self::new(region) })
    }

    /// Returns the part of `len` bytes at `offset`, or `None` if it is not all inside or `offset`
    /// is no multiple of 8. For offsets that a peer sent.
    #[must_use]
    pub fn subregion(&self, offset: usize, len: usize) -> Option<Self> {
        Some(Self {
            raw: self.raw.subrange(offset, len)?,
        })
    }
}

impl SharedMut {
    /// Takes a region that this side alone writes.
    ///
    /// # Safety
    ///
    /// As for [`SharedRef::new`], and mapped writable.
    #[must_use]
    pub const unsafe fn new(region: NonNull<[u8]>) -> Self {
        // SAFETY: our caller promised what `Raw::new` asks for.
        let raw = unsafe { Raw::new(region) };
        Self { raw }
    }

    /// Takes the region that `system.xml` maps at `vaddr`, of `len` bytes.
    ///
    /// Taking one region twice is a mistake (two writers), but no unsoundness.
    ///
    /// # Errors
    ///
    /// As [`SharedRef::from_mapped`].
    pub fn from_mapped(vaddr: usize, len: usize) -> Result<Self, NotShareable> {
        let region = in_window(vaddr, len)?;
        // SAFETY: as in `SharedRef::from_mapped`; a store to a region mapped read-only faults too.
        Ok(unsafe { Self::new(region) })
    }

    /// Returns a view that only reads.
    #[must_use]
    pub fn as_shared_ref(&self) -> SharedRef {
        SharedRef {
            raw: self.raw.clone(),
        }
    }

    /// Splits the region in two at `mid`, a multiple of 8 that is not beyond the end.
    ///
    /// # Panics
    ///
    /// When `mid` is neither.
    #[must_use]
    pub fn split_at(self, mid: usize) -> (Self, Self) {
        let rest = self
            .len()
            .checked_sub(mid)
            .expect("`mid` is inside the region");
        let left = self
            .raw
            .subrange(0, mid)
            .expect("`mid` is inside the region");
        let right = self
            .raw
            .subrange(mid, rest)
            .expect("`mid` is a multiple of 8");
        (Self { raw: left }, Self { raw: right })
    }

    /// Stores `value` at `offset` (in no particular order, and not at once).
    #[inline]
    pub fn write<T: IntoBytes + Immutable>(&mut self, offset: usize, value: &T) {
        self.raw.copy_in(offset, value.as_bytes());
    }

    /// Stores `bytes` at `offset` (in no particular order, and not at once).
    #[inline]
    pub fn write_bytes(&mut self, offset: usize, bytes: &[u8]) {
        self.raw.copy_in(offset, bytes);
    }

    /// Stores `value` at `offset`, word by word: its size and `offset` are multiples of 8. For
    /// values of a few words; the compiler unrolls it.
    #[inline(always)]
    pub fn write_words<T: IntoBytes + Immutable>(&mut self, offset: usize, value: &T) {
        self.raw.copy_in_words(offset, value.as_bytes());
    }

    /// Sets `len` bytes at `offset` to `byte`.
    #[inline]
    pub fn fill(&mut self, offset: usize, len: usize, byte: u8) {
        self.raw.fill(offset, len, byte);
    }

    /// Copies `len` bytes from another region without a stop in private memory.
    #[inline]
    pub fn copy_from(&mut self, offset: usize, from: &SharedRef, from_offset: usize, len: usize) {
        self.raw.copy_across(offset, &from.raw, from_offset, len);
    }

    /// As [`Self::copy_from`], and returns the block sum of the very bytes that it has stored. `len` is a
    /// multiple of 256.
    pub fn copy_from_summed(
        &mut self,
        offset: usize,
        from: &SharedRef,
        from_offset: usize,
        len: usize,
    ) -> u32 {
        self.raw
            .copy_across_summed(offset, &from.raw, from_offset, len)
    }

    /// As [`Self::write_bytes`], and returns the block sum of `bytes`, of which there are a multiple of
    /// 256.
    pub fn write_bytes_summed(&mut self, offset: usize, bytes: &[u8]) -> u32 {
        self.raw.copy_in_summed(offset, bytes)
    }

    /// Stores a word at once. Whoever sees it (acquire) sees all that was stored before (release).
    #[inline]
    pub fn store_u64(&mut self, offset: usize, value: u64) {
        self.raw.store_u64(offset, value);
    }

    /// Stores half a word at once, otherwise as [`Self::store_u64`].
    #[inline]
    pub fn store_u32(&mut self, offset: usize, value: u32) {
        self.raw.store_u32(offset, value);
    }

    /// Stores a quarter of a word at once, otherwise as [`Self::store_u64`].
    #[inline]
    pub fn store_u16(&mut self, offset: usize, value: u16) {
        self.raw.store_u16(offset, value);
    }

    /// Stores a byte, otherwise as [`Self::store_u64`].
    #[inline]
    pub fn store_u8(&mut self, offset: usize, value: u8) {
        self.raw.store_u8(offset, value);
    }

    #[cfg(any(test, feature = "host", loom))]
    pub(crate) fn from_raw(raw: Raw) -> Self {
        Self { raw }
    }
}

#[cfg(any(test, feature = "host", loom))]
impl SharedRef {
    pub(crate) fn from_raw(raw: Raw) -> Self {
        Self { raw }
    }
}

/// The compiler stores whole words only where it knows the alignment: the target promises strict
/// alignment.
#[repr(C, align(16))]
struct Aligned<T>(T);

macro_rules! impl_loads {
    ($Region:ty) => {
        impl $Region {
            /// Returns the number of bytes.
            #[inline]
            #[must_use]
            pub const fn len(&self) -> usize {
                self.raw.len()
            }

            /// Says whether there are no bytes.
            #[inline]
            #[must_use]
            pub const fn is_empty(&self) -> bool {
                self.raw.len() == 0
            }

            /// Returns the virtual address of the first byte.
            #[inline]
            #[must_use]
            pub fn addr(&self) -> usize {
                self.raw.addr()
            }

            /// Copies a value out. If somebody writes meanwhile, it may mix old and new bytes.
            #[inline]
            #[must_use]
            pub fn read<T: FromBytes + IntoBytes>(&self, offset: usize) -> T {
                let mut value = T::new_zeroed();
                self.raw.copy_out(offset, value.as_mut_bytes());
                value
            }

            /// As `read`, word by word: the size of the value and `offset` are multiples of 8. For
            /// values of a few words; the compiler unrolls it.
            #[inline(always)]
            #[must_use]
            pub fn read_words<T: FromBytes + IntoBytes>(&self, offset: usize) -> T {
                let mut value = Aligned(T::new_zeroed());
                self.raw.copy_out_words(offset, value.0.as_mut_bytes());
                value.0
            }

            /// Continues `checksum` over `len` bytes; `offset` and `len` are multiples of 8.
            #[must_use]
            pub fn checksum(&self, offset: usize, len: usize, checksum: Crc32c) -> Crc32c {
                self.raw.checksum(offset, len, checksum)
            }

            /// Returns the block sum of `len` bytes, a multiple of 256: cheaper than `checksum`, and for
            /// what never leaves the machine's memory (no format on a disk has it).
            #[must_use]
            pub fn block_sum(&self, offset: usize, len: usize) -> u32 {
                self.raw.block_sum(offset, len)
            }

            /// Loads a byte, otherwise as `load_u64`.
            #[inline]
            #[must_use]
            pub fn load_u8(&self, offset: usize) -> u8 {
                self.raw.load_u8(offset)
            }

            /// Copies bytes out. If somebody writes meanwhile, they may mix old and new ones.
            #[inline]
            pub fn read_bytes(&self, offset: usize, to: &mut [u8]) {
                self.raw.copy_out(offset, to);
            }

            /// Loads a word at once. What its writer stored before it is visible from here (acquire).
            #[inline]
            #[must_use]
            pub fn load_u64(&self, offset: usize) -> u64 {
                self.raw.load_u64(offset)
            }

            /// Loads half a word at once, otherwise as `load_u64`.
            #[inline]
            #[must_use]
            pub fn load_u32(&self, offset: usize) -> u32 {
                self.raw.load_u32(offset)
            }
        }

        impl fmt::Debug for $Region {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(
                    f,
                    "{}({:#x}, {:#x})",
                    stringify!($Region),
                    self.addr(),
                    self.len()
                )
            }
        }
    };
}

impl_loads!(SharedRef);
impl_loads!(SharedMut);

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::host::{HostRegion, Life};

    #[test]
    fn what_is_written_is_read() {
        let region = HostRegion::new(4096);
        let mut writer = region.shared_mut(&Life::endless());
        let reader = region.shared_ref();
        writer.write(8, &[1_u8, 2, 3, 4, 5]);
        writer.store_u64(16, 0x1122_3344_5566_7788);
        writer.store_u32(24, 7);
        writer.fill(100, 200, 0xaa);
        assert_eq!(reader.read::<[u8; 5]>(8), [1, 2, 3, 4, 5]);
        assert_eq!(reader.load_u64(16), 0x1122_3344_5566_7788);
        assert_eq!(reader.load_u32(24), 7);
        let mut bytes = [0; 202];
        reader.read_bytes(99, &mut bytes);
        assert_eq!((bytes[0], bytes[201]), (0, 0));
        assert!(bytes[1..201].iter().all(|b| *b == 0xaa));
    }

    #[test]
    fn offsets_of_a_peer_are_refused() {
        let reader = HostRegion::new(4096).shared_ref();
        assert!(reader.subregion(4096, 0).is_some());
        assert!(reader.subregion(4088, 8).is_some());
        assert!(reader.subregion(4088, 9).is_none());
        assert!(reader.subregion(4, 8).is_none());
        assert!(reader.subregion(usize::MAX - 7, 16).is_none());
    }

    #[test]
    #[should_panic(expected = "outside of the shared region")]
    fn own_wrong_offsets_panic() {
        let _ = HostRegion::new(64).shared_ref().load_u64(64);
    }

    #[test]
    fn the_host_has_no_window() {
        let refused = SharedRef::from_mapped(0x3000_0000, 0x1000).unwrap_err();
        assert!(
            refused
                .to_string()
                .starts_with("0x1000 bytes at 0x30000000 are no shared region")
        );
    }

    #[test]
    fn split_parts_do_not_overlap() {
        let region = HostRegion::new(128);
        let (mut left, mut right) = region.shared_mut(&Life::endless()).split_at(64);
        left.fill(0, 64, 1);
        right.fill(0, 64, 2);
        let bytes = region.bytes();
        assert!(bytes[..64].iter().all(|b| *b == 1) && bytes[64..].iter().all(|b| *b == 2));
    }
}
