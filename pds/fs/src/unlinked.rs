// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Files without a name that some client still has open.
//!
//! Such a file is in a hidden folder until nobody has it open any more, and at the latest until the next
//! boot, when every handle is worthless. So the disk is sound at any moment, and a restart of ours loses
//! nothing: who has what open is in the clients' own tables (`proto::fs::open_files`), which we only read.
//!
//! The name of such a file is its inode number and the number of the client whose name it was.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;

use proto::fs::{Errno, Handle};
use rsext4::{DirectoryEntryType, InodeInfo, InodeNumber, RenameOptions};

use crate::disk::Disk;
use crate::seal::{Owner, Seals};
use crate::volume::{ROOT_INODE, Volume, context, errno, file_name, number, permissions};

/// Name of the folder, in the root of the file system. Clients do not see it.
pub const FOLDER_NAME: &[u8] = b".kintsugi-unlinked";

/// The handles that clients have, as they say.
#[derive(Debug)]
pub struct Held {
    seals: Seals,
    handles: Vec<(Owner, Handle)>,
}

impl Held {
    /// Nobody has anything; `seals` tell which handles are ours.
    pub fn new(seals: Seals) -> Self {
        Self {
            seals,
            handles: Vec::new(),
        }
    }

    /// A client says that it has this.
    pub fn add(&mut self, owner: Owner, handle: Handle) {
        if handle.inode.get() != 0 {
            self.handles.push((owner, handle));
        }
    }

    /// Whether anybody has this file. A handle that we did not give is none.
    fn has(&self, file: &Handle) -> bool {
        self.handles.iter().any(|(owner, handle)| {
            handle.inode == file.inode
                && handle.generation == file.generation
                && self.seals.check(*owner, handle, 0).is_ok()
        })
    }
}

/// What is in the hidden folder.
#[derive(Debug, Default)]
pub struct Unlinked {
    folder: Option<InodeNumber>,
    /// By inode: the client whose name it was. `None`: nobody has looked in this life.
    files: Option<BTreeMap<u32, usize>>,
    /// What clients have open; for the request that runs.
    pub(crate) held: Option<Held>,
    /// The client whose request runs.
    pub(crate) client: usize,
}

impl Unlinked {
    /// What was known may be wrong.
    pub(crate) fn forget(&mut self) {
        self.folder = None;
        self.files = None;
    }

    /// Whether there are any.
    pub(crate) fn has_any(&self) -> bool {
        self.files.as_ref().is_some_and(|files| !files.is_empty())
    }
}

fn file_of(name: &[u8]) -> Option<(u32, usize)> {
    let text = core::str::from_utf8(name).ok()?;
    let (inode, client) = text.split_once('.')?;
    Some((inode.parse().ok()?, client.parse().ok()?))
}

impl<D: Disk> Volume<D> {
    /// Finds out what an earlier life has left.
    ///
    /// # Errors
    ///
    /// When the disk or the file system fails.
    pub fn look_for_unlinked(&mut self) -> Result<(), Errno> {
        if self.unlinked.files.is_some() {
            return Ok(());
        }
        let mut files = BTreeMap::new();
        let root = number(ROOT_INODE)?;
        let found = self.ext4.lookup_child(root, file_name(FOLDER_NAME)?);
        let found = found.map_err(errno)?;
        let folder = found.filter(|info| info.file_type() == DirectoryEntryType::Directory);
        if let Some(folder) = folder {
            self.for_each_entry(folder.number.raw(), &mut |_, name, _| {
                files.extend(file_of(name));
                Ok(())
            })?;
            self.unlinked.folder = Some(folder.number);
        }
        self.unlinked.files = Some(files);
        Ok(())
    }

    /// Whether a file has no name any more.
    ///
    /// # Errors
    ///
    /// When the disk or the file system fails.
    pub(crate) fn is_unlinked(&mut self, inode: u32) -> Result<bool, Errno> {
        self.look_for_unlinked()?;
        let files = self.unlinked.files.as_ref();
        Ok(files.is_some_and(|files| files.contains_key(&inode)))
    }

