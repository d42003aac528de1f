// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Where things are in a region of a request table, and how they are sealed.
//!
//! Both regions look alike:
//!
//! | offset | what |
//! |---|---|
//! | 0 | header: magic, version, geometry, CRC-32C. Written once, when the region is formatted |
//! | 40 | the writer's epoch and its CRC-32C in one word |
//! | 48 | server: the request that it is busy with, sequence number and slot, or 0 |
//! | 56 | client: [`LOOKING`] while it needs no notifications |
//! | 64 | tail of the ring of hints |
//! | 128 | ring of hints: 64 slot numbers of one byte |
//! | 256 | slots |
//!
//! and so do both kinds of slot: stamp (8 bytes), CRC-32C over stamp and body (4), attempts (4),
//! body, padding up to a multiple of 64 bytes, which is the cache line.

use core::fmt;
use core::marker::PhantomData;
use core::mem::size_of;
#[cfg(not(loom))]
pub(crate) use core::sync::atomic::{Ordering, fence};

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{Ordering, fence};
use sel4_shared_memory::{Crc32c, SharedMut, SharedRef};
use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::whole::Whole;

/// Requests that one client can have unfinished at a time.
pub const SLOTS: usize = 64;

/// Layout of both regions. A change here is a new version.
const VERSION: u16 = 1;

pub(crate) const EPOCH: usize = 40;
pub(crate) const IN_HAND: usize = 48;
pub(crate) const NOTIFICATIONS: usize = 56;
pub(crate) const TAIL: usize = 64;
pub(crate) const RING: usize = 128;
const FIRST_SLOT: usize = 256;
const SLOT_HEADER: usize = 16;
const CRC_IN_SLOT: usize = 8;
const ATTEMPTS_IN_SLOT: usize = 12;
const CACHE_LINE: usize = 64;

/// The client looks for completions itself. Anything else, as damage leaves it, asks for notifications.
pub(crate) const LOOKING: u64 = u64::from_le_bytes(*b"KtgLooks");

/// Says which of the two regions a header belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Requests,
    Completions,
}

impl Role {
    const fn magic(self) -> [u8; 8] {
        match self {
            Self::Requests => *b"KtgReqst",
            Self::Completions => *b"KtgCompl",
        }
    }
}

/// The bytes at the start of each region.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct HeaderWire {
    magic: [u8; 8],
    version: U16,
    slots: U16,
    body_bytes: U32,
    slot_bytes: U32,
    region_bytes: U32,
    reserved: U32,
    crc: U32,
}

const _: () = assert!(size_of::<HeaderWire>() == 32 && size_of::<HeaderWire>() <= EPOCH);

impl HeaderWire {
    fn sealed<T>(role: Role, layout: Layout<T>, region_bytes: usize) -> Self {
        let mut header = Self {
            magic: role.magic(),
            version: U16::new(VERSION),
            slots: U16::new(layout.slots as u16),
            body_bytes: U32::new(Layout::<T>::BODY_BYTES as u32),
            slot_bytes: U32::new(Layout::<T>::SLOT_BYTES as u32),
            region_bytes: U32::new(region_bytes as u32),
            reserved: U32::new(0),
            crc: U32::new(0),
        };
        let covered = &header.as_bytes()[..size_of::<Self>() - size_of::<U32>()];
        header.crc = U32::new(Crc32c::new().bytes(covered).finish());
        header
    }
}

/// Why a table cannot lie in the given regions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachError {
    /// One of the regions is too small for the table.
    RegionTooSmall {
        /// Bytes that the table needs.
        needed: usize,
        /// Bytes that the region has.
        len: usize,
    },
}

impl fmt::Display for AttachError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::RegionTooSmall { needed, len } = self;
        write!(
            f,
            "the request table needs {needed} bytes, its region has {len}"
        )
    }
}

/// The number of a slot, below [`SLOTS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u8);

impl Slot {
    pub(crate) const fn new(index: usize) -> Self {
        assert!(index < SLOTS);
        Self(index as u8)
    }

    /// Returns the number.
    #[inline]
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    pub(crate) const fn bit(self) -> u64 {
        1 << self.0
    }
}

/// Returns the slots whose bits are set, lowest first.
pub(crate) fn slots_of(mut bits: u64) -> impl Iterator<Item = Slot> {
    core::iter::from_fn(move || {
        let slot = first_of(bits)?;
        bits &= !slot.bit();
        Some(slot)
    })
}

