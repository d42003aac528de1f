// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! File requests: from a client to the file service, and its completions.
//!
//! A request is the payload of a slot of the request table. Names and data do not travel in it: they
//! are in `<client>_to_fs_data` (client to service: path names, bytes to write) and
//! `fs_to_<client>_data` (service to client: bytes read, directory entries, [`StatWire`],
//! [`StatfsWire`]). The client chooses the place in both regions, the service checks it.
//!
//! The service keeps nothing about open files. A [`Handle`] names a file by inode and generation, under
//! the service's seal, and is what `open` returns; position and append mode are the client library's. So
//! nothing is lost with the service.
//!
//! Restart of the service: an unfinished request is run again, or, when its effects are already on
//! the disk, answered with the recorded completion. So each operation takes effect exactly once.
//! Restart of the client: its unfinished requests are completed; data that it did not wait for is
//! in the data region until the library reuses the place.
//!
//! | operation | names in | needs | completion |
//! |---|---|---|---|
//! | [`Operation::Open`] | path | `flags`, `mode` | handle, `kind`, `value` = size |
//! | [`Operation::Read`] | | handle, `offset`, `length`, place | `value` = bytes, [`direct::Lease`] |
//! | [`Operation::Write`] | | handle, `offset`, `length`, data | `value` = bytes, `extra` = the end |
//! | [`Operation::Append`] | | handle, `length`, data | as for `Write` |
//! | [`Operation::Truncate`] | | handle, `offset` = new size | |
//! | [`Operation::Fsync`] | | | |
//! | [`Operation::Mkdir`] | path | `mode` | handle |
//! | [`Operation::Unlink`], [`Operation::Rmdir`] | path | | |
//! | [`Operation::Rename`] | old path, then new path | `flags` | |
//! | [`Operation::Readdir`] | | directory, cursor, `length`, place | [`CursorWire`], then `value` = bytes |
//! | [`Operation::Stat`] | path | `flags`, place for [`StatWire`] | handle, `kind`, `value` = size |
//! | [`Operation::Fstat`] | | handle, place for [`StatWire`] | `kind`, `value` = size |
//! | [`Operation::Statfs`] | | place for [`StatfsWire`] | |
//! | [`Operation::Link`] | old path, then new path | | |
//! | [`Operation::Symlink`] | target, then path | | |
//! | [`Operation::Readlink`] | path | place | `value` = bytes |
//! | [`Operation::SetAttributes`] | path, or none and a handle | `flags`, `mode`, times | |
//!
//! There is no `close`: the service holds nothing that could be closed. What a client has open it says in a
//! table of its own ([`open_files`]), so that a file without a name stays as long as somebody has it open.

pub mod direct;
mod errno;
pub mod open_files;
mod stat;

pub use errno::Errno;
pub use stat::{StatWire, StatfsWire};

use request_table::Whole;
use sel4_shared_memory::Crc32c;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Version of everything in this file. A request of another version is refused with `EPROTO`.
pub const VERSION: u16 = 3;

/// Most bytes that one read or write moves.
pub const TRANSFER_BYTES_MAX: u32 = 256 * 1024;
/// Longest path.
pub const PATH_BYTES_MAX: u32 = 4096;
/// Longest name of one file.
pub const NAME_BYTES_MAX: usize = 255;

/// What the client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Operation {
    /// Finds a file, or makes it.
    Open = 1,
    /// Reads at an offset.
    Read = 2,
    /// Writes at an offset.
    Write = 3,
    /// Writes at the end, wherever that is by then.
    Append = 4,
    /// Sets the size.
    Truncate = 5,
    /// Makes everything that was acknowledged durable.
    Fsync = 6,
    /// Makes a directory.
    Mkdir = 7,
    /// Removes a name that is no directory.
    Unlink = 8,
    /// Removes an empty directory.
    Rmdir = 9,
    /// Gives a file another name, over an existing file if need be.
    Rename = 10,
    /// Lists a directory.
    Readdir = 11,
    /// Describes a file by name.
    Stat = 12,
    /// Describes an open file.
    Fstat = 13,
    /// Describes the file system.
    Statfs = 14,
    /// Gives a file one more name.
    Link = 15,
    /// Makes a symbolic link.
    Symlink = 16,
    /// Reads a symbolic link.
    Readlink = 17,
    /// Sets permission bits and times: `offset` is the time of access, `offset_high` that of the last change
    /// of the contents, in nanoseconds since 1970 with a sign.
    SetAttributes = 18,
}

