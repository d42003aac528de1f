// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The mounted file system: operations on inodes, each of which happens whole or not at all.
//!
//! `rsext4` keeps dirty metadata in its own memory. [`Volume::finish`] makes it write everything to the
//! store before an operation ends. When an operation fails half-way, [`Volume::roll_back`] drops what it
//! wrote and mounts `rsext4` anew, which costs a few reads from the cache; so it never has to be right
//! about undoing.

use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use core::cell::RefCell;

use jbd2::ReplayReport;
use proto::fs::{Errno, Handle};
use rsext4::{
    Ext4, Ext4Error, Ext4ErrorKind, FileName, FilePermissions, InodeInfo, InodeNumber,
    MountOptions, MountServices, MountedServices, MutationContext, NoopObserver,
};

use crate::append::Growth;
use crate::block_io::StoreIo;
use crate::clock::InodeClock;
use crate::deferred::Deferred;
use crate::disk::Disk;
use crate::doubt::Why;
pub(crate) use crate::errors::{errno, store_errno};
use crate::file_map::FileMaps;
use crate::index::Index;
use crate::layout::Superblock;
use crate::limits::{Share, Usage};
use crate::mount::{self, MountError, ReadOnly};
use crate::results::Results;
use crate::store::{Counters, Store, StoreError};
use crate::unlinked::Unlinked;
use crate::writes::Patched;

/// `rsext4` on our store.
pub type Mounted<D> = Ext4<StoreIo<D>, MountedServices<(), NoopObserver>>;

/// First inode number that is not reserved.
const FIRST_INODE: u32 = 11;
/// The root folder.
pub const ROOT_INODE: u32 = 2;

/// See the head of this file.
pub struct Volume<D: Disk> {
    pub(crate) store: Rc<RefCell<Store<D>>>,
    pub(crate) ext4: Mounted<D>,
    pub(crate) superblock: Superblock,
    pub(crate) clock: InodeClock,
    pub(crate) results: Results,
    /// Generations of files that were looked at; see [`crate::layout::Inode::generation`].
    generations: BTreeMap<u32, u64>,
    pub(crate) maps: FileMaps,
    /// The running operation went past `rsext4`, which has nothing to write.
    pub(crate) past_ext4: bool,
    pub(crate) patched: Patched,
    /// The root folder of the client whose request runs.
    pub(crate) root: u32,
    /// What it may use, where that is limited, and what each client with a limit uses.
    pub(crate) share: Option<Share>,
    pub(crate) usages: BTreeMap<usize, Usage>,
    /// Files that some client has open although they have no name any more.
    pub(crate) unlinked: Unlinked,
    pub(crate) growth: Growth,
    pub(crate) deferred: Deferred,
    pub(crate) read_only: Why,
}

fn mount_ext4<D: Disk>(
    store: &Rc<RefCell<Store<D>>>,
    superblock: Superblock,
    clock: &InodeClock,
    read_only: bool,
) -> Result<Mounted<D>, Ext4Error> {
    let device = StoreIo::new(Rc::clone(store), superblock);
    let services = MountServices::new(clock.clone(), (), NoopObserver);
    let options = MountOptions {
        replay_journal: false,
        readonly: read_only,
        ..MountOptions::read_write()
    };
    Ext4::mount(device, services, options)
}

