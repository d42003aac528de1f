// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! A disk in memory that records what is written, so that it can be cut at any point.

use std::cell::RefCell;
use std::rc::Rc;

use fs_service::disk::{Disk, DiskError};
use sel4_shared_memory::SharedMut;
use sel4_shared_memory::host::{HostRegion, Life};

use super::Random;

/// One thing that happened to the disk.
#[derive(Clone)]
pub enum Event {
    Write { at: u64, bytes: Rc<Vec<u8>> },
    Flush,
}

/// What is on the disk, and how it came there.
pub struct Media {
    /// The disk when the recording began.
    base: Vec<u8>,
    now: Vec<u8>,
    pub events: Vec<Event>,
    /// Whether events are kept.
    pub record: bool,
    /// Every operation fails from here on.
    pub broken: bool,
    /// It says that it refuses writes.
    pub read_only: bool,
    /// So many more writes are carried out; all later ones fail.
    pub writes_left: Option<u64>,
    /// Reads so far.
    pub reads: u64,
}

impl Media {
    pub fn new(image: Vec<u8>) -> Self {
        Self {
            base: image.clone(),
            now: image,
            events: Vec::new(),
            record: false,
            broken: false,
            read_only: false,
            writes_left: None,
            reads: 0,
        }
    }

    pub fn image(&self) -> Vec<u8> {
        self.now.clone()
    }

    /// Begins to record, from the present state.
    pub fn begin_recording(&mut self) {
        self.base.clone_from(&self.now);
        self.events.clear();
        self.record = true;
    }

    /// Writes of the journal's superblock. It begins with JBD2's magic number and type 4.
    pub fn superblock_writes(&self) -> Vec<usize> {
        const SUPERBLOCK: [u8; 8] = [0xc0, 0x3b, 0x39, 0x98, 0, 0, 0, 4];
        let is_superblock = |event: &Event| match event {
            Event::Write { bytes, .. } => bytes.starts_with(&SUPERBLOCK),
            Event::Flush => false,
        };
        (0..self.events.len())
            .filter(|index| is_superblock(&self.events[*index]))
            .collect()
    }

    fn refuses_write(&mut self) -> bool {
        assert!(!self.read_only, "a write to a disk that refuses them");
        if let Some(left) = &mut self.writes_left {
            *left = left.saturating_sub(1);
        }
        self.broken || self.writes_left == Some(0)
    }

    fn write(&mut self, at: u64, bytes: Vec<u8>) {
        self.now[at as usize..at as usize + bytes.len()].copy_from_slice(&bytes);
        if self.record {
            self.events.push(Event::Write {
                at,
                bytes: Rc::new(bytes),
            });
        }
    }

    /// The disk after the first `count` events, as a killed process leaves it; `torn` bytes of the
    /// event after them are there too.
    pub fn killed_at(&self, count: usize, torn: usize) -> Vec<u8> {
        let mut image = self.base.clone();
        for event in &self.events[..count] {
            apply(&mut image, event, usize::MAX);
        }
        if let Some(event) = self.events.get(count) {
            apply(&mut image, event, torn);
        }
        image
    }

    /// The disk after a power cut behind `count` events: everything before the last flush is there, of
    /// later writes each 4 KiB with a chance of `percent`, some of them only in part.
    pub fn cut_at(&self, count: usize, percent: u64, random: &mut Random) -> Vec<u8> {
        let is_flush = |event: &Event| matches!(event, Event::Flush);
        let flushed = self.events[..count].iter().rposition(is_flush).unwrap_or(0);
        let mut image = self.killed_at(flushed, 0);
        let mut pieces = Vec::new();
        for event in &self.events[flushed..count] {
            if let Event::Write { at, bytes } = event {
                for (index, piece) in bytes.chunks(4096).enumerate() {
                    pieces.push((*at as usize + index * 4096, piece));
                }
            }
        }
        // The disk may keep them in any order; the last one to arrive wins where they overlap, and the
        // disk never lets an older write to a place win over a newer one.
        for (at, piece) in pieces {
            if random.below(100) >= percent {
                continue;
            }
            if random.below(10) == 0 {
                for (index, sector) in piece.chunks(512).enumerate() {
                    if random.below(2) == 0 {
                        image[at + index * 512..][..sector.len()].copy_from_slice(sector);
                    }
                }
            } else {
                image[at..at + piece.len()].copy_from_slice(piece);
            }
        }
        image
    }
}

fn apply(image: &mut [u8], event: &Event, most: usize) {
    if let Event::Write { at, bytes } = event {
        let length = bytes.len().min(most);
        image[*at as usize..][..length].copy_from_slice(&bytes[..length]);
    }
}

/// The media behind a block service that does what it is asked at once.
pub struct SimDisk {
    media: Rc<RefCell<Media>>,
    memory: SharedMut,
    life: Life,
    bytes: u64,
}

impl SimDisk {
    pub fn new(media: &Rc<RefCell<Media>>, memory: &HostRegion, life: &Life) -> Self {
        let bytes = media.borrow().now.len() as u64;
        let memory = memory.shared_mut(&Life::endless());
        Self {
            media: Rc::clone(media),
            memory,
            life: life.clone(),
            bytes,
        }
    }
}

impl Disk for SimDisk {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn is_read_only(&self) -> bool {
        self.media.borrow().read_only
    }

    fn memory(&mut self) -> &mut SharedMut {
        &mut self.memory
    }

    fn read(&mut self, at: u64, memory: usize, length: usize) -> Result<(), DiskError> {
        let mut media = self.media.borrow_mut();
        if media.broken {
            return Err(DiskError::Io);
        }
        media.reads += 1;
        self.memory
            .write_bytes(memory, &media.now[at as usize..at as usize + length]);
        Ok(())
    }

    fn write(&mut self, at: u64, memory: usize, length: usize) -> Result<(), DiskError> {
        // One step for each 4 KiB, so that a run of blocks can be cut in its middle.
        for start in (0..length).step_by(4096) {
            self.life.step();
            if self.media.borrow_mut().refuses_write() {
                return Err(DiskError::Io);
            }
            let mut bytes = vec![0; 4096.min(length - start)];
            self.memory.read_bytes(memory + start, &mut bytes);
            self.media.borrow_mut().write(at + start as u64, bytes);
        }
        Ok(())
    }

    fn wait(&mut self) -> Result<(), DiskError> {
        Ok(())
    }

    fn flush(&mut self) -> Result<(), DiskError> {
        self.life.step();
        let mut media = self.media.borrow_mut();
        if media.record {
            media.events.push(Event::Flush);
        }
        if media.broken {
            Err(DiskError::Io)
        } else {
            Ok(())
        }
    }
}
