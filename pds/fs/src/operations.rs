// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What each operation of the protocol does to the volume.
//!
//! POSIX's rules are checked here before anything is changed, so that an ordinary error (a file that is
//! not there) costs nothing. An error after that makes the caller roll back.

use alloc::vec::Vec;

use proto::fs::{
    CompletionWire, CursorWire, EntryWire, Errno, Handle, Kind, NAME_BYTES_MAX, OPEN_CREATE,
    OPEN_DIRECTORY, OPEN_EXCLUSIVE, OPEN_TRUNCATE, OPEN_WRITE, StatWire, StatfsWire,
};
use rsext4::{DirectoryCursor, DirectoryEntryType, InodeInfo};
use sel4_shared_memory::SharedMut;
use zerocopy::IntoBytes;

use crate::disk::Disk;
use crate::request::{Output, Request};
use crate::results::FILE_NAME;
use crate::volume::{ROOT_INODE, Volume, errno, number};

/// Entries that are asked of `rsext4` at once.
const ENTRIES_AT_ONCE: usize = 32;

fn kind_of(file_type: DirectoryEntryType) -> Kind {
    match file_type {
        DirectoryEntryType::RegularFile => Kind::File,
        DirectoryEntryType::Directory => Kind::Directory,
        DirectoryEntryType::Symlink => Kind::Symlink,
        _ => Kind::Other,
    }
}

fn done(kind: Kind, handle: Handle, size: u64) -> CompletionWire {
    CompletionWire {
        kind: (kind as u32).into(),
        handle,
        value: size.into(),
        ..CompletionWire::default()
    }
}

/// A step that failed: before or after it may have changed something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nothing was changed.
    Refused(Errno),
    /// Something may have been changed, and is to be rolled back.
    Broken(Errno),
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Self::Refused(errno)
    }
}

type Outcome = Result<CompletionWire, Failure>;

impl<D: Disk> Volume<D> {
    /// Runs a request; answers longer than a completion go to `to`.
    ///
    /// # Errors
    ///
    /// Says whether there is something to roll back.
    pub fn run(&mut self, request: &Request, to: &mut SharedMut) -> Outcome {
        match request {
            Request::Open { path, flags, mode } => self.run_open(path, *flags, *mode),
            Request::Read {
                handle,
                offset,
                output,
            } => Ok(self.run_read(handle, *offset, *output, to)?),
            Request::Write {
                handle,
                offset,
                data,
            } => self.run_write(handle, Some(*offset), data),
            Request::Append { handle, data } => self.run_write(handle, None, data),
            Request::Truncate { handle, size } => self.run_truncate(handle, *size),
            Request::Fsync => Ok(CompletionWire::default()),
            Request::Mkdir { path, mode } => self.run_mkdir(path, *mode),
            Request::Unlink { path } => self.run_unlink(path),
            Request::Rmdir { path } => self.run_rmdir(path),
            Request::Rename { old, new, replace } => self.run_rename(old, new, *replace),
            Request::Readdir {
                handle,
                cursor,
                output,
            } => Ok(self.run_readdir(handle, *cursor, *output, to)?),
            Request::Stat { path, output } => {
                let info = self.walk(path, true)?.file()?;
                Ok(self.describe(&info, *output, to)?)
            }
            Request::Fstat { handle, output } => {
                let info = self.open_file(handle)?;
                Ok(self.describe(&info, *output, to)?)
            }
            Request::Statfs { output } => Ok(self.run_statfs(*output, to)?),
        }
    }

    fn run_open(&mut self, path: &[u8], flags: u32, mode: u32) -> Outcome {
        let place = self.walk(path, true)?;
        let Some(info) = place.found else {
            if flags & OPEN_CREATE == 0 {
                return Err(Errno::NoEntry.into());
            }
            if place.must_be_folder {
                return Err(Errno::IsDirectory.into());
            }
            let (parent, name) = place.entry()?;
            let info = self.create(parent, name, mode).map_err(Failure::Broken)?;
            // The handle needs the inode as it is on the disk.
            self.finish().map_err(Failure::Broken)?;
            let handle = self.handle(info.number.raw()).map_err(Failure::Broken)?;
            return Ok(done(Kind::File, handle, 0));
        };
        let kind = kind_of(info.file_type());
        if flags & OPEN_CREATE != 0 && flags & OPEN_EXCLUSIVE != 0 {
            return Err(Errno::Exists.into());
        }
        match kind {
            Kind::Directory if flags & (OPEN_WRITE | OPEN_CREATE) != 0 => {
                return Err(Errno::IsDirectory.into());
            }
            Kind::File if flags & OPEN_DIRECTORY != 0 => return Err(Errno::NotDirectory.into()),
            Kind::Symlink | Kind::Other => return Err(Errno::NotSupported.into()),
            Kind::File | Kind::Directory => {}
        }
        let inode = info.number.raw();
        let handle = self.handle(inode)?;
        let mut size = info.size;
        if flags & OPEN_TRUNCATE != 0 && size != 0 {
            self.truncate(inode, 0).map_err(Failure::Broken)?;
            size = 0;
        }
        Ok(done(kind, handle, size))
    }

