// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The disk: does what it was told in any order, goes on while its driver is dead, forgets its commands
//! when it is reset (what it had begun may be done in part), and loses what was not flushed when the power
//! goes.

use std::cell::RefCell;
use std::rc::Rc;

use blk_service::{Command, Device, Info, Outcome};
use proto::blk::{Operation, RequestWire};
use sel4_shared_memory::SharedRef;
use sel4_shared_memory::host::{HostRegion, Life};

use crate::random::Random;

const SECTOR: usize = 512;
/// Physical address of the file service's data region, and of the driver's own memory.
pub const DATA_PADDR: u64 = 0xa000_0000;
const SCRATCH_PADDR: u64 = 0xa200_0000;

struct Pending {
    tag: usize,
    operation: Operation,
    sector: u64,
    /// Physical addresses and bytes.
    pieces: Vec<(u64, usize)>,
}

/// What the disk is, whoever drives it.
pub struct Media {
    /// As it is read now.
    pub now: Vec<u8>,
    /// Sectors written since the last flush, with what was there before.
    unflushed: Vec<(usize, Vec<u8>)>,
    queue: Vec<Pending>,
    done: Vec<usize>,
    data: HostRegion,
    scratch: HostRegion,
    random: Random,
}

/// The disk, shared between lives of its driver.
pub type SharedMedia = Rc<RefCell<Media>>;

impl Media {
    /// A disk with these contents, which moves data to and from `data`.
    pub fn new(image: Vec<u8>, data: &HostRegion, random: &Random) -> SharedMedia {
        Rc::new(RefCell::new(Self {
            now: image,
            unflushed: Vec::new(),
            queue: Vec::new(),
            done: Vec::new(),
            data: data.clone(),
            scratch: HostRegion::new(0x1_0000),
            random: random.clone(),
        }))
    }

    fn memory(&self, paddr: u64) -> (&HostRegion, usize) {
        match paddr.checked_sub(SCRATCH_PADDR) {
            Some(offset) => (&self.scratch, offset as usize),
            None => (&self.data, (paddr - DATA_PADDR) as usize),
        }
    }

    fn write_sector(&mut self, sector: usize, bytes: &[u8]) {
        let place = &mut self.now[sector * SECTOR..][..SECTOR];
        self.unflushed.push((sector, place.to_vec()));
        place.copy_from_slice(bytes);
    }

    /// Carries out a command, or its first `most` sectors.
    fn carry_out(&mut self, command: &Pending, most: usize) {
        let mut sector = command.sector as usize;
        let end = sector + most;
        if command.operation == Operation::Flush && most == usize::MAX >> 1 {
            self.unflushed.clear();
        }
        for &(paddr, bytes) in &command.pieces {
            for start in (0..bytes).step_by(SECTOR) {
                if sector >= end {
                    return;
                }
                let (region, offset) = self.memory(paddr + start as u64);
                match command.operation {
                    Operation::Read => {
                        let from = &self.now[sector * SECTOR..][..SECTOR];
                        region.set_bytes(offset, from);
                    }
                    _ => {
                        let mut bytes = vec![0; SECTOR];
                        region.shared_ref().read_bytes(offset, &mut bytes);
                        self.write_sector(sector, &bytes);
                    }
                }
                sector += 1;
            }
        }
    }

    /// Does one of its commands, any; returns whether there was one.
    pub fn work(&mut self) -> bool {
        if self.queue.is_empty() {
            return false;
        }
        let chosen = self.random.below(self.queue.len() as u64) as usize;
        let command = self.queue.swap_remove(chosen);
        self.carry_out(&command, usize::MAX >> 1);
        self.done.push(command.tag);
        true
    }

    /// Forgets its commands, some of them begun.
    fn reset(&mut self) {
        for command in std::mem::take(&mut self.queue) {
            let begun = self.random.below(20) as usize;
            if command.operation == Operation::Write && begun < 16 {
                self.carry_out(&command, begun);
            }
        }
        self.done.clear();
    }

    /// The power goes: of what was not flushed, any sectors are there and any are not. Returns what is
    /// left. A later write to a sector is never lost in favour of an earlier one that is there.
    pub fn cut(&mut self) -> Vec<u8> {
        self.reset();
        let mut image = self.now.clone();
        let percent = self.random.below(101);
        let mut lost = std::collections::BTreeSet::new();
        let mut kept = std::collections::BTreeSet::new();
        // From the latest write back: until one to the same sector is kept, each is undone.
        for (sector, before) in self.unflushed.iter().rev() {
            if kept.contains(sector) {
                continue;
            }
            // Whole blocks go together more often than not.
            let block = sector / 8;
            let goes = match lost.contains(&block) {
                true => self.random.below(10) > 0,
                false => self.random.below(100) < percent,
            };
            if goes {
                lost.insert(block);
                image[sector * SECTOR..][..SECTOR].copy_from_slice(before);
            } else {
                kept.insert(*sector);
            }
        }
        image
    }
}

/// What one life of the driver holds.
pub struct Driver {
    media: SharedMedia,
    life: Life,
}

impl Driver {
    /// A new life begins by resetting the device.
    pub fn start(media: &SharedMedia, life: &Life) -> Self {
        life.step();
        media.borrow_mut().reset();
        Self {
            media: Rc::clone(media),
            life: life.clone(),
        }
    }
}

impl Device for Driver {
    fn info(&self) -> Info {
        Info {
            capacity_sectors: (self.media.borrow().now.len() / SECTOR) as u64,
            read_only: false,
            flushes: true,
            discard_sectors_max: 0,
            zero_sectors_max: 0,
            depth: 16,
        }
    }

    fn submit(&mut self, tag: usize, command: &Command<'_>) {
        self.life.step();
        let pieces = command.segments.iter().map(|segment| {
            let paddr = command.data_paddr + u64::from(segment.offset);
            (paddr, segment.bytes as usize)
        });
        let pending = Pending {
            tag,
            operation: command.operation,
            sector: command.sector,
            pieces: pieces.collect(),
        };
        self.media.borrow_mut().queue.push(pending);
    }

    fn submit_again(&mut self, _tag: usize) {
        unreachable!("this disk does not fail");
    }

    fn is_told(
        &self,
        tag: usize,
        request: &RequestWire,
        first_sector: u64,
        data_paddr: u64,
    ) -> bool {
        let media = self.media.borrow();
        media.queue.iter().any(|pending| {
            let pieces = request.segments().map(|segment| {
                let paddr = data_paddr + u64::from(segment.offset);
                (paddr, segment.bytes as usize)
            });
            pending.tag == tag
                && Some(pending.operation) == request.operation()
                && pending.sector == first_sector + request.sector()
                && pieces.eq(pending.pieces.iter().copied())
        })
    }

    fn kick(&mut self) {
        self.life.step();
    }

    fn next_done(&mut self) -> Option<(usize, Outcome)> {
        self.life.step();
        let mut media = self.media.borrow_mut();
        let tag = media.done.pop()?;
        Some((tag, Outcome::Done))
    }

    fn acknowledge_interrupt(&mut self) -> bool {
        self.life.step();
        false
    }

    fn restart(&mut self) -> bool {
        self.life.step();
        self.media.borrow_mut().reset();
        true
    }

    fn scratch(&self) -> (SharedRef, u64) {
        (self.media.borrow().scratch.shared_ref(), SCRATCH_PADDR)
    }
}
