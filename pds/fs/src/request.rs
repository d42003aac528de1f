// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! A request of a client, checked once on a private copy.

use alloc::vec;
use alloc::vec::Vec;

use proto::fs::{
    CursorWire, Errno, Handle, NAME_BYTES_MAX, OPEN_CREATE, OPEN_DIRECTORY, OPEN_FLAGS, OPEN_READ,
    OPEN_TRUNCATE, OPEN_WRITE, Operation, PATH_BYTES_MAX, Place, RENAME_NO_REPLACE, RequestWire,
    TRANSFER_BYTES_MAX, VERSION,
};
use sel4_shared_memory::{SharedMut, SharedRef};

/// A place for an answer in the client's region, checked to lie in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Output {
    /// First byte.
    pub offset: usize,
    /// Bytes.
    pub length: usize,
}

/// What a client asks for. Names and data are copies.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of the protocol")]
pub enum Request {
    Open {
        path: Vec<u8>,
        flags: u32,
        mode: u32,
    },
    Read {
        handle: Handle,
        offset: u64,
        output: Output,
    },
    Write {
        handle: Handle,
        offset: u64,
        data: Vec<u8>,
    },
    Append {
        handle: Handle,
        data: Vec<u8>,
    },
    Truncate {
        handle: Handle,
        size: u64,
    },
    Fsync,
    Mkdir {
        path: Vec<u8>,
        mode: u32,
    },
    Unlink {
        path: Vec<u8>,
    },
    Rmdir {
        path: Vec<u8>,
    },
    Rename {
        old: Vec<u8>,
        new: Vec<u8>,
        replace: bool,
    },
    Readdir {
        handle: Handle,
        cursor: CursorWire,
        output: Output,
    },
    Stat {
        path: Vec<u8>,
        output: Output,
    },
    Fstat {
        handle: Handle,
        output: Output,
    },
    Statfs {
        output: Output,
    },
}

impl Request {
    /// Checks a request and copies what it names.
    ///
    /// # Errors
    ///
    /// [`Errno::Protocol`] for what no client library sends, [`Errno::Invalid`] for what a program may
    /// ask for in error.
    pub fn check(wire: &RequestWire, from: &SharedRef, to: &SharedMut) -> Result<Self, Errno> {
        if wire.version.get() != VERSION {
            return Err(Errno::Protocol);
        }
        let operation = Operation::from_number(wire.operation.get()).ok_or(Errno::Protocol)?;
        let flags = wire.flags.get();
        let handle = wire.handle;
        let output = || output(to, &wire.output);
        let path = || input(from, &wire.input, 0, PATH_BYTES_MAX);
        let data = || input(from, &wire.input, 0, TRANSFER_BYTES_MAX);
        let mode = wire.mode.get();
        if mode & !0o7777 != 0 {
            return Err(Errno::Invalid);
        }
        Ok(match operation {
            Operation::Open => Self::Open {
                path: path()?,
                flags: open_flags(flags)?,
                mode,
            },
            Operation::Read => Self::Read {
                handle,
                offset: wire.offset.get(),
                output: output()?,
            },
            Operation::Write => Self::Write {
                handle,
                offset: wire.offset.get(),
                data: data()?,
            },
            Operation::Append => Self::Append {
                handle,
                data: data()?,
            },
            Operation::Truncate => Self::Truncate {
                handle,
                size: wire.offset.get(),
            },
            Operation::Fsync => Self::Fsync,
            Operation::Mkdir => Self::Mkdir {
                path: path()?,
                mode,
            },
            Operation::Unlink => Self::Unlink { path: path()? },
            Operation::Rmdir => Self::Rmdir { path: path()? },
            Operation::Rename => Self::rename(wire, from, path()?)?,
            Operation::Readdir => Self::Readdir {
                handle,
                cursor: CursorWire {
                    low: wire.offset,
                    high: wire.offset_high,
                },
                output: output()?,
            },
            Operation::Stat => Self::Stat {
                path: path()?,
                output: output()?,
            },
            Operation::Fstat => Self::Fstat {
                handle,
                output: output()?,
            },
            Operation::Statfs => Self::Statfs { output: output()? },
        })
    }

