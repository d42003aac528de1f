// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Finds, in the memory of the block driver's queue, the commands that the disk is done with and the driver
//! has not seen.
//!
//! What is read here the victim may have damaged: nothing is believed that is outside of the region, and a
//! queue that makes no sense has no such commands. Layout: virtio 1.2, section 2.7, with the parts where the
//! driver puts them ([`QueueLayout`]), and the commands behind them.

use alloc::vec::Vec;

use blk_service::{DESCRIPTOR_BYTES, NEXT, QUEUE_SIZE_MAX, QueueLayout, WRITE};
use sel4_shared_memory::SharedRef;

/// The smallest queue has that much: descriptors and available ring, and the used ring behind them.
const PAGE: usize = 0x1000;
/// Descriptors of a chain, at most.
const CHAIN_MAX: usize = 16;
/// Status of a command that was carried out, and of one that failed.
pub const DONE: u8 = 0;
/// See [`DONE`].
pub const FAILED: u8 = 1;

/// The driver's memory for the disk.
#[derive(Debug)]
pub struct Queue {
    memory: SharedRef,
    paddr: u64,
}

impl Queue {
    /// The region `blk_dma`, whose physical address is `paddr`.
    pub fn new(memory: SharedRef, paddr: u64) -> Self {
        Self { memory, paddr }
    }

    /// Offsets of the status bytes of all commands that were carried out, and that the driver did not know of
    /// when it last found no more: it then asks for an interrupt at the next one. None if the device has no
    /// event index.
    pub fn unseen(&self) -> Vec<usize> {
        let Some(layout) = self.layout() else {
            return Vec::new();
        };
        let seen = self.half(layout.used_event());
        let done = self.half(layout.used() + 2);
        let count = done.wrapping_sub(seen);
        if count > layout.size {
            return Vec::new();
        }
        let element = |index: u16| {
            let at = usize::from(seen.wrapping_add(index) % layout.size);
            let head = u32::from_le(self.memory.load_u32(layout.used() + 4 + 8 * at));
            self.status(usize::try_from(head).ok()?, layout.size.into())
        };
        let statuses = (0..count).filter_map(element);
        statuses.filter(|at| self.byte(*at) == DONE).collect()
    }

    /// The first chain's header is the first command, right behind the queue: that tells the queue's size.
    fn layout(&self) -> Option<QueueLayout> {
        if self.memory.len() < PAGE {
            return None;
        }
        let commands = self.offset(u64::from_le(self.memory.load_u64(0)))?;
        let sizes = (1..=QUEUE_SIZE_MAX.ilog2()).map(|power| QueueLayout { size: 1 << power });
        // Small ones end on the same page; with the largest that does, we are right for all from 128 on.
        sizes.rev().find(|layout| layout.bytes() == commands)
    }

    fn offset(&self, paddr: u64) -> Option<usize> {
        let offset = usize::try_from(paddr.checked_sub(self.paddr)?).ok()?;
        (offset < self.memory.len()).then_some(offset)
    }

    /// Where the status byte of the chain that begins at `head` is: its last descriptor.
    fn status(&self, head: usize, size: usize) -> Option<usize> {
        let mut index = head;
        for _ in 0..CHAIN_MAX {
            if index >= size {
                return None;
            }
            let at = index * DESCRIPTOR_BYTES;
            let rest = u64::from_le(self.memory.load_u64(at + 8));
            let flags = (rest >> 32) as u16;
            if flags & NEXT == 0 {
                let is_status = flags & WRITE != 0 && rest as u32 == 1;
                let paddr = u64::from_le(self.memory.load_u64(at));
                return self.offset(paddr).filter(|_| is_status);
            }
            index = (rest >> 48) as usize;
        }
        None
    }

    fn half(&self, at: usize) -> u16 {
        (u32::from_le(self.memory.load_u32(at & !3)) >> (8 * (at & 2))) as u16
    }

    fn byte(&self, at: usize) -> u8 {
        (u32::from_le(self.memory.load_u32(at & !3)) >> (8 * (at & 3))) as u8
    }
}

#[cfg(test)]
mod tests {
    use sel4_shared_memory::host::HostRegion;

    use super::*;

    const PADDR: u64 = 0xa200_0000;
    const CELL: usize = 64;

    /// A queue as the driver makes it: `done` are the heads in the used ring, of which `seen` are taken.
    fn region(size: u16, first: u16, seen: u16, done: &[u32]) -> (HostRegion, QueueLayout) {
        let layout = QueueLayout { size };
        let region = HostRegion::new(0x1_0000);
        let describe = |index: usize, offset: usize, bytes: u32, flags: u16, next: u16| {
            let at = index * DESCRIPTOR_BYTES;
            region.set_bytes(at, &(PADDR + offset as u64).to_le_bytes());
            region.set_bytes(at + 8, &bytes.to_le_bytes());
            region.set_bytes(at + 12, &flags.to_le_bytes());
            region.set_bytes(at + 14, &next.to_le_bytes());
        };
        for tag in 0..usize::from(size / 6) {
            let (head, cell) = (tag * 6, layout.bytes() + tag * CELL);
            describe(head, cell, 16, 1, head as u16 + 1);
            describe(head + 1, 0xe000, 512, 3, head as u16 + 5);
            describe(head + 5, cell + 16, 1, 2, 0);
        }
        for (index, head) in done.iter().enumerate() {
            let at = (usize::from(first) + index) % usize::from(size);
            region.set_bytes(layout.used() + 4 + 8 * at, &head.to_le_bytes());
        }
        let event = first.wrapping_add(seen);
        region.set_bytes(layout.used_event(), &event.to_le_bytes());
        let end = first.wrapping_add(done.len() as u16);
        region.set_bytes(layout.used() + 2, &end.to_le_bytes());
        (region, layout)
    }

    fn unseen(region: &HostRegion) -> Vec<usize> {
        Queue::new(region.shared_ref(), PADDR).unseen()
    }

    #[test]
    fn finds_what_is_done_and_not_taken() {
        for size in [256, 512] {
            for first in [0, 7, 254, 510, 0xfffe] {
                let (region, layout) = region(size, first, 1, &[12, 0, 6]);
                let status = |tag: usize| layout.bytes() + tag * CELL + 16;
                assert_eq!(unseen(&region), [status(0), status(1)], "{size} {first}");
                region.set_bytes(status(0), &[FAILED]);
                assert_eq!(unseen(&region), [status(1)]);
                region.set_bytes(status(1), &[0xff]);
                assert_eq!(unseen(&region), []);
            }
        }
    }

    #[test]
    fn nothing_is_done() {
        assert_eq!(unseen(&HostRegion::new(0x1_0000)), []);
        assert_eq!(unseen(&region(256, 9, 2, &[0, 6]).0), []);
        // An index that the driver has gone past.
        assert_eq!(unseen(&region(256, 9, 3, &[0, 6]).0), []);
    }

    #[test]
    fn whatever_is_there_nothing_outside_is_named() {
        let mut random = crate::random::Random::of_trial(1, 1);
        for _ in 0..20_000 {
            let (region, _) = region(256, 9, 0, &[0, 6, 12]);
            for _ in 0..1 + random.below(3) {
                let at = [random.below(0x3000), random.below(0x100)][random.below(2) as usize];
                region.set_bytes(at as usize, &[random.next() as u8]);
            }
            assert!(unseen(&region).iter().all(|at| *at < 0x1_0000));
        }
        let (region, _) = region(256, 0, 0, &[255, 256, u32::MAX]);
        assert_eq!(unseen(&region), []);
    }
}