impl Operation {
    const ALL: [Self; 18] = [
        Self::Open,
        Self::Read,
        Self::Write,
        Self::Append,
        Self::Truncate,
        Self::Fsync,
        Self::Mkdir,
        Self::Unlink,
        Self::Rmdir,
        Self::Rename,
        Self::Readdir,
        Self::Stat,
        Self::Fstat,
        Self::Statfs,
        Self::Link,
        Self::Symlink,
        Self::Readlink,
        Self::SetAttributes,
    ];

    /// The operation with this number.
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|operation| *operation as u16 == number)
    }
}

/// `flags` of [`Operation::Open`]: the file may be read.
pub const OPEN_READ: u32 = 1;
/// `flags` of [`Operation::Open`]: the file may be written.
pub const OPEN_WRITE: u32 = 1 << 1;
/// `flags` of [`Operation::Open`]: make the file if it is not there.
pub const OPEN_CREATE: u32 = 1 << 2;
/// `flags` of [`Operation::Open`]: with `OPEN_CREATE`, fail if the file is there.
pub const OPEN_EXCLUSIVE: u32 = 1 << 3;
/// `flags` of [`Operation::Open`]: cut the file to nothing.
pub const OPEN_TRUNCATE: u32 = 1 << 4;
/// `flags` of [`Operation::Open`]: fail if it is no directory.
pub const OPEN_DIRECTORY: u32 = 1 << 5;
/// `flags` of [`Operation::Open`]: fail if the path ends at a symbolic link.
pub const OPEN_NO_FOLLOW: u32 = 1 << 6;
/// `flags` of [`Operation::Rename`]: fail if the new name is there.
pub const RENAME_NO_REPLACE: u32 = 1 << 8;
/// `flags` of [`Operation::Stat`] and [`Operation::SetAttributes`]: a symbolic link at the end is meant
/// itself.
pub const NO_FOLLOW: u32 = 1 << 9;
/// `flags` of [`Operation::SetAttributes`]: the permission bits are set.
pub const SET_MODE: u32 = 1 << 10;
/// The time of the last access is set.
pub const SET_ATIME: u32 = 1 << 11;
/// The same, to the present.
pub const SET_ATIME_NOW: u32 = 1 << 12;
/// The time of the last change of the contents is set.
pub const SET_MTIME: u32 = 1 << 13;
/// The same, to the present.
pub const SET_MTIME_NOW: u32 = 1 << 14;
/// All flags of [`Operation::SetAttributes`].
pub const SET_FLAGS: u32 =
    NO_FOLLOW | SET_MODE | SET_ATIME | SET_ATIME_NOW | SET_MTIME | SET_MTIME_NOW;

/// All flags of [`Operation::Open`].
pub const OPEN_FLAGS: u32 = OPEN_READ
    | OPEN_WRITE
    | OPEN_CREATE
    | OPEN_EXCLUSIVE
    | OPEN_TRUNCATE
    | OPEN_DIRECTORY
    | OPEN_NO_FOLLOW;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Regular file.
    File = 1,
    /// Directory.
    Directory = 2,
    /// Symbolic link.
    Symlink = 3,
    /// Device, pipe or socket: shown, never opened.
    Other = 4,
}

impl Kind {
    /// The kind with this number.
    pub fn from_number(number: u32) -> Option<Self> {
        [Self::File, Self::Directory, Self::Symlink, Self::Other]
            .into_iter()
            .find(|kind| *kind as u32 == number)
    }
}

/// Bits of a handle's scope that say what it is for: [`OPEN_READ`], [`OPEN_WRITE`].
pub const HANDLE_RIGHTS: u32 = OPEN_READ | OPEN_WRITE;
/// From this bit on, a handle's scope has the lower bits of the client's epoch.
pub const HANDLE_LIFE_SHIFT: u32 = 8;

/// Names a file for as long as it exists, to the client that opened it, across restarts of the service.
///
/// Opaque to the client, which keeps it. One that was edited, or that another client or an earlier life of
/// the client was given, is refused with `EBADF` or `ESTALE`, and reported.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C, align(8))]
pub struct Handle {
    /// Inode number; 0 is no handle.
    pub inode: U32,
    /// What the client may do with the file ([`HANDLE_RIGHTS`]), and in which of its lives.
    pub scope: U32,
    /// Tells files apart that had the same inode number one after the other.
    pub generation: U64,
    /// The service's seal over the handle and its client. `open` gives it; a handle without is refused.
    pub seal: U64,
}

