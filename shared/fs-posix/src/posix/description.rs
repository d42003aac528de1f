// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! An open file description: what descriptors name.

use alloc::string::String;

use embedded_io::{Read, Seek, SeekFrom, Write};
use fs_client::{Attributes, File, FileType, Metadata};

use super::Errno;
use super::flags::{O_APPEND, O_DSYNC};

/// From where `lseek` counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whence {
    /// `SEEK_SET`, 0.
    Start,
    /// `SEEK_CUR`, 1.
    Current,
    /// `SEEK_END`, 2.
    End,
}

impl Whence {
    /// The one with this number.
    ///
    /// # Errors
    ///
    /// `EINVAL`
    pub fn from_number(number: i32) -> Result<Self, Errno> {
        match number {
            0 => Ok(Self::Start),
            1 => Ok(Self::Current),
            2 => Ok(Self::End),
            _ => Err(Errno::EINVAL),
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Description {
    file: File,
    path: String,
    flags: i32,
}

/// Calls `step` with what is left, until it has nothing more or `length` bytes are done. An error after
/// some bytes is seen by the next call, as in POSIX.
fn repeat(
    length: usize,
    mut step: impl FnMut(usize) -> Result<usize, fs_client::Error>,
) -> Result<usize, Errno> {
    let mut done = 0;
    while done < length {
        match step(done) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(_) if done > 0 => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(done)
}

impl Description {
    pub(super) fn new(file: File, path: String, flags: i32) -> Self {
        Self { file, path, flags }
    }

    /// The absolute path that was opened.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What `fcntl` returns for `F_GETFL`.
    pub fn flags(&self) -> i32 {
        // Linux adds this one, which says nothing any more.
        const O_LARGEFILE: i32 = 0o400_000;
        const CREATION: i32 = 0o100 | 0o200 | 0o400 | 0o1000 | 0o100_000 | 0o2_000_000;
        self.flags & !CREATION & !O_LARGEFILE
    }

    /// `fcntl` with `F_SETFL`: only `O_APPEND` changes.
    pub fn set_flags(&mut self, flags: i32) {
        self.flags = self.flags & !O_APPEND | flags & O_APPEND;
        self.file.set_append(flags & O_APPEND != 0);
    }

    fn check_writable(&self) -> Result<(), Errno> {
        match self.file.options().can_write() {
            true => Ok(()),
            false => Err(Errno::EBADF),
        }
    }

    fn check_readable(&self) -> Result<(), Errno> {
        match (self.file.options().can_read(), self.file.file_type()) {
            (false, _) => Err(Errno::EBADF),
            (true, FileType::Directory) => Err(Errno::EISDIR),
            (true, _) => Ok(()),
        }
    }

    /// What `O_SYNC` and `O_DSYNC` ask for.
    fn written(&self, count: usize) -> Result<usize, Errno> {
        if self.flags & O_DSYNC != 0 && count > 0 {
            self.file.sync_all()?;
        }
        Ok(count)
    }

    /// `read`: less than asked at the end of the file only.
    ///
    /// # Errors
    ///
    /// As POSIX.
    pub fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Errno> {
        self.check_readable()?;
        repeat(bytes.len(), |done| self.file.read(&mut bytes[done..]))
    }

    /// `pread`
    ///
    /// # Errors
    ///
    /// As POSIX.
    pub fn read_at(&self, bytes: &mut [u8], offset: i64) -> Result<usize, Errno> {
        self.check_readable()?;
        let offset = u64::try_from(offset).map_err(|_| Errno::EINVAL)?;
        repeat(bytes.len(), |done| {
            self.file.read_at(offset + done as u64, &mut bytes[done..])
        })
    }

    /// `write`
    ///
    /// # Errors
    ///
    /// As POSIX.
    pub fn write(&mut self, bytes: &[u8]) -> Result<usize, Errno> {
        self.check_writable()?;
        let count = repeat(bytes.len(), |done| self.file.write(&bytes[done..]))?;
        self.written(count)
    }

    /// `pwrite`. At its offset, also with `O_APPEND`: as POSIX says, and not as Linux does it.
    ///
    /// # Errors
    ///
    /// As POSIX.
    pub fn write_at(&self, bytes: &[u8], offset: i64) -> Result<usize, Errno> {
        self.check_writable()?;
        let offset = u64::try_from(offset).map_err(|_| Errno::EINVAL)?;
        let count = repeat(bytes.len(), |done| {
            self.file.write_at(offset + done as u64, &bytes[done..])
        })?;
        self.written(count)
    }

    /// `lseek`
    ///
    /// # Errors
    ///
    /// As POSIX.
    pub fn seek(&mut self, offset: i64, whence: Whence) -> Result<i64, Errno> {
        let to = match whence {
            Whence::Start => SeekFrom::Start(u64::try_from(offset).map_err(|_| Errno::EINVAL)?),
            Whence::Current => SeekFrom::Current(offset),
            Whence::End => SeekFrom::End(offset),
        };
        let before = self.file.position();
        let position = self.file.seek(to)?;
        i64::try_from(position).map_err(|_| {
            let _ = self.file.seek(SeekFrom::Start(before));
            Errno::EINVAL
        })
    }

    /// `ftruncate`
    ///
    /// # Errors
    ///
    /// As POSIX: `EINVAL` for a file that is not open for writing.
    pub fn truncate(&self, size: i64) -> Result<(), Errno> {
        self.check_writable().map_err(|_| Errno::EINVAL)?;
        let size = u64::try_from(size).map_err(|_| Errno::EINVAL)?;
        Ok(self.file.set_len(size)?)
    }

    /// `fsync`, `fdatasync`
    ///
    /// # Errors
    ///
    /// As POSIX.
    pub fn sync(&self) -> Result<(), Errno> {
        Ok(self.file.sync_all()?)
    }

    /// `fchmod`, `futimens`
    ///
    /// # Errors
    ///
    /// As POSIX.
    pub fn set(&self, attributes: &Attributes) -> Result<(), Errno> {
        Ok(self.file.set_attributes(attributes)?)
    }

    /// `fstat`
    ///
    /// # Errors
    ///
    /// As POSIX.
    pub fn metadata(&self) -> Result<Metadata, Errno> {
        Ok(self.file.metadata()?)
    }
}