    /// Finds the regular file of a handle.
    pub(crate) fn regular(&mut self, handle: &Handle) -> Result<InodeInfo, Errno> {
        let info = self.open_file(handle)?;
        match kind_of(info.file_type()) {
            Kind::File => Ok(info),
            Kind::Directory => Err(Errno::IsDirectory),
            Kind::Symlink | Kind::Other => Err(Errno::Invalid),
        }
    }

    fn run_truncate(&mut self, handle: &Handle, size: u64) -> Outcome {
        let info = self.regular(handle)?;
        if size > self.file_bytes_max() {
            return Err(Errno::FileTooLarge.into());
        }
        if size != info.size {
            self.settle(info.number.raw(), &[size, info.size])?;
            self.truncate(info.number.raw(), size)
                .map_err(Failure::Broken)?;
        }
        Ok(CompletionWire::default())
    }

    fn run_mkdir(&mut self, path: &[u8], mode: u32) -> Outcome {
        let place = self.walk(path, true)?;
        if place.found.is_some() {
            return Err(Errno::Exists.into());
        }
        let (parent, name) = place.entry()?;
        let info = self.mkdir(parent, name, mode).map_err(Failure::Broken)?;
        self.finish().map_err(Failure::Broken)?;
        let handle = self.handle(info.number.raw()).map_err(Failure::Broken)?;
        Ok(done(Kind::Directory, handle, info.size))
    }

    fn run_unlink(&mut self, path: &[u8]) -> Outcome {
        let place = self.walk(path, false)?;
        if kind_of(place.file()?.file_type()) == Kind::Directory {
            return Err(Errno::IsDirectory.into());
        }
        let (parent, name) = place.entry()?;
        self.unlink(parent, name).map_err(Failure::Broken)?;
        Ok(CompletionWire::default())
    }

    fn run_rmdir(&mut self, path: &[u8]) -> Outcome {
        let place = self.walk(path, false)?;
        let info = place.file()?;
        if kind_of(info.file_type()) != Kind::Directory {
            return Err(Errno::NotDirectory.into());
        }
        let (parent, name) = place.entry()?;
        if !self.is_empty_folder(&info)? {
            return Err(Errno::NotEmpty.into());
        }
        self.rmdir(parent, name).map_err(Failure::Broken)?;
        Ok(CompletionWire::default())
    }

    fn is_empty_folder(&mut self, folder: &InodeInfo) -> Result<bool, Errno> {
        let found = self
            .ext4
            .read_directory(folder.number, DirectoryCursor::Start, 3);
        let found = found.map_err(errno)?;
        Ok(found
            .iter()
            .all(|entry| entry.name == b"." || entry.name == b".."))
    }

    fn run_rename(&mut self, old: &[u8], new: &[u8], replace: bool) -> Outcome {
        let from = self.walk(old, false)?;
        let source = from.file()?;
        let to = self.walk(new, false)?;
        let is_folder = |info: &InodeInfo| kind_of(info.file_type()) == Kind::Directory;
        let (from_entry, to_entry) = (from.entry()?, to.entry()?);
        if to.folders.contains(&source.number.raw()) {
            return Err(Errno::Invalid.into());
        }
        if let Some(target) = to.found {
            if !replace {
                return Err(Errno::Exists.into());
            }
            if target.number == source.number {
                return Ok(CompletionWire::default());
            }
            match (is_folder(&source), is_folder(&target)) {
                (true, false) => return Err(Errno::NotDirectory.into()),
                (false, true) => return Err(Errno::IsDirectory.into()),
                (true, true) if !self.is_empty_folder(&target)? => {
                    return Err(Errno::NotEmpty.into());
                }
                _ => {}
            }
        } else if to.must_be_folder && !is_folder(&source) {
            return Err(Errno::NotDirectory.into());
        }
        self.rename(from_entry, to_entry).map_err(Failure::Broken)?;
        Ok(CompletionWire::default())
    }