impl<D: Disk> Volume<D> {
    /// Mounts the file system of a disk.
    ///
    /// `boot`: number of this boot of the system, if an earlier life of ours has learnt it. Otherwise
    /// this is a new boot; see [`Volume::boot`]. `index`: where that life has kept what is in the cache, and
    /// where this one will.
    ///
    /// # Errors
    ///
    /// Says why there is nothing to serve.
    pub fn mount(
        disk: D,
        clock: InodeClock,
        boot: Option<u64>,
        index: Option<Index>,
    ) -> Result<(Self, ReplayReport), MountError> {
        let opened = mount::open(disk, boot.is_some(), index)?;
        let (store, superblock, report) = (opened.store, opened.superblock, opened.report);
        let read_only = opened.read_only;
        let store = Rc::new(RefCell::new(store));
        let refused = |error: Ext4Error| MountError::Refused(error.kind());
        let mut ext4 =
            mount_ext4(&store, superblock, &clock, read_only.is_some()).map_err(refused)?;
        let results = match read_only {
            None => Self::open_results(&mut ext4).map_err(refused)?,
            Some(ReadOnly::Failed) => Self::find_results(&mut ext4, boot).map_err(refused)?,
            Some(_) => Results::none(boot),
        };
        let generations = BTreeMap::new();
        let growth = Growth::read(&store, &superblock)?;
        let mut volume = Self {
            store,
            ext4,
            superblock,
            clock,
            results,
            generations,
            maps: FileMaps::default(),
            past_ext4: false,
            patched: Patched::default(),
            root: ROOT_INODE,
            share: None,
            usages: BTreeMap::new(),
            unlinked: Unlinked::default(),
            growth,
            deferred: Deferred::default(),
            read_only: Why::new(read_only),
        };
        if read_only.is_some() {
            if !volume.results.is_none() {
                let left = volume.take_left();
                left.map_err(|_| MountError::Refused(Ext4ErrorKind::Io))?;
            }
            return Ok((volume, report));
        }
        volume.begin_boot(boot).map_err(|error| match error {
            StoreError::Disk(error) => MountError::Disk(error),
            _ => MountError::Refused(Ext4ErrorKind::Io),
        })?;
        let left = volume.take_left();
        left.map_err(|_| MountError::Refused(Ext4ErrorKind::Io))?;
        if boot.is_none() {
            // Nobody has anything open.
            volume.remove_unlinked();
        }
        Ok((volume, report))
    }

    fn begin_boot(&mut self, boot: Option<u64>) -> Result<(), StoreError> {
        self.ext4.sync().map_err(|_| StoreError::Failed)?;
        let mut store = self.store.borrow_mut();
        self.results.begin(&mut store, boot)?;
        // Committed with the first batch, before anything is acknowledged.
        store.end_operation()
    }

    /// Number of this boot of the system, to be handed to the next life.
    pub fn boot(&self) -> u64 {
        self.results.boot()
    }

    /// The clock that gives inodes their times.
    pub fn clock(&self) -> &InodeClock {
        &self.clock
    }

    /// The results of finished operations.
    pub fn results(&self) -> &Results {
        &self.results
    }

    /// Gives the disk back; what was not committed is lost. Tests use it to look at the disk.
    ///
    /// # Panics
    ///
    /// Never: nobody else has the store.
    pub fn into_disk(self) -> D {
        drop(self.ext4);
        let store = Rc::into_inner(self.store).expect("the store has no other owner");
        store.into_inner().into_disk()
    }

    /// Makes `rsext4` write everything that it holds back to the running operation.
    ///
    /// # Errors
    ///
    /// When that fails; the caller rolls back.
    pub(crate) fn write_back(&mut self) -> Result<(), Errno> {
        if !self.growth.unseen.is_empty() {
            // It would write what it knew before.
            log::error!("rsext4 was asked for a change without a look at what was changed past it");
            return Err(Errno::Io);
        }
        self.ext4.sync().map_err(errno)
    }

    /// The same at the end of an operation, which ends our life when a checksum in it is wrong.
    ///
    /// # Errors
    ///
    /// When that fails; the caller rolls back.
    pub fn finish(&mut self) -> Result<(), Errno> {
        self.write_back()?;
        self.assert_sums().map_err(store_errno)
    }

    /// Moves the running operation into the group.
    ///
    /// # Errors
    ///
    /// When the operation is too large (it is gone then), or the disk fails.
    pub fn end_operation(&mut self) -> Result<(), Errno> {
        self.store.borrow_mut().end_operation().map_err(store_errno)
    }

    /// Drops everything that the running operation did.
    ///
    /// # Errors
    ///
    /// When `rsext4` cannot mount again what it had mounted.
    pub fn roll_back(&mut self) -> Result<(), Errno> {
        self.store.borrow_mut().abort_operation();
        self.unlinked.forget();
        // They are stored with what was done.
        self.usages.clear();
        self.remount()?;
        self.end_operation()
    }

