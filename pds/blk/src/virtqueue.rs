// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! A split virtqueue (virtio 1.2, section 2.7) whose chains never move.
//!
//! Tag *t* owns the descriptors from `t * CHAIN` on, for ever. So there is no free list, nothing is
//! allocated, and what the device reports as used names its tag by arithmetic.
//!
//! The memory is a [`SharedMut`]: it is only copied into and out of, never referenced. What the
//! device can write is believed as far as it is checked here: an index that no chain has is
//! [`Used::Impossible`].
//!
//! The layout suits modern and legacy devices alike (the used ring begins on a page of its own):
//! descriptors at 0, available ring behind them, used ring on the next page.

use core::sync::atomic::{Ordering, fence};

use sel4_shared_memory::SharedMut;

const PAGE: usize = 0x1000;
/// Bytes of a descriptor: an address; length (32 bits), flags and the number of the next one (16 bits each).
pub const DESCRIPTOR_BYTES: usize = 16;

/// Descriptor flag: the chain goes on.
pub const NEXT: u16 = 1;
/// Descriptor flag: the device writes.
pub const WRITE: u16 = 2;

/// Flag of the used ring: the device needs no notification.
const NO_NOTIFY: u16 = 1;

/// What the used ring says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Used {
    Nothing,
    Head(u16),
    /// An index that is no descriptor.
    Impossible(u32),
}

/// Where the parts of a queue lie in its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLayout {
    /// Number of descriptors, a power of two.
    pub size: u16,
}

impl QueueLayout {
    /// The available ring.
    #[must_use]
    pub const fn available(self) -> usize {
        self.size as usize * DESCRIPTOR_BYTES
    }

    /// The used ring.
    #[must_use]
    pub const fn used(self) -> usize {
        (self.available() + 6 + 2 * self.size as usize).next_multiple_of(PAGE)
    }

    /// Bytes of the whole queue.
    #[must_use]
    pub const fn bytes(self) -> usize {
        (self.used() + 6 + 8 * self.size as usize).next_multiple_of(PAGE)
    }

    /// Where the driver says up to which used chain it needs no interrupt.
    #[must_use]
    pub const fn used_event(self) -> usize {
        self.available() + 4 + 2 * self.size as usize
    }

    const fn available_event(self) -> usize {
        self.used() + 4 + 8 * self.size as usize
    }
}

/// Second word of a descriptor.
#[inline]
pub(crate) fn second_word(bytes: u32, flags: u16, next: u16) -> u64 {
    u64::from(bytes) | u64::from(flags) << 32 | u64::from(next) << 48
}

/// The driver's side of a queue.
pub(crate) struct VirtQueue {
    memory: SharedMut,
    layout: QueueLayout,
    /// Size of the queue less one: indices run on, and places repeat.
    mask: u16,
    /// Most chains that the device can have.
    chains_max: u16,
    available_ring: usize,
    used_ring: usize,
    event_index: bool,
    available_index: u16,
    /// Value of `available_index` that the device was last told.
    told_index: u16,
    /// Value of `told_index` some time ago.
    marked_index: u16,
    used_index: u16,
    /// The device's index when we last looked.
    seen_index: u16,
}

impl VirtQueue {
    /// Makes an empty queue. The device must not be using the memory: reset it first.
    ///
    /// # Panics
    ///
    /// When the memory is too small, which is a mistake in `system.xml`.
    pub(crate) fn new(
        memory: SharedMut,
        layout: QueueLayout,
        chains_max: u16,
        event_index: bool,
    ) -> Self {
        assert!(
            memory.len() >= layout.bytes(),
            "blk_dma is too small for the queue"
        );
        let mut queue = Self {
            memory,
            layout,
            mask: layout.size - 1,
            chains_max,
            available_ring: layout.available() + 4,
            used_ring: layout.used() + 4,
            event_index,
            available_index: 0,
            told_index: 0,
            marked_index: 0,
            used_index: 0,
            seen_index: 0,
        };
        queue.clear();
        queue
    }

    /// Empties the queue. The device must not be using it.
    pub(crate) fn clear(&mut self) {
        let layout = self.layout;
        self.memory.store_u32(layout.available(), 0);
        self.memory.store_u32(layout.used_event(), 0);
        self.memory.store_u32(layout.used(), 0);
        self.memory.store_u32(layout.available_event(), 0);
        (self.available_index, self.told_index, self.marked_index) = (0, 0, 0);
        (self.used_index, self.seen_index) = (0, 0);
    }

    /// Writes a descriptor. The device sees it with the next [`Self::publish`].
    #[inline(always)]
    pub(crate) fn describe(&mut self, index: u16, paddr: u64, bytes: u32, flags: u16, next: u16) {
        let at = usize::from(index) * DESCRIPTOR_BYTES;
        let rest = second_word(bytes, flags, next);
        self.memory.write_words(at, &[paddr.to_le(), rest.to_le()]);
    }