/// A place in one of the two data regions.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
    Unaligned,
)]
#[repr(C)]
pub struct Place {
    /// Bytes from the start of the region, a multiple of 8.
    pub offset: U32,
    /// Bytes.
    pub length: U32,
}

/// A request, in the order of the bytes. Aligned so that the compiler may load whole words.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C, align(8))]
pub struct RequestWire {
    /// [`VERSION`].
    pub version: U16,
    /// [`Operation`].
    pub operation: U16,
    /// `OPEN_*` or `RENAME_*`.
    pub flags: U32,
    /// The open file, where the operation needs one.
    pub handle: Handle,
    /// Offset in the file, new size, or lower half of the cursor.
    pub offset: U64,
    /// Upper half of the cursor.
    pub offset_high: U64,
    /// Path or data in `<client>_to_fs_data`; second path right behind it, see `second_length`.
    pub input: Place,
    /// Where the answer goes in `fs_to_<client>_data`.
    pub output: Place,
    /// Bytes of the second path.
    pub second_length: U32,
    /// Permission bits of a new file.
    pub mode: U32,
}

/// A completion, in the order of the bytes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C, align(8))]
pub struct CompletionWire {
    /// 0 or [`Errno`].
    pub status: U16,
    /// [`Kind`] or 0.
    pub kind: U16,
    /// See [`CompletionWire::decided`].
    pub checksum: U32,
    /// See the table of operations.
    pub value: U64,
    /// See the table of operations.
    pub extra: U64,
    /// The file, where the operation found one.
    pub handle: Handle,
}

impl CompletionWire {
    /// A completion that says only that the operation failed.
    pub fn failed(errno: Errno) -> Self {
        Self {
            status: (errno as u16).into(),
            ..Self::default()
        }
    }

    /// Makes it the answer to the request with this sequence number: from here on nothing of it changes, and
    /// whoever takes it can tell.
    #[inline]
    #[must_use]
    pub fn decided(mut self, sequence: u64) -> Self {
        self.checksum = self.checksum_for(sequence).into();
        self
    }

    /// Over the sequence number and everything else.
    #[inline(always)]
    fn checksum_for(&self, sequence: u64) -> u32 {
        let handle = &self.handle;
        let words = [
            u64::from(self.status.get()) | u64::from(self.kind.get()) << 16,
            self.value.get(),
            self.extra.get(),
            u64::from(handle.inode.get()) | u64::from(handle.scope.get()) << 32,
            handle.generation.get(),
            handle.seal.get(),
        ];
        let crc = Crc32c::new().word(sequence);
        words.into_iter().fold(crc, Crc32c::word).finish()
    }
}

impl Whole for CompletionWire {
    #[inline(always)]
    fn is_whole(&self, sequence: u64) -> bool {
        self.checksum.get() == self.checksum_for(sequence)
    }
}

/// Where a directory listing goes on; first in the answer of [`Operation::Readdir`].
///
/// Opaque to the client. All ones is the end.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
    Unaligned,
)]
#[repr(C)]
pub struct CursorWire {
    /// Goes into `offset` of the next request.
    pub low: U64,
    /// Goes into `offset_high` of the next request.
    pub high: U64,
}

impl CursorWire {
    /// Nothing more to list.
    pub const END: Self = Self {
        low: U64::MAX_VALUE,
        high: U64::MAX_VALUE,
    };
}

/// A directory entry; the name follows, then zero bytes up to a multiple of 8.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
    Unaligned,
)]
#[repr(C)]
pub struct EntryWire {
    /// Inode number.
    pub inode: U32,
    /// [`Kind`].
    pub kind: u8,
    /// Bytes of the name.
    pub name_length: u8,
    /// Zero.
    pub reserved: U16,
}

const _: () = assert!(size_of::<Handle>() == 24);
const _: () = assert!(size_of::<RequestWire>() == 72);
const _: () = assert!(core::mem::offset_of!(RequestWire, input) == 48);
const _: () = assert!(size_of::<CompletionWire>() == 48);
const _: () = assert!(core::mem::offset_of!(CompletionWire, handle) == 24);
const _: () = assert!(size_of::<EntryWire>() == 8);

#[cfg(test)]
mod tests;
