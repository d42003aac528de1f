// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Stage 1 page tables of a PD, computed on the host.
//!
//! A Microkit system maps everything before the first PD runs and nothing afterwards, so the kernel
//! needs no paging code: it loads the root's address. 4 KiB granule, 40-bit addresses as on seL4
//! for this board, hence four levels with two entries at the top.
//!
//! The kernel is not in these tables at all (it lives behind the other base register), and it never
//! executes a PD's pages (PXN everywhere).

use std::collections::BTreeMap;

use crate::wire::{
    ATTRIBUTE_DEVICE, ATTRIBUTE_NORMAL, MAP_CACHED, MAP_EXECUTE, MAP_LARGE, MAP_READ, MAP_WRITE,
};

const VALID: u64 = 1 << 0;
/// Table at levels 0 to 2, page at level 3; clear means block.
const TABLE_OR_PAGE: u64 = 1 << 1;
const ATTRIBUTE_SHIFT: u32 = 2;
const USER: u64 = 1 << 6;
const READ_ONLY: u64 = 1 << 7;
const INNER_SHAREABLE: u64 = 0b11 << 8;
const ACCESSED: u64 = 1 << 10;
/// Tagged with the ASID.
const NOT_GLOBAL: u64 = 1 << 11;
const PRIVILEGED_NO_EXECUTE: u64 = 1 << 53;
const USER_NO_EXECUTE: u64 = 1 << 54;

const PAGE: u64 = 0x1000;
const BLOCK: u64 = 0x20_0000;

/// One PD's tables while they are being filled.
#[derive(Default)]
pub(crate) struct Tables {
    /// Entries by level and by the address range that they translate.
    tables: BTreeMap<(u8, u64), BTreeMap<u16, u64>>,
}

impl Tables {
    pub(crate) fn new() -> Self {
        let mut tables = Self::default();
        tables.tables.insert((0, 0), BTreeMap::new());
        tables
    }

    /// Adds pages; returns the first address that was mapped already, if any.
    pub(crate) fn map(&mut self, vaddr: u64, paddr: u64, size: u64, flags: u16) -> Result<(), u64> {
        // Like seL4, which has no access without read on this machine.
        let Some(attributes) = attributes(flags) else {
            return Ok(());
        };
        let (level, step, kind) = if flags & MAP_LARGE != 0 {
            (2, BLOCK, 0)
        } else {
            (3, PAGE, TABLE_OR_PAGE)
        };
        let mut offset = 0;
        while offset < size {
            let at = vaddr + offset;
            let entry = (paddr + offset) | attributes | kind | VALID;
            self.make_tables(at, level);
            let table = self.tables.entry((level, prefix(at, level))).or_default();
            if table.insert(index(at, level), entry).is_some() {
                return Err(at);
            }
            offset += step;
        }
        Ok(())
    }

    fn make_tables(&mut self, vaddr: u64, leaf: u8) {
        for level in 1..=leaf {
            self.tables
                .entry((level, prefix(vaddr, level)))
                .or_default();
        }
    }

    /// Bytes that [`Tables::finish`] returns.
    pub(crate) fn size(&self) -> u64 {
        self.tables.len() as u64 * PAGE
    }

    /// The tables' bytes if the root is put at `paddr` and the rest behind it.
    pub(crate) fn finish(&self, paddr: u64) -> Vec<u8> {
        let place: BTreeMap<_, _> = self
            .tables
            .keys()
            .zip((paddr..).step_by(PAGE as usize))
            .collect();
        let mut bytes = vec![0; self.size() as usize];
        let mut put = |table: u64, index: u16, entry: u64| {
            let at = (table - paddr) as usize + usize::from(index) * 8;
            bytes[at..at + 8].copy_from_slice(&entry.to_le_bytes());
        };
        for (key, entries) in &self.tables {
            for (&index, &entry) in entries {
                put(place[key], index, entry);
            }
            let &(level, range) = key;
            if level > 0 {
                let vaddr = range << shift_of_table(level);
                let parent = (level - 1, prefix(vaddr, level - 1));
                put(
                    place[&parent],
                    index(vaddr, level - 1),
                    place[key] | TABLE_OR_PAGE | VALID,
                );
            }
        }
        bytes
    }
}

/// Address bits below an entry of `level`.
fn shift(level: u8) -> u32 {
    39 - 9 * u32::from(level)
}

