// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Finds the partitions of the clients that have one, at the start of each life.
//!
//! The table is read with a command like any other, into the driver's own memory, while the clients
//! of the whole disk are served already. The others wait, and are told that there is no such device
//! when neither of the two tables is any good or has their partition.

use alloc::vec;

use proto::blk::{Operation, SECTOR_BYTES, Segment};

use super::{Service, Share, UNPLACED};
use crate::device::{Command, Device, Outcome};
use crate::gpt::{self, Partitions, Place, TABLE_SECTORS};

const TABLE_BYTES: usize = TABLE_SECTORS * SECTOR_BYTES as usize;

/// A table on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    tag: usize,
    place: Place,
}

impl Reading {
    pub(super) const fn bit(self) -> u64 {
        1 << self.tag
    }

    pub(super) const fn place(self) -> Place {
        self.place
    }

    /// Whether it has this tag.
    pub(super) const fn is_at(self, tag: usize) -> bool {
        self.tag == tag
    }
}

impl<D: Device> Service<D> {
    /// Sets off to find the partitions, if anybody has one.
    pub(super) fn place_clients(&mut self) {
        let mut any = false;
        for client in &mut self.clients {
            if client.share != Share::Whole {
                client.blocked = UNPLACED;
                any = true;
            }
        }
        if any {
            self.read_table(Place::Primary);
        }
    }

    /// Begins anew after a reset of the device.
    pub(super) fn read_table_again(&mut self) {
        if let Some(reading) = self.reading.take() {
            self.read_table(reading.place);
        }
    }

    fn read_table(&mut self, place: Place) {
        let Some(device) = &mut self.device else {
            return self.place(None);
        };
        let Some(sector) = place.first_sector(device.info().capacity_sectors) else {
            return self.place(None);
        };
        // The first command of all, or the only one: there is a tag.
        let tag = self.free_tags.trailing_zeros() as usize;
        self.free_tags &= !(1 << tag);
        let (_, data_paddr) = device.scratch();
        let segments = [Segment {
            offset: 0,
            bytes: TABLE_BYTES as u32,
        }];
        let command = Command {
            operation: Operation::Read,
            sector,
            sector_count: TABLE_SECTORS as u32,
            segments: &segments,
            data_paddr,
        };
        device.submit(tag, &command);
        self.reading = Some(Reading { tag, place });
    }

    /// Deals with the end of a command that is no client's.
    #[cold]
    pub(super) fn finish_own(&mut self, tag: usize, outcome: Outcome) {
        let reading = self.reading.filter(|reading| reading.is_at(tag));
        let (Some(Reading { place, .. }), Some(device)) = (reading, &self.device) else {
            // It is reset when we start anew.
            panic!("the disk reports tag {tag} as done, which was not in progress");
        };
        self.reading = None;
        self.free_tags |= 1 << tag;
        self.completed += 1;
        let table = match outcome {
            Outcome::Done => {
                let mut bytes = vec![0; TABLE_BYTES];
                device.scratch().0.read_bytes(0, &mut bytes);
                gpt::read(&bytes, place, device.info().capacity_sectors)
            }
            _ => Err("it cannot be read"),
        };
        match (table, place) {
            (Ok(partitions), _) => self.place(Some(&partitions)),
            (Err(flaw), Place::Primary) => {
                log::warn!("partition table: {flaw}; reading its copy");
                self.read_table(Place::Backup);
            }
            (Err(flaw), Place::Backup) => {
                log::error!("copy of the partition table: {flaw}");
                self.place(None);
            }
        }
    }

    /// Tells the clients with partitions where they are.
    fn place(&mut self, partitions: Option<&Partitions>) {
        // Their tables have not been looked at so far.
        self.told = false;
        for client in &mut self.clients {
            let Share::Partition(number) = client.share else {
                continue;
            };
            client.blocked &= !UNPLACED;
            match partitions.and_then(|partitions| partitions.sectors(number)) {
                Some(range) => {
                    client.first_sector = range.start;
                    client.sectors = range.end - range.start;
                }
                None => {
                    log::error!("no partition {number}: requests for it will fail");
                    client.absent = true;
                }
            }
        }
    }
}
