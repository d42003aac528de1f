// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! All that there is to an open file, as bytes: for programs that keep it where they find it again.
//!
//! The service seals what it must trust, file and rights, for this client and this life of it. The rest is
//! the program's own: a position or an append mode that was edited is one that `seek` could have set. What
//! the service refuses, it refuses at each use: `EBADF` for what it did not give, `ESTALE` for what it gave
//! to an earlier life of this program.

use proto::fs::{Handle, Kind, OPEN_READ, OPEN_WRITE};
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{Errno, Error, File, FileSystem, OpenOptions};

/// Append mode, in [`FileRecord`]'s flags.
const APPEND: u32 = 1 << 31;

/// An open file.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct FileRecord {
    handle: Handle,
    position: U64,
    flags: U32,
    kind: U32,
}

const _: () = assert!(size_of::<FileRecord>() == 40);

impl File {
    /// The file as bytes.
    pub fn record(&self) -> FileRecord {
        let options = self.options();
        let append = if options.appends() { APPEND } else { 0 };
        let read = if options.can_read() { OPEN_READ } else { 0 };
        let write = if options.can_write() { OPEN_WRITE } else { 0 };
        FileRecord {
            handle: self.handle(),
            position: self.position().into(),
            flags: (append | read | write).into(),
            kind: (self.file_type() as u32).into(),
        }
    }

    /// The file of a record, without asking the service.
    ///
    /// # Errors
    ///
    /// `EINVAL` for bytes that are no record.
    pub fn from_record(fs: &FileSystem, record: &FileRecord) -> Result<Self, Error> {
        let kind = Kind::from_number(record.kind.get()).ok_or(Errno::Invalid)?;
        let flags = record.flags.get();
        if flags & !(APPEND | OPEN_READ | OPEN_WRITE) != 0 {
            return Err(Errno::Invalid.into());
        }
        let options = OpenOptions::new()
            .read(flags & OPEN_READ != 0)
            .append(flags & APPEND != 0)
            .write(flags & OPEN_WRITE != 0);
        let position = record.position.get();
        Ok(Self::assembled(fs, record.handle, kind, options, position))
    }
}
