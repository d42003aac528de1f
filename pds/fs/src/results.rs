// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What finished operations returned, committed together with their effects.
//!
//! A hidden file in the root folder has one record for each slot of each client's request table. An
//! operation that changes something writes its record as a part of its own transaction. So after a
//! restart a request whose effects are on the disk finds its completion here and is not run again;
//! one that finds no record has no effects.
//!
//! Records are valid within one boot of the system only: the clients' sequence numbers begin anew with
//! zeroed regions. So each record carries the *boot number*, which the file's head counts. A restart of
//! ours is no new boot; that the two can be told apart is the caller's business (region `fs_state`).
//!
//! The records' blocks are written below `rsext4`, which only ever allocates them.

use alloc::vec;
use alloc::vec::Vec;

use jbd2::checksum::{SEED, crc32c};
use proto::fs::CompletionWire;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::disk::Disk;
use crate::limits::Usage;
use crate::store::{Store, StoreError};

/// Name of the file in the root folder. Clients do not see it.
pub const FILE_NAME: &[u8] = b".kintsugi-results";
/// Most clients.
pub const CLIENTS_MAX: usize = 16;
/// Slots of a request table.
pub const SLOTS: usize = 64;

const RECORD_BYTES: usize = 64;
const HEAD_BYTES: usize = 4096;
/// Bytes of the file.
pub const FILE_BYTES: usize = HEAD_BYTES + CLIENTS_MAX * SLOTS * RECORD_BYTES;

const MAGIC: [u8; 8] = *b"KFSRSLT1";

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct HeadWire {
    magic: [u8; 8],
    boot: U64,
    checksum: U32,
    reserved: U32,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(8))]
struct RecordWire {
    sequence: U64,
    boot: U32,
    checksum: U32,
    completion: CompletionWire,
}

/// What a client's folder takes; in the head's block, for each client.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct UsageWire {
    boot: U32,
    checksum: U32,
    blocks: U64,
    inodes: U64,
}

const fn usage_at(client: usize) -> usize {
    assert!(client < CLIENTS_MAX, "no such client");
    64 + client * size_of::<UsageWire>()
}

/// How far writes that were acknowledged before are carried out; in the head's block.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct DeferredWire {
    number: U64,
    boot: U32,
    checksum: U32,
}

const DEFERRED_AT: usize = 512;

const _: () = assert!(usage_at(CLIENTS_MAX - 1) + size_of::<UsageWire>() <= DEFERRED_AT);
const _: () = assert!(DEFERRED_AT + size_of::<DeferredWire>() <= 1024);
const _: () = assert!(size_of::<RecordWire>() == RECORD_BYTES);
const _: () = assert!(RECORD_BYTES <= 1024 && 1024 % RECORD_BYTES == 0);

/// The records of this boot.
#[derive(Debug)]
pub struct Results {
    /// The file's inode.
    pub inode: u32,
    /// Where each block of the file is on the disk.
    blocks: Vec<u64>,
    boot: u64,
}

fn checksum<T: IntoBytes + Immutable>(value: &T) -> u32 {
    crc32c(SEED, value.as_bytes())
}

impl Results {
    /// Takes the file whose blocks are at `blocks`. [`Results::begin`] comes next.
    pub fn new(inode: u32, blocks: Vec<u64>) -> Self {
        Self {
            inode,
            blocks,
            boot: 0,
        }
    }

    /// Takes the file as it is, in the boot that an earlier life has begun: only to be read.
    pub fn to_read(inode: u32, blocks: Vec<u64>, boot: u64) -> Self {
        Self {
            boot,
            ..Self::new(inode, blocks)
        }
    }

    /// Without a file: nothing is changed, so nothing has to be remembered.
    pub fn none(boot: Option<u64>) -> Self {
        Self {
            inode: 0,
            blocks: Vec::new(),
            boot: boot.unwrap_or(0),
        }
    }

    /// Whether there is no file.
    pub fn is_none(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Number of this boot.
    pub fn boot(&self) -> u64 {
        self.boot
    }

    /// Goes on with boot number `boot`, or begins the boot after the last one that the file saw.
    ///
    /// Writes to the running operation; the boot's number counts once that is committed.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub fn begin<D: Disk>(
        &mut self,
        store: &mut Store<D>,
        boot: Option<u64>,
    ) -> Result<(), StoreError> {
        let mut block = vec![0; store.block_size()];
        store.read(self.blocks[0], &mut block)?;
        let (head, _) = HeadWire::read_from_prefix(&block).expect("a block holds the head");
        let unsealed = HeadWire {
            checksum: 0.into(),
            ..head
        };
        let valid = head.magic == MAGIC && head.checksum.get() == checksum(&unsealed);
        let last = if valid { head.boot.get() } else { 0 };
        self.boot = boot.unwrap_or(last + 1);
        if valid && last == self.boot {
            return Ok(());
        }
        let mut head = HeadWire {
            magic: MAGIC,
            boot: self.boot.into(),
            checksum: 0.into(),
            reserved: 0.into(),
        };
        head.checksum = checksum(&head).into();
        block[..size_of::<HeadWire>()].copy_from_slice(head.as_bytes());
        store.write(self.blocks[0], &block)
    }

