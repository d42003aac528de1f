// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What each function does, and which error it has. POSIX.1-2017, System Interfaces.
//!
//! All that is open is here, in the program's own memory: a descriptor names an open file description,
//! which `dup` shares. The working directory is a path too; `..` in it is taken by name.

mod description;
mod path;

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;

use fs_client::{
    Attributes, DirEntry, Error, FileSystem, FileType, Metadata, OpenOptions, ReadDir,
};

pub use description::{Description, Whence};

/// Descriptors at once, and folders of `opendir`.
pub const OPEN_MAX: usize = 256;
/// Longest path, with the zero byte.
pub const PATH_MAX: usize = 4096;

/// POSIX's error values, with the numbers of Linux: those of the file service, and ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub i32);

#[expect(missing_docs, reason = "POSIX says what they mean")]
impl Errno {
    pub const EPERM: Self = Self(1);
    pub const ENOENT: Self = Self(2);
    pub const EIO: Self = Self(5);
    pub const EBADF: Self = Self(9);
    pub const EACCES: Self = Self(13);
    pub const EFAULT: Self = Self(14);
    pub const EEXIST: Self = Self(17);
    pub const ENOTDIR: Self = Self(20);
    pub const EISDIR: Self = Self(21);
    pub const EINVAL: Self = Self(22);
    pub const EMFILE: Self = Self(24);
    pub const ENOTTY: Self = Self(25);
    pub const ERANGE: Self = Self(34);
    pub const ENAMETOOLONG: Self = Self(36);
    pub const ENOSYS: Self = Self(38);
    pub const ELOOP: Self = Self(40);
    pub const EILSEQ: Self = Self(84);
}

impl From<Error> for Errno {
    fn from(error: Error) -> Self {
        match error {
            Error::Errno(errno) => Self(errno as i32),
            Error::BadAnswer => Self::EIO,
        }
    }
}

#[expect(missing_docs, reason = "POSIX says what they mean")]
pub mod flags {
    //! Flags of `open`, with the numbers of Linux on AArch64.
    pub const O_ACCMODE: i32 = 3;
    pub const O_WRONLY: i32 = 1;
    pub const O_RDWR: i32 = 2;
    pub const O_CREAT: i32 = 0o100;
    pub const O_EXCL: i32 = 0o200;
    pub const O_TRUNC: i32 = 0o1000;
    pub const O_APPEND: i32 = 0o2000;
    pub const O_DSYNC: i32 = 0o10000;
    pub const O_DIRECTORY: i32 = 0o40000;
    pub const O_NOFOLLOW: i32 = 0o100_000;
}
use flags::*;

/// Bits of `access`.
const X_OK: i32 = 1;
const ACCESS_BITS: i32 = 7;

/// The functions, on the file service.
#[derive(Debug)]
pub struct Posix {
    fs: FileSystem,
    descriptors: Vec<Option<Rc<RefCell<Description>>>>,
    folders: Vec<Option<ReadDir>>,
    working_directory: String,
    mask: u32,
}

impl Posix {
    /// Begins with nothing open, in the root folder.
    pub fn new(fs: FileSystem) -> Self {
        // 0, 1 and 2 are what programs take for streams: they stay free.
        Self {
            fs,
            descriptors: (0..3).map(|_| None).collect(),
            folders: Vec::new(),
            working_directory: String::from("/"),
            mask: 0o022,
        }
    }

    fn path(&self, path: &str) -> Result<String, Errno> {
        path::absolute(&self.working_directory, path)
    }

    fn description(&self, descriptor: i32) -> Result<&Rc<RefCell<Description>>, Errno> {
        let found = usize::try_from(descriptor)
            .ok()
            .and_then(|index| self.descriptors.get(index));
        found.and_then(Option::as_ref).ok_or(Errno::EBADF)
    }

    /// Calls `work` with what a descriptor names.
    ///
    /// # Errors
    ///
    /// `EBADF`, and what `work` says.
    pub fn with<T>(
        &self,
        descriptor: i32,
        work: impl FnOnce(&mut Description) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        work(&mut self.description(descriptor)?.borrow_mut())
    }

    fn enter(&mut self, description: Rc<RefCell<Description>>, least: usize) -> Result<i32, Errno> {
        let free = (least..self.descriptors.len()).find(|index| self.descriptors[*index].is_none());
        let index = free.unwrap_or(self.descriptors.len().max(least));
        if index >= OPEN_MAX {
            return Err(Errno::EMFILE);
        }
        if index >= self.descriptors.len() {
            self.descriptors.resize_with(index + 1, || None);
        }
        self.descriptors[index] = Some(description);
        Ok(index as i32)
    }

