// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Files for programs, with the names of `std::fs`.
//!
//! ```ignore
//! let fs = FileSystem::attach(regions, ChannelPeer::new(FS))?;
//! let mut file = OpenOptions::new().write(true).create(true).open(&fs, "/notes/today")?;
//! file.write_all(b"hello")?;      // embedded_io::Write
//! file.sync_all()?;
//! for entry in fs.read_dir("/notes")? {
//!     log::info!("{}", entry?.file_name());
//! }
//! ```
//!
//! Calls wait until the service has answered. A restart of the service in the middle is not seen: the
//! request stays in the table, the new life answers it, and it takes effect exactly once. What is open is
//! known here alone: a [`File`] is a handle, flags and a position, so there is nothing to open again.
//!
//! After a restart of this program, requests of its earlier life are left to finish before the first new
//! one is made; their results are dropped.
//!
//! Servers, which must not wait, use [`events`] instead.
//!
//! Paths begin at the root of the file system. One write of up to [`TRANSFER_BYTES_MAX`] bytes happens
//! whole or not at all; longer ones are several.
//!
//! [`TRANSFER_BYTES_MAX`]: proto::fs::TRANSFER_BYTES_MAX

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod attributes;
mod connection;
mod direct;
mod directory;
mod error;
pub mod events;
mod file;
mod metadata;
mod open_files;
mod peer;
mod record;

pub use attributes::{Attributes, Time};
pub use connection::Regions;
pub use direct::DirectRegions;
pub use directory::{DirEntry, ReadDir};
pub use error::Error;
pub use file::{File, OpenOptions};
pub use metadata::{Metadata, Space};
#[cfg(target_os = "none")]
pub use peer::ChannelPeer;
pub use peer::Peer;
pub use proto::fs::{Errno, Handle, Kind as FileType};
pub use record::FileRecord;

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::RefCell;

use proto::fs::{
    NO_FOLLOW, Operation, PATH_BYTES_MAX, RENAME_NO_REPLACE, RequestWire, StatWire, StatfsWire,
};
use request_table::AttachError;
use zerocopy::FromBytes;

use connection::Connection;
use direct::Direct;
use open_files::OpenFiles;

/// The file service, as one client sees it. Clones share the connection.
#[derive(Clone)]
pub struct FileSystem {
    connection: Rc<RefCell<Connection>>,
    open: Rc<RefCell<OpenFiles>>,
}

impl FileSystem {
    /// Takes the regions shared with the service. Does not wait for it.
    ///
    /// # Errors
    ///
    /// When a region is too small.
    pub fn attach(regions: Regions, peer: impl Peer + 'static) -> Result<Self, AttachError> {
        let (connection, open) = Connection::attach(regions, Box::new(peer))?;
        Ok(Self {
            connection: Rc::new(RefCell::new(connection)),
            open: Rc::new(RefCell::new(open)),
        })
    }

    /// How often the service was restarted, if it has ever been there. For the curious only.
    pub fn server_epoch(&self) -> Option<u32> {
        self.connection.borrow().server_epoch()
    }

    /// From now on, reads what is cached without the service, where that is possible.
    pub fn read_directly(&self, regions: DirectRegions) {
        self.connection.borrow_mut().direct = Some(Direct::new(regions));
    }

    /// Reads that needed no service.
    pub fn direct_reads(&self) -> u64 {
        let connection = self.connection.borrow();
        connection.direct.as_ref().map_or(0, Direct::reads)
    }

    fn call_paths(
        &self,
        operation: Operation,
        paths: (&str, &str),
        flags: u32,
        mode: u32,
    ) -> Result<(), Error> {
        let mut connection = self.connection.borrow_mut();
        let mut request = connection.request_with_paths(operation, paths.0, paths.1)?;
        request.flags = flags.into();
        request.mode = mode.into();
        connection.call(&request).map(|_| ())
    }

    /// Makes a folder.
    ///
    /// # Errors
    ///
    /// As `mkdir` in POSIX.
    pub fn create_dir(&self, path: &str) -> Result<(), Error> {
        self.create_dir_with_mode(path, 0o755)
    }

    /// Makes a folder with these permission bits.
    ///
    /// # Errors
    ///
    /// As `mkdir` in POSIX.
    pub fn create_dir_with_mode(&self, path: &str, mode: u32) -> Result<(), Error> {
        self.call_paths(Operation::Mkdir, (path, ""), 0, mode)
    }

    /// Removes an empty folder.
    ///
    /// # Errors
    ///
    /// As `rmdir` in POSIX.
    pub fn remove_dir(&self, path: &str) -> Result<(), Error> {
        self.call_paths(Operation::Rmdir, (path, ""), 0, 0)
    }

    /// Removes a name of a file. Who has it open goes on as before; it is gone when nobody has.
    ///
    /// # Errors
    ///
    /// As `unlink` in POSIX.
    pub fn remove_file(&self, path: &str) -> Result<(), Error> {
        self.call_paths(Operation::Unlink, (path, ""), 0, 0)
    }

    /// Gives a file another name, in place of a file that has it.
    ///
    /// # Errors
    ///
    /// As `rename` in POSIX.
    pub fn rename(&self, from: &str, to: &str) -> Result<(), Error> {
        self.call_paths(Operation::Rename, (from, to), 0, 0)
    }

