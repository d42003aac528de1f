// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! A virtio disk for tests: reads descriptors from memory, moves data, reorders, fails, lies.
//!
//! It looks at its queue only when it is notified, as far as it said that it wants to be, and it
//! goes on working after its driver has died, until it is reset. Writes go to a cache, which a
//! flush copies to the medium.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use sel4_shared_memory::host::HostRegion;
use test_blk_service::Random;
use virtio_drivers::Error;
use virtio_drivers::transport::{DeviceStatus, DeviceType, InterruptStatus, Transport};
use zerocopy::{FromBytes, Immutable, IntoBytes};

pub(super) const FLUSH: u64 = 1 << 9;
pub(super) const EVENT_INDEX: u64 = 1 << 29;
pub(super) const VERSION_1: u64 = 1 << 32;

const SECTOR: usize = 512;

#[derive(Clone, Copy, Debug)]
struct Piece {
    paddr: u64,
    bytes: usize,
    device_writes: bool,
}

struct Queue {
    size: u16,
    descriptors: u64,
    available: u64,
    used: u64,
    next_available: u16,
    next_used: u16,
}

/// What changed on the disk.
pub(super) enum Change {
    Write(usize, Vec<u8>),
    Flush,
}

pub(super) struct Machine {
    /// Everything that changed, in order, for replay.
    pub(super) changes: Vec<Change>,
    /// Physical address and memory.
    pub(super) memory: Vec<(u64, HostRegion)>,
    pub(super) cache: Vec<u8>,
    pub(super) medium: Vec<u8>,
    pub(super) features: u64,
    pub(super) accepted: u64,
    pub(super) kind: DeviceType,
    pub(super) queue_size: u32,
    pub(super) bad_sector: Option<u64>,
    /// So many commands fail from now on.
    pub(super) failing: u32,
    /// Knows no command at all.
    pub(super) ignorant: bool,
    /// Any command fails now and then, the same one twice in a row at most.
    pub(super) flaky: bool,
    /// Failures in a row, by head.
    failed: HashMap<u16, u32>,
    /// Commands that it was done with, failed ones among them.
    pub(super) commands: u32,
    /// Stops for good, until it is reset, when it is to carry out a command for this sector.
    pub(super) deadly_sector: Option<u64>,
    /// Does nothing any more, also after a reset.
    pub(super) dead: bool,
    /// Does nothing until it is reset.
    stopped: bool,
    /// Its configuration has changed, or its status.
    config_interrupt: bool,
    /// The interrupt line.
    pub(super) interrupt: bool,
    /// Physical addresses of data that commands in progress refer to, for checks.
    pub(super) notifications: u32,
    pub(super) resets: u32,
    status: DeviceStatus,
    queue: Option<Queue>,
    pub(super) notified: bool,
    in_progress: Vec<u16>,
    pub(super) random: Random,
}

impl Machine {
    pub(super) fn new(sectors: usize, features: u64, seed: u64) -> Self {
        Self {
            changes: Vec::new(),
            memory: Vec::new(),
            cache: vec![0; sectors * SECTOR],
            medium: vec![0; sectors * SECTOR],
            features,
            accepted: 0,
            kind: DeviceType::Block,
            queue_size: 1024,
            bad_sector: None,
            failing: 0,
            ignorant: false,
            flaky: false,
            failed: HashMap::new(),
            commands: 0,
            deadly_sector: None,
            dead: false,
            stopped: false,
            config_interrupt: false,
            interrupt: false,
            notifications: 0,
            resets: 0,
            status: DeviceStatus::empty(),
            queue: None,
            notified: false,
            in_progress: Vec::new(),
            random: Random(seed),
        }
    }

    fn region(&self, paddr: u64, bytes: usize) -> (&HostRegion, usize) {
        let found = self.memory.iter().find(|(base, region)| {
            paddr >= *base && paddr + bytes as u64 <= base + region.shared_ref().len() as u64
        });
        let (base, region) = found.unwrap_or_else(|| panic!("DMA to {paddr:#x}"));
        (region, (paddr - base) as usize)
    }

    fn read(&self, paddr: u64, bytes: usize) -> Vec<u8> {
        let (region, at) = self.region(paddr, bytes);
        let mut out = vec![0; bytes];
        region.shared_ref().read_bytes(at, &mut out);
        out
    }

    fn write(&self, paddr: u64, bytes: &[u8]) {
        let (region, at) = self.region(paddr, bytes.len());
        region.set_bytes(at, bytes);
    }

    fn read_u16(&self, paddr: u64) -> u16 {
        u16::from_le_bytes(self.read(paddr, 2).try_into().unwrap())
    }

    fn has_event_index(&self) -> bool {
        self.accepted & EVENT_INDEX != 0
    }

