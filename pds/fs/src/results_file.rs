// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Finds the file that `crate::results` reads and writes, or makes it.

use alloc::vec;
use alloc::vec::Vec;

use rsext4::{
    Ext4Error, FileExtentState, FileExtentTarget, FileName, FilePermissions, InodeNumber,
    MutationContext,
};

use crate::disk::Disk;
use crate::results::{FILE_BYTES, FILE_NAME, Results};
use crate::volume::{Mounted, Volume};

impl<D: Disk> Volume<D> {
    /// Finds the file of results that an earlier life of this boot has made, and changes nothing.
    pub(crate) fn find_results(
        ext4: &mut Mounted<D>,
        boot: Option<u64>,
    ) -> Result<Results, Ext4Error> {
        let name = FileName::new(FILE_NAME)?;
        let found = ext4.lookup_child(ext4.root_inode(), name)?;
        if let (Some(found), Some(boot)) = (found, boot)
            && let Some(blocks) = Self::results_blocks(ext4, found.number)?
        {
            return Ok(Results::to_read(found.number.raw(), blocks, boot));
        }
        Ok(Results::none(boot))
    }

    /// Finds the file of results, or makes it.
    pub(crate) fn open_results(ext4: &mut Mounted<D>) -> Result<Results, Ext4Error> {
        let root = ext4.root_inode();
        let name = FileName::new(FILE_NAME)?;
        let inode = match ext4.lookup_child(root, name)? {
            Some(found) => found.number,
            None => {
                let context = MutationContext::new(0, 0, 0, 0);
                ext4.create_regular_file(context, root, name, FilePermissions::new(0o600)?)?
                    .number
            }
        };
        if let Some(blocks) = Self::results_blocks(ext4, inode)? {
            return Ok(Results::new(inode.raw(), blocks));
        }
        ext4.truncate_inode(inode, 0)?;
        let zeros = vec![0; 4096];
        for at in (0..FILE_BYTES).step_by(zeros.len()) {
            ext4.write_inode(inode, at as u64, &zeros)?;
        }
        ext4.sync()?;
        let blocks = Self::results_blocks(ext4, inode)?;
        let blocks = blocks.ok_or_else(|| Ext4Error::corrupted().with_operation("results"))?;
        Ok(Results::new(inode.raw(), blocks))
    }

    /// Where the file's blocks are; `None` when it has not all of them.
    fn results_blocks(
        ext4: &mut Mounted<D>,
        inode: InodeNumber,
    ) -> Result<Option<Vec<u64>>, Ext4Error> {
        if ext4.inode(inode)?.size != FILE_BYTES as u64 {
            return Ok(None);
        }
        let block_size = ext4.statfs().block_size;
        let target = FileExtentTarget::Data;
        let map = ext4.inode_extents(inode, 0, FILE_BYTES as u64, target, FILE_BYTES)?;
        let mut blocks = Vec::new();
        for extent in map.extents {
            let next = blocks.len() as u64 * block_size;
            if extent.logical_start != next || extent.state != FileExtentState::Initialized {
                return Ok(None);
            }
            let first = extent.physical_start / block_size;
            blocks.extend(first..first + extent.length.div_ceil(block_size));
        }
        let enough = blocks.len() as u64 * block_size >= FILE_BYTES as u64;
        Ok(enough.then_some(blocks))
    }
}
