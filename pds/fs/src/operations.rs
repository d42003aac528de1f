// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What each operation of the protocol does to the volume.
//!
//! POSIX's rules are checked here before anything is changed, so that an ordinary error (a file that is
//! not there) costs nothing. An error after that makes the caller roll back.

use proto::fs::{
    CompletionWire, CursorWire, Errno, Handle, Kind, OPEN_CREATE, OPEN_DIRECTORY, OPEN_EXCLUSIVE,
    OPEN_NO_FOLLOW, OPEN_TRUNCATE, OPEN_WRITE, PATH_BYTES_MAX, StatWire, StatfsWire,
};
use rsext4::{DirectoryCursor, DirectoryEntryType, InodeInfo};
use sel4_shared_memory::{SharedMut, SharedRef};
use zerocopy::IntoBytes;

use crate::disk::Disk;
use crate::listing::{ENTRIES_AT_ONCE, Listing, decode_cursor, encode_cursor};
use crate::path::{Place, is_ours};
use crate::request::{Attributes, Input, Output, Request};
use crate::source::Source;
use crate::volume::{ROOT_INODE, Volume, errno, number};

fn kind_of(file_type: DirectoryEntryType) -> Kind {
    match file_type {
        DirectoryEntryType::RegularFile => Kind::File,
        DirectoryEntryType::Directory => Kind::Directory,
        DirectoryEntryType::Symlink => Kind::Symlink,
        _ => Kind::Other,
    }
}

/// Where a name is to be that is no folder's and is not there yet.
fn new_entry(place: &Place) -> Result<(u32, &[u8]), Errno> {
    if place.found.is_some() {
        return Err(Errno::Exists);
    }
    if place.must_be_folder {
        return Err(Errno::NoEntry);
    }
    place.entry()
}

pub(crate) fn source(region: &SharedRef, data: Input) -> Source<'_> {
    Source::Shared {
        region,
        at: data.offset,
        length: data.length,
    }
}