    /// Gives a file another name that no file has.
    ///
    /// # Errors
    ///
    /// As [`Self::rename`], and `EEXIST`.
    pub fn rename_new(&self, from: &str, to: &str) -> Result<(), Error> {
        self.call_paths(Operation::Rename, (from, to), RENAME_NO_REPLACE, 0)
    }

    /// Gives a file one more name.
    ///
    /// # Errors
    ///
    /// As `link` in POSIX; a symbolic link is not followed.
    pub fn hard_link(&self, file: &str, name: &str) -> Result<(), Error> {
        self.call_paths(Operation::Link, (file, name), 0, 0)
    }

    /// Makes a symbolic link.
    ///
    /// # Errors
    ///
    /// As `symlink` in POSIX.
    pub fn symlink(&self, target: &str, name: &str) -> Result<(), Error> {
        self.call_paths(Operation::Symlink, (target, name), 0, 0)
    }

    /// Reads a symbolic link.
    ///
    /// # Errors
    ///
    /// As `readlink` in POSIX.
    pub fn read_link(&self, path: &str) -> Result<Vec<u8>, Error> {
        let mut connection = self.connection.borrow_mut();
        let mut request = connection.request_with_paths(Operation::Readlink, path, "")?;
        let room = (PATH_BYTES_MAX as usize).min(connection.transfer_max());
        request.output.length = (room as u32).into();
        let length = connection.call(&request)?.value.get() as usize;
        if length > room {
            return Err(Error::BadAnswer);
        }
        let mut target = vec![0; length];
        connection.load(&mut target);
        Ok(target)
    }

    /// Describes a file.
    ///
    /// # Errors
    ///
    /// As `stat` in POSIX.
    pub fn metadata(&self, path: &str) -> Result<Metadata, Error> {
        self.stat(path, 0)
    }

    /// Describes a file, or the symbolic link at the end of the path.
    ///
    /// # Errors
    ///
    /// As `lstat` in POSIX.
    pub fn symlink_metadata(&self, path: &str) -> Result<Metadata, Error> {
        self.stat(path, NO_FOLLOW)
    }

    fn stat(&self, path: &str, flags: u32) -> Result<Metadata, Error> {
        let mut connection = self.connection.borrow_mut();
        let mut request = connection.request_with_paths(Operation::Stat, path, "")?;
        request.flags = flags.into();
        request.output.length = (size_of::<StatWire>() as u32).into();
        connection.call(&request)?;
        Ok(connection.answer::<StatWire>().into())
    }

    /// Says whether a file is there.
    ///
    /// # Errors
    ///
    /// When that cannot be found out.
    pub fn exists(&self, path: &str) -> Result<bool, Error> {
        match self.metadata(path) {
            Ok(_) => Ok(true),
            Err(Error::Errno(Errno::NoEntry | Errno::NotDirectory)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Lists a folder, in no particular order, without `.` and `..`.
    ///
    /// # Errors
    ///
    /// When it cannot be opened.
    pub fn read_dir(&self, path: &str) -> Result<ReadDir, Error> {
        ReadDir::open(self, path)
    }

    /// Reads a whole file.
    ///
    /// # Errors
    ///
    /// As `open` and `read` in POSIX.
    pub fn read(&self, path: &str) -> Result<Vec<u8>, Error> {
        let file = File::open(self, path)?;
        let mut bytes = vec![0; file.metadata()?.len() as usize];
        let mut done = 0;
        while done < bytes.len() {
            let count = file.read_at(done as u64, &mut bytes[done..])?;
            if count == 0 {
                break;
            }
            done += count;
        }
        bytes.truncate(done);
        Ok(bytes)
    }

    /// Makes a file with these contents, in place of one that is there.
    ///
    /// # Errors
    ///
    /// As `open` and `write` in POSIX.
    pub fn write(&self, path: &str, bytes: &[u8]) -> Result<(), Error> {
        let file = File::create(self, path)?;
        file.write_all_at(0, bytes)
    }

    /// Says how much room there is.
    ///
    /// # Errors
    ///
    /// When the service has no file system.
    pub fn space(&self) -> Result<Space, Error> {
        let mut connection = self.connection.borrow_mut();
        let mut request = connection.request(Operation::Statfs);
        request.output.length = (size_of::<StatfsWire>() as u32).into();
        connection.call(&request)?;
        Ok(connection.answer::<StatfsWire>().into())
    }

    /// Makes everything that was written durable.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub fn sync(&self) -> Result<(), Error> {
        let mut connection = self.connection.borrow_mut();
        let request = connection.request(Operation::Fsync);
        connection.call(&request).map(|_| ())
    }

    fn call<T>(&self, work: impl FnOnce(&mut Connection) -> T) -> T {
        work(&mut self.connection.borrow_mut())
    }
}

/// Reads a wire structure from the front of bytes.
fn take<T: FromBytes>(bytes: &[u8]) -> Option<(T, &[u8])> {
    T::read_from_prefix(bytes).ok()
}

const _: () = assert!(size_of::<RequestWire>() < 128);
