// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! A request of a client, checked once on a private copy.

use alloc::vec;
use alloc::vec::Vec;

use proto::fs::{
    CursorWire, Errno, Handle, NAME_BYTES_MAX, NO_FOLLOW, OPEN_CREATE, OPEN_DIRECTORY, OPEN_FLAGS,
    OPEN_READ, OPEN_TRUNCATE, OPEN_WRITE, Operation, PATH_BYTES_MAX, Place, RENAME_NO_REPLACE,
    RequestWire, SET_ATIME, SET_ATIME_NOW, SET_FLAGS, SET_MODE, SET_MTIME, SET_MTIME_NOW,
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

/// Data in the client's region, checked to lie in it. They are copied when they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Input {
    /// First byte.
    pub offset: usize,
    /// Bytes.
    pub length: usize,
}

/// A time to be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    /// Stays as it is.
    Keep,
    /// The present.
    Now,
    /// Nanoseconds since 1970.
    At(i64),
}

/// What attributes become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of the protocol")]
pub struct Attributes {
    pub mode: Option<u32>,
    pub atime: Time,
    pub mtime: Time,
}

/// What a client asks for. Names are copies.
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
        data: Input,
    },
    Append {
        handle: Handle,
        data: Input,
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
        follow: bool,
        output: Output,
    },
    Link {
        old: Vec<u8>,
        new: Vec<u8>,
    },
    Symlink {
        target: Vec<u8>,
        path: Vec<u8>,
    },
    Readlink {
        path: Vec<u8>,
        output: Output,
    },
    SetAttributes {
        path: Vec<u8>,
        follow: bool,
        attributes: Attributes,
    },
    SetAttributesOf {
        handle: Handle,
        attributes: Attributes,
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
        let data = || place_of(from, &wire.input, 0, TRANSFER_BYTES_MAX);
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
            Operation::Readdir => Self::Readdir {
                handle,
                cursor: CursorWire {
                    low: wire.offset,
                    high: wire.offset_high,
                },
                output: output()?,
            },
            Operation::Fstat => Self::Fstat {
                handle,
                output: output()?,
            },
            Operation::Statfs => Self::Statfs { output: output()? },
            other => Self::check_names(other, wire, from, to)?,
        })
    }

    /// The same for operations on names.
    fn check_names(
        operation: Operation,
        wire: &RequestWire,
        from: &SharedRef,
        to: &SharedMut,
    ) -> Result<Self, Errno> {
        let (flags, mode) = (wire.flags.get(), wire.mode.get());
        let path = || input(from, &wire.input, 0, PATH_BYTES_MAX);
        let output = || output(to, &wire.output);
        Ok(match operation {
            Operation::Mkdir => Self::Mkdir {
                path: path()?,
                mode,
            },
            Operation::Unlink => Self::Unlink { path: path()? },
            Operation::Rmdir => Self::Rmdir { path: path()? },
            Operation::Rename => {
                let replace = flags & RENAME_NO_REPLACE == 0;
                known_flags(flags, RENAME_NO_REPLACE)?;
                let (old, new) = (path()?, second_path(wire, from)?);
                Self::Rename { old, new, replace }
            }
            Operation::Link => Self::Link {
                old: path()?,
                new: second_path(wire, from)?,
            },
            Operation::Symlink => Self::Symlink {
                target: path()?,
                path: second_path(wire, from)?,
            },
            Operation::Readlink => Self::Readlink {
                path: path()?,
                output: output()?,
            },
            Operation::SetAttributes => Self::set_attributes(wire, path()?)?,
            Operation::Stat => {
                known_flags(flags, NO_FOLLOW)?;
                Self::Stat {
                    path: path()?,
                    follow: flags & NO_FOLLOW == 0,
                    output: output()?,
                }
            }
            _ => return Err(Errno::Protocol),
        })
    }

    /// By path, or by handle where there is none.
    fn set_attributes(wire: &RequestWire, path: Vec<u8>) -> Result<Self, Errno> {
        let flags = wire.flags.get();
        known_flags(flags, SET_FLAGS)?;
        let has = |flag: u32| flags & flag != 0;
        let time = |now: u32, at: u32, nanoseconds: u64| match (has(now), has(at)) {
            (false, false) => Ok(Time::Keep),
            (true, false) => Ok(Time::Now),
            (false, true) => Ok(Time::At(nanoseconds as i64)),
            (true, true) => Err(Errno::Invalid),
        };
        let attributes = Attributes {
            mode: has(SET_MODE).then_some(wire.mode.get()),
            atime: time(SET_ATIME_NOW, SET_ATIME, wire.offset.get())?,
            mtime: time(SET_MTIME_NOW, SET_MTIME, wire.offset_high.get())?,
        };
        let (handle, follow) = (wire.handle, !has(NO_FOLLOW));
        Ok(match path.is_empty() {
            true => Self::SetAttributesOf { handle, attributes },
            false => Self::SetAttributes {
                path,
                follow,
                attributes,
            },
        })
    }

    /// The handle that the client shows, and what it has to be good for.
    pub fn handle(&mut self) -> Option<(&mut Handle, u32)> {
        match self {
            Self::Read { handle, .. } | Self::Readdir { handle, .. } => Some((handle, OPEN_READ)),
            Self::Write { handle, .. }
            | Self::Append { handle, .. }
            | Self::Truncate { handle, .. } => Some((handle, OPEN_WRITE)),
            // As POSIX: who may do that to the file may do it, however it is open.
            Self::Fstat { handle, .. } | Self::SetAttributesOf { handle, .. } => Some((handle, 0)),
            Self::Open { .. }
            | Self::Fsync
            | Self::Mkdir { .. }
            | Self::Unlink { .. }
            | Self::Rmdir { .. }
            | Self::Rename { .. }
            | Self::Link { .. }
            | Self::Symlink { .. }
            | Self::Readlink { .. }
            | Self::SetAttributes { .. }
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
            | Self::Rename { .. }
            | Self::Link { .. }
            | Self::Symlink { .. }
            | Self::SetAttributes { .. }
            | Self::SetAttributesOf { .. } => true,
            Self::Read { .. }
            | Self::Readlink { .. }
            | Self::Fsync
            | Self::Readdir { .. }
            | Self::Stat { .. }
            | Self::Fstat { .. }
            | Self::Statfs { .. } => false,
        }
    }
}

fn known_flags(flags: u32, known: u32) -> Result<(), Errno> {
    match flags & !known {
        0 => Ok(()),
        _ => Err(Errno::Invalid),
    }
}

fn second_path(wire: &RequestWire, from: &SharedRef) -> Result<Vec<u8>, Errno> {
    let second = Place {
        length: wire.second_length,
        ..wire.input
    };
    input(from, &second, wire.input.length.get(), PATH_BYTES_MAX)
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
    let found = place_of(from, place, skip, most)?;
    let mut bytes = vec![0; found.length];
    from.read_bytes(found.offset, &mut bytes);
    Ok(bytes)
}

/// Checks that `place`, `skip` bytes further on, is in the client's region.
fn place_of(from: &SharedRef, place: &Place, skip: u32, most: u32) -> Result<Input, Errno> {
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
    Ok(Input {
        offset: start as usize,
        length: length as usize,
    })
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