/// Address bits below a whole table of `level`.
fn shift_of_table(level: u8) -> u32 {
    shift(level) + 9
}

fn prefix(vaddr: u64, level: u8) -> u64 {
    vaddr >> shift_of_table(level)
}

fn index(vaddr: u64, level: u8) -> u16 {
    ((vaddr >> shift(level)) & 0x1ff) as u16
}

fn attributes(flags: u16) -> Option<u64> {
    if flags & MAP_READ == 0 {
        return None;
    }
    let memory = if flags & MAP_CACHED != 0 {
        ATTRIBUTE_NORMAL
    } else {
        ATTRIBUTE_DEVICE
    };
    let mut bits = USER | INNER_SHAREABLE | ACCESSED | NOT_GLOBAL | PRIVILEGED_NO_EXECUTE;
    bits |= memory << ATTRIBUTE_SHIFT;
    if flags & MAP_WRITE == 0 {
        bits |= READ_ONLY;
    }
    if flags & MAP_EXECUTE == 0 {
        bits |= USER_NO_EXECUTE;
    }
    Some(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the machine does: walks from the root.
    fn walk(bytes: &[u8], root: u64, vaddr: u64) -> Option<u64> {
        let mut table = root;
        for level in 0..=3 {
            let at = (table - root) as usize + usize::from(index(vaddr, level)) * 8;
            let entry = u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
            if entry & VALID == 0 {
                return None;
            }
            if level == 3 || entry & TABLE_OR_PAGE == 0 {
                return Some(entry);
            }
            table = entry & 0xffff_ffff_f000;
        }
        None
    }

    #[test]
    fn pages_are_found_again() {
        let mut tables = Tables::new();
        tables
            .map(
                0x20_0000,
                0x6000_0000,
                0x2000,
                MAP_READ | MAP_EXECUTE | MAP_CACHED,
            )
            .unwrap();
        tables
            .map(
                0xff_ffff_f000,
                0x6000_5000,
                0x1000,
                MAP_READ | MAP_WRITE | MAP_CACHED,
            )
            .unwrap();
        let large = MAP_READ | MAP_WRITE | MAP_CACHED | MAP_LARGE;
        tables
            .map(0x80_6000_0000, 0x6020_0000, 0x40_0000, large)
            .unwrap();
        let root = 0x7100_0000;
        let bytes = tables.finish(root);
        let code = walk(&bytes, root, 0x20_1000).unwrap();
        assert_eq!(code & 0xffff_f000, 0x6000_1000);
        assert_eq!(code & (READ_ONLY | USER_NO_EXECUTE), READ_ONLY);
        let ipc = walk(&bytes, root, 0xff_ffff_f000).unwrap();
        assert_eq!(ipc & 0xffff_f000, 0x6000_5000);
        assert_eq!(ipc & (READ_ONLY | USER_NO_EXECUTE), USER_NO_EXECUTE);
        let block = walk(&bytes, root, 0x80_6020_0000).unwrap();
        assert_eq!(block & 0xffff_f000, 0x6040_0000);
        assert_eq!(walk(&bytes, root, 0x20_2000), None);
        assert_eq!(walk(&bytes, root, 0xff_ffff_e000), None);
        assert_eq!(bytes.len() as u64, tables.size());
    }

    #[test]
    fn every_page_keeps_the_kernel_from_executing_it() {
        for flags in [
            MAP_READ,
            MAP_READ | MAP_EXECUTE,
            MAP_READ | MAP_WRITE | MAP_EXECUTE,
        ] {
            assert_ne!(attributes(flags).unwrap() & PRIVILEGED_NO_EXECUTE, 0);
        }
    }

    #[test]
    fn maps_without_read_give_no_access() {
        let mut tables = Tables::new();
        tables.map(0, 0x6000_0000, 0x1000, MAP_WRITE).unwrap();
        tables.map(0, 0x6000_0000, 0x1000, MAP_EXECUTE).unwrap();
        assert_eq!(walk(&tables.finish(0), 0, 0), None);
    }

    #[test]
    fn a_page_is_mapped_once() {
        let mut tables = Tables::new();
        tables.map(0x1000, 0x6000_0000, 0x1000, MAP_READ).unwrap();
        assert_eq!(tables.map(0, 0x6000_0000, 0x3000, MAP_READ), Err(0x1000));
    }
}