    fn rename(wire: &RequestWire, from: &SharedRef, old: Vec<u8>) -> Result<Self, Errno> {
        let flags = wire.flags.get();
        if flags & !RENAME_NO_REPLACE != 0 {
            return Err(Errno::Invalid);
        }
        let second = Place {
            length: wire.second_length,
            ..wire.input
        };
        let new = input(from, &second, wire.input.length.get(), PATH_BYTES_MAX)?;
        let replace = flags & RENAME_NO_REPLACE == 0;
        Ok(Self::Rename { old, new, replace })
    }

    /// The handle that the client shows, and what it has to be good for.
    pub fn handle(&mut self) -> Option<(&mut Handle, u32)> {
        match self {
            Self::Read { handle, .. } | Self::Readdir { handle, .. } => Some((handle, OPEN_READ)),
            Self::Write { handle, .. }
            | Self::Append { handle, .. }
            | Self::Truncate { handle, .. } => Some((handle, OPEN_WRITE)),
            Self::Fstat { handle, .. } => Some((handle, 0)),
            Self::Open { .. }
            | Self::Fsync
            | Self::Mkdir { .. }
            | Self::Unlink { .. }
            | Self::Rmdir { .. }
            | Self::Rename { .. }
            | Self::Stat { .. }
            | Self::Statfs { .. } => None,
        }
    }

    /// Whether the request changes the file system, so that it must not run twice.
    pub fn changes(&self) -> bool {
        match self {
            Self::Open { flags, .. } => flags & (OPEN_CREATE | OPEN_TRUNCATE) != 0,
            Self::Write { .. }
            | Self::Append { .. }
            | Self::Truncate { .. }
            | Self::Mkdir { .. }
            | Self::Unlink { .. }
            | Self::Rmdir { .. }
            | Self::Rename { .. } => true,
            Self::Read { .. }
            | Self::Fsync
            | Self::Readdir { .. }
            | Self::Stat { .. }
            | Self::Fstat { .. }
            | Self::Statfs { .. } => false,
        }
    }
}

fn open_flags(flags: u32) -> Result<u32, Errno> {
    let nonsense = flags & !OPEN_FLAGS != 0
        || (flags & OPEN_TRUNCATE != 0 && flags & OPEN_WRITE == 0)
        || (flags & OPEN_CREATE != 0 && flags & OPEN_DIRECTORY != 0);
    if nonsense {
        Err(Errno::Invalid)
    } else {
        Ok(flags)
    }
}

/// Copies `place` out of the client's region, `skip` bytes further on.
fn input(from: &SharedRef, place: &Place, skip: u32, most: u32) -> Result<Vec<u8>, Errno> {
    let length = place.length.get();
    if length > most {
        return Err(if most == PATH_BYTES_MAX {
            Errno::NameTooLong
        } else {
            Errno::Invalid
        });
    }
    let start = u64::from(place.offset.get()) + u64::from(skip);
    if start + u64::from(length) > from.len() as u64 {
        return Err(Errno::Protocol);
    }
    let mut bytes = vec![0; length as usize];
    from.read_bytes(start as usize, &mut bytes);
    Ok(bytes)
}

/// Checks where an answer is to go. Every answer but read data has at least a name's room.
fn output(to: &SharedMut, place: &Place) -> Result<Output, Errno> {
    const _: () = assert!(NAME_BYTES_MAX < 4096);
    let (offset, length) = (u64::from(place.offset.get()), u64::from(place.length.get()));
    if length > u64::from(TRANSFER_BYTES_MAX) || offset % 8 != 0 {
        return Err(Errno::Invalid);
    }
    if offset + length > to.len() as u64 {
        return Err(Errno::Protocol);
    }
    Ok(Output {
        offset: offset as usize,
        length: length as usize,
    })
}
