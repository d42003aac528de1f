// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Where the journal's blocks are on the disk.

use alloc::vec::Vec;

/// A run of journal blocks that are neighbours on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// First block, counted from the start of the journal.
    pub logical: u32,
    /// The same block, counted from the start of the file system.
    pub physical: u64,
    /// Number of blocks, not 0.
    pub length: u32,
}

/// All blocks of the journal, without holes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalMap {
    extents: Vec<Extent>,
    blocks: u32,
}

impl JournalMap {
    /// Takes extents in order of `logical`; `None` when they leave holes or overlap.
    pub fn new(extents: Vec<Extent>) -> Option<Self> {
        let mut blocks = 0u32;
        for extent in &extents {
            if extent.logical != blocks || extent.length == 0 {
                return None;
            }
            extent.physical.checked_add(u64::from(extent.length))?;
            blocks = blocks.checked_add(extent.length)?;
        }
        Some(Self { extents, blocks })
    }

    /// The runs, in order.
    pub fn extents(&self) -> &[Extent] {
        &self.extents
    }

    /// Number of blocks.
    pub fn blocks(&self) -> u32 {
        self.blocks
    }

    /// Where journal block `logical` is, and how many follow it directly on the disk, itself included.
    ///
    /// # Panics
    ///
    /// When the journal has no such block.
    pub fn run(&self, logical: u32) -> (u64, u32) {
        let after = self
            .extents
            .partition_point(|extent| extent.logical <= logical);
        let extent = self.extents[after - 1];
        let skip = logical - extent.logical;
        assert!(
            skip < extent.length,
            "block {logical} is outside the journal"
        );
        (extent.physical + u64::from(skip), extent.length - skip)
    }

    /// Whether the disk's block `physical` belongs to the journal.
    pub fn contains(&self, physical: u64) -> bool {
        self.extents.iter().any(|extent| {
            (extent.physical..extent.physical + u64::from(extent.length)).contains(&physical)
        })
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn runs_end_at_extents() {
        let first = Extent {
            logical: 0,
            physical: 100,
            length: 4,
        };
        let second = Extent {
            logical: 4,
            physical: 50,
            length: 2,
        };
        let map = JournalMap::new(vec![first, second]).unwrap();
        assert_eq!(map.blocks(), 6);
        assert_eq!(map.run(0), (100, 4));
        assert_eq!(map.run(3), (103, 1));
        assert_eq!(map.run(5), (51, 1));
        assert!(map.contains(51) && map.contains(103) && !map.contains(52) && !map.contains(99));
        assert_eq!(JournalMap::new(vec![second]), None);
    }
}
