// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What can be asked for, one function for each operation. How a request gets its place and its answer is the
//! parent's business.

use proto::fs::{Errno, NO_FOLLOW, Operation, PATH_BYTES_MAX, RENAME_NO_REPLACE};

use super::{Cursor, Expected, Opened, Refused, Requests, Token, Waiting};
use crate::directory::LISTING_BYTES;
use crate::{Attributes, OpenOptions};

impl Requests {
    /// Opens a file. Like all requests: notify the service afterwards.
    ///
    /// # Errors
    ///
    /// When the request cannot be made; what comes of it is in the answer.
    pub fn open(&mut self, path: &str, options: &OpenOptions) -> Result<Token, Refused> {
        let waits = |waiting: &Waiting| matches!(waiting.expected, Expected::Opened(_));
        let opening = self.waiting.iter().flatten().filter(|w| waits(w)).count();
        if !self.open.has_room_for(opening + 1) {
            return Err(Refused::Errno(Errno::TooManyOpen));
        }
        let (flags, mode) = options.wire();
        let expected = Expected::Opened(*options);
        self.submit(Operation::Open, expected, &[path.as_bytes()], |request| {
            request.flags = flags.into();
            request.mode = mode.into();
        })
    }

    /// Closes a file. Requests for it that are under way go on.
    pub fn close(&mut self, file: Opened) {
        if let Some(entry) = file.entry {
            self.open.clear_if(entry, &file.handle);
        }
    }

    /// Reads at an offset.
    ///
    /// # Errors
    ///
    /// As for [`Self::open`].
    pub fn read(&mut self, file: &Opened, offset: u64, bytes: usize) -> Result<Token, Refused> {
        if !file.options.can_read() {
            return Err(Refused::Errno(Errno::BadHandle));
        }
        let expected = Expected::Read(bytes.min(self.strip_bytes));
        self.submit(Operation::Read, expected, &[], |request| {
            request.handle = file.handle;
            request.offset = offset.into();
        })
    }

    /// Writes at an offset, or at the end of a file that was opened so.
    ///
    /// # Errors
    ///
    /// As for [`Self::open`]; `EINVAL` for more than [`Self::transfer_max`].
    pub fn write(&mut self, file: &Opened, offset: u64, bytes: &[u8]) -> Result<Token, Refused> {
        if !file.options.can_write() {
            return Err(Refused::Errno(Errno::BadHandle));
        }
        let operation = match file.options.appends() {
            true => Operation::Append,
            false => Operation::Write,
        };
        let expected = Expected::Written(bytes.len());
        self.submit(operation, expected, &[bytes], |request| {
            request.handle = file.handle;
            request.offset = offset.into();
        })
    }

    /// Sets the size of a file.
    ///
    /// # Errors
    ///
    /// As for [`Self::open`].
    pub fn set_len(&mut self, file: &Opened, size: u64) -> Result<Token, Refused> {
        self.submit(Operation::Truncate, Expected::Done, &[], |request| {
            request.handle = file.handle;
            request.offset = size.into();
        })
    }

    /// Makes everything durable that was answered.
    ///
    /// # Errors
    ///
    /// As for [`Self::open`].
    pub fn sync(&mut self) -> Result<Token, Refused> {
        self.submit(Operation::Fsync, Expected::Done, &[], |_| ())
    }

    /// Describes a file.
    ///
    /// # Errors
    ///
    /// As for [`Self::open`].
    pub fn metadata(&mut self, path: &str) -> Result<Token, Refused> {
        self.stat(path, 0)
    }

    /// Describes a file, or the symbolic link at the end of the path.
    ///
    /// # Errors
    ///
    /// As for [`Self::open`].
    pub fn symlink_metadata(&mut self, path: &str) -> Result<Token, Refused> {
        self.stat(path, NO_FOLLOW)
    }

    fn stat(&mut self, path: &str, flags: u32) -> Result<Token, Refused> {
        let names = [path.as_bytes()];
        self.submit(Operation::Stat, Expected::Described, &names, |request| {
            request.flags = flags.into();
        })
    }

    /// Describes an open file.
    ///
    /// # Errors
    ///
    /// As for [`Self::open`].
    pub fn metadata_of(&mut self, file: &Opened) -> Result<Token, Refused> {
        self.submit(Operation::Fstat, Expected::Described, &[], |request| {
            request.handle = file.handle;
        })
    }

