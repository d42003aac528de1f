// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What the service says about files and about the file system.

use zerocopy::little_endian::{I64, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What `stat` says. Times are nanoseconds since 1970.
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
pub struct StatWire {
    /// Bytes.
    pub size: U64,
    /// Blocks of 512 bytes in use.
    pub blocks: U64,
    /// Inode number.
    pub inode: U32,
    /// Type and permission bits, as in POSIX.
    pub mode: U32,
    /// Names that the file has.
    pub links: U32,
    /// Owner.
    pub uid: U32,
    /// Group.
    pub gid: U32,
    /// Zero.
    pub reserved: U32,
    /// Last change of the contents.
    pub mtime: I64,
    /// Last change of anything.
    pub ctime: I64,
    /// Last access.
    pub atime: I64,
}

/// What `statfs` says. A client with a share of its own is told of its share.
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
pub struct StatfsWire {
    /// Blocks of the file system.
    pub blocks: U64,
    /// Free ones.
    pub blocks_free: U64,
    /// Free ones for anybody.
    pub blocks_available: U64,
    /// Inodes.
    pub inodes: U64,
    /// Free ones.
    pub inodes_free: U64,
    /// Bytes of a block.
    pub block_size: U32,
    /// Zero.
    pub reserved: U32,
}

const _: () = assert!(size_of::<StatWire>() == 64);
const _: () = assert!(core::mem::offset_of!(StatWire, mtime) == 40);
const _: () = assert!(size_of::<StatfsWire>() == 48);