/// Returns the lowest slot whose bit is set.
#[inline]
pub(crate) fn first_of(bits: u64) -> Option<Slot> {
    (bits != 0).then(|| Slot(bits.trailing_zeros() as u8))
}

/// A sequence number and whether the request is pending, in one word.
///
/// Zero is a slot that was never used: sequence numbers begin at 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp(pub(crate) u64);

impl Stamp {
    pub(crate) const UNUSED: Self = Self(0);

    #[inline]
    pub(crate) const fn pending(sequence: u64) -> Self {
        Self(sequence << 1 | 1)
    }

    #[inline]
    pub(crate) const fn is_pending(self) -> bool {
        self.0 & 1 == 1
    }

    #[inline]
    pub(crate) const fn consumed(self) -> Self {
        Self(self.0 & !1)
    }

    #[inline]
    pub(crate) const fn sequence(self) -> u64 {
        self.0 >> 1
    }
}

/// A body in private memory, aligned so that its fields are loaded whole. (The target promises
/// strict alignment, so the compiler would otherwise load a `U64` byte by byte.)
#[derive(Clone, Copy)]
#[repr(C, align(16))]
struct Aligned<T>(T);

/// The geometry of a region whose slots have bodies of type `T`.
pub(crate) struct Layout<T> {
    pub(crate) slots: usize,
    _body: PhantomData<fn() -> T>,
}

impl<T> Clone for Layout<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Layout<T> {}

impl<T> Layout<T> {
    const BODY_BYTES: usize = size_of::<T>();
    const SLOT_BYTES: usize = (SLOT_HEADER + Self::BODY_BYTES).next_multiple_of(CACHE_LINE);
    /// Whether the body is whole words, which are kept in registers on their way.
    const WORDS: bool = Self::BODY_BYTES.is_multiple_of(size_of::<u64>());

    pub(crate) const fn of(slots: usize) -> Self {
        assert!(slots <= SLOTS);
        Self {
            slots,
            _body: PhantomData,
        }
    }

    pub(crate) const fn region_bytes(self) -> usize {
        FIRST_SLOT + self.slots * Self::SLOT_BYTES
    }

    pub(crate) fn check_len(self, len: usize) -> Result<(), AttachError> {
        let needed = self.region_bytes();
        if len < needed {
            return Err(AttachError::RegionTooSmall { needed, len });
        }
        Ok(())
    }

    /// Returns the bits of all slots.
    pub(crate) const fn all(self) -> u64 {
        if self.slots == SLOTS {
            u64::MAX
        } else {
            (1 << self.slots) - 1
        }
    }

    #[inline]
    pub(crate) const fn stamp(self, slot: Slot) -> usize {
        FIRST_SLOT + slot.index() * Self::SLOT_BYTES
    }

    pub(crate) const fn attempts(self, slot: Slot) -> usize {
        self.stamp(slot) + ATTEMPTS_IN_SLOT
    }

    /// Says whether the header of a region is the one of this geometry.
    pub(crate) fn header_is_valid(self, role: Role, region: &SharedRef) -> bool {
        let expected = HeaderWire::sealed(role, self, region.len());
        region.read::<[u8; size_of::<HeaderWire>()]>(0) == *expected.as_bytes()
    }

    /// Formats a region: no slot is in use, and then a valid header.
    ///
    /// The tail of the ring stays whatever it is, so that the reader notices the next change of it.
    pub(crate) fn format(self, role: Role, region: &mut SharedMut) {
        region.store_u64(0, 0);
        for slot in slots_of(self.all()) {
            region.store_u64(self.stamp(slot), 0);
            region.store_u64(self.stamp(slot) + CRC_IN_SLOT, 0);
        }
        self.store_header(role, region);
    }

    /// Stores the header alone, its magic last.
    pub(crate) fn store_header(self, role: Role, region: &mut SharedMut) {
        let header = HeaderWire::sealed(role, self, region.len());
        let (magic, rest) = header.as_bytes().split_at(size_of::<u64>());
        region.write_bytes(magic.len(), rest);
        region.store_u64(0, u64::from_ne_bytes(header.magic));
    }