    /// Reads a descriptor back: address; bytes, flags and the next one.
    #[inline]
    pub(crate) fn described(&self, index: u16) -> [u64; 2] {
        let words: [u64; 2] = self
            .memory
            .read_words(usize::from(index) * DESCRIPTOR_BYTES);
        words.map(u64::from_le)
    }

    /// Makes the chain that begins at `head` available, from the next [`Self::publish`] on.
    #[inline]
    pub(crate) fn offer(&mut self, head: u16) {
        let at = usize::from(self.available_index & self.mask);
        self.memory
            .store_u16(self.available_ring + 2 * at, head.to_le());
        self.available_index = self.available_index.wrapping_add(1);
    }

    /// Reads the chain that was offered last back.
    #[inline]
    pub(crate) fn offered(&self) -> u16 {
        let at = usize::from(self.available_index.wrapping_sub(1) & self.mask);
        let pair = self.memory.load_u32(self.available_ring + 2 * (at & !1));
        (u32::from_le(pair) >> (at % 2 * 16)) as u16
    }

    /// Shows the device all chains offered so far. Returns whether it has to be notified.
    ///
    /// # Panics
    ///
    /// When these are more than there can be: the device would carry out requests of before once more
    /// (campaign on seL4 release at bd0a9c3, seed 1, trial 1610).
    #[inline]
    pub(crate) fn publish(&mut self) -> bool {
        let (old, new) = (self.told_index, self.available_index);
        if old == new {
            return false;
        }
        assert!(
            new.wrapping_sub(self.used_index) <= self.chains_max,
            "the queue is damaged"
        );
        // Flags (none) and index are one word.
        let word = u32::from(new) << 16;
        self.memory.store_u32(self.layout.available(), word.to_le());
        self.told_index = new;
        // The device must see the index before we read whether it sleeps (section 2.7.13).
        fence(Ordering::SeqCst);
        if self.event_index {
            let event = u32::from_le(self.memory.load_u32(self.layout.available_event())) as u16;
            new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
        } else {
            let word = u32::from_le(self.memory.load_u32(self.layout.used()));
            word as u16 & NO_NOTIFY == 0
        }
    }

    /// Whether the device does not know of chains that were published before the last [`Self::mark`]. It
    /// says how far it has looked when it is done with that, which may be some time after it was notified.
    pub(crate) fn is_untold(&self) -> bool {
        let word = u32::from_le(self.memory.load_u32(self.layout.available_event()));
        let unknown = self.told_index.wrapping_sub(word as u16);
        self.event_index && unknown > self.told_index.wrapping_sub(self.marked_index)
    }

    /// See [`Self::is_untold`].
    pub(crate) fn mark(&mut self) {
        self.marked_index = self.told_index;
    }

    /// Takes the next chain that the device is done with.
    ///
    /// With [`Used::Nothing`] the device will interrupt at the next one.
    #[inline]
    pub(crate) fn next_used(&mut self) -> Used {
        if self.used_index == self.seen_index && !self.look() {
            return Used::Nothing;
        }
        let at = usize::from(self.used_index & self.mask);
        let element = self.used_ring + 8 * at;
        let index = u32::from_le(self.memory.load_u32(element));
        self.used_index = self.used_index.wrapping_add(1);
        if index <= u32::from(self.mask) {
            Used::Head(index as u16)
        } else {
            Used::Impossible(index)
        }
    }

    /// Looks for used chains, and asks for an interrupt if there is none.
    fn look(&mut self) -> bool {
        self.seen_index = self.device_index();
        if self.used_index == self.seen_index && self.event_index {
            let event = u32::from(self.used_index);
            self.memory
                .store_u32(self.layout.used_event(), event.to_le());
            // One may have come before the device saw that (section 2.7.14).
            fence(Ordering::SeqCst);
            self.seen_index = self.device_index();
        }
        self.used_index != self.seen_index
    }

    fn device_index(&self) -> u16 {
        (u32::from_le(self.memory.load_u32(self.layout.used())) >> 16) as u16
    }
}

#[cfg(test)]
mod tests {
    use sel4_shared_memory::host::{HostRegion, Life};

    use super::*;

    #[test]
    #[should_panic(expected = "the queue is damaged")]
    fn a_damaged_index_is_not_shown_to_the_device() {
        let layout = QueueLayout { size: 16 };
        let region = HostRegion::new(layout.bytes());
        let memory = region.shared_mut(&Life::endless());
        let mut queue = VirtQueue::new(memory, layout, 2, false);
        queue.offer(0);
        queue.offer(6);
        assert!(queue.publish());
        queue.available_index ^= 0x40;
        queue.publish();
    }
}
