// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Block requests: from a client to the block service, and its completions.
//!
//! A request is the body of a slot of the request table (crate `request-table`), in the region
//! `<client>_to_blk_requests`; its completion is the body of the slot of the same number in
//! `blk_to_<client>_completions`. Data does not travel in them: it lies in `<client>_to_blk_data`,
//! and goes straight between there and the device. The client names places there by offset.
//!
//! | operation | needs | completion |
//! |---|---|---|
//! | [`Operation::Read`] | `sector`, 1 to 4 segments | `bytes` read |
//! | [`Operation::Write`] | `sector`, 1 to 4 segments | `bytes` written |
//! | [`Operation::Flush`] | | |
//! | [`Operation::Identify`] | one segment of [`IDENTITY_BYTES`] | `bytes` of the identity |
//! | [`Operation::Describe`] | | `value` = capacity in sectors, `flags` |
//! | [`Operation::Discard`], [`Operation::WriteZeroes`] | `sector`, `sector_count` | |
//!
//! Order: requests of one client may finish in any order, except that a flush is a barrier. It
//! starts when every request made before it is completed, and every request made after it waits
//! for it. When it is completed, all writes before it are on the medium.
//!
//! Restart of the service: unfinished requests run again, in the order in which they were made.
//! All operations are idempotent, so nothing has to be remembered. The pages of an unfinished
//! request belong to the service and the device: a client that is restarted waits for its old
//! requests to be completed before it uses their pages.
//!
//! The body of a request has 48 bytes, so that slot and request are one cache line together. Four
//! segments are what fits; each can be as long as the whole megabyte.

mod unchecked;

use core::mem::{offset_of, size_of};

use request_table::Whole;
use sel4_shared_memory::Crc32c;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes of a sector. All positions and lengths on the device are whole sectors.
pub const SECTOR_BYTES: u32 = 512;
/// Pieces of memory in one request.
pub const SEGMENTS_MAX: usize = 4;
/// Most bytes that one request moves.
pub const TRANSFER_BYTES_MAX: u32 = 1024 * 1024;
/// Length of the device's identity, padded with zeros.
pub const IDENTITY_BYTES: u32 = 20;

/// `flags` of [`CompletionWire`] for [`Operation::Describe`]: the device cannot be written.
pub const DEVICE_READ_ONLY: u16 = 1;
/// As above: the device has a cache that a flush writes back. Without it every completed write is
/// on the medium already.
pub const DEVICE_FLUSHES: u16 = 1 << 1;
/// As above: the device takes [`Operation::Discard`].
pub const DEVICE_DISCARDS: u16 = 1 << 2;
/// As above: the device takes [`Operation::WriteZeroes`].
pub const DEVICE_WRITES_ZEROES: u16 = 1 << 3;

/// What the client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Operation {
    /// Device to memory.
    Read = 1,
    /// Memory to device.
    Write = 2,
    /// Makes every write before it durable.
    Flush = 3,
    /// Asks for the device's name.
    Identify = 4,
    /// Asks for capacity and abilities.
    Describe = 5,
    /// Says that the sectors' contents do not matter any more.
    Discard = 6,
    /// Fills sectors with zeros.
    WriteZeroes = 7,
}

impl Operation {
    /// Returns the operation with this number.
    #[inline]
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Read,
            2 => Self::Write,
            3 => Self::Flush,
            4 => Self::Identify,
            5 => Self::Describe,
            6 => Self::Discard,
            7 => Self::WriteZeroes,
            _ => return None,
        })
    }
}

/// How a request ended. The numbers of the failures are Linux's `errno`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Status {
    /// Input/output error: the device says that it could not.
    Io = 5,
    /// No such device or address: the sectors are beyond the end of the device.
    OutOfRange = 6,
    /// Bad address: a segment is not inside the client's data region.
    BadAddress = 14,
    /// No such device: there is no disk, or what is there is not one.
    NoDevice = 19,
    /// Invalid argument: the request contradicts itself or is not aligned to sectors.
    Invalid = 22,
    /// Read-only device.
    ReadOnly = 30,
    /// Operation not supported by the service or the device.
    NotSupported = 95,
    /// Done. Not 0, which is what memory is before anybody wrote there.
    Done = 0x8000,
}

impl Status {
    /// Returns the status with this number.
    #[inline]
    #[must_use]
    pub const fn from_number(number: u16) -> Option<Self> {
        Some(match number {
            0x8000 => Self::Done,
            5 => Self::Io,
            6 => Self::OutOfRange,
            14 => Self::BadAddress,
            19 => Self::NoDevice,
            22 => Self::Invalid,
            30 => Self::ReadOnly,
            95 => Self::NotSupported,
            _ => return None,
        })
    }

