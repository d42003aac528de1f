// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What each client sees and may use: its root folder, its share of the disk, and of open files.
//!
//! What a client's folder takes is counted, not looked up: an operation changes the free blocks and inodes of
//! the file system, and the difference is the client's whose request it is. The count is stored with the
//! operation ([`crate::results`]), so a restart goes on with it. A boot counts what is there, since others
//! may have changed the disk meanwhile. Folders of clients with a share must not overlap; the host tool
//! sees to that.

use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;

use policy::files::FilesPolicy;
use proto::fs::Errno;
use rsext4::DirectoryEntryType;

use crate::disk::Disk;
use crate::operations::Failure;
use crate::volume::{ROOT_INODE, Volume, errno, file_name, number, store_errno};

/// Permission bits of a root folder that we make.
const ROOT_MODE: u32 = 0o755;

/// What a client may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The folder that it takes for the root.
    pub root: Vec<u8>,
    /// Bytes of blocks, and inodes, that its folder may take; `None`: as much as there is.
    pub bytes_max: Option<u64>,
    /// See `bytes_max`.
    pub files_max: Option<u64>,
    /// Files that it may have open.
    pub open_max: usize,
    /// Requests that are taken of it in one batch.
    pub requests_max: usize,
}

impl Default for Limits {
    /// None.
    fn default() -> Self {
        Self {
            root: b"/".to_vec(),
            bytes_max: None,
            files_max: None,
            open_max: usize::MAX,
            requests_max: usize::MAX,
        }
    }
}

impl Limits {
    /// What `policy.toml` says.
    pub fn of(policy: &FilesPolicy<'_>) -> Option<Self> {
        let some = |value: u64| (value != 0).then_some(value);
        let most = |value: u32| some(value.into()).map_or(usize::MAX, |value| value as usize);
        Some(Self {
            root: policy.root.as_bytes().to_vec(),
            bytes_max: some(policy.bytes_max),
            files_max: some(policy.files_max),
            open_max: most(policy.open_max),
            requests_max: most(policy.requests_max),
        })
    }

    fn has_share(&self) -> bool {
        self.bytes_max.is_some() || self.files_max.is_some()
    }
}

/// What a client's folder takes: blocks of the file system, and inodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Blocks.
    pub blocks: u64,
    /// Inodes.
    pub inodes: u64,
}

/// The share of the client whose request runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    client: usize,
    blocks_max: u64,
    inodes_max: u64,
    used: Usage,
    /// What the running operation has taken that is not the client's.
    ours: Usage,
}

fn moved(value: u64, before: u64, after: u64) -> u64 {
    (value + before).saturating_sub(after)
}

impl<D: Disk> Volume<D> {
    fn free(&self) -> Usage {
        let found = self.ext4.statfs();
        Usage {
            blocks: found.free_blocks.saturating_sub(self.growth.taken),
            inodes: u64::from(found.free_inodes),
        }
    }

    /// Finds a client's root folder, and makes it where it is not there, as an operation of its own.
    ///
    /// # Errors
    ///
    /// `ENOTDIR`, and when the disk or the file system fails.
    pub(crate) fn root_folder(&mut self, path: &[u8]) -> Result<u32, Errno> {
        self.root = ROOT_INODE;
        let mut folder = ROOT_INODE;
        for name in path.split(|byte| *byte == b'/') {
            if name.is_empty() {
                continue;
            }
            let found = self.ext4.lookup_child(number(folder)?, file_name(name)?);
            folder = match found.map_err(errno)? {
                Some(found) if found.file_type() == DirectoryEntryType::Directory => {
                    found.number.raw()
                }
                Some(_) => return Err(Errno::NotDirectory),
                None if self.read_only().is_some() => return Err(Errno::ReadOnly),
                None => {
                    self.refresh()?;
                    let made = self.mkdir(folder, name, ROOT_MODE);
                    let made = made.and_then(|made| self.finish().map(|()| made));
                    let made = made.and_then(|made| self.end_operation().map(|()| made));
                    match made {
                        Ok(made) => made.number.raw(),
                        Err(error) => {
                            self.roll_back()?;
                            return Err(error);
                        }
                    }
                }
            };
        }
        Ok(folder)
    }

    /// Sets what the next request may see and use. `root` is the client's folder.
    ///
    /// # Errors
    ///
    /// When the disk or the file system fails.
    pub(crate) fn begin_request(
        &mut self,
        client: usize,
        root: u32,
        limits: &Limits,
    ) -> Result<(), Errno> {
        self.root = root;
        self.share = None;
        if !limits.has_share() {
            return Ok(());
        }
        let used = match self.usages.get(&client) {
            Some(used) => *used,
            None => {
                let used = self.find_usage(client, root)?;
                self.usages.insert(client, used);
                used
            }
        };
        let block_size = self.superblock.block_size as u64;
        self.share = Some(Share {
            client,
            blocks_max: limits
                .bytes_max
                .map_or(u64::MAX, |bytes| bytes / block_size),
            inodes_max: limits.files_max.unwrap_or(u64::MAX),
            used,
            ours: Usage::default(),
        });
        Ok(())
    }

