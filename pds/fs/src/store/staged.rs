// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Blocks and their slots, in the order of the blocks: what an operation, or a group of them, has written.
//!
//! Nearly always a few blocks, each behind the last one. The order is that of the journal, and the same in
//! the life that has to write it again.

use alloc::vec::Vec;

/// A map from block to slot.
#[derive(Debug, Default)]
pub struct Staged {
    blocks: Vec<u64>,
    slots: Vec<u32>,
}

impl Staged {
    /// The slot of a block.
    #[inline]
    pub fn get(&self, block: u64) -> Option<u32> {
        if self.blocks.last().is_none_or(|last| *last < block) {
            return None;
        }
        let found = self.blocks.binary_search(&block);
        found.ok().map(|index| self.slots[index])
    }

    /// Sets the slot of a block; returns the one that it had.
    pub fn insert(&mut self, block: u64, slot: u32) -> Option<u32> {
        let place = match self.blocks.last() {
            Some(last) if *last >= block => self.blocks.binary_search(&block),
            _ => Err(self.blocks.len()),
        };
        match place {
            Ok(index) => Some(core::mem::replace(&mut self.slots[index], slot)),
            Err(index) => {
                self.blocks.insert(index, block);
                self.slots.insert(index, slot);
                None
            }
        }
    }

    /// Forgets a block; returns its slot.
    pub fn remove(&mut self, block: u64) -> Option<u32> {
        let index = self.blocks.binary_search(&block).ok()?;
        self.blocks.remove(index);
        Some(self.slots.remove(index))
    }

    /// The blocks, in their order.
    pub fn blocks(&self) -> &[u64] {
        &self.blocks
    }

    /// Their slots, in the same order.
    pub fn slots(&self) -> &[u32] {
        &self.slots
    }

    /// Both.
    ///
    /// # Panics
    ///
    /// When there are not as many of the one as of the other: some of a transaction would be forgotten.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u32)> + '_ {
        assert!(
            self.blocks.len() == self.slots.len(),
            "a staged block is lost"
        );
        let slots = self.slots.iter().copied();
        self.blocks.iter().copied().zip(slots)
    }

    /// How many there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Forgets all; keeps its memory.
    pub fn clear(&mut self) {
        self.blocks.clear();
        self.slots.clear();
    }
}

/// What an operation has written, or a group of them. A block is in one of the two.
#[derive(Debug, Default)]
pub struct Level {
    /// What goes through the journal.
    pub journalled: Staged,
    /// Contents of blocks that were allocated for them, which go home at once.
    pub fresh: Staged,
    /// Blocks were freed.
    pub freed: bool,
}

impl Level {
    /// The slot of a block.
    #[inline]
    pub fn get(&self, block: u64) -> Option<u32> {
        let found = self.journalled.get(block);
        found.or_else(|| self.fresh.get(block))
    }

    /// Whether nothing was written.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.journalled.is_empty() && self.fresh.is_empty()
    }

    /// How many blocks there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.journalled.len() + self.fresh.len()
    }

    /// Forgets all; keeps its memory.
    pub fn clear(&mut self) {
        self.journalled.clear();
        self.fresh.clear();
        self.freed = false;
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;

    use super::*;

    #[test]
    fn does_what_a_map_does() {
        let (mut staged, mut map) = (Staged::default(), BTreeMap::new());
        let mut random = 1_u64;
        for slot in 0..500 {
            random = random.wrapping_mul(6_364_136_223_846_793_005);
            let block = (random.wrapping_add(u64::from(slot)) >> 33) % 97;
            assert_eq!(staged.insert(block, slot), map.insert(block, slot));
            assert_eq!(staged.len(), map.len());
            for block in 0..98 {
                assert_eq!(staged.get(block), map.get(&block).copied());
            }
        }
        assert_eq!(staged.remove(13), map.remove(&13));
        assert_eq!(staged.remove(13), None);
        assert!(staged.iter().eq(map.into_iter()));
        staged.clear();
        assert!(staged.is_empty() && staged.get(3).is_none());
    }

    #[test]
    #[should_panic(expected = "a staged block is lost")]
    fn a_lost_slot_is_seen() {
        let mut staged = Staged::default();
        staged.insert(1, 2);
        staged.slots.clear();
        let _ = staged.iter();
    }
}