    fn run_readdir(
        &mut self,
        handle: &Handle,
        cursor: CursorWire,
        output: Output,
        to: &mut SharedMut,
    ) -> Result<CompletionWire, Errno> {
        let info = self.open_file(handle)?;
        if kind_of(info.file_type()) != Kind::Directory {
            return Err(Errno::NotDirectory);
        }
        let is_root = info.number.raw() == ROOT_INODE;
        let mut listing = Listing::new(output)?;
        let mut cursor = decode_cursor(cursor)?;
        'full: while cursor != DirectoryCursor::End {
            let entries =
                self.ext4
                    .read_directory(number(info.number.raw())?, cursor, ENTRIES_AT_ONCE);
            let entries = entries.map_err(errno)?;
            if entries.is_empty() {
                cursor = DirectoryCursor::End;
            }
            for entry in entries {
                let dots = entry.name == b"." || entry.name == b"..";
                let ours = is_root && entry.name == FILE_NAME;
                if !dots && !ours {
                    let kind = kind_of(entry.file_type);
                    if !listing.push(entry.inode.raw(), kind, &entry.name) {
                        break 'full;
                    }
                }
                cursor = entry.next_cursor;
            }
        }
        Ok(listing.write(encode_cursor(cursor), output, to))
    }

    fn describe(
        &mut self,
        info: &InodeInfo,
        output: Output,
        to: &mut SharedMut,
    ) -> Result<CompletionWire, Errno> {
        if output.length < size_of::<StatWire>() {
            return Err(Errno::Invalid);
        }
        let stat = StatWire {
            size: info.size.into(),
            blocks: info.blocks.into(),
            inode: info.number.raw().into(),
            mode: u32::from(info.mode).into(),
            links: u32::from(info.links).into(),
            uid: info.uid.into(),
            gid: info.gid.into(),
            mtime: info.mtime.into(),
            ctime: info.ctime.into(),
            atime: info.atime.into(),
        };
        to.write_bytes(output.offset, stat.as_bytes());
        let handle = self.handle(info.number.raw())?;
        Ok(done(kind_of(info.file_type()), handle, info.size))
    }

    fn run_statfs(&mut self, output: Output, to: &mut SharedMut) -> Result<CompletionWire, Errno> {
        if output.length < size_of::<StatfsWire>() {
            return Err(Errno::Invalid);
        }
        let found = self.ext4.statfs();
        let stat = StatfsWire {
            blocks: found.total_blocks.into(),
            blocks_free: found.free_blocks.into(),
            blocks_available: found.free_blocks.into(),
            inodes: u64::from(found.total_inodes).into(),
            inodes_free: u64::from(found.free_inodes).into(),
            block_size: (found.block_size as u32).into(),
            reserved: 0.into(),
        };
        to.write_bytes(output.offset, stat.as_bytes());
        Ok(CompletionWire::default())
    }
}

/// The answer to `readdir` while it grows.
struct Listing {
    bytes: Vec<u8>,
    room: usize,
    entries: u64,
}

impl Listing {
    fn new(output: Output) -> Result<Self, Errno> {
        // Room for one entry with the longest name, or a listing could never go on.
        let least = size_of::<CursorWire>() + size_of::<EntryWire>() + NAME_BYTES_MAX + 1;
        if output.length < least {
            return Err(Errno::Invalid);
        }
        Ok(Self {
            bytes: Vec::new(),
            room: output.length - size_of::<CursorWire>(),
            entries: 0,
        })
    }

    /// Adds an entry; false when there is no room for it.
    fn push(&mut self, inode: u32, kind: Kind, name: &[u8]) -> bool {
        let length = (size_of::<EntryWire>() + name.len()).next_multiple_of(8);
        if self.bytes.len() + length > self.room {
            return false;
        }
        let entry = EntryWire {
            inode: inode.into(),
            kind: kind as u8,
            name_length: name.len() as u8,
            reserved: 0.into(),
        };
        let end = self.bytes.len() + length;
        self.bytes.extend_from_slice(entry.as_bytes());
        self.bytes.extend_from_slice(name);
        self.bytes.resize(end, 0);
        self.entries += 1;
        true
    }

    fn write(self, cursor: CursorWire, output: Output, to: &mut SharedMut) -> CompletionWire {
        to.write_bytes(output.offset, cursor.as_bytes());
        to.write_bytes(output.offset + size_of::<CursorWire>(), &self.bytes);
        CompletionWire {
            value: (self.bytes.len() as u64).into(),
            extra: self.entries.into(),
            ..CompletionWire::default()
        }
    }
}

/// Upper half of a cursor: what the lower half is, and the collision number.
const CURSOR_LINEAR: u64 = 1 << 56;
const CURSOR_TREE: u64 = 2 << 56;

fn encode_cursor(cursor: DirectoryCursor) -> CursorWire {
    let (low, high) = match cursor {
        DirectoryCursor::Start => (0, 0),
        DirectoryCursor::Linear { offset } => (offset, CURSOR_LINEAR),
        DirectoryCursor::HTree {
            major,
            minor,
            collision,
        } => (
            u64::from(major) << 32 | u64::from(minor),
            CURSOR_TREE | u64::from(collision),
        ),
        DirectoryCursor::End => return CursorWire::END,
    };
    CursorWire {
        low: low.into(),
        high: high.into(),
    }
}

fn decode_cursor(cursor: CursorWire) -> Result<DirectoryCursor, Errno> {
    if cursor == CursorWire::END {
        return Ok(DirectoryCursor::End);
    }
    let (low, high) = (cursor.low.get(), cursor.high.get());
    match (low, high, high >> 32 << 32) {
        (0, 0, _) => Ok(DirectoryCursor::Start),
        (_, CURSOR_LINEAR, _) => Ok(DirectoryCursor::Linear { offset: low }),
        (_, _, CURSOR_TREE) => Ok(DirectoryCursor::HTree {
            major: (low >> 32) as u32,
            minor: low as u32,
            collision: high as u32,
        }),
        _ => Err(Errno::Invalid),
    }
}