    fn find_usage(&mut self, client: usize, root: u32) -> Result<Usage, Errno> {
        let mut store = self.store.borrow_mut();
        let stored = match self.results().is_none() {
            true => Ok(None),
            false => self.results().usage(&mut store, client),
        };
        drop(store);
        match stored.map_err(store_errno)? {
            Some(used) => Ok(used),
            None => self.count_folder(root),
        }
    }

    /// Counts what a folder takes, itself included. A file with several names counts once.
    ///
    /// # Errors
    ///
    /// When the disk or the file system fails.
    pub fn count_folder(&mut self, root: u32) -> Result<Usage, Errno> {
        self.refresh()?;
        let sectors = self.superblock.block_size as u64 / 512;
        let mut used = Usage::default();
        let mut seen = BTreeSet::new();
        let mut folders = vec![root];
        let mut count = |volume: &mut Self, inode: u32| -> Result<bool, Errno> {
            let info = volume.ext4.inode(number(inode)?).map_err(errno)?;
            let is_folder = info.is_directory();
            if is_folder || info.links == 1 || seen.insert(inode) {
                used.blocks += info.blocks / sectors;
                used.inodes += 1;
            }
            Ok(is_folder)
        };
        count(self, root)?;
        while let Some(folder) = folders.pop() {
            self.for_each_entry(folder, &mut |volume, name, inode| {
                let is_dots = name == b"." || name == b"..";
                if !is_dots && count(volume, inode)? {
                    folders.push(inode);
                }
                Ok(())
            })?;
        }
        Ok(used)
    }

    /// To be called before an operation; see [`Self::charge`].
    pub(crate) fn before_charge(&self) -> Option<Usage> {
        self.share.map(|_| self.free())
    }

    /// Counts what the running operation has taken, as a part of it.
    ///
    /// # Errors
    ///
    /// [`Errno::Quota`]: more than the client may have.
    pub(crate) fn charge(&mut self, before: Option<Usage>) -> Result<(), Failure> {
        let (Some(share), Some(before)) = (self.share, before) else {
            return Ok(());
        };
        let mut after = self.free();
        after.blocks += share.ours.blocks;
        after.inodes += share.ours.inodes;
        if after == before {
            return Ok(());
        }
        let used = Usage {
            blocks: moved(share.used.blocks, before.blocks, after.blocks),
            inodes: moved(share.used.inodes, before.inodes, after.inodes),
        };
        let grows = |new: u64, old: u64, most: u64| new > old && new > most;
        if grows(used.blocks, share.used.blocks, share.blocks_max)
            || grows(used.inodes, share.used.inodes, share.inodes_max)
        {
            return Err(Failure::Broken(Errno::Quota));
        }
        self.store_usage(share.client, used)
            .map_err(Failure::Broken)
    }

    /// What was taken since then is not the client's.
    pub(crate) fn not_charged(&mut self, before: Usage) {
        let after = self.free();
        if let Some(share) = &mut self.share {
            share.ours.blocks += before.blocks.saturating_sub(after.blocks);
            share.ours.inodes += before.inodes.saturating_sub(after.inodes);
        }
    }

    /// Gives a client back what the running operation has freed of its.
    pub(crate) fn give_back(&mut self, client: usize, before: Usage) -> Result<(), Errno> {
        let used = match self.usages.get(&client) {
            Some(used) => Some(*used),
            None => {
                let mut store = self.store.borrow_mut();
                let stored = self.results().usage(&mut store, client);
                stored.map_err(store_errno)?
            }
        };
        // Nobody counts, or nobody has begun to: then a file without a name is not in the folder.
        let Some(used) = used else { return Ok(()) };
        let after = self.free();
        let used = Usage {
            blocks: moved(used.blocks, before.blocks, after.blocks),
            inodes: moved(used.inodes, before.inodes, after.inodes),
        };
        self.store_usage(client, used)
    }

    /// Free blocks and inodes, for [`Self::give_back`].
    pub(crate) fn free_now(&self) -> Usage {
        self.free()
    }

    fn store_usage(&mut self, client: usize, used: Usage) -> Result<(), Errno> {
        let mut store = self.store.borrow_mut();
        let stored = self.results().set_usage(&mut store, client, used);
        drop(store);
        stored.map_err(store_errno)?;
        self.usages.insert(client, used);
        Ok(())
    }

    /// What `statfs` says: of a client with a share, the share.
    pub(crate) fn space(&self) -> [u64; 4] {
        let found = self.ext4.statfs();
        let whole = [
            found.total_blocks,
            found.free_blocks,
            u64::from(found.total_inodes),
            u64::from(found.free_inodes),
        ];
        let Some(share) = self.share else {
            return whole;
        };
        let left = |most: u64, used: u64| most.saturating_sub(used);
        [
            whole[0].min(share.blocks_max),
            whole[1].min(left(share.blocks_max, share.used.blocks)),
            whole[2].min(share.inodes_max),
            whole[3].min(left(share.inodes_max, share.used.inodes)),
        ]
    }
}