    /// Returns `Ok` or the number of the error.
    ///
    /// # Errors
    ///
    /// Linux's `errno`.
    #[inline]
    pub const fn errno(self) -> Result<(), u16> {
        match self {
            Self::Done => Ok(()),
            failed => Err(failed as u16),
        }
    }
}

/// A piece of the client's data region.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// Bytes from the start of `<client>_to_blk_data`.
    pub offset: u32,
    /// Length in bytes.
    pub bytes: u32,
}

/// The bytes of a [`Segment`].
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct SegmentWire {
    offset: U32,
    bytes: U32,
}

/// The bytes of a request. Aligned so that the compiler may load whole words.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C, align(8))]
pub struct RequestWire {
    operation: u8,
    segment_count: u8,
    reserved: U16,
    sector_count: U32,
    sector: U64,
    segments: [SegmentWire; SEGMENTS_MAX],
}

const _: () = assert!(size_of::<RequestWire>() == 48);
const _: () = assert!(offset_of!(RequestWire, sector) == 8);
const _: () = assert!(offset_of!(RequestWire, segments) == 16);

/// A request that follows the protocol. Whether the device can do it is another question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// What to do.
    pub operation: Operation,
    /// First sector; 0 where the operation has none.
    pub sector: u64,
    /// Number of sectors: the segments' together, or `sector_count`.
    pub sector_count: u32,
    segments: [Segment; SEGMENTS_MAX],
    segment_count: u8,
}

impl Request {
    /// A place for a request.
    pub const EMPTY: Self = Self {
        operation: Operation::Describe,
        sector: 0,
        sector_count: 0,
        segments: [Segment {
            offset: 0,
            bytes: 0,
        }; SEGMENTS_MAX],
        segment_count: 0,
    };

    /// Returns the pieces of memory, in the order of the sectors.
    #[inline]
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments[..usize::from(self.segment_count)]
    }

    /// Returns the bytes that are moved.
    #[inline]
    #[must_use]
    pub const fn bytes(&self) -> u32 {
        match self.operation {
            Operation::Read | Operation::Write => self.sector_count * SECTOR_BYTES,
            Operation::Identify => IDENTITY_BYTES,
            _ => 0,
        }
    }
}

impl RequestWire {
    /// Makes a request with segments: read, write, identify.
    ///
    /// Lengths and places are checked by the service, not here.
    ///
    /// # Panics
    ///
    /// With more than [`SEGMENTS_MAX`] segments.
    #[inline]
    #[must_use]
    pub fn transfer(operation: Operation, sector: u64, segments: &[Segment]) -> Self {
        assert!(segments.len() <= SEGMENTS_MAX, "too many segments");
        let mut wire = Self {
            operation: operation as u8,
            segment_count: segments.len() as u8,
            sector: U64::new(sector),
            ..Self::default()
        };
        for (to, from) in wire.segments.iter_mut().zip(segments) {
            to.offset = U32::new(from.offset);
            to.bytes = U32::new(from.bytes);
        }
        wire
    }

    /// Makes a read into one piece of memory.
    #[inline]
    #[must_use]
    pub fn read(sector: u64, segment: Segment) -> Self {
        Self::transfer(Operation::Read, sector, &[segment])
    }

    /// Makes a write from one piece of memory.
    #[inline]
    #[must_use]
    pub fn write(sector: u64, segment: Segment) -> Self {
        Self::transfer(Operation::Write, sector, &[segment])
    }

    /// Makes a request without data: flush, describe.
    #[inline]
    #[must_use]
    pub fn plain(operation: Operation) -> Self {
        Self::transfer(operation, 0, &[])
    }

    /// Makes a request about sectors without data: discard, write zeroes.
    #[inline]
    #[must_use]
    pub fn sectors(operation: Operation, sector: u64, sector_count: u32) -> Self {
        Self {
            sector_count: U32::new(sector_count),
            ..Self::transfer(operation, sector, &[])
        }
    }

    /// Checks everything that can be checked without the device. `data_bytes` is the size of the
    /// client's data region. Call it on a private copy, and use nothing else afterwards.
    ///
    /// # Errors
    ///
    /// The status to complete the request with.
    #[inline]
    pub fn check(&self, data_bytes: u64) -> Result<Request, Status> {
        let mut request = Request::EMPTY;
        self.check_into(&mut request, data_bytes)?;
        Ok(request)
    }

