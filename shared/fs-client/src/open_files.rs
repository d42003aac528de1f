// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The table in which this program says what it has open (`proto::fs::open_files`): so a file stays until the
//! last [`crate::File`] of it is dropped, also when its last name is removed.

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;

use proto::fs::Handle;
use proto::fs::open_files::{AT, ENTRIES, REGION_BYTES, entry_at};
use sel4_shared_memory::SharedMut;

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct OpenFiles {
    /// The request region from the table on; `None` when it has no room for one.
    region: Option<SharedMut>,
    /// Entries that nobody uses, below `end`.
    free: Vec<usize>,
    end: usize,
    used: usize,
}

/// An entry of the table; dropped with the last owner of the file.
#[derive(Debug)]
pub(crate) struct Entry {
    table: Rc<RefCell<OpenFiles>>,
    index: Option<usize>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(index) = self.index {
            self.table.borrow_mut().clear(index);
        }
    }
}

impl OpenFiles {
    /// Takes the table, empty: what an earlier life of this program had open is no longer open. Gives the
    /// rest of the region back.
    pub(crate) fn attach(requests: SharedMut) -> (SharedMut, Self) {
        let mut table = Self {
            region: None,
            free: Vec::new(),
            end: 0,
            used: 0,
        };
        if requests.len() < REGION_BYTES {
            return (requests, table);
        }
        let (rest, mut region) = requests.split_at(AT);
        region.fill(0, REGION_BYTES - AT, 0);
        table.region = Some(region);
        (rest, table)
    }

    /// Whether one more file can be open.
    pub(crate) fn has_room(&self) -> bool {
        self.has_room_for(1)
    }

    /// Whether so many more can be open.
    pub(crate) fn has_room_for(&self, count: usize) -> bool {
        self.region.is_none() || self.used + count <= ENTRIES
    }

    /// Says that a file is open; returns the entry.
    pub(crate) fn set(&mut self, handle: &Handle) -> Option<usize> {
        let region = self.region.as_mut()?;
        let index = match self.free.pop() {
            Some(index) => index,
            None if self.end < ENTRIES => {
                self.end += 1;
                self.end - 1
            }
            None => return None,
        };
        self.used += 1;
        region.write(entry_at(index) - AT, handle);
        region.store_u64(8, self.end as u64);
        region.store_u64(0, self.used as u64);
        Some(index)
    }

    /// Says that a file is closed, if the entry is still its.
    pub(crate) fn clear_if(&mut self, index: usize, handle: &Handle) {
        let region = self.region.as_ref();
        if region.is_some_and(|region| region.read::<Handle>(entry_at(index) - AT) == *handle) {
            self.clear(index);
        }
    }

    /// Says that it is closed.
    pub(crate) fn clear(&mut self, index: usize) {
        let Some(region) = &mut self.region else {
            return;
        };
        region.write(entry_at(index) - AT, &Handle::default());
        self.used -= 1;
        self.free.push(index);
        if self.used == 0 {
            (self.end, self.free) = (0, Vec::new());
            region.store_u64(8, 0);
        }
        region.store_u64(0, self.used as u64);
    }

    /// The same, until the entry is dropped.
    pub(crate) fn enter(table: &Rc<RefCell<Self>>, handle: &Handle) -> Entry {
        Entry {
            index: table.borrow_mut().set(handle),
            table: Rc::clone(table),
        }
    }
}