    /// Works for a while: `effort` commands at most.
    pub(super) fn work(&mut self, effort: u32) {
        if self.stopped || self.dead {
            return;
        }
        self.look();
        for _ in 0..effort {
            if self.in_progress.is_empty() || self.stopped {
                return;
            }
            let chosen = self.random.below(self.in_progress.len() as u32) as usize;
            let head = self.in_progress.swap_remove(chosen);
            let sector = self.sector_of(head);
            if self.deadly_sector.is_some_and(|deadly| deadly == sector) {
                self.stopped = true;
                return;
            }
            let written = self.carry_out(head);
            self.report(head, written);
        }
    }

    /// Takes what is available, if notified.
    fn look(&mut self) {
        if !core::mem::take(&mut self.notified) {
            return;
        }
        let Some(queue) = &self.queue else { return };
        let (size, available) = (queue.size, queue.available);
        let mut next = queue.next_available;
        while next != self.read_u16(available + 2) {
            let at = available + 4 + 2 * u64::from(next % size);
            self.in_progress.push(self.read_u16(at));
            next = next.wrapping_add(1);
        }
        let avail_event = queue.used + 4 + 8 * u64::from(size);
        if self.has_event_index() {
            self.write(avail_event, &next.to_le_bytes());
        }
        self.queue.as_mut().unwrap().next_available = next;
    }

    fn chain(&self, head: u16) -> Vec<Piece> {
        let descriptors = self.queue.as_ref().unwrap().descriptors;
        let mut pieces = Vec::new();
        let mut index = head;
        loop {
            let bytes = self.read(descriptors + 16 * u64::from(index), 16);
            let flags = u16::from_le_bytes(bytes[12..14].try_into().unwrap());
            pieces.push(Piece {
                paddr: u64::from_le_bytes(bytes[..8].try_into().unwrap()),
                bytes: u32::from_le_bytes(bytes[8..12].try_into().unwrap()) as usize,
                device_writes: flags & 2 != 0,
            });
            assert!(pieces.len() < 16, "the chain does not end");
            if flags & 1 == 0 {
                return pieces;
            }
            index = u16::from_le_bytes(bytes[14..16].try_into().unwrap());
        }
    }

    fn sector_of(&self, head: u16) -> u64 {
        let header = self.read(self.chain(head)[0].paddr, 16);
        u64::from_le_bytes(header[8..].try_into().unwrap())
    }

    /// Stops answering, as if it had crashed.
    pub(super) fn stop(&mut self) {
        self.stopped = true;
    }

    /// Finds itself beyond help, and says so.
    pub(super) fn ask_for_reset(&mut self) {
        self.stopped = true;
        self.status |= DeviceStatus::DEVICE_NEEDS_RESET;
        self.config_interrupt = true;
        self.interrupt = true;
    }

    /// Whether it makes an error of this one that has nothing to do with what is asked for.
    fn fails(&mut self, head: u16) -> bool {
        self.commands += 1;
        let in_row = self.failed.remove(&head).unwrap_or(0);
        let fails = self.failing > 0 || (self.flaky && in_row < 2 && self.random.below(2) == 0);
        self.failing = self.failing.saturating_sub(1);
        if fails {
            self.failed.insert(head, in_row + 1);
        }
        fails
    }

    fn carry_out(&mut self, head: u16) -> u32 {
        let chain = self.chain(head);
        let (header, rest) = chain.split_first().unwrap();
        let (status, data) = rest.split_last().unwrap();
        assert!(!header.device_writes && header.bytes == 16);
        assert!(status.device_writes && status.bytes == 1);
        let header = self.read(header.paddr, 16);
        let operation = u32::from_le_bytes(header[..4].try_into().unwrap());
        let sector = u64::from_le_bytes(header[8..].try_into().unwrap());
        let bytes: usize = data.iter().map(|piece| piece.bytes).sum();
        let covered = sector..sector + (bytes / SECTOR) as u64;
        let bad = self.bad_sector.is_some_and(|bad| covered.contains(&bad));
        let result = match operation {
            _ if self.fails(head) => 1_u8,
            _ if self.ignorant => 2,
            0 | 1 if bad => 1,
            0 => self.move_data(sector, data, true),
            1 => self.move_data(sector, data, false),
            4 => {
                self.medium.clone_from(&self.cache);
                self.changes.push(Change::Flush);
                0
            }
            8 => {
                self.write(data[0].paddr, b"kintsugi test disk\0\0");
                0
            }
            13 => self.write_zeroes(&data[0]),
            _ => 2,
        };
        self.write(status.paddr, &[result]);
        if operation == 0 { bytes as u32 + 1 } else { 1 }
    }

    fn move_data(&mut self, sector: u64, data: &[Piece], to_memory: bool) -> u8 {
        let mut at = sector as usize * SECTOR;
        for piece in data {
            assert_eq!(piece.device_writes, to_memory);
            if to_memory {
                self.write(piece.paddr, &self.cache[at..at + piece.bytes]);
            } else {
                let bytes = self.read(piece.paddr, piece.bytes);
                self.cache[at..at + piece.bytes].copy_from_slice(&bytes);
                self.changes.push(Change::Write(at, bytes));
            }
            at += piece.bytes;
        }
        0
    }