    /// What a client's folder takes, if this boot has stored it.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub fn usage<D: Disk>(
        &self,
        store: &mut Store<D>,
        client: usize,
    ) -> Result<Option<Usage>, StoreError> {
        let mut block = vec![0; store.block_size()];
        store.read(self.blocks[0], &mut block)?;
        let at = usage_at(client);
        let found = UsageWire::read_from_bytes(&block[at..at + size_of::<UsageWire>()]);
        let found = found.expect("a block holds them");
        let unsealed = UsageWire {
            checksum: 0.into(),
            ..found
        };
        let valid = u64::from(found.boot.get()) == self.boot & 0xffff_ffff
            && found.checksum.get() == checksum(&unsealed);
        Ok(valid.then_some(Usage {
            blocks: found.blocks.get(),
            inodes: found.inodes.get(),
        }))
    }

    /// Stores that, as a part of the running operation.
    ///
    /// # Errors
    ///
    /// When the disk fails, or there is no room for the operation.
    pub fn set_usage<D: Disk>(
        &self,
        store: &mut Store<D>,
        client: usize,
        used: Usage,
    ) -> Result<(), StoreError> {
        let mut wire = UsageWire {
            boot: (self.boot as u32).into(),
            checksum: 0.into(),
            blocks: used.blocks.into(),
            inodes: used.inodes.into(),
        };
        wire.checksum = checksum(&wire).into();
        store.patch_block(self.blocks[0], usage_at(client), wire.as_bytes())
    }

    /// Number of the last write that was acknowledged before it was carried out, and has been since; 0:
    /// none in this boot.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub fn deferred<D: Disk>(&self, store: &mut Store<D>) -> Result<u64, StoreError> {
        let mut found = [0; size_of::<DeferredWire>()];
        store.read_part(self.blocks[0], DEFERRED_AT, &mut found)?;
        let found = DeferredWire::read_from_bytes(&found).expect("they are as many");
        let unsealed = DeferredWire {
            checksum: 0.into(),
            ..found
        };
        let valid =
            found.boot.get() == self.boot as u32 && found.checksum.get() == checksum(&unsealed);
        Ok(if valid { found.number.get() } else { 0 })
    }

    /// Stores that, as a part of the running operation.
    ///
    /// # Errors
    ///
    /// When the disk fails, or there is no room for the operation.
    pub fn set_deferred<D: Disk>(
        &self,
        store: &mut Store<D>,
        number: u64,
    ) -> Result<(), StoreError> {
        let mut wire = DeferredWire {
            number: number.into(),
            boot: (self.boot as u32).into(),
            checksum: 0.into(),
        };
        wire.checksum = checksum(&wire).into();
        store.patch_block(self.blocks[0], DEFERRED_AT, wire.as_bytes())
    }

    fn place(&self, block_size: usize, client: usize, slot: usize) -> (u64, usize) {
        assert!(
            client < CLIENTS_MAX && slot < SLOTS,
            "no record {client}/{slot}"
        );
        let at = HEAD_BYTES + (client * SLOTS + slot) * RECORD_BYTES;
        (self.blocks[at / block_size], at % block_size)
    }

    /// Finds what request `sequence` in this slot returned, if its effects are on the disk.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub fn find<D: Disk>(
        &self,
        store: &mut Store<D>,
        client: usize,
        slot: usize,
        sequence: u64,
    ) -> Result<Option<CompletionWire>, StoreError> {
        let (block, at) = self.place(store.block_size(), client, slot);
        let mut bytes = vec![0; store.block_size()];
        store.read(block, &mut bytes)?;
        let record = RecordWire::read_from_bytes(&bytes[at..at + RECORD_BYTES]).expect("64 bytes");
        let unsealed = RecordWire {
            checksum: 0.into(),
            ..record
        };
        let matches = record.sequence.get() == sequence
            && record.boot.get() == self.boot as u32
            && record.checksum.get() == checksum(&unsealed);
        Ok(matches.then_some(record.completion))
    }

    /// Records what request `sequence` returns, as a part of the running operation.
    ///
    /// # Errors
    ///
    /// When the disk fails, or the operation is too large.
    pub fn record<D: Disk>(
        &self,
        store: &mut Store<D>,
        client: usize,
        slot: usize,
        sequence: u64,
        completion: &CompletionWire,
    ) -> Result<(), StoreError> {
        let (block, at) = self.place(store.block_size(), client, slot);
        let mut record = RecordWire {
            sequence: sequence.into(),
            boot: (self.boot as u32).into(),
            checksum: 0.into(),
            completion: *completion,
        };
        record.checksum = checksum(&record).into();
        store.patch_block(block, at, record.as_bytes())
    }
}
