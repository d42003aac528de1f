// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What `stat` and `statfs` say.

use proto::fs::{Kind, StatWire, StatfsWire};

/// Describes a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    wire: StatWire,
}

impl From<StatWire> for Metadata {
    fn from(wire: StatWire) -> Self {
        Self { wire }
    }
}

impl Metadata {
    /// Bytes of the file.
    #[expect(clippy::len_without_is_empty, reason = "as in std::fs::Metadata")]
    pub fn len(&self) -> u64 {
        self.wire.size.get()
    }

    /// What the file is.
    pub fn file_type(&self) -> Kind {
        match self.wire.mode.get() & 0o17_0000 {
            0o10_0000 => Kind::File,
            0o04_0000 => Kind::Directory,
            0o12_0000 => Kind::Symlink,
            _ => Kind::Other,
        }
    }

    /// Whether it is a folder.
    pub fn is_dir(&self) -> bool {
        self.file_type() == Kind::Directory
    }

    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        self.file_type() == Kind::File
    }

    /// Whether it is a symbolic link.
    pub fn is_symlink(&self) -> bool {
        self.file_type() == Kind::Symlink
    }

    /// Permission bits.
    pub fn permissions(&self) -> u32 {
        self.wire.mode.get() & 0o7777
    }

    /// Number of names.
    pub fn links(&self) -> u32 {
        self.wire.links.get()
    }

    /// Inode number.
    pub fn inode(&self) -> u32 {
        self.wire.inode.get()
    }

    /// Blocks of 512 bytes in use.
    pub fn blocks(&self) -> u64 {
        self.wire.blocks.get()
    }

    /// Type and permission bits, as in POSIX.
    pub fn mode(&self) -> u32 {
        self.wire.mode.get()
    }

    /// Owner and group.
    pub fn owner(&self) -> (u32, u32) {
        (self.wire.uid.get(), self.wire.gid.get())
    }

    /// Last access, in nanoseconds since 1970.
    pub fn accessed(&self) -> i64 {
        self.wire.atime.get()
    }

    /// Last change of anything, in nanoseconds since 1970.
    pub fn changed(&self) -> i64 {
        self.wire.ctime.get()
    }

    /// Last change of the contents, in nanoseconds since 1970.
    pub fn modified(&self) -> i64 {
        self.wire.mtime.get()
    }
}

/// How much room there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes of a block.
    pub block_bytes: u32,
    /// Blocks.
    pub blocks: u64,
    /// Free ones.
    pub blocks_free: u64,
    /// Most files.
    pub files: u64,
    /// How many more there can be.
    pub files_free: u64,
}

impl From<StatfsWire> for Space {
    fn from(wire: StatfsWire) -> Self {
        Self {
            block_bytes: wire.block_size.get(),
            blocks: wire.blocks.get(),
            blocks_free: wire.blocks_available.get(),
            files: wire.inodes.get(),
            files_free: wire.inodes_free.get(),
        }
    }
}