    /// Stores body and checksum, and then the stamp that makes them count.
    #[inline(always)]
    pub(crate) fn publish(self, region: &mut SharedMut, slot: Slot, stamp: Stamp, body: &T)
    where
        T: IntoBytes + Immutable,
    {
        let at = self.stamp(slot);
        if Self::WORDS {
            region.write_words(at + SLOT_HEADER, body);
        } else {
            region.write(at + SLOT_HEADER, body);
        }
        region.store_u32(at + CRC_IN_SLOT, Self::checksum(stamp, body));
        region.store_u64(at, stamp.0);
    }

    /// Copies a body out, if it is the whole one that belongs to `stamp`.
    #[inline(always)]
    pub(crate) fn body(self, region: &SharedRef, slot: Slot, stamp: Stamp) -> Option<T>
    where
        T: FromBytes + IntoBytes + Immutable,
    {
        let at = self.stamp(slot);
        let body = if Self::WORDS {
            Aligned(region.read_words(at + SLOT_HEADER))
        } else {
            Aligned(region.read(at + SLOT_HEADER))
        };
        (region.load_u32(at + CRC_IN_SLOT) == Self::checksum(stamp, &body.0)).then_some(body.0)
    }

    /// Copies a completion out, if it is whole and belongs to `stamp`.
    #[inline(always)]
    pub(crate) fn completion(self, region: &SharedRef, slot: Slot, stamp: Stamp) -> Option<T>
    where
        T: FromBytes + IntoBytes + Immutable + Whole,
    {
        self.body(region, slot, stamp)
            .filter(|completion| completion.is_whole(stamp.sequence()))
    }

    #[inline(always)]
    pub(crate) fn checksum(stamp: Stamp, body: &T) -> u32
    where
        T: IntoBytes + Immutable,
    {
        let crc = Crc32c::new().word(stamp.0);
        let bytes = body.as_bytes();
        if !Self::WORDS {
            return crc.bytes(bytes).finish();
        }
        let words = bytes.as_chunks::<{ size_of::<u64>() }>().0.iter();
        let crc = words.fold(crc, |crc, word| crc.word(u64::from_le_bytes(*word)));
        crc.finish()
    }
}

/// The geometry that a region's own header states, for [`crate::inspect`].
#[cfg(not(loom))]
pub(crate) struct Shape {
    slots: usize,
    slot_bytes: usize,
}

#[cfg(not(loom))]
impl Shape {
    pub(crate) fn read(role: Role, bytes: &[u8]) -> Option<Self> {
        let (header, _) = HeaderWire::read_from_prefix(bytes).ok()?;
        let shape = Self {
            slots: usize::from(header.slots.get()),
            slot_bytes: header.slot_bytes.get() as usize,
        };
        let end = shape
            .slots
            .checked_mul(shape.slot_bytes)?
            .checked_add(FIRST_SLOT)?;
        let sane = shape.slots <= SLOTS && shape.slot_bytes >= SLOT_HEADER && end <= bytes.len();
        (header.magic == role.magic() && sane).then_some(shape)
    }

    pub(crate) const fn slots(&self) -> usize {
        self.slots
    }

    pub(crate) fn stamp(&self, bytes: &[u8], slot: usize) -> Option<u64> {
        let at = FIRST_SLOT + slot * self.slot_bytes;
        let word = (slot < self.slots)
            .then(|| bytes.get(at..at + 8))
            .flatten()?;
        Some(u64::from_le_bytes(word.try_into().ok()?))
    }
}

/// Returns how many bytes each region of a table with bodies of type `T` must have at least.
#[must_use]
pub const fn region_bytes<T>() -> usize {
    Layout::<T>::of(SLOTS).region_bytes()
}

/// Stores an epoch, sealed, at once.
pub(crate) fn store_epoch(region: &mut SharedMut, epoch: u32) {
    region.store_u64(EPOCH, seal_epoch(epoch));
}

/// Loads an epoch, if there is one.
pub(crate) fn load_epoch(region: &SharedRef) -> Option<u32> {
    let word = region.load_u64(EPOCH);
    let epoch = word as u32;
    (word == seal_epoch(epoch)).then_some(epoch)
}

fn seal_epoch(epoch: u32) -> u64 {
    let crc = Crc32c::new().word(u64::from(epoch)).finish();
    u64::from(crc) << 32 | u64::from(epoch)
}
