// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Open files. All that there is to know about one is here, in the program's own memory.

use alloc::rc::Rc;

use embedded_io::{ErrorType, Read, Seek, SeekFrom, Write};
use proto::fs::{
    Errno, Handle, Kind, OPEN_CREATE, OPEN_DIRECTORY, OPEN_EXCLUSIVE, OPEN_NO_FOLLOW, OPEN_READ,
    OPEN_TRUNCATE, OPEN_WRITE, Operation, StatWire,
};

use crate::open_files::{Entry, OpenFiles};
use crate::{Error, FileSystem, Metadata};

/// How to open a file, as in `std::fs`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenOptions {
    flags: u32,
    append: bool,
    mode: Option<u32>,
}

impl OpenOptions {
    /// Begins with nothing allowed.
    pub const fn new() -> Self {
        Self {
            flags: 0,
            append: false,
            mode: None,
        }
    }

    const fn with(mut self, flag: u32, on: bool) -> Self {
        self.flags = if on {
            self.flags | flag
        } else {
            self.flags & !flag
        };
        self
    }

    /// Allows reading.
    #[must_use]
    pub const fn read(self, on: bool) -> Self {
        self.with(OPEN_READ, on)
    }

    /// Allows writing.
    #[must_use]
    pub const fn write(self, on: bool) -> Self {
        self.with(OPEN_WRITE, on)
    }

    /// Allows writing, at the end of the file wherever that is.
    #[must_use]
    pub const fn append(mut self, on: bool) -> Self {
        self.append = on;
        self.with(OPEN_WRITE, on)
    }

    /// Makes the file if it is not there.
    #[must_use]
    pub const fn create(self, on: bool) -> Self {
        self.with(OPEN_CREATE, on)
    }

    /// Makes the file, which must not be there.
    #[must_use]
    pub const fn create_new(self, on: bool) -> Self {
        self.with(OPEN_CREATE | OPEN_EXCLUSIVE, on)
    }

    /// Cuts the file to nothing.
    #[must_use]
    pub const fn truncate(self, on: bool) -> Self {
        self.with(OPEN_TRUNCATE, on)
    }

    /// Wants a folder.
    #[must_use]
    pub const fn directory(self, on: bool) -> Self {
        self.with(OPEN_DIRECTORY, on)
    }

    /// Fails with `ELOOP` when the path ends at a symbolic link.
    #[must_use]
    pub const fn no_follow(self, on: bool) -> Self {
        self.with(OPEN_NO_FOLLOW, on)
    }

    /// Permission bits of a new file; 0o644 when this is not called.
    #[must_use]
    pub const fn mode(mut self, mode: u32) -> Self {
        self.mode = Some(mode);
        self
    }

    /// Flags and mode of the request.
    pub(crate) fn wire(&self) -> (u32, u32) {
        (self.flags, self.mode.unwrap_or(0o644))
    }

    /// Whether reading is allowed.
    pub const fn can_read(&self) -> bool {
        self.flags & OPEN_READ != 0
    }

    /// Whether writing is allowed.
    pub const fn can_write(&self) -> bool {
        self.flags & OPEN_WRITE != 0
    }

    /// Whether writes go to the end of the file.
    pub const fn appends(&self) -> bool {
        self.append
    }

    /// Opens the file.
    ///
    /// # Errors
    ///
    /// As `open` in POSIX.
    pub fn open(&self, fs: &FileSystem, path: &str) -> Result<File, Error> {
        if !fs.open.borrow().has_room() {
            return Err(Errno::TooManyOpen.into());
        }
        let completion = fs.call(|connection| {
            let mut request = connection.request_with_paths(Operation::Open, path, "")?;
            let (flags, mode) = self.wire();
            request.flags = flags.into();
            request.mode = mode.into();
            connection.call(&request)
        })?;
        let kind = Kind::from_number(completion.kind.get().into()).ok_or(Error::BadAnswer)?;
        let handle = completion.handle;
        Ok(File::assembled(fs, handle, kind, *self, 0))
    }
}

/// An open file. Dropping it and its clones closes it; the service need not be asked for that.
#[derive(Clone)]
pub struct File {
    fs: FileSystem,
    /// Says that it is open.
    _entry: Rc<Entry>,
    handle: Handle,
    kind: Kind,
    options: OpenOptions,
    position: u64,
}

impl core::fmt::Debug for File {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "File(inode {}, at {})", self.handle.inode, self.position)
    }
}

impl File {
    pub(crate) fn assembled(
        fs: &FileSystem,
        handle: Handle,
        kind: Kind,
        options: OpenOptions,
        position: u64,
    ) -> Self {
        Self {
            _entry: Rc::new(OpenFiles::enter(&fs.open, &handle)),
            fs: fs.clone(),
            handle,
            kind,
            options,
            position,
        }
    }

    /// Opens a file for reading.
    ///
    /// # Errors
    ///
    /// As `open` in POSIX.
    pub fn open(fs: &FileSystem, path: &str) -> Result<Self, Error> {
        OpenOptions::new().read(true).open(fs, path)
    }

    /// Opens a file for writing, new or cut to nothing.
    ///
    /// # Errors
    ///
    /// As `open` in POSIX.
    pub fn create(fs: &FileSystem, path: &str) -> Result<Self, Error> {
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(fs, path)
    }

    pub(crate) fn file_system(&self) -> &FileSystem {
        &self.fs
    }

