// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! From a block's number to its slot: open addressing with linear probing, at most half full.
//!
//! Made anew at every restart for thousands of blocks, and looked into for every block that is read; a
//! tree costs ten times as much.

use alloc::vec;
use alloc::vec::Vec;

/// A map from block to slot for as many blocks as there are slots.
///
/// An array of zeros: that is made in no time.
#[derive(Debug)]
pub struct Table {
    /// Block and slot, and one to that; 0: the cell is free.
    cells: Vec<[u64; 2]>,
    mask: usize,
    shift: u32,
}

impl Table {
    /// A table for up to `slots` blocks.
    pub fn new(slots: usize) -> Self {
        let cells = (slots.max(1) * 2).next_power_of_two();
        Self {
            cells: vec![[0; 2]; cells],
            mask: cells - 1,
            shift: u64::BITS - cells.ilog2(),
        }
    }

    #[inline]
    fn home(&self, block: u64) -> usize {
        // Fibonacci hashing: the upper bits of the product depend on all bits.
        (block.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> self.shift) as usize
    }

    /// The cell of the block, or the free one where it would go.
    #[inline]
    fn cell(&self, block: u64) -> usize {
        let mut at = self.home(block);
        loop {
            let [other, and_one] = self.cells[at];
            if and_one == 0 || other == block {
                return at;
            }
            at = (at + 1) & self.mask;
        }
    }

    /// The slot of a block.
    #[inline]
    pub fn get(&self, block: u64) -> Option<u32> {
        slot(self.cells[self.cell(block)])
    }

    /// Sets the slot of a block; returns the one that it had.
    #[inline]
    pub fn insert(&mut self, block: u64, new: u32) -> Option<u32> {
        let at = self.cell(block);
        let cell = [block, u64::from(new) + 1];
        slot(core::mem::replace(&mut self.cells[at], cell))
    }

    /// Forgets a block.
    pub fn remove(&mut self, block: u64) {
        let mut hole = self.cell(block);
        if self.cells[hole][1] == 0 {
            return;
        }
        // Later cells of the run move up, unless that would put them before their home.
        let mut at = hole;
        loop {
            at = (at + 1) & self.mask;
            let cell = self.cells[at];
            if cell[1] == 0 {
                break;
            }
            let distance = at.wrapping_sub(self.home(cell[0])) & self.mask;
            if distance >= at.wrapping_sub(hole) & self.mask {
                self.cells[hole] = cell;
                hole = at;
            }
        }
        self.cells[hole] = [0; 2];
    }
}

#[inline]
fn slot([_, and_one]: [u64; 2]) -> Option<u32> {
    and_one.checked_sub(1).map(|slot| slot as u32)
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;

    use super::*;

    #[test]
    fn does_what_a_map_does() {
        let mut table = Table::new(32);
        let mut map = BTreeMap::new();
        let mut random = 1_u64;
        for round in 0..20_000_u32 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let block = random >> 58;
            if map.len() < 32 && random & 0x10_0000 != 0 {
                assert_eq!(table.insert(block, round), map.insert(block, round));
            } else {
                table.remove(block);
                map.remove(&block);
            }
            for block in 0..64 {
                assert_eq!(table.get(block), map.get(&block).copied());
            }
        }
    }
}