    /// As [`Self::check`], for a request that is in place already: moving it costs more than
    /// checking it. After an error the request is anything.
    ///
    /// # Errors
    ///
    /// As [`Self::check`].
    #[inline(always)]
    pub fn check_into(&self, request: &mut Request, data_bytes: u64) -> Result<(), Status> {
        let operation = Operation::from_number(self.operation).ok_or(Status::NotSupported)?;
        request.operation = operation;
        request.sector = self.sector.get();
        request.sector_count = self.sector_count.get();
        request.segment_count = self.segment_count;
        if self.reserved.get() != 0 || usize::from(self.segment_count) > SEGMENTS_MAX {
            return Err(Status::Invalid);
        }
        let bytes = self.check_segments(data_bytes, request)?;
        let plain = request.sector == 0 && request.sector_count == 0;
        let fits = match operation {
            Operation::Read | Operation::Write => {
                let whole = bytes.is_multiple_of(u64::from(SECTOR_BYTES));
                let stated = request.sector_count != 0;
                request.sector_count = (bytes / u64::from(SECTOR_BYTES)) as u32;
                whole && !stated && bytes != 0 && bytes <= u64::from(TRANSFER_BYTES_MAX)
            }
            Operation::Identify => {
                plain && self.segment_count == 1 && bytes == u64::from(IDENTITY_BYTES)
            }
            Operation::Flush | Operation::Describe => plain && self.segment_count == 0,
            Operation::Discard | Operation::WriteZeroes => {
                self.segment_count == 0 && request.sector_count != 0
            }
        };
        if !fits {
            return Err(Status::Invalid);
        }
        let end = request.sector.checked_add(u64::from(request.sector_count));
        end.ok_or(Status::OutOfRange)?;
        Ok(())
    }

    /// Copies the segments over and returns how many bytes they have together.
    #[inline(always)]
    fn check_segments(&self, data_bytes: u64, request: &mut Request) -> Result<u64, Status> {
        let count = usize::from(self.segment_count).min(SEGMENTS_MAX);
        let (used, unused) = self.segments.split_at(count);
        let stray = unused.iter().fold(0, |stray, segment| {
            stray | segment.offset.get() | segment.bytes.get()
        });
        if stray != 0 {
            return Err(Status::Invalid);
        }
        let identity = request.operation == Operation::Identify;
        let mut bytes = 0;
        for (to, from) in request.segments.iter_mut().zip(used) {
            *to = Segment {
                offset: from.offset.get(),
                bytes: from.bytes.get(),
            };
            // The device's own alignment is a byte. A sector's is asked for so that no two
            // requests can share a page's cache line where the cache is not coherent.
            let aligned = to.offset.is_multiple_of(SECTOR_BYTES)
                && (identity || to.bytes.is_multiple_of(SECTOR_BYTES));
            if !aligned || to.bytes == 0 {
                return Err(Status::Invalid);
            }
            if u64::from(to.offset) + u64::from(to.bytes) > data_bytes {
                return Err(Status::BadAddress);
            }
            bytes += u64::from(to.bytes);
        }
        Ok(bytes)
    }
}

/// The bytes of a completion.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C, align(8))]
pub struct CompletionWire {
    status: U16,
    flags: U16,
    bytes: U32,
    value: U64,
    /// Over the request's sequence number and everything above.
    checksum: U32,
    reserved: U32,
}

const _: () = assert!(size_of::<CompletionWire>() == 24);

/// A completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completion {
    /// How it ended.
    pub status: Status,
    /// `DEVICE_*` after [`Operation::Describe`], else 0.
    pub flags: u16,
    /// Bytes moved. After a failure, 0: the contents of segment or sectors are anything.
    pub bytes: u32,
    /// Capacity in sectors after [`Operation::Describe`], else 0.
    pub value: u64,
}

impl Completion {
    /// Makes a completion of a request that moved `bytes`.
    #[inline]
    #[must_use]
    pub const fn done(bytes: u32) -> Self {
        Self {
            status: Status::Done,
            flags: 0,
            bytes,
            value: 0,
        }
    }

    /// Makes a completion of a request that failed.
    #[inline]
    #[must_use]
    pub const fn failed(status: Status) -> Self {
        Self {
            status,
            flags: 0,
            bytes: 0,
            value: 0,
        }
    }

    /// Returns the bytes to send as the answer to the request with this sequence number.
    #[inline]
    #[must_use]
    pub fn to_wire(&self, sequence: u64) -> CompletionWire {
        let mut wire = CompletionWire {
            status: U16::new(self.status as u16),
            flags: U16::new(self.flags),
            bytes: U32::new(self.bytes),
            value: U64::new(self.value),
            checksum: U32::new(0),
            reserved: U32::new(0),
        };
        wire.checksum = U32::new(wire.checksum_for(sequence));
        wire
    }
}