    /// Lists a part of an open folder: from its start with a default cursor, or from where the part before
    /// ended.
    ///
    /// # Errors
    ///
    /// As for [`Self::open`].
    pub fn read_dir(&mut self, folder: &Opened, from: Cursor) -> Result<Token, Refused> {
        let expected = Expected::Entries(LISTING_BYTES.min(self.strip_bytes));
        self.submit(Operation::Readdir, expected, &[], |request| {
            request.handle = folder.handle;
            request.offset = from.0.low;
            request.offset_high = from.0.high;
        })
    }

    /// Reads a symbolic link.
    ///
    /// # Errors
    ///
    /// As for [`Self::open`].
    pub fn read_link(&mut self, path: &str) -> Result<Token, Refused> {
        let expected = Expected::Target((PATH_BYTES_MAX as usize).min(self.strip_bytes));
        self.submit(Operation::Readlink, expected, &[path.as_bytes()], |_| ())
    }

    /// Says how much room there is.
    ///
    /// # Errors
    ///
    /// As for [`Self::open`].
    pub fn space(&mut self) -> Result<Token, Refused> {
        self.submit(Operation::Statfs, Expected::Space, &[], |_| ())
    }

    /// Removes a file.
    ///
    /// # Errors
    ///
    /// As for [`Self::open`].
    pub fn remove_file(&mut self, path: &str) -> Result<Token, Refused> {
        self.submit(
            Operation::Unlink,
            Expected::Done,
            &[path.as_bytes()],
            |_| (),
        )
    }

    /// Removes an empty folder.
    ///
    /// # Errors
    ///
    /// As for [`Self::open`].
    pub fn remove_dir(&mut self, path: &str) -> Result<Token, Refused> {
        self.submit(Operation::Rmdir, Expected::Done, &[path.as_bytes()], |_| ())
    }

    /// Makes a folder.
    ///
    /// # Errors
    ///
    /// As for [`Self::open`].
    pub fn create_dir(&mut self, path: &str) -> Result<Token, Refused> {
        self.create_dir_with_mode(path, 0o755)
    }

    /// Makes a folder with these permission bits.
    ///
    /// # Errors
    ///
    /// As for [`Self::open`].
    pub fn create_dir_with_mode(&mut self, path: &str, mode: u32) -> Result<Token, Refused> {
        let names = [path.as_bytes()];
        self.submit(Operation::Mkdir, Expected::Done, &names, |request| {
            request.mode = mode.into();
        })
    }

    /// Gives a file another name; `replace`: in place of a file that has it.
    ///
    /// # Errors
    ///
    /// As for [`Self::open`].
    pub fn rename(&mut self, from: &str, to: &str, replace: bool) -> Result<Token, Refused> {
        let names = [from.as_bytes(), to.as_bytes()];
        self.submit(Operation::Rename, Expected::Done, &names, |request| {
            request.flags = if replace { 0 } else { RENAME_NO_REPLACE }.into();
        })
    }

    /// Gives a file one more name.
    ///
    /// # Errors
    ///
    /// As for [`Self::open`].
    pub fn hard_link(&mut self, file: &str, name: &str) -> Result<Token, Refused> {
        let names = [file.as_bytes(), name.as_bytes()];
        self.submit(Operation::Link, Expected::Done, &names, |_| ())
    }

    /// Makes a symbolic link.
    ///
    /// # Errors
    ///
    /// As for [`Self::open`].
    pub fn symlink(&mut self, target: &str, name: &str) -> Result<Token, Refused> {
        let names = [target.as_bytes(), name.as_bytes()];
        self.submit(Operation::Symlink, Expected::Done, &names, |_| ())
    }

    /// Sets attributes of an open file.
    ///
    /// # Errors
    ///
    /// As for [`Self::open`].
    pub fn set_attributes(
        &mut self,
        file: &Opened,
        attributes: &Attributes,
    ) -> Result<Token, Refused> {
        self.submit(Operation::SetAttributes, Expected::Done, &[], |request| {
            request.handle = file.handle;
            attributes.fill(request);
        })
    }
}