    fn write_zeroes(&mut self, range: &Piece) -> u8 {
        assert!(!range.device_writes && range.bytes == 16);
        let range = self.read(range.paddr, 16);
        let sector = u64::from_le_bytes(range[..8].try_into().unwrap()) as usize;
        let count = u32::from_le_bytes(range[8..12].try_into().unwrap()) as usize;
        self.cache[sector * SECTOR..(sector + count) * SECTOR].fill(0);
        0
    }

    fn report(&mut self, head: u16, written: u32) {
        let Some(queue) = &self.queue else { return };
        let old = queue.next_used;
        let at = queue.used + 4 + 8 * u64::from(old % queue.size);
        let mut element = u32::from(head).to_le_bytes().to_vec();
        element.extend(written.to_le_bytes());
        self.write(at, &element);
        self.write(queue.used + 2, &old.wrapping_add(1).to_le_bytes());
        let used_event = self.read_u16(queue.available + 4 + 2 * u64::from(queue.size));
        // Section 2.7.7.2: interrupt when the index passes the event.
        if !self.has_event_index() || used_event == old {
            self.interrupt = true;
        }
        self.queue.as_mut().unwrap().next_used = old.wrapping_add(1);
    }

    /// Reports a chain that was never made available.
    pub(super) fn lie(&mut self, head: u16) {
        self.report(head, 0);
    }
}

/// The registers of a [`Machine`].
#[derive(Clone)]
pub(super) struct Registers(pub(super) Rc<RefCell<Machine>>);

impl Transport for Registers {
    fn device_type(&self) -> DeviceType {
        self.0.borrow().kind
    }

    fn read_device_features(&mut self) -> u64 {
        self.0.borrow().features
    }

    fn write_driver_features(&mut self, driver_features: u64) {
        let mut machine = self.0.borrow_mut();
        assert_eq!(driver_features & !machine.features, 0);
        machine.accepted = driver_features;
    }

    fn max_queue_size(&mut self, _queue: u16) -> u32 {
        self.0.borrow().queue_size
    }

    fn notify(&mut self, queue: u16) {
        assert_eq!(queue, 0);
        let mut machine = self.0.borrow_mut();
        machine.notified = true;
        machine.notifications += 1;
    }

    fn get_status(&self) -> DeviceStatus {
        self.0.borrow().status
    }

    fn set_status(&mut self, status: DeviceStatus) {
        let mut machine = self.0.borrow_mut();
        machine.status = status;
        if status.is_empty() {
            machine.queue = None;
            machine.in_progress.clear();
            machine.notified = false;
            machine.interrupt = false;
            machine.config_interrupt = false;
            machine.stopped = false;
            machine.resets += 1;
        }
    }

    fn set_guest_page_size(&mut self, _guest_page_size: u32) {}

    fn requires_legacy_layout(&self) -> bool {
        self.0.borrow().features & VERSION_1 == 0
    }

    fn queue_set(&mut self, _queue: u16, size: u32, descriptors: u64, available: u64, used: u64) {
        assert!(used.is_multiple_of(0x1000));
        self.0.borrow_mut().queue = Some(Queue {
            size: size as u16,
            descriptors,
            available,
            used,
            next_available: 0,
            next_used: 0,
        });
    }

    fn queue_unset(&mut self, _queue: u16) {
        self.0.borrow_mut().queue = None;
    }

    fn queue_used(&mut self, _queue: u16) -> bool {
        self.0.borrow().queue.is_some()
    }

    fn ack_interrupt(&mut self) -> InterruptStatus {
        let mut machine = self.0.borrow_mut();
        let mut status = InterruptStatus::empty();
        status.set(
            InterruptStatus::DEVICE_CONFIGURATION_INTERRUPT,
            core::mem::take(&mut machine.config_interrupt),
        );
        status.set(
            InterruptStatus::QUEUE_INTERRUPT,
            core::mem::take(&mut machine.interrupt),
        );
        status
    }

    fn read_config_generation(&self) -> u32 {
        0
    }

    fn read_config_space<T: FromBytes + IntoBytes>(&self, offset: usize) -> Result<T, Error> {
        let mut config = [0; 64];
        let sectors = (self.0.borrow().cache.len() / SECTOR) as u64;
        config[..8].copy_from_slice(&sectors.to_le_bytes());
        config[48..52].copy_from_slice(&64_u32.to_le_bytes());
        T::read_from_bytes(&config[offset..offset + size_of::<T>()])
            .map_err(|_| Error::ConfigSpaceTooSmall)
    }

    fn write_config_space<T: IntoBytes + Immutable>(
        &mut self,
        _offset: usize,
        _value: T,
    ) -> Result<(), Error> {
        unreachable!("the driver writes no configuration")
    }
}
