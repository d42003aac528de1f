// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The errors of the file service, with the numbers that Linux gives them.

/// Why an operation failed: POSIX's errors, with Linux's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Errno {
    /// Operation not permitted.
    Perm = 1,
    /// No such file or directory.
    NoEntry = 2,
    /// Input or output failed.
    Io = 5,
    /// Bad handle.
    BadHandle = 9,
    /// No memory.
    NoMemory = 12,
    /// Permission denied: this client has no folder.
    Access = 13,
    /// File exists.
    Exists = 17,
    /// No such device: the disk is missing.
    NoDevice = 19,
    /// Not a directory.
    NotDirectory = 20,
    /// Is a directory.
    IsDirectory = 21,
    /// Invalid argument.
    Invalid = 22,
    /// Too many open files.
    TooManyOpen = 24,
    /// File too large.
    FileTooLarge = 27,
    /// No space left.
    NoSpace = 28,
    /// Read-only file system.
    ReadOnly = 30,
    /// Too many links.
    TooManyLinks = 31,
    /// Name too long.
    NameTooLong = 36,
    /// Not supported by this service.
    NotSupported = 38,
    /// Directory not empty.
    NotEmpty = 39,
    /// Too many symbolic links.
    Loop = 40,
    /// The request does not follow the protocol.
    Protocol = 71,
    /// The file of this handle is gone.
    Stale = 116,
    /// The client's share of the disk is used up.
    Quota = 122,
    /// The disk's file system is damaged, or of a kind that we cannot use.
    NeedsCleaning = 117,
    /// The disk holds no ext4 file system at all.
    WrongMedium = 124,
}

impl Errno {
    const ALL: [Self; 25] = [
        Self::Perm,
        Self::NoEntry,
        Self::Io,
        Self::BadHandle,
        Self::NoMemory,
        Self::Access,
        Self::Exists,
        Self::NoDevice,
        Self::NotDirectory,
        Self::IsDirectory,
        Self::Invalid,
        Self::TooManyOpen,
        Self::FileTooLarge,
        Self::NoSpace,
        Self::ReadOnly,
        Self::TooManyLinks,
        Self::NameTooLong,
        Self::NotSupported,
        Self::NotEmpty,
        Self::Loop,
        Self::Protocol,
        Self::Stale,
        Self::Quota,
        Self::NeedsCleaning,
        Self::WrongMedium,
    ];

    /// The error with this number.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|errno| *errno as u32 == number)
    }
}

impl core::fmt::Display for Errno {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Perm => "operation not permitted",
            Self::NoEntry => "no such file or directory",
            Self::Io => "input/output error",
            Self::BadHandle => "bad file handle",
            Self::NoMemory => "no memory",
            Self::Exists => "file exists",
            Self::NoDevice => "no such device",
            Self::Access => "permission denied",
            Self::TooManyOpen => "too many open files",
            Self::Quota => "quota exceeded",
            Self::NotDirectory => "not a directory",
            Self::IsDirectory => "is a directory",
            Self::Invalid => "invalid argument",
            Self::FileTooLarge => "file too large",
            Self::NoSpace => "no space left on device",
            Self::ReadOnly => "read-only file system",
            Self::TooManyLinks => "too many links",
            Self::NameTooLong => "file name too long",
            Self::NotSupported => "not supported",
            Self::NotEmpty => "directory not empty",
            Self::Loop => "too many symbolic links",
            Self::Protocol => "protocol error",
            Self::Stale => "stale file handle",
            Self::NeedsCleaning => "file system needs cleaning",
            Self::WrongMedium => "no ext4 file system on the disk",
        })
    }
}