impl CompletionWire {
    /// Reads a completion. A status without a meaning is the service's fault, and counts as
    /// [`Status::Io`]: the client knows nothing about its data.
    #[inline]
    #[must_use]
    pub fn check(&self) -> Completion {
        Completion {
            status: Status::from_number(self.status.get()).unwrap_or(Status::Io),
            flags: self.flags.get(),
            bytes: self.bytes.get(),
            value: self.value.get(),
        }
    }

    #[inline(always)]
    fn checksum_for(&self, sequence: u64) -> u32 {
        let first = u64::from(self.status.get())
            | u64::from(self.flags.get()) << 16
            | u64::from(self.bytes.get()) << 32;
        let crc = Crc32c::new().word(sequence).word(first);
        crc.word(self.value.get()).finish()
    }
}

impl Whole for CompletionWire {
    #[inline(always)]
    fn is_whole(&self, sequence: u64) -> bool {
        self.checksum.get() == self.checksum_for(sequence) && self.reserved.get() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATA_BYTES: u64 = 0x20_0000;

    fn segment(offset: u32, bytes: u32) -> Segment {
        Segment { offset, bytes }
    }

    fn check(operation: Operation, sector: u64, segments: &[Segment]) -> Result<Request, Status> {
        RequestWire::transfer(operation, sector, segments).check(DATA_BYTES)
    }

    #[test]
    fn golden_request() {
        let segments = [segment(0x1000, 0x800), segment(0x8000, 0x200)];
        let wire = RequestWire::transfer(Operation::Write, 0x0123_4567_89ab, &segments);
        let expected = [
            [0x02, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00],
            [0xab, 0x89, 0x67, 0x45, 0x23, 0x01, 0x00, 0x00],
            [0x00, 0x10, 0x00, 0x00, 0x00, 0x08, 0x00, 0x00],
            [0x00, 0x80, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00],
            [0; 8],
            [0; 8],
        ];
        assert_eq!(wire.as_bytes(), expected.as_flattened());
        let request = wire.check(DATA_BYTES).unwrap();
        assert_eq!(request.operation, Operation::Write);
        assert_eq!(
            (request.sector, request.sector_count),
            (0x0123_4567_89ab, 5)
        );
        assert_eq!(
            (request.segments(), request.bytes()),
            (&segments[..], 5 * 512)
        );
    }

    #[test]
    fn golden_request_about_sectors() {
        let wire = RequestWire::sectors(Operation::WriteZeroes, 7, 0x102);
        let mut expected = [0; 48];
        expected[..9].copy_from_slice(&[7, 0, 0, 0, 2, 1, 0, 0, 7]);
        assert_eq!(wire.as_bytes(), expected);
        assert_eq!(wire.check(0).unwrap().sector_count, 0x102);
    }

    #[test]
    fn golden_completion() {
        let completion = Completion {
            status: Status::Done,
            flags: DEVICE_FLUSHES,
            bytes: 0x1000,
            value: 0x8_0000,
        };
        let expected = [0x00, 0x80, 2, 0, 0, 0x10, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0];
        let wire = completion.to_wire(7);
        assert_eq!(wire.as_bytes()[..16], expected);
        assert_eq!(wire.as_bytes()[20..], [0; 4]);
        assert_eq!(wire.check(), completion);
        let failed = Completion::failed(Status::NoDevice).to_wire(8);
        assert_eq!(failed.as_bytes()[..2], [19, 0]);
        assert_eq!(failed.check().status.errno(), Err(19));
    }

    #[test]
    fn every_changed_bit_of_a_completion_shows() {
        let wire = Completion::done(0x1000).to_wire(7);
        assert!(wire.is_whole(7) && !wire.is_whole(8));
        for bit in 0..8 * size_of::<CompletionWire>() {
            let mut changed = wire;
            changed.as_mut_bytes()[bit / 8] ^= 1 << (bit % 8);
            assert!(!changed.is_whole(7), "bit {bit}");
        }
        assert!(!CompletionWire::default().is_whole(0));
    }

    #[test]
    fn memory_that_nobody_wrote_is_no_success() {
        assert_eq!(CompletionWire::default().check().status, Status::Io);
        assert_eq!(
            RequestWire::default().check(DATA_BYTES),
            Err(Status::NotSupported)
        );
    }

    #[test]
    fn numbers_of_operations_and_statuses_are_settled() {
        for number in 0..=u8::MAX {
            if let Some(operation) = Operation::from_number(number) {
                assert_eq!(operation as u8, number);
            }
        }
        for number in 0..=u16::MAX {
            if let Some(status) = Status::from_number(number) {
                assert_eq!(status as u16, number);
            }
        }
        assert_eq!(Operation::from_number(0), None);
        assert_eq!(Operation::from_number(8), None);
    }

    #[test]
    fn foreign_memory_is_refused() {
        let last = DATA_BYTES as u32 - 512;
        assert!(check(Operation::Read, 0, &[segment(last, 512)]).is_ok());
        let refused = Err(Status::BadAddress);
        assert_eq!(check(Operation::Read, 0, &[segment(last, 1024)]), refused);
        assert_eq!(
            check(Operation::Read, 0, &[segment(last + 512, 512)]),
            refused
        );
        assert_eq!(
            check(Operation::Write, 0, &[segment(0xffff_fe00, 0xffff_fe00)]),
            refused
        );
        let wire = RequestWire::read(0, segment(0, 512));
        assert_eq!(wire.check(0), refused);
    }

    #[test]
    fn what_is_not_whole_sectors_is_refused() {
        let refused = Err(Status::Invalid);
        assert_eq!(check(Operation::Read, 0, &[segment(1, 512)]), refused);
        assert_eq!(check(Operation::Read, 0, &[segment(0, 511)]), refused);
        assert_eq!(check(Operation::Read, 0, &[segment(0, 0)]), refused);
        assert_eq!(check(Operation::Read, 0, &[]), refused);
        assert_eq!(
            check(Operation::Write, 0, &[segment(0, 512), segment(512, 256)]),
            refused
        );
    }

    #[test]
    fn a_request_moves_at_most_a_megabyte() {
        let half = TRANSFER_BYTES_MAX / 2;
        let pieces = [segment(0, half), segment(half, half), segment(0, 512)];
        assert!(check(Operation::Write, 0, &pieces[..2]).is_ok());
        assert_eq!(check(Operation::Write, 0, &pieces), Err(Status::Invalid));
    }

    #[test]
    fn sectors_do_not_wrap_around() {
        let one = segment(0, 512);
        assert!(check(Operation::Read, u64::MAX - 1, &[one]).is_ok());
        assert_eq!(
            check(Operation::Read, u64::MAX, &[one]),
            Err(Status::OutOfRange)
        );
    }

    #[test]
    fn unused_fields_must_be_zero() {
        for operation in [Operation::Flush, Operation::Describe] {
            assert!(RequestWire::plain(operation).check(DATA_BYTES).is_ok());
            assert_eq!(check(operation, 1, &[]), Err(Status::Invalid));
            assert_eq!(
                check(operation, 0, &[segment(0, 512)]),
                Err(Status::Invalid)
            );
        }
        assert!(check(Operation::Identify, 0, &[segment(0, 20)]).is_ok());
        assert_eq!(
            check(Operation::Identify, 0, &[segment(0, 512)]),
            Err(Status::Invalid)
        );
        assert_eq!(
            RequestWire::sectors(Operation::Discard, 0, 0).check(DATA_BYTES),
            Err(Status::Invalid)
        );
        let mut wire = RequestWire::plain(Operation::Flush);
        wire.segments[3].bytes = U32::new(1);
        assert_eq!(wire.check(DATA_BYTES), Err(Status::Invalid));
        let mut wire = RequestWire::read(0, segment(0, 512));
        wire.reserved = U16::new(1);
        assert_eq!(wire.check(DATA_BYTES), Err(Status::Invalid));
        let mut wire = RequestWire::read(0, segment(0, 512));
        wire.segment_count = 5;
        assert_eq!(wire.check(DATA_BYTES), Err(Status::Invalid));
    }

    /// Any bytes: a verdict, and never an address outside of the region.
    #[test]
    fn every_byte_of_a_request_may_be_anything() {
        let good = RequestWire::transfer(Operation::Read, 9, &[segment(512, 512); 3]);
        for index in 0..size_of::<RequestWire>() {
            for byte in 0..=u8::MAX {
                let mut bytes: [u8; 48] = good.as_bytes().try_into().unwrap();
                bytes[index] = byte;
                let wire = RequestWire::read_from_bytes(&bytes).unwrap();
                if let Ok(request) = wire.check(DATA_BYTES) {
                    for segment in request.segments() {
                        assert!(u64::from(segment.offset + segment.bytes) <= DATA_BYTES);
                    }
                }
            }
        }
    }
}