    /// `open`
    ///
    /// # Errors
    ///
    /// As POSIX. `EINVAL` for flags that contradict each other.
    pub fn open(&mut self, path: &str, flags: i32, mode: u32) -> Result<i32, Errno> {
        if self.descriptors.iter().skip(3).flatten().count() >= OPEN_MAX - 3 {
            return Err(Errno::EMFILE);
        }
        let path = self.path(path)?;
        let has = |flag: i32| flags & flag != 0;
        let (read, write) = match flags & O_ACCMODE {
            0 => (true, false),
            O_WRONLY => (false, true),
            O_RDWR => (true, true),
            _ => return Err(Errno::EINVAL),
        };
        // POSIX leaves O_TRUNC without writing undefined; the service refuses it.
        let options = OpenOptions::new()
            .read(read)
            .append(write && has(O_APPEND))
            .write(write)
            .create(has(O_CREAT) && !has(O_EXCL))
            .truncate(has(O_TRUNC))
            .directory(has(O_DIRECTORY))
            .no_follow(has(O_NOFOLLOW))
            .mode(mode & 0o7777 & !self.mask);
        let options = match has(O_CREAT) && has(O_EXCL) {
            true => options.create_new(true),
            false => options,
        };
        let file = options.open(&self.fs, &path)?;
        let description = Description::new(file, path, flags);
        self.enter(Rc::new(RefCell::new(description)), 3)
    }

    /// `close`
    ///
    /// # Errors
    ///
    /// `EBADF`
    pub fn close(&mut self, descriptor: i32) -> Result<(), Errno> {
        self.description(descriptor)?;
        self.descriptors[descriptor as usize] = None;
        Ok(())
    }

    /// `dup`, and `fcntl` with `F_DUPFD`: the lowest free descriptor from `least` on.
    ///
    /// # Errors
    ///
    /// `EBADF`, `EINVAL`, `EMFILE`
    pub fn dup(&mut self, descriptor: i32, least: i32) -> Result<i32, Errno> {
        let description = Rc::clone(self.description(descriptor)?);
        let least = usize::try_from(least).map_err(|_| Errno::EINVAL)?;
        self.enter(description, least)
    }

    /// `dup2`
    ///
    /// # Errors
    ///
    /// `EBADF`
    pub fn dup2(&mut self, descriptor: i32, wanted: i32) -> Result<i32, Errno> {
        let description = Rc::clone(self.description(descriptor)?);
        let index = usize::try_from(wanted)
            .ok()
            .filter(|index| *index < OPEN_MAX);
        let index = index.ok_or(Errno::EBADF)?;
        if let Some(place) = self.descriptors.get_mut(index) {
            *place = None;
        }
        self.enter(description, index)
    }

    /// `stat`
    ///
    /// # Errors
    ///
    /// As POSIX.
    pub fn stat(&self, path: &str) -> Result<Metadata, Errno> {
        Ok(self.fs.metadata(&self.path(path)?)?)
    }

    /// `lstat`
    ///
    /// # Errors
    ///
    /// As POSIX.
    pub fn lstat(&self, path: &str) -> Result<Metadata, Errno> {
        Ok(self.fs.symlink_metadata(&self.path(path)?)?)
    }

    /// `link`: of a symbolic link, it is one more name of the link.
    ///
    /// # Errors
    ///
    /// As POSIX.
    pub fn link(&self, file: &str, name: &str) -> Result<(), Errno> {
        Ok(self.fs.hard_link(&self.path(file)?, &self.path(name)?)?)
    }

    /// `symlink`
    ///
    /// # Errors
    ///
    /// As POSIX.
    pub fn symlink(&self, target: &str, name: &str) -> Result<(), Errno> {
        Ok(self.fs.symlink(target, &self.path(name)?)?)
    }

    /// `readlink`
    ///
    /// # Errors
    ///
    /// As POSIX.
    pub fn readlink(&self, path: &str) -> Result<Vec<u8>, Errno> {
        Ok(self.fs.read_link(&self.path(path)?)?)
    }

    /// `chmod`, `utimensat`; `follow`: a symbolic link at the end is followed.
    ///
    /// # Errors
    ///
    /// As POSIX.
    pub fn set(&self, path: &str, follow: bool, attributes: &Attributes) -> Result<(), Errno> {
        let path = self.path(path)?;
        match follow {
            true => self.fs.set_attributes(&path, attributes)?,
            false => self.fs.set_symlink_attributes(&path, attributes)?,
        }
        Ok(())
    }

    /// `access`. There is one user, who may do everything but run what is not marked as a program.
    ///
    /// # Errors
    ///
    /// `EACCES`, and those of [`Self::stat`].
    pub fn access(&self, path: &str, mode: i32) -> Result<(), Errno> {
        if mode & !ACCESS_BITS != 0 {
            return Err(Errno::EINVAL);
        }
        let found = self.stat(path)?;
        if mode & X_OK != 0 && !found.is_dir() && found.permissions() & 0o111 == 0 {
            return Err(Errno::EACCES);
        }
        Ok(())
    }

