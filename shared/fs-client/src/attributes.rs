// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Setting permission bits and times. They are stored; nobody is kept from anything by them.

use proto::fs::{
    Handle, NO_FOLLOW, Operation, RequestWire, SET_ATIME, SET_ATIME_NOW, SET_MODE, SET_MTIME,
    SET_MTIME_NOW,
};

use crate::{Error, File, FileSystem};

/// A time to be set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Time {
    /// Stays as it is.
    #[default]
    Keep,
    /// The service's present.
    Now,
    /// Nanoseconds since 1970.
    At(i64),
}

/// What is to be set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Permission bits.
    pub mode: Option<u32>,
    /// Last access.
    pub accessed: Time,
    /// Last change of the contents.
    pub modified: Time,
}

impl Attributes {
    /// Writes them into a request.
    pub(crate) fn fill(&self, request: &mut RequestWire) {
        let mut flags = request.flags.get();
        if let Some(mode) = self.mode {
            flags |= SET_MODE;
            request.mode = mode.into();
        }
        match self.accessed {
            Time::Keep => {}
            Time::Now => flags |= SET_ATIME_NOW,
            Time::At(time) => {
                flags |= SET_ATIME;
                request.offset = (time as u64).into();
            }
        }
        match self.modified {
            Time::Keep => {}
            Time::Now => flags |= SET_MTIME_NOW,
            Time::At(time) => {
                flags |= SET_MTIME;
                request.offset_high = (time as u64).into();
            }
        }
        request.flags = flags.into();
    }
}

impl FileSystem {
    fn set(&self, path: &str, flags: u32, attributes: &Attributes) -> Result<(), Error> {
        // No path at all would mean the file of a handle.
        if path.is_empty() {
            return Err(crate::Errno::NoEntry.into());
        }
        self.call(|connection| {
            let mut request = connection.request_with_paths(Operation::SetAttributes, path, "")?;
            request.flags = flags.into();
            attributes.fill(&mut request);
            connection.call(&request).map(|_| ())
        })
    }

    /// Sets attributes of a file.
    ///
    /// # Errors
    ///
    /// As `chmod` and `utimensat` in POSIX.
    pub fn set_attributes(&self, path: &str, attributes: &Attributes) -> Result<(), Error> {
        self.set(path, 0, attributes)
    }

    /// The same for the symbolic link at the end of the path. Its permission bits cannot be set.
    ///
    /// # Errors
    ///
    /// As `utimensat` in POSIX.
    pub fn set_symlink_attributes(&self, path: &str, attributes: &Attributes) -> Result<(), Error> {
        self.set(path, NO_FOLLOW, attributes)
    }

    /// Sets permission bits of a file.
    ///
    /// # Errors
    ///
    /// As `chmod` in POSIX.
    pub fn set_permissions(&self, path: &str, mode: u32) -> Result<(), Error> {
        let attributes = Attributes {
            mode: Some(mode),
            ..Attributes::default()
        };
        self.set_attributes(path, &attributes)
    }

    pub(crate) fn set_of(&self, handle: Handle, attributes: &Attributes) -> Result<(), Error> {
        self.call(|connection| {
            let mut request = connection.request(Operation::SetAttributes);
            request.handle = handle;
            attributes.fill(&mut request);
            connection.call(&request).map(|_| ())
        })
    }
}

impl File {
    /// Sets attributes of the open file.
    ///
    /// # Errors
    ///
    /// As `fchmod` and `futimens` in POSIX.
    pub fn set_attributes(&self, attributes: &Attributes) -> Result<(), Error> {
        self.file_system().set_of(self.handle(), attributes)
    }
}
