// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! From a path to an inode. Paths are bytes and begin at the client's root folder, with or without a slash.
//!
//! Symbolic links are followed on the way, and at the end if the operation wants that or the path ends with a
//! slash. A link that begins with a slash begins at the client's root too, and `..` there stays there: a path
//! cannot leave it.

use alloc::vec;
use alloc::vec::Vec;

use proto::fs::Errno;
use rsext4::{DirectoryEntryType, InodeInfo};

use crate::disk::Disk;
use crate::results::FILE_NAME;
use crate::unlinked::FOLDER_NAME;
use crate::volume::{ROOT_INODE, Volume, errno, file_name, number};

/// Most symbolic links on one path.
const LINKS_MAX: usize = 40;

/// Where a path leads.
#[derive(Clone, Debug)]
pub struct Place {
    /// Inode of the folder that holds the last name; `None` for the root and for `..` at the end.
    pub parent: Option<u32>,
    /// The last name, with [`Place::parent`].
    pub name: Vec<u8>,
    /// The file, if it is there.
    pub found: Option<InodeInfo>,
    /// The path ended with a slash, so it can only mean a folder.
    pub must_be_folder: bool,
    /// Inodes of the folders that were passed.
    pub folders: Vec<u32>,
}

impl Place {
    /// The file, which must be there.
    ///
    /// # Errors
    ///
    /// [`Errno::NoEntry`].
    pub fn file(&self) -> Result<InodeInfo, Errno> {
        self.found.ok_or(Errno::NoEntry)
    }

    /// The folder and the name, for operations that change names.
    ///
    /// # Errors
    ///
    /// [`Errno::Invalid`] for the root and for `.` and `..` at the end.
    pub fn entry(&self) -> Result<(u32, &[u8]), Errno> {
        Ok((self.parent.ok_or(Errno::Invalid)?, &self.name))
    }
}

fn is_folder(info: &InodeInfo) -> bool {
    info.file_type() == DirectoryEntryType::Directory
}

impl<D: Disk> Volume<D> {
    /// Walks a path. `follow`: whether a symbolic link at the end is followed.
    ///
    /// # Errors
    ///
    /// As POSIX. That the last name is not there is no error; see [`Place::found`].
    pub fn walk(&mut self, path: &[u8], follow: bool) -> Result<Place, Errno> {
        if path.contains(&0) || path.is_empty() {
            return Err(if path.is_empty() {
                Errno::NoEntry
            } else {
                Errno::Invalid
            });
        }
        let must_be_folder = path.ends_with(b"/");
        let mut names = Vec::new();
        push_names(&mut names, path);
        let root = self.ext4.inode(number(self.root)?).map_err(errno)?;
        let mut folders = vec![root];
        let mut links = 0;
        while let Some(name) = names.pop() {
            let folder = *folders.last().expect("the root stays");
            if name == b".." {
                if folders.len() > 1 {
                    folders.pop();
                }
                continue;
            }
            let found = self.look_up(&folder, &name)?;
            let is_last = names.is_empty();
            let followed = follow || !is_last || must_be_folder;
            if let Some(link) = found.filter(is_symlink).filter(|_| followed) {
                links += 1;
                if links > LINKS_MAX {
                    return Err(Errno::Loop);
                }
                let target = self.link_target(&link)?;
                if target.starts_with(b"/") {
                    folders.truncate(1);
                }
                push_names(&mut names, &target);
                continue;
            }
            if is_last {
                if let Some(file) = found.filter(|file| must_be_folder && !is_folder(file)) {
                    let _ = file;
                    return Err(Errno::NotDirectory);
                }
                return Ok(Place {
                    parent: Some(folder.number.raw()),
                    name,
                    found,
                    must_be_folder,
                    folders: folders.iter().map(|folder| folder.number.raw()).collect(),
                });
            }
            let next = found.ok_or(Errno::NoEntry)?;
            if !is_folder(&next) {
                return Err(Errno::NotDirectory);
            }
            folders.push(next);
        }
        Ok(Place {
            parent: None,
            name: Vec::new(),
            found: folders.last().copied(),
            must_be_folder: true,
            folders: folders.iter().map(|folder| folder.number.raw()).collect(),
        })
    }

    fn look_up(&mut self, folder: &InodeInfo, name: &[u8]) -> Result<Option<InodeInfo>, Errno> {
        if folder.number.raw() == ROOT_INODE && is_ours(name) {
            return Err(Errno::Perm);
        }
        let number = folder.number;
        let found = self.ext4.lookup_child(number, file_name(name)?);
        let found = found.map_err(errno)?;
        if let Some(file) = &found
            && self.refresh_file(file.number.raw())?
        {
            let again = self.ext4.lookup_child(number, file_name(name)?);
            return again.map_err(errno);
        }
        Ok(found)
    }

    pub(crate) fn link_target(&mut self, link: &InodeInfo) -> Result<Vec<u8>, Errno> {
        let size = usize::try_from(link.size).map_err(|_| Errno::NameTooLong)?;
        if size > proto::fs::PATH_BYTES_MAX as usize {
            return Err(Errno::NameTooLong);
        }
        let mut target = vec![0; size];
        let read = self
            .ext4
            .read_inode(link.number, 0, &mut target)
            .map_err(errno)?;
        target.truncate(read);
        Ok(target)
    }
}

/// Whether a name in the root of the file system is none of the clients' business.
pub(crate) fn is_ours(name: &[u8]) -> bool {
    name == FILE_NAME || name == FOLDER_NAME
}

fn is_symlink(info: &InodeInfo) -> bool {
    info.file_type() == DirectoryEntryType::Symlink
}

/// Pushes the names of a path, the first one on top. `.` and empty names mean nothing.
fn push_names(names: &mut Vec<Vec<u8>>, path: &[u8]) {
    let parts = path.split(|byte| *byte == b'/');
    let meaningful = parts.filter(|part| !part.is_empty() && *part != b".");
    let found: Vec<_> = meaningful.map(<[u8]>::to_vec).collect();
    names.extend(found.into_iter().rev());
}