    /// Mounts `rsext4` anew on what the store has.
    pub(crate) fn remount(&mut self) -> Result<(), Errno> {
        self.generations.clear();
        self.maps.forget_all();
        self.patched.clear();
        self.growth.unseen.clear();
        self.growth.taken = 0;
        self.growth.known.clear();
        self.ext4 = mount_ext4(
            &self.store,
            self.superblock,
            &self.clock,
            self.read_only().is_some(),
        )
        .map_err(errno)?;
        self.write_back()
    }

    /// Commits what is in the group; with `durable`, so that it also survives a power cut.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub fn commit(&mut self, durable: bool) -> Result<(), Errno> {
        let (has_uncommitted, has_failed) = {
            let store = self.store.borrow();
            (store.has_uncommitted(), store.has_failed())
        };
        if !(has_uncommitted || has_failed || durable) {
            // What has only read changes nothing on the disk.
            return Ok(());
        }
        if has_uncommitted {
            self.assert_superblock().map_err(store_errno)?;
        }
        let mut store = self.store.borrow_mut();
        store.set_time(self.clock.seconds());
        store.commit().map_err(store_errno)?;
        drop(store);
        self.forget_carried_out();
        let mut store = self.store.borrow_mut();
        if durable {
            store.flush().map_err(store_errno)
        } else {
            Ok(())
        }
    }

    /// Whether a transaction failed.
    pub fn has_failed(&self) -> bool {
        self.store.borrow().has_failed()
    }

    /// Whether the disk has ever said that it failed.
    pub fn disk_has_failed(&self) -> bool {
        self.store.borrow_mut().disk_has_failed()
    }

    /// What the store has counted.
    pub fn counters(&self) -> Counters {
        self.store.borrow().counters()
    }

    /// Writes that were acknowledged and are to be carried out.
    pub fn deferred_count(&self) -> usize {
        self.deferred.count()
    }

    /// How full the group is, in percent of the largest transaction.
    pub fn group_percent(&self) -> usize {
        self.store.borrow().group_percent()
    }

    /// Whether the log is getting full, or writes have waited long enough. `is_quiet`: nobody has asked for
    /// anything since this was last called.
    pub fn has_idle_work(&mut self, is_quiet: bool) -> bool {
        let waits = is_quiet && self.deferred.is_due();
        waits || self.store.borrow().has_idle_work()
    }

    /// Carries out writes that have waited long enough, and writes committed blocks home when the log is
    /// getting full.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub fn idle(&mut self) -> Result<(), Errno> {
        self.carry_out_when_due()?;
        self.store.borrow_mut().idle().map_err(store_errno)
    }

    /// Makes the handle of a file. Its inode must have been written to the store.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub fn handle(&mut self, inode: u32) -> Result<Handle, Errno> {
        let generation = match self.generations.get(&inode) {
            Some(generation) => *generation,
            None => {
                let mut store = self.store.borrow_mut();
                let found = self
                    .superblock
                    .inode(inode, &mut |block, to| store.read(block, to));
                let found = found.map_err(store_errno)?.ok_or(Errno::Stale)?;
                self.generations.insert(inode, found.generation());
                found.generation()
            }
        };
        Ok(Handle {
            inode: inode.into(),
            generation: generation.into(),
            ..Handle::default()
        })
    }

    /// See [`crate::layout::Inode::times`].
    pub(crate) fn times(&mut self, inode: u32) -> Result<[i64; 3], Errno> {
        let mut store = self.store.borrow_mut();
        let found = self
            .superblock
            .inode(inode, &mut |block, to| store.read(block, to));
        Ok(found.map_err(store_errno)?.ok_or(Errno::Stale)?.times())
    }

    /// The inode number of what may be a handle.
    pub(crate) fn check_handle(&self, handle: &Handle) -> Result<u32, Errno> {
        let inode = handle.inode.get();
        let reserved = inode != ROOT_INODE && inode < FIRST_INODE;
        if reserved || inode == self.results.inode {
            return Err(Errno::BadHandle);
        }
        Ok(inode)
    }

    /// Finds the file of a handle.
    ///
    /// # Errors
    ///
    /// [`Errno::BadHandle`] for what was never a handle, [`Errno::Stale`] when the file is gone.
    pub fn open_file(&mut self, handle: &Handle) -> Result<InodeInfo, Errno> {
        let inode = self.check_handle(handle)?;
        self.refresh_file(inode)?;
        let number = InodeNumber::new(inode).map_err(|_| Errno::BadHandle)?;
        let info = self
            .ext4
            .inode(number)
            .map_err(|error| match error.kind() {
                Ext4ErrorKind::NotFound | Ext4ErrorKind::InvalidInput => Errno::Stale,
                _ => errno(error),
            })?;
        if info.links == 0 || self.handle(inode)?.generation != handle.generation {
            return Err(Errno::Stale);
        }
        Ok(info)
    }

    /// Forgets what was known about an inode that is about to be given to another file.
    pub(crate) fn forget(&mut self, inode: InodeNumber) {
        self.generations.remove(&inode.raw());
    }

    /// Makes an empty file.
    ///
    /// # Errors
    ///
    /// As POSIX; the caller rolls back.
    pub fn create(&mut self, parent: u32, name: &[u8], mode: u32) -> Result<InodeInfo, Errno> {
        let (parent, name) = (number(parent)?, file_name(name)?);
        let permissions = permissions(mode)?;
        let info = self
            .ext4
            .create_regular_file(context(), parent, name, permissions);
        let info = info.map_err(errno)?;
        self.forget(info.number);
        Ok(info)
    }

    /// Makes an empty folder.
    ///
    /// # Errors
    ///
    /// As POSIX; the caller rolls back.
    pub fn mkdir(&mut self, parent: u32, name: &[u8], mode: u32) -> Result<InodeInfo, Errno> {
        let (parent, name) = (number(parent)?, file_name(name)?);
        let permissions = permissions(mode)?;
        let info = self
            .ext4
            .create_directory(context(), parent, name, permissions);
        let info = info.map_err(errno)?;
        self.forget(info.number);
        Ok(info)
    }

    /// Reads from a file; returns how many bytes there were.
    ///
    /// # Errors
    ///
    /// When the disk or the file system fails.
    pub fn read(&mut self, inode: u32, offset: u64, bytes: &mut [u8]) -> Result<usize, Errno> {
        self.ext4
            .read_inode(number(inode)?, offset, bytes)
            .map_err(errno)
    }

    /// Writes to a file.
    ///
    /// # Errors
    ///
    /// As POSIX; the caller rolls back.
    pub fn write(&mut self, inode: u32, offset: u64, bytes: &[u8]) -> Result<(), Errno> {
        self.ext4
            .write_inode(number(inode)?, offset, bytes)
            .map_err(errno)
    }

    /// Sets the size of a file.
    ///
    /// # Errors
    ///
    /// As POSIX; the caller rolls back.
    pub fn truncate(&mut self, inode: u32, size: u64) -> Result<(), Errno> {
        self.ext4
            .truncate_inode(number(inode)?, size)
            .map_err(errno)
    }
}

pub(crate) fn number(inode: u32) -> Result<InodeNumber, Errno> {
    InodeNumber::new(inode).map_err(errno)
}

pub(crate) fn file_name(name: &[u8]) -> Result<FileName<'_>, Errno> {
    if name.len() > proto::fs::NAME_BYTES_MAX {
        return Err(Errno::NameTooLong);
    }
    FileName::new(name).map_err(errno)
}

pub(crate) fn permissions(mode: u32) -> Result<FilePermissions, Errno> {
    let bits = u16::try_from(mode).map_err(|_| Errno::Invalid)?;
    FilePermissions::new(bits).map_err(errno)
}

/// All files belong to root: clients have no users, they have folders.
pub(crate) fn context() -> MutationContext {
    MutationContext::new(0, 0, 0, 0)
}