fn done(kind: Kind, handle: Handle, size: u64) -> CompletionWire {
    CompletionWire {
        kind: (kind as u16).into(),
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
    /// Runs a request whose data are in `from`; answers longer than a completion go to `to`. The answer is
    /// decided here, and not where it is published: what is copied on the way may be something else (campaign
    /// on seL4 release at a5e7c4a, seed 1, trial 8762).
    ///
    /// # Errors
    ///
    /// Says whether there is something to roll back.
    pub fn run(
        &mut self,
        request: &Request,
        sequence: u64,
        from: &SharedRef,
        to: &mut SharedMut,
    ) -> Outcome {
        // Reads and writes do this when they need `rsext4`, walks when they find what it has not seen.
        let later = match request {
            Request::Read { .. } | Request::Write { .. } | Request::Append { .. } => true,
            Request::Fsync | Request::Stat { .. } | Request::Fstat { .. } => true,
            Request::Readdir { .. } => true,
            Request::Open { .. } => !request.changes(),
            _ => false,
        };
        if !later {
            self.refresh().map_err(Failure::Broken)?;
        }
        let outcome = self.run_undecided(request, from, to);
        outcome.map(|completion| completion.decided(sequence))
    }

    fn run_undecided(
        &mut self,
        request: &Request,
        from: &SharedRef,
        to: &mut SharedMut,
    ) -> Outcome {
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
            } => self.run_write(handle, Some(*offset), source(from, *data)),
            Request::Append { handle, data } => self.run_write(handle, None, source(from, *data)),
            Request::Truncate { handle, size } => self.run_truncate(handle, *size),
            Request::Fsync if self.take_is_lost() => Err(Errno::Io.into()),
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
            Request::Stat {
                path,
                follow,
                output,
            } => {
                let mut info = self.walk(path, *follow)?.file()?;
                info.size = self.size_of(&info);
                Ok(self.describe(&info, *output, to)?)
            }
            Request::Fstat { handle, output } => {
                let mut info = self.open_file(handle)?;
                if self.is_unlinked(info.number.raw())? {
                    info.links = 0;
                }
                info.size = self.size_of(&info);
                Ok(self.describe(&info, *output, to)?)
            }
            Request::Statfs { output } => Ok(self.run_statfs(*output, to)?),
            Request::Link { old, new } => self.run_link(old, new),
            Request::Symlink { target, path } => self.run_symlink(target, path),
            Request::Readlink { path, output } => Ok(self.run_readlink(path, *output, to)?),
            Request::SetAttributes {
                path,
                follow,
                attributes,
            } => {
                let info = self.walk(path, *follow)?.file()?;
                self.run_set_attributes(&info, attributes)
            }
            Request::SetAttributesOf { handle, attributes } => {
                let info = self.open_file(handle)?;
                self.run_set_attributes(&info, attributes)
            }
        }
    }

    fn run_open(&mut self, path: &[u8], flags: u32, mode: u32) -> Outcome {
        let must_be_new = flags & OPEN_CREATE != 0 && flags & OPEN_EXCLUSIVE != 0;
        // A link at the end is itself what is there already.
        let follow = flags & OPEN_NO_FOLLOW == 0 && !must_be_new;
        let place = self.walk(path, follow)?;
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
            self.write_back().map_err(Failure::Broken)?;
            let handle = self.handle(info.number.raw()).map_err(Failure::Broken)?;
            return Ok(done(Kind::File, handle, 0));
        };
        let kind = kind_of(info.file_type());
        if must_be_new {
            return Err(Errno::Exists.into());
        }
        match kind {
            Kind::Symlink if flags & OPEN_DIRECTORY != 0 => return Err(Errno::NotDirectory.into()),
            Kind::Symlink => return Err(Errno::Loop.into()),
            Kind::Directory if flags & (OPEN_WRITE | OPEN_CREATE) != 0 => {
                return Err(Errno::IsDirectory.into());
            }
            Kind::File if flags & OPEN_DIRECTORY != 0 => return Err(Errno::NotDirectory.into()),
            Kind::Other => return Err(Errno::NotSupported.into()),
            Kind::File | Kind::Directory => {}
        }
        let inode = info.number.raw();
        let handle = self.handle(inode)?;
        let mut size = self.size_of(&info);
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

    /// Most bytes of a file: blocks of a file have 32-bit numbers, the last one is not usable.
    pub(crate) fn file_bytes_max(&self) -> u64 {
        (u64::from(u32::MAX) - 1) * self.superblock.block_size as u64
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
        let place = self.walk(path, false)?;
        if place.found.is_some() {
            return Err(Errno::Exists.into());
        }
        let (parent, name) = place.entry()?;
        let info = self.mkdir(parent, name, mode).map_err(Failure::Broken)?;
        self.write_back().map_err(Failure::Broken)?;
        let handle = self.handle(info.number.raw()).map_err(Failure::Broken)?;
        Ok(done(Kind::Directory, handle, info.size))
    }

    fn run_unlink(&mut self, path: &[u8]) -> Outcome {
        let place = self.walk(path, false)?;
        let info = place.file()?;
        if kind_of(info.file_type()) == Kind::Directory {
            return Err(Errno::IsDirectory.into());
        }
        let (parent, name) = place.entry()?;
        self.unlink(parent, name, &info).map_err(Failure::Broken)?;
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
        self.rename(from_entry, to_entry, to.found.as_ref())
            .map_err(Failure::Broken)?;
        Ok(CompletionWire::default())
    }

    fn run_link(&mut self, old: &[u8], new: &[u8]) -> Outcome {
        let file = self.walk(old, false)?.file()?;
        if kind_of(file.file_type()) == Kind::Directory {
            return Err(Errno::Perm.into());
        }
        let place = self.walk(new, false)?;
        let (parent, name) = new_entry(&place)?;
        self.link(&file, parent, name).map_err(Failure::Broken)?;
        Ok(CompletionWire::default())
    }

    fn run_symlink(&mut self, target: &[u8], path: &[u8]) -> Outcome {
        // A long one is in a block, with a zero byte.
        let most = (self.superblock.block_size - 1).min(PATH_BYTES_MAX as usize - 1);
        match target {
            [] => return Err(Errno::NoEntry.into()),
            target if target.contains(&0) => return Err(Errno::Invalid.into()),
            target if target.len() > most => return Err(Errno::NameTooLong.into()),
            _ => {}
        }
        let place = self.walk(path, false)?;
        let (parent, name) = new_entry(&place)?;
        let made = self.symlink(target, parent, name);
        made.map_err(Failure::Broken)?;
        Ok(CompletionWire::default())
    }

    /// What does not fit is cut off, as in POSIX.
    fn run_readlink(
        &mut self,
        path: &[u8],
        output: Output,
        to: &mut SharedMut,
    ) -> Result<CompletionWire, Errno> {
        let info = self.walk(path, false)?.file()?;
        if kind_of(info.file_type()) != Kind::Symlink {
            return Err(Errno::Invalid);
        }
        let mut target = self.link_target(&info)?;
        target.truncate(output.length);
        to.write_bytes(output.offset, &target);
        Ok(CompletionWire {
            value: (target.len() as u64).into(),
            ..CompletionWire::default()
        })
    }

    fn run_set_attributes(&mut self, info: &InodeInfo, attributes: &Attributes) -> Outcome {
        if attributes.mode.is_some() && kind_of(info.file_type()) == Kind::Symlink {
            return Err(Errno::NotSupported.into());
        }
        self.set_attributes(info.number.raw(), attributes)
            .map_err(Failure::Broken)?;
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
                let ours = is_root && is_ours(&entry.name);
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
        let inode = info.number.raw();
        let [mtime, ctime, atime] = self.times(inode)?;
        let stat = StatWire {
            size: info.size.into(),
            blocks: info.blocks.into(),
            inode: inode.into(),
            mode: u32::from(info.mode).into(),
            links: u32::from(info.links).into(),
            uid: info.uid.into(),
            gid: info.gid.into(),
            reserved: 0.into(),
            mtime: mtime.into(),
            ctime: ctime.into(),
            atime: atime.into(),
        };
        to.write_bytes(output.offset, stat.as_bytes());
        let handle = self.handle(inode)?;
        Ok(done(kind_of(info.file_type()), handle, info.size))
    }

    fn run_statfs(&mut self, output: Output, to: &mut SharedMut) -> Result<CompletionWire, Errno> {
        if output.length < size_of::<StatfsWire>() {
            return Err(Errno::Invalid);
        }
        let [blocks, blocks_free, inodes, inodes_free] = self.space();
        let stat = StatfsWire {
            blocks: blocks.into(),
            blocks_free: blocks_free.into(),
            blocks_available: blocks_free.into(),
            inodes: inodes.into(),
            inodes_free: inodes_free.into(),
            block_size: (self.superblock.block_size as u32).into(),
            reserved: 0.into(),
        };
        to.write_bytes(output.offset, stat.as_bytes());
        Ok(CompletionWire::default())
    }
}