    /// `truncate`
    ///
    /// # Errors
    ///
    /// As POSIX.
    pub fn truncate(&self, path: &str, size: i64) -> Result<(), Errno> {
        let size = u64::try_from(size).map_err(|_| Errno::EINVAL)?;
        let file = OpenOptions::new()
            .write(true)
            .open(&self.fs, &self.path(path)?)?;
        Ok(file.set_len(size)?)
    }

    /// `mkdir`
    ///
    /// # Errors
    ///
    /// As POSIX.
    pub fn mkdir(&self, path: &str, mode: u32) -> Result<(), Errno> {
        let mode = mode & 0o7777 & !self.mask;
        Ok(self.fs.create_dir_with_mode(&self.path(path)?, mode)?)
    }

    /// `rmdir`
    ///
    /// # Errors
    ///
    /// As POSIX.
    pub fn rmdir(&self, path: &str) -> Result<(), Errno> {
        Ok(self.fs.remove_dir(&self.path(path)?)?)
    }

    /// `unlink`
    ///
    /// # Errors
    ///
    /// As POSIX.
    pub fn unlink(&self, path: &str) -> Result<(), Errno> {
        Ok(self.fs.remove_file(&self.path(path)?)?)
    }

    /// `remove`: `unlink` or `rmdir`.
    ///
    /// # Errors
    ///
    /// As POSIX.
    pub fn remove(&self, path: &str) -> Result<(), Errno> {
        match self.unlink(path) {
            Err(Errno::EISDIR) => self.rmdir(path),
            result => result,
        }
    }

    /// `rename`
    ///
    /// # Errors
    ///
    /// As POSIX.
    pub fn rename(&self, from: &str, to: &str) -> Result<(), Errno> {
        Ok(self.fs.rename(&self.path(from)?, &self.path(to)?)?)
    }

    /// `sync`
    ///
    /// # Errors
    ///
    /// When the disk fails, which `sync` itself cannot say.
    pub fn sync(&self) -> Result<(), Errno> {
        Ok(self.fs.sync()?)
    }

    /// `getcwd`
    pub fn working_directory(&self) -> &str {
        &self.working_directory
    }

    /// `chdir`
    ///
    /// # Errors
    ///
    /// As POSIX.
    pub fn chdir(&mut self, path: &str) -> Result<(), Errno> {
        let path = self.path(path)?;
        if self.fs.metadata(&path)?.file_type() != FileType::Directory {
            return Err(Errno::ENOTDIR);
        }
        self.working_directory = path::normal(&path);
        Ok(())
    }

    /// `fchdir`
    ///
    /// # Errors
    ///
    /// As POSIX.
    pub fn fchdir(&mut self, descriptor: i32) -> Result<(), Errno> {
        let path = String::from(self.description(descriptor)?.borrow().path());
        self.chdir(&path)
    }

    /// `umask`; returns the old one.
    pub fn umask(&mut self, mask: u32) -> u32 {
        core::mem::replace(&mut self.mask, mask & 0o777)
    }

    /// `opendir`; returns a number for the other functions on folders.
    ///
    /// # Errors
    ///
    /// As POSIX.
    pub fn opendir(&mut self, path: &str) -> Result<usize, Errno> {
        let free = self.folders.iter().position(Option::is_none);
        let index = free.unwrap_or(self.folders.len());
        if index >= OPEN_MAX {
            return Err(Errno::EMFILE);
        }
        let folder = self.fs.read_dir(&self.path(path)?)?;
        if index == self.folders.len() {
            self.folders.push(None);
        }
        self.folders[index] = Some(folder);
        Ok(index)
    }

    fn folder(&mut self, folder: usize) -> Result<&mut ReadDir, Errno> {
        let found = self.folders.get_mut(folder).and_then(Option::as_mut);
        found.ok_or(Errno::EBADF)
    }

    /// `readdir`; `.` and `..` are not listed.
    ///
    /// # Errors
    ///
    /// As POSIX.
    pub fn readdir(&mut self, folder: usize) -> Result<Option<DirEntry>, Errno> {
        Ok(self.folder(folder)?.next().transpose()?)
    }

    /// `rewinddir`
    ///
    /// # Errors
    ///
    /// `EBADF`
    pub fn rewinddir(&mut self, folder: usize) -> Result<(), Errno> {
        self.folder(folder).map(ReadDir::rewind)
    }

    /// `closedir`
    ///
    /// # Errors
    ///
    /// `EBADF`
    pub fn closedir(&mut self, folder: usize) -> Result<(), Errno> {
        self.folder(folder)?;
        self.folders[folder] = None;
        Ok(())
    }
}
