// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Reads of cached pages without the service, also while it is down (`proto::fs::direct` says how one knows
//! that nothing has changed).
//!
//! What this decides: which pages we know, and whether a read can be made of them. Nothing read here is
//! believed: a slot outside of the region is no slot, and whoever writes the cache can write anything into
//! our files anyway.

use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{Ordering, fence};

use proto::fs::direct::{
    BLOCK_SIZE_AT, COUNTERS_AT, ENTRIES_AT, ENTRY_BYTES, Lease, counter_at, is_behind,
};
use proto::fs::{CompletionWire, Handle};
use sel4_shared_memory::SharedRef;

/// Pages that are known, at most.
const PAGES: usize = 1024;

/// The service's cache and its index, mapped read-only.
#[derive(Debug)]
pub struct DirectRegions {
    /// `fs_to_blk_data`.
    pub cache: SharedRef,
    /// `fs_cache_index`.
    pub index: SharedRef,
}

#[derive(Clone, Copy)]
struct Page {
    file: (u32, u64),
    number: u64,
    /// Bytes of the page that were read, counted in the page.
    from: usize,
    to: usize,
    counters: [u64; 2],
    lease: Lease,
}

/// See the head of this file.
pub(crate) struct Direct {
    regions: DirectRegions,
    pages: Vec<Option<Page>>,
    reads: u64,
}

fn name(handle: &Handle) -> (u32, u64) {
    (handle.inode.get(), handle.generation.get())
}

fn place(file: (u32, u64), number: u64) -> usize {
    let mixed = (u64::from(file.0) << 32 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    // The upper bits: neighbours are far from each other.
    (mixed >> (u64::BITS - PAGES.ilog2())) as usize
}

impl Direct {
    pub(crate) fn new(regions: DirectRegions) -> Self {
        Self {
            regions,
            pages: vec![None; PAGES],
            reads: 0,
        }
    }

    /// Reads that needed no service.
    pub(crate) fn reads(&self) -> u64 {
        self.reads
    }

    fn block_size(&self) -> Option<usize> {
        let size = self.regions.index.load_u64(BLOCK_SIZE_AT);
        [1024, 2048, 4096].contains(&size).then_some(size as usize)
    }

    /// To be read before a request is made whose answer may be learnt.
    pub(crate) fn counters(&self, handle: &Handle) -> [u64; 2] {
        [counter_at(handle.inode.get()), COUNTERS_AT].map(|at| self.regions.index.load_u64(at))
    }

    /// Remembers where the service has found what it has just read, and what it has read ahead.
    pub(crate) fn learn(
        &mut self,
        handle: &Handle,
        offset: u64,
        counters: [u64; 2],
        completion: &CompletionWire,
    ) {
        let (Some(lease), Some(size)) = (Lease::of(completion), self.block_size()) else {
            return;
        };
        let from = (offset % size as u64) as usize;
        let Some(to) = from.checked_add(completion.value.get() as usize) else {
            return;
        };
        let slots = (self.regions.cache.len() / size)
            .min(self.regions.index.len().saturating_sub(ENTRIES_AT) / ENTRY_BYTES);
        let first = lease.slot as usize;
        if to > size || first >= slots {
            return;
        }
        let (file, number) = (name(handle), offset / size as u64);
        let mut page = Page {
            file,
            number,
            from,
            to,
            counters,
            lease,
        };
        self.pages[place(file, number)] = Some(page);
        (page.from, page.to) = (0, size);
        for behind in 1..=lease.follow.min((slots - first - 1) as u32) {
            page.number = number + u64::from(behind);
            page.lease.slot = lease.slot + behind;
            let entry = ENTRIES_AT + page.lease.slot as usize * ENTRY_BYTES;
            // The last word is stored last, and cleared first.
            let last = self.regions.index.load_u64(entry + 16);
            let [start, version] = [0, 8].map(|at| self.regions.index.load_u64(entry + at));
            if !is_behind(&lease, behind, [start, version, last]) {
                break;
            }
            (page.lease.first, page.lease.last) = (start, last);
            self.pages[place(file, page.number)] = Some(page);
        }
    }

    fn holds(&self, page: &Page, handle: &Handle) -> bool {
        let entry = ENTRIES_AT + page.lease.slot as usize * ENTRY_BYTES;
        let index = &self.regions.index;
        index.load_u64(entry + 16) == page.lease.last
            && index.load_u64(entry) == page.lease.first
            && self.counters(handle) == page.counters
    }

    fn known(&self, handle: &Handle, number: u64) -> Option<Page> {
        let file = name(handle);
        let page = self.pages[place(file, number)]?;
        (page.file == file && page.number == number).then_some(page)
    }

    /// Reads, if every byte is on a page that is known and has not changed.
    pub(crate) fn read(&mut self, handle: &Handle, offset: u64, bytes: &mut [u8]) -> bool {
        let Some(size) = self.block_size() else {
            return false;
        };
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            let from = (at % size as u64) as usize;
            let part = (bytes.len() - done).min(size - from);
            let page = self.known(handle, at / size as u64);
            let Some(page) = page.filter(|page| page.from <= from && from + part <= page.to) else {
                return false;
            };
            if !self.holds(&page, handle) {
                self.pages[place(page.file, page.number)] = None;
                return false;
            }
            let memory = page.lease.slot as usize * size + from;
            let to = &mut bytes[done..done + part];
            self.regions.cache.read_bytes(memory, to);
            done += part;
        }
        // The bytes are those of the pages if the pages are still what they were.
        fence(Ordering::Acquire);
        let last = (offset + bytes.len() as u64 - 1) / size as u64;
        let all_hold = (offset / size as u64..=last).all(|number| {
            self.known(handle, number)
                .is_some_and(|page| self.holds(&page, handle))
        });
        self.reads += u64::from(all_hold);
        all_hold
    }
}
