// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What errors from below mean to a client.

use proto::fs::Errno;
use rsext4::{Ext4Error, Ext4ErrorKind};

use crate::store::StoreError;

/// What `rsext4`'s errors mean to a client.
pub fn errno(error: Ext4Error) -> Errno {
    match error.kind() {
        Ext4ErrorKind::NotFound => Errno::NoEntry,
        Ext4ErrorKind::AlreadyExists => Errno::Exists,
        Ext4ErrorKind::NotDirectory => Errno::NotDirectory,
        Ext4ErrorKind::IsDirectory => Errno::IsDirectory,
        Ext4ErrorKind::NotEmpty => Errno::NotEmpty,
        Ext4ErrorKind::NoSpace | Ext4ErrorKind::QuotaExceeded => Errno::NoSpace,
        Ext4ErrorKind::NoMemory => Errno::NoMemory,
        Ext4ErrorKind::ReadOnly => Errno::ReadOnly,
        Ext4ErrorKind::TooManyLinks => Errno::TooManyLinks,
        Ext4ErrorKind::PermissionDenied => Errno::Perm,
        Ext4ErrorKind::InvalidInput => Errno::Invalid,
        Ext4ErrorKind::FileTooLarge | Ext4ErrorKind::Overflow => Errno::FileTooLarge,
        Ext4ErrorKind::Unsupported
        | Ext4ErrorKind::UnsupportedFeature
        | Ext4ErrorKind::UnsupportedCapability => Errno::NotSupported,
        Ext4ErrorKind::Corrupted
        | Ext4ErrorKind::ChecksumMismatch
        | Ext4ErrorKind::BadSuperblock
        | Ext4ErrorKind::InvalidMagic => Errno::NeedsCleaning,
        _ => Errno::Io,
    }
}

pub(crate) fn store_errno(error: StoreError) -> Errno {
    match error {
        StoreError::TooLarge => Errno::FileTooLarge,
        _ => Errno::Io,
    }
}
