// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The structures of the headers, as C lays them out.

use core::ffi::{c_char, c_int, c_void};

use fs_client::{DirEntry, FileType, Metadata};

/// `struct timespec`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
#[expect(missing_docs, reason = "POSIX's fields")]
pub struct Timespec {
    pub tv_sec: i64,
    pub tv_nsec: i64,
}

/// `struct stat`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
#[expect(missing_docs, reason = "POSIX's fields")]
pub struct Stat {
    pub st_dev: u64,
    pub st_ino: u64,
    pub st_mode: u32,
    pub st_nlink: u32,
    pub st_uid: u32,
    pub st_gid: u32,
    pub st_rdev: u64,
    pub st_size: i64,
    pub st_blksize: i32,
    pub reserved: u32,
    pub st_blocks: i64,
    pub st_atim: Timespec,
    pub st_mtim: Timespec,
    pub st_ctim: Timespec,
}

/// Bytes that programs do well to read and write at once.
const BLOCK_BYTES: i32 = 4096;

impl From<Metadata> for Stat {
    fn from(found: Metadata) -> Self {
        let time = |time: i64| Timespec {
            tv_sec: time.div_euclid(1_000_000_000),
            tv_nsec: time.rem_euclid(1_000_000_000),
        };
        let (st_uid, st_gid) = found.owner();
        Self {
            // One file system, which is not 0: programs take that for "unknown".
            st_dev: 1,
            st_ino: u64::from(found.inode()),
            st_mode: found.mode(),
            st_nlink: found.links(),
            st_uid,
            st_gid,
            st_rdev: 0,
            st_size: found.len() as i64,
            st_blksize: BLOCK_BYTES,
            reserved: 0,
            st_blocks: found.blocks() as i64,
            st_atim: time(found.accessed()),
            st_mtim: time(found.modified()),
            st_ctim: time(found.changed()),
        }
    }
}

/// `struct flock`
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[expect(missing_docs, reason = "POSIX's fields")]
pub struct Flock {
    pub l_type: i16,
    pub l_whence: i16,
    pub l_start: i64,
    pub l_len: i64,
    pub l_pid: i32,
}

/// `struct iovec`
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[expect(missing_docs, reason = "POSIX's fields")]
pub struct Iovec {
    pub iov_base: *mut c_void,
    pub iov_len: usize,
}

/// Most parts of `readv` and `writev`.
pub const IOV_MAX: c_int = 1024;

/// `struct dirent`
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[expect(missing_docs, reason = "POSIX's fields")]
pub struct Dirent {
    pub d_ino: u64,
    pub d_type: u8,
    pub d_name: [c_char; 256],
}

impl Dirent {
    pub(super) const EMPTY: Self = Self {
        d_ino: 0,
        d_type: 0,
        d_name: [0; 256],
    };
}

impl From<DirEntry> for Dirent {
    fn from(entry: DirEntry) -> Self {
        let mut d_name = [0; 256];
        // The last one stays zero: names have 255 bytes at most.
        for (place, byte) in d_name[..255].iter_mut().zip(entry.file_name_bytes()) {
            *place = *byte as c_char;
        }
        Self {
            d_ino: u64::from(entry.inode()),
            d_type: match entry.file_type() {
                FileType::Directory => 4,
                FileType::File => 8,
                FileType::Symlink => 10,
                FileType::Other => 0,
            },
            d_name,
        }
    }
}

const _: () = assert!(size_of::<Stat>() == 112 && core::mem::offset_of!(Stat, st_blocks) == 56);
const _: () = assert!(core::mem::offset_of!(Flock, l_start) == 8);
