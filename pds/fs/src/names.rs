// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Names and attributes of inodes, as `rsext4` changes them. POSIX's rules were checked before
//! ([`crate::operations`]); whoever gets an error here rolls back.

use proto::fs::Errno;
use rsext4::{Ext4Timestamp, InodeInfo, InodeMetadataUpdate, InodeNumber, RenameOptions};

use crate::disk::Disk;
use crate::request::{Attributes, Time};
use crate::volume::{Volume, context, errno, file_name, number, permissions};

const NANOSECONDS: i64 = 1_000_000_000;

impl<D: Disk> Volume<D> {
    /// Removes a name and, when it was the last one, the file; unless somebody has it open.
    ///
    /// # Errors
    ///
    /// As POSIX; the caller rolls back.
    pub fn unlink(&mut self, parent: u32, name: &[u8], file: &InodeInfo) -> Result<(), Errno> {
        if self.keep_if_held(parent, name, file)? {
            return Ok(());
        }
        let outcome = self
            .ext4
            .unlink(number(parent)?, file_name(name)?)
            .map_err(errno)?;
        self.reap(outcome.inode, outcome.remaining_links)
    }

    /// Removes an empty folder.
    ///
    /// # Errors
    ///
    /// As POSIX; the caller rolls back.
    pub fn rmdir(&mut self, parent: u32, name: &[u8]) -> Result<(), Errno> {
        let (parent, name) = (number(parent)?, file_name(name)?);
        let outcome = self
            .ext4
            .remove_empty_directory(parent, name)
            .map_err(errno)?;
        self.reap(outcome.inode, outcome.remaining_links)
    }

    /// Frees a file without names that nobody has open.
    pub(crate) fn reap(&mut self, inode: InodeNumber, links: u16) -> Result<(), Errno> {
        if links != 0 {
            return Ok(());
        }
        self.forget(inode);
        self.ext4.reap_unlinked_inode(inode).map_err(errno)
    }

    /// Gives a file another name; `replaced` has that name now.
    ///
    /// # Errors
    ///
    /// As POSIX; the caller rolls back.
    pub fn rename(
        &mut self,
        old: (u32, &[u8]),
        new: (u32, &[u8]),
        replaced: Option<&InodeInfo>,
    ) -> Result<(), Errno> {
        if let Some(replaced) = replaced {
            self.keep_if_held(new.0, new.1, replaced)?;
        }
        let (old_parent, old_name) = (number(old.0)?, file_name(old.1)?);
        let (new_parent, new_name) = (number(new.0)?, file_name(new.1)?);
        let options = RenameOptions::REPLACE;
        let outcome = self
            .ext4
            .rename(old_parent, old_name, new_parent, new_name, options);
        match outcome.map_err(errno)?.replaced {
            Some(replaced) => self.reap(replaced.inode, replaced.remaining_links),
            None => Ok(()),
        }
    }

    /// Gives a file one more name.
    ///
    /// # Errors
    ///
    /// As POSIX; the caller rolls back.
    pub fn link(&mut self, file: &InodeInfo, parent: u32, name: &[u8]) -> Result<(), Errno> {
        let (parent, name) = (number(parent)?, file_name(name)?);
        let linked = self.ext4.hard_link(file.number, parent, name);
        linked.map(|_| ()).map_err(errno)
    }

    /// Makes a symbolic link.
    ///
    /// # Errors
    ///
    /// As POSIX; the caller rolls back.
    pub fn symlink(&mut self, target: &[u8], parent: u32, name: &[u8]) -> Result<(), Errno> {
        let (parent, name) = (number(parent)?, file_name(name)?);
        let made = self.ext4.create_symlink(context(), parent, name, target);
        self.forget(made.map_err(errno)?.number);
        Ok(())
    }

    /// Sets permission bits and times.
    ///
    /// # Errors
    ///
    /// As POSIX; the caller rolls back.
    pub fn set_attributes(&mut self, inode: u32, attributes: &Attributes) -> Result<(), Errno> {
        let now = self.clock().nanoseconds() as i64;
        let time = |time: Time| match time {
            Time::Keep => None,
            Time::Now => Some(timestamp(now)),
            Time::At(nanoseconds) => Some(timestamp(nanoseconds)),
        };
        let update = InodeMetadataUpdate {
            permissions: attributes.mode.map(permissions).transpose()?,
            atime: time(attributes.atime),
            mtime: time(attributes.mtime),
            ..InodeMetadataUpdate::default()
        };
        let updated = self.ext4.update_inode_metadata(number(inode)?, update);
        updated.map(|_| ()).map_err(errno)
    }
}

fn timestamp(nanoseconds: i64) -> Ext4Timestamp {
    let (seconds, rest) = (
        nanoseconds.div_euclid(NANOSECONDS),
        nanoseconds.rem_euclid(NANOSECONDS),
    );
    Ext4Timestamp::new(seconds, rest as u32)
}
