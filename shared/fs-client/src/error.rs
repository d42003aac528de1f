// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What can go wrong.

use embedded_io::ErrorKind;
use proto::fs::Errno;

/// Why an operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// As POSIX says.
    Errno(Errno),
    /// The service's answer makes no sense.
    BadAnswer,
}

impl From<Errno> for Error {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl core::fmt::Display for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Errno(errno) => errno.fmt(f),
            Self::BadAnswer => f.write_str("the file service gave an answer that makes no sense"),
        }
    }
}

impl core::error::Error for Error {}

impl embedded_io::Error for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Errno(Errno::NoEntry) => ErrorKind::NotFound,
            Self::Errno(Errno::Perm | Errno::ReadOnly) => ErrorKind::PermissionDenied,
            Self::Errno(Errno::Exists) => ErrorKind::AlreadyExists,
            Self::Errno(Errno::Invalid | Errno::NameTooLong | Errno::BadHandle) => {
                ErrorKind::InvalidInput
            }
            Self::Errno(Errno::NotSupported) => ErrorKind::Unsupported,
            Self::Errno(Errno::NoMemory | Errno::NoSpace) => ErrorKind::OutOfMemory,
            Self::BadAnswer => ErrorKind::InvalidData,
            Self::Errno(_) => ErrorKind::Other,
        }
    }
}
