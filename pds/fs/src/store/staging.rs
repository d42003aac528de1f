// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What the running operation writes, whole blocks or parts of them; what becomes of it, the parent says.

use crate::source::Source;

use super::*;

impl<D: Disk> Store<D> {
    /// Writes a run of blocks as a part of the running operation.
    ///
    /// # Errors
    ///
    /// When the blocks are not the file system's, or there is no room for the operation.
    pub fn write<'a>(
        &mut self,
        block: u64,
        bytes: impl Into<Source<'a>>,
    ) -> Result<(), StoreError> {
        let bytes = bytes.into();
        if self.failed {
            return Err(StoreError::Failed);
        }
        let (size, count) = (self.block_size, bytes.len() / self.block_size);
        self.check_range(block, count)?;
        for index in 0..count {
            let chunk = bytes.part(index * size, size);
            let block = block + index as u64;
            if self.journal.map().contains(block) {
                return Err(StoreError::Forbidden);
            }
            let slot = match self.operation.get(block) {
                Some(slot) => slot,
                None => {
                    let slot = self.take_slot()?;
                    self.slots[slot as usize] = Slot::new(block, State::Staged);
                    self.operation.journalled.insert(block, slot);
                    slot
                }
            };
            let memory = self.slot_at(slot);
            chunk.put(self.raw.memory(), memory);
        }
        Ok(())
    }

    /// What the running operation has written to go through the journal.
    pub fn staged_blocks(&self) -> Vec<u64> {
        self.operation.journalled.blocks().to_vec()
    }

    /// Reads a block as it was before the running operation.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub fn read_before(&mut self, block: u64, bytes: &mut [u8]) -> Result<(), StoreError> {
        if let Some(slot) = self.find_before(block)
            && (!self.slots[slot as usize].unchecked || self.check_contents(slot))
        {
            let at = self.slot_at(slot);
            self.raw.memory().read_bytes(at, bytes);
            return Ok(());
        }
        Ok(BlockDevice::read(&mut self.raw, block, bytes)?)
    }

    /// Writes a part of a block as a part of the running operation; the rest of the block stays as it is.
    ///
    /// # Errors
    ///
    /// As [`Self::write`] and [`Self::read`].
    pub fn patch_block<'a>(
        &mut self,
        block: u64,
        skip: usize,
        bytes: impl Into<Source<'a>>,
    ) -> Result<(), StoreError> {
        let bytes = bytes.into();
        if skip == 0 && bytes.len() == self.block_size {
            return self.write(block, bytes);
        }
        if let Some(slot) = self.operation.get(block) {
            let at = self.slot_at(slot) + skip;
            bytes.put(self.raw.memory(), at);
            return Ok(());
        }
        if self.find_checked(block).is_some() && !self.failed {
            let new = self.take_slot()?;
            // To find room may have cost the block its slot.
            if let Some(old) = self.find(block) {
                return self.patch_into(new, old, block, skip, bytes);
            }
            self.free.push(new);
        }
        let mut whole = core::mem::take(&mut self.scratch);
        whole.resize(self.block_size, 0);
        let patched = self.read(block, &mut whole).and_then(|()| {
            whole[skip..skip + bytes.len()].copy_from_slice(&bytes.to_vec());
            self.write(block, &whole)
        });
        self.scratch = whole;
        patched
    }

    /// The same, from slot to slot.
    fn patch_into(
        &mut self,
        new: u32,
        old: u32,
        block: u64,
        skip: usize,
        bytes: Source<'_>,
    ) -> Result<(), StoreError> {
        if self.journal.map().contains(block) {
            self.free.push(new);
            return Err(StoreError::Forbidden);
        }
        let (at, from, size) = (self.slot_at(new), self.slot_at(old), self.block_size);
        let memory = self.raw.memory();
        let source = memory.as_shared_ref();
        memory.copy_from(at, &source, from, size);
        bytes.put(memory, at + skip);
        self.slots[new as usize] = Slot::new(block, State::Staged);
        self.operation.journalled.insert(block, new);
        Ok(())
    }
}