    /// Moves a file out of sight whose last name is about to go, if somebody has it open.
    ///
    /// # Errors
    ///
    /// The caller rolls back.
    pub(crate) fn keep_if_held(
        &mut self,
        parent: u32,
        name: &[u8],
        file: &InodeInfo,
    ) -> Result<bool, Errno> {
        if file.file_type() != DirectoryEntryType::RegularFile || file.links != 1 {
            return Ok(false);
        }
        let inode = file.number.raw();
        let handle = self.handle(inode)?;
        let held = self.unlinked.held.as_ref();
        if !held.is_some_and(|held| held.has(&handle)) {
            return Ok(false);
        }
        self.look_for_unlinked()?;
        let before = self.free_now();
        let folder = match self.unlinked.folder {
            Some(folder) => folder,
            None => self.make_folder()?,
        };
        let client = self.unlinked.client;
        let kept = format!("{inode}.{client}");
        let moved = self.ext4.rename(
            number(parent)?,
            file_name(name)?,
            folder,
            file_name(kept.as_bytes())?,
            RenameOptions::REPLACE,
        );
        moved.map(|_| ()).map_err(errno)?;
        if let Some(files) = &mut self.unlinked.files {
            files.insert(inode, client);
        }
        // The folder is ours, not the client's.
        self.not_charged(before);
        Ok(true)
    }

    fn make_folder(&mut self) -> Result<InodeNumber, Errno> {
        let (root, name) = (number(ROOT_INODE)?, file_name(FOLDER_NAME)?);
        let made = self
            .ext4
            .create_directory(context(), root, name, permissions(0o700)?);
        let folder = made.map_err(errno)?.number;
        self.forget(folder);
        self.unlinked.folder = Some(folder);
        Ok(folder)
    }

    /// Files without a name that nobody has open, with the clients whose names they were.
    pub(crate) fn unlinked_and_closed(&mut self, held: &Held) -> Vec<(u32, usize)> {
        let files = self.unlinked.files.clone().unwrap_or_default();
        let mut files: Vec<_> = files.into_iter().collect();
        files.retain(|(inode, _)| self.handle(*inode).is_ok_and(|handle| !held.has(&handle)));
        files
    }

    /// Removes one of them as an operation of its own. One that cannot be removed stays until the next boot.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub(crate) fn remove_one_unlinked(&mut self, inode: u32, client: usize) -> Result<(), Errno> {
        let removed = self.try_remove(inode, client);
        if let Err(error) = removed {
            log::warn!("an unlinked file cannot be removed: {error}");
            self.roll_back()?;
            self.look_for_unlinked()?;
        }
        if let Some(files) = &mut self.unlinked.files {
            files.remove(&inode);
        }
        Ok(())
    }

    fn try_remove(&mut self, inode: u32, client: usize) -> Result<(), Errno> {
        let folder = self.unlinked.folder.ok_or(Errno::Io)?;
        let name = format!("{inode}.{client}");
        self.refresh()?;
        let before = self.free_now();
        self.maps.forget(inode);
        self.store.borrow_mut().count_change(Some(inode));
        let outcome = self.ext4.unlink(folder, file_name(name.as_bytes())?);
        let outcome = outcome.map_err(errno)?;
        self.reap(outcome.inode, outcome.remaining_links)?;
        self.finish()?;
        self.give_back(client, before)?;
        self.end_operation()
    }

    /// Removes all that an earlier boot has left: nobody has anything open.
    pub(crate) fn remove_unlinked(&mut self) {
        if let Err(error) = self.look_for_unlinked() {
            log::warn!("the folder of unlinked files cannot be read: {error}");
            return;
        }
        let files = self.unlinked.files.clone().unwrap_or_default();
        for (inode, client) in files {
            if let Err(error) = self.remove_one_unlinked(inode, client) {
                log::warn!("unlinked files: {error}");
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_which_file_and_whose() {
        assert_eq!(file_of(b"17.3"), Some((17, 3)));
        for other in [&b"."[..], b"..", b"17", b"x.1", b"\xff.1"] {
            assert_eq!(file_of(other), None);
        }
    }
}