    /// What names the file to the service. Survives restarts of everything.
    pub fn handle(&self) -> Handle {
        self.handle
    }

    /// What was opened.
    pub fn file_type(&self) -> Kind {
        self.kind
    }

    /// How it was opened.
    pub fn options(&self) -> OpenOptions {
        self.options
    }

    /// Where the next read or write begins.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// From now on writes go to the end of the file, or to the position again.
    pub fn set_append(&mut self, on: bool) {
        self.options.append = on;
    }

    fn check(&self, flag: u32) -> Result<(), Error> {
        if self.options.flags & flag == 0 {
            return Err(Errno::BadHandle.into());
        }
        Ok(())
    }

    /// Reads at an offset; the position stays. Returns 0 at the end of the file.
    ///
    /// # Errors
    ///
    /// As `pread` in POSIX.
    pub fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<usize, Error> {
        self.check(OPEN_READ)?;
        if bytes.is_empty() {
            return Ok(0);
        }
        self.fs.call(|connection| {
            let length = bytes.len().min(connection.transfer_max());
            if let Some(direct) = &mut connection.direct
                && direct.read(&self.handle, offset, &mut bytes[..length])
            {
                return Ok(length);
            }
            let counters = connection.direct.as_ref();
            let counters = counters.map(|direct| direct.counters(&self.handle));
            let mut request = connection.request(Operation::Read);
            request.handle = self.handle;
            request.offset = offset.into();
            request.output.length = (length as u32).into();
            let completion = connection.call(&request)?;
            if let (Some(direct), Some(counters)) = (&mut connection.direct, counters) {
                direct.learn(&self.handle, offset, counters, &completion);
            }
            let read = completion.value.get() as usize;
            connection.load(bytes[..length].get_mut(..read).ok_or(Error::BadAnswer)?);
            Ok(read)
        })
    }

    /// Writes at an offset; the position stays. May write less than asked, never nothing.
    ///
    /// # Errors
    ///
    /// As `pwrite` in POSIX.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<usize, Error> {
        self.write_some(Operation::Write, offset, bytes)
            .map(|(written, _)| written)
    }

    /// Writes all at an offset; the position stays.
    ///
    /// # Errors
    ///
    /// As `pwrite` in POSIX; a part may have been written.
    pub fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        let mut done = 0;
        while done < bytes.len() {
            done += self.write_at(offset + done as u64, &bytes[done..])?;
        }
        Ok(())
    }

    /// Writes; returns how much, and where that ended.
    fn write_some(
        &self,
        operation: Operation,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(usize, u64), Error> {
        self.check(OPEN_WRITE)?;
        if bytes.is_empty() {
            return Ok((0, offset));
        }
        self.fs.call(|connection| {
            let length = bytes.len().min(connection.transfer_max());
            let mut request = connection.request(operation);
            request.handle = self.handle;
            request.offset = offset.into();
            request.input = connection.store(&bytes[..length]);
            let completion = connection.call(&request)?;
            if completion.value.get() != length as u64 {
                return Err(Error::BadAnswer);
            }
            Ok((length, completion.extra.get()))
        })
    }

    /// Sets the size of the file.
    ///
    /// # Errors
    ///
    /// As `ftruncate` in POSIX.
    pub fn set_len(&self, size: u64) -> Result<(), Error> {
        self.check(OPEN_WRITE)?;
        self.fs.call(|connection| {
            let mut request = connection.request(Operation::Truncate);
            request.handle = self.handle;
            request.offset = size.into();
            connection.call(&request).map(|_| ())
        })
    }

    /// Makes what was written durable.
    ///
    /// # Errors
    ///
    /// As `fsync` in POSIX.
    pub fn sync_all(&self) -> Result<(), Error> {
        self.fs.sync()
    }

    /// The same: what is acknowledged is in one journal, data and attributes.
    ///
    /// # Errors
    ///
    /// As `fdatasync` in POSIX.
    pub fn sync_data(&self) -> Result<(), Error> {
        self.fs.sync()
    }

    /// Describes the file.
    ///
    /// # Errors
    ///
    /// As `fstat` in POSIX.
    pub fn metadata(&self) -> Result<Metadata, Error> {
        self.fs.call(|connection| {
            let mut request = connection.request(Operation::Fstat);
            request.handle = self.handle;
            request.output.length = (size_of::<StatWire>() as u32).into();
            connection.call(&request)?;
            Ok(connection.answer::<StatWire>().into())
        })
    }
}

impl ErrorType for File {
    type Error = Error;
}

impl Read for File {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Error> {
        let read = self.read_at(self.position, bytes)?;
        self.position += read as u64;
        Ok(read)
    }
}

impl Write for File {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        let append = self.options.append;
        let operation = if append {
            Operation::Append
        } else {
            Operation::Write
        };
        let (written, end) = self.write_some(operation, self.position, bytes)?;
        self.position = end;
        Ok(written)
    }

    /// Does nothing: what was written is with the service. See [`File::sync_all`].
    fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

impl Seek for File {
    fn seek(&mut self, to: SeekFrom) -> Result<u64, Error> {
        let position = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::Current(delta) => self.position.checked_add_signed(delta),
            SeekFrom::End(delta) => self.metadata()?.len().checked_add_signed(delta),
        };
        self.position = position.ok_or(Errno::Invalid)?;
        Ok(self.position)
    }
}
