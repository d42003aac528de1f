// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Where the blocks of a file are, as its inode on the disk says: for reads that go past `rsext4`.
//!
//! `rsext4` copies each block through two buffers of its own and walks the tree of extents each time. A read
//! needs neither. What changes a file forgets its map ([`FileMaps::forget`]); between operations the inode
//! in the store is always up to date, because every operation ends with `rsext4` writing everything.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use jbd2::Extent;

use crate::layout::{Inode, Superblock};

/// Maps that are kept; one more, and all are made anew when they are needed.
const MAPS_MAX: usize = 512;
/// In an extent's length: its blocks are allocated and read as zeros.
const UNWRITTEN: u32 = 0x8000;
/// A file in more pieces is read through `rsext4`.
const RUNS_MAX: usize = 4096;

/// Neighbouring blocks of a file that are neighbours on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// First block, counted in the file.
    pub logical: u64,
    /// The same block on the disk.
    pub physical: u64,
    /// Blocks.
    pub length: u64,
}

/// A regular file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileMap {
    /// See [`Inode::generation`].
    pub generation: u64,
    /// Bytes.
    pub size: u64,
    /// Second of the last change of the contents.
    pub mtime: u32,
    /// Where the last read ended: a read from there on is one after the other.
    pub next: u64,
    /// Where what was read ahead ends: a client that has found all until there without us comes there next,
    /// or begins anew.
    pub ahead: u64,
    runs: Vec<Run>,
}

impl FileMap {
    /// Reads the map of a file; `None` when this is no regular file, or none that can be read so.
    ///
    /// # Errors
    ///
    /// As `read`.
    pub fn read<E>(
        superblock: &Superblock,
        inode: &Inode,
        read: &mut crate::layout::Read<'_, E>,
    ) -> Result<Option<Self>, E> {
        if !inode.is_regular_with_extents() {
            return Ok(None);
        }
        let Some(extents) = superblock.extents(inode, read)? else {
            return Ok(None);
        };
        let written = |extent: &&Extent| extent.length <= UNWRITTEN;
        let runs: Vec<_> = extents.iter().filter(written).map(run).collect();
        let sound = runs.len() <= RUNS_MAX
            && runs
                .iter()
                .all(|run| run.physical + run.length <= superblock.blocks)
            && runs
                .windows(2)
                .all(|pair| pair[0].logical + pair[0].length <= pair[1].logical);
        Ok(sound.then(|| Self {
            generation: inode.generation(),
            size: inode.size(),
            mtime: inode.mtime(),
            next: 0,
            ahead: 0,
            runs,
        }))
    }

    /// The block on the disk of a block of the file, and how many follow it there, itself included. Without
    /// a block: how many follow that have none either.
    pub fn find(&self, logical: u64) -> (Option<u64>, u64) {
        let after = self.runs.partition_point(|run| run.logical <= logical);
        if let Some(run) = after.checked_sub(1).map(|index| self.runs[index]) {
            let skip = logical - run.logical;
            if skip < run.length {
                return (Some(run.physical + skip), run.length - skip);
            }
        }
        let until = self.runs.get(after).map_or(u64::MAX, |run| run.logical);
        (None, until - logical)
    }

    /// Whether a write there changes neither size nor blocks.
    pub fn is_in_place(&self, offset: u64, length: usize, block_size: usize) -> bool {
        offset.saturating_add(length as u64) <= self.size
            && self.has_blocks(offset, length, block_size)
    }

    /// Whether all of a range has blocks on the disk.
    pub fn has_blocks(&self, offset: u64, length: usize, block_size: usize) -> bool {
        let end = offset.saturating_add(length as u64);
        let size = block_size as u64;
        let mut block = offset / size;
        while block * size < end {
            match self.find(block) {
                (Some(_), follow) => block += follow,
                (None, _) => return false,
            }
        }
        true
    }

    /// The file has grown at its end.
    pub fn grow(&mut self, size: u64, runs: &[Run], seconds: u32) {
        self.size = size;
        self.mtime = seconds;
        for run in runs {
            match self.runs.last_mut() {
                Some(last)
                    if last.logical + last.length == run.logical
                        && last.physical + last.length == run.physical =>
                {
                    last.length += run.length;
                }
                _ => self.runs.push(*run),
            }
        }
    }
}

fn run(extent: &Extent) -> Run {
    Run {
        logical: u64::from(extent.logical),
        physical: extent.physical,
        length: u64::from(extent.length),
    }
}

/// The maps of files that were read not long ago.
#[derive(Debug, Default)]
pub struct FileMaps {
    maps: BTreeMap<u32, FileMap>,
}

impl FileMaps {
    /// The map of a file.
    pub fn get(&mut self, inode: u32) -> Option<&mut FileMap> {
        self.maps.get_mut(&inode)
    }

    /// Keeps a map.
    pub fn insert(&mut self, inode: u32, map: FileMap) {
        if self.maps.len() >= MAPS_MAX {
            self.maps.clear();
        }
        self.maps.insert(inode, map);
    }

    /// A file changes.
    pub fn forget(&mut self, inode: u32) {
        self.maps.remove(&inode);
    }

    /// Some file changes.
    pub fn forget_all(&mut self) {
        self.maps.clear();
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn map() -> FileMap {
        let run = |logical, physical, length| Run {
            logical,
            physical,
            length,
        };
        FileMap {
            generation: 1,
            size: 12_000,
            mtime: 0,
            next: 0,
            ahead: 0,
            runs: vec![run(0, 100, 2), run(2, 50, 1), run(9, 200, 3)],
        }
    }

    #[test]
    fn blocks_and_holes_are_found() {
        let map = map();
        assert_eq!(map.find(0), (Some(100), 2));
        assert_eq!(map.find(1), (Some(101), 1));
        assert_eq!(map.find(2), (Some(50), 1));
        assert_eq!(map.find(3), (None, 6));
        assert_eq!(map.find(11), (Some(202), 1));
        assert_eq!(map.find(12).0, None);
    }

    #[test]
    fn in_place_is_within_size_and_blocks() {
        let map = map();
        assert!(map.is_in_place(0, 12_000, 4096));
        assert!(!map.is_in_place(1, 12_000, 4096));
        assert!(map.is_in_place(4096, 4096, 4096));
        assert!(!map.is_in_place(4096, 4096, 1024));
        assert!(!map.is_in_place(u64::MAX, 2, 4096));
    }
}
