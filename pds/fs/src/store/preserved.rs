// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The store's side of the index that outlives us: what is entered when, and how a new life begins with it.

use proto::fs::direct::Lease;

use crate::index::{DEFERRED, ENTRIES_AT_ONCE, WordsOfEntry, entry};

use super::*;

/// The checksum that an entry has of its slot's contents. A block of a transaction has the journal's; all
/// others have one that costs half as much.
fn contents<D: Disk>(raw: &mut RawBlocks<D>, at: usize, length: usize, journalled: bool) -> u32 {
    match journalled {
        true => raw.memory().checksum(at, length, Crc32c::new()).finish(),
        false => raw.memory().block_sum(at, length),
    }
}

/// What decides what an entry of an earlier life is worth.
#[derive(Clone, Copy)]
struct Known {
    /// The last transaction that is at home.
    home: u64,
    /// The one after the last committed one was complete.
    has_next: bool,
}

impl<D: Disk> Store<D> {
    /// Says in the index what is in a slot.
    pub(super) fn enter(&mut self, slot: u32, version: u64) {
        if self.index.is_some() {
            let at = self.slot_at(slot);
            let sum = contents(&mut self.raw, at, self.block_size, version != 0);
            self.enter_known(slot, version, sum);
        }
    }

    /// The same with the checksum of the contents.
    pub(super) fn enter_known(&mut self, slot: u32, version: u64, contents: u32) {
        let Some(index) = &mut self.index else { return };
        let known = &mut self.slots[slot as usize];
        let entry = Entry {
            block: known.block,
            version,
            contents,
        };
        index.set(slot as usize, &entry);
        known.indexed = true;
        known.sum = contents;
    }

    /// Whether the next life would find the group, looked at by other code than that which has entered it:
    /// under another number it would drop it (campaign on seL4 release at 9e7fd0d, seed 1, trial 18360).
    #[inline(never)]
    pub(super) fn is_announced(&self) -> bool {
        let group = &self.group.journalled;
        let intent = Intent {
            version: self.version + 1,
            seconds: self.seconds,
            blocks: group.len() as u32,
        };
        let blocks = group
            .blocks()
            .iter()
            .copied()
            .zip(group.slots().iter().copied());
        self.index
            .as_ref()
            .is_none_or(|index| index.has(&intent, blocks))
    }

    /// Takes a slot out of the index, before its contents change.
    pub(super) fn leave(&mut self, slot: u32) {
        let indexed = core::mem::replace(&mut self.slots[slot as usize], Slot::FREE).indexed;
        if indexed && let Some(index) = &mut self.index {
            index.free(slot as usize);
        }
    }

    /// Says in the index how far we are: with one store, all of the last transaction counts.
    pub(super) fn keep_progress(&mut self) {
        let progress = Progress {
            version: self.version,
            home: self.home,
            position: self.journal.position(),
        };
        if let Some(index) = &mut self.index {
            index.set_progress(&progress);
        }
    }

    /// Compares a slot's contents with the index. False: the slot is given up, the disk has the block; or,
    /// of a write that is to be carried out, nobody has it.
    ///
    /// # Panics
    ///
    /// When only the journal has the block. The next life reads the journal then.
    pub(super) fn check_contents(&mut self, slot: u32) -> bool {
        let at = self.slot_at(slot);
        let index = self.index.as_mut().expect("it has been restored");
        let entry = index.get(slot as usize).ok().flatten();
        if let Some(entry) = entry {
            let journalled = entry.version != 0 && entry.block & DEFERRED == 0;
            if entry.contents == contents(&mut self.raw, at, self.block_size, journalled) {
                self.slots[slot as usize].unchecked = false;
                return true;
            }
        }
        self.counters.damaged += 1;
        let Slot { block, state, .. } = self.slots[slot as usize];
        if state == State::Deferred {
            return false;
        }
        if state != State::Clean {
            index.invalidate();
            panic!("block {block} in the cache is damaged; the journal has it");
        }
        log::warn!("block {block} in the cache was damaged; read again from the disk");
        self.cache.remove(block);
        self.release(slot);
        false
    }

    /// Where a client that reads without us finds what is in a slot, if that is committed.
    pub fn lease(&self, slot: u32) -> Option<Lease> {
        let known = &self.slots[slot as usize];
        let is_committed = matches!(known.state, State::Clean | State::Dirty);
        if !is_committed || !known.indexed {
            return None;
        }
        self.index.as_ref()?.lease(slot as usize)
    }

    /// How many of the blocks behind a cached one are in the slots behind its own, of `run` with itself.
    pub fn behind(&self, block: u64, run: u64) -> usize {
        let Some(slot) = self.cache.get(block) else {
            return 0;
        };
        let next = |at: &u32| self.cache.get(block + u64::from(*at)) == Some(slot + at);
        (1..run as u32).take_while(next).count()
    }

    /// Tells clients that read without us that a file changes, or any file.
    pub fn count_change(&mut self, inode: Option<u32>) {
        if let Some(index) = &mut self.index {
            index.count_change(inode);
        }
    }

    /// Enters everything in a new index, which counts from here on. `superblock` and `disk_bytes` are what
    /// the next life needs to know before it can read anything.
    pub fn publish_index(&mut self, superblock: &[u8; 1024], disk_bytes: u64) {
        let Some(index) = &mut self.index else { return };
        let slots = &self.slots;
        index.clear(slots.len(), |slot| slots[slot].deferred);
        if self.left.is_empty() {
            index.forget_deferred();
        }
        self.version = 1;
        for slot in 0..self.slots.len() as u32 {
            match self.slots[slot as usize].state {
                State::Dirty => self.enter(slot, 1),
                State::Clean => self.enter(slot, 0),
                State::Free | State::Staged | State::Deferred => {}
            }
        }
        self.keep_progress();
        let geometry = Geometry {
            superblock: *superblock,
            disk_bytes,
            block_size: self.block_size,
            slots: self.slots.len(),
        };
        if let Some(index) = &mut self.index
            && !index.publish(&geometry, &self.journal)
        {
            self.index = None;
        }
    }

    /// Takes over what an earlier life had in memory: all that was committed, and the transaction that
    /// was complete but not known to be written, which is written again. Nothing is read from the disk.
    ///
    /// # Errors
    ///
    /// Gives everything back when the index makes no sense.
    pub fn restore(
        raw: RawBlocks<D>,
        index: Index,
        restored: (&Geometry, Journal, &Progress),
        blocks: u64,
    ) -> Result<Self, (RawBlocks<D>, Option<Index>)> {
        let (geometry, journal, progress) = restored;
        let bytes = geometry.slots * geometry.block_size;
        let mut store = Self::new(raw, journal, blocks, bytes, Some(index));
        store.version = progress.version;
        store.home = progress.home;
        // Whether the last life has flushed, nobody knows.
        store.unflushed = true;
        store.freed_by_last = true;
        let mut index = store.index.take();
        let taken = index.as_mut().and_then(|index| store.take_entries(index));
        if taken.is_none() || store.slots.len() != geometry.slots {
            return Err((store.raw, index));
        }
        store.index = index;
        Ok(store)
    }

    // Most of what a restart takes: in a function of its own the compiler keeps the loop in registers.
    #[inline(never)]
    fn take_entries(&mut self, index: &mut Index) -> Option<()> {
        let next = self.version + 1;
        let intent = index.intent().filter(|intent| intent.version == next);
        let known = Known {
            home: self.home.min(self.version),
            has_next: intent.is_some(),
        };
        self.free.clear();
        let mut end = self.slots.len();
        while let Some(first) = end.checked_sub(ENTRIES_AT_ONCE) {
            let some = index.get_some(first);
            for (place, words) in some.into_iter().enumerate().rev() {
                self.take_entry(index, (first + place) as u32, words, known)?;
            }
            end = first;
        }
        for slot in (0..end).rev() {
            let words = index.words(slot);
            self.take_entry(index, slot as u32, words, known)?;
        }
        // Whether it has freed anything, nobody knows.
        self.group.freed = !self.group.is_empty();
        let complete =
            intent.is_none_or(|intent| intent.blocks as usize == self.group.journalled.len());
        self.seconds = intent.map_or(0, |intent| intent.seconds);
        complete.then_some(())
    }

    #[inline(always)]
    fn take_entry(
        &mut self,
        index: &mut Index,
        slot: u32,
        words: WordsOfEntry,
        known: Known,
    ) -> Option<()> {
        let Some(entry) = entry(words).ok()? else {
            self.free.push(slot);
            return Some(());
        };
        if entry.block < self.blocks && entry.version <= known.home {
            return self.keep(index, slot, &entry, State::Clean);
        }
        self.take_rare_entry(index, slot, &entry, known)
    }

    /// One that is not clean.
    #[inline(never)]
    fn take_rare_entry(
        &mut self,
        index: &mut Index,
        slot: u32,
        entry: &Entry,
        known: Known,
    ) -> Option<()> {
        if self.keep_left(slot, entry) {
            return Some(());
        }
        if entry.block >= self.blocks {
            self.free.push(slot);
            return Some(());
        }
        let next = self.version + 1;
        let state = match entry.version {
            version if version == next && known.has_next => State::Staged,
            version if version > self.version => {
                index.free(slot as usize);
                self.free.push(slot);
                return Some(());
            }
            _ => State::Dirty,
        };
        self.keep(index, slot, entry, state)
    }

    #[inline(always)]
    fn keep(&mut self, index: &mut Index, slot: u32, entry: &Entry, state: State) -> Option<()> {
        let other = match state {
            State::Staged => self.group.journalled.insert(entry.block, slot),
            _ => self.cache.insert(entry.block, slot),
        };
        self.dirty += usize::from(state == State::Dirty);
        self.slots[slot as usize] = Slot {
            indexed: true,
            unchecked: true,
            sum: entry.contents,
            ..Slot::new(entry.block, state)
        };
        match other {
            None => Some(()),
            Some(other) => self.keep_newer(index, other, slot),
        }
    }

    /// Of two slots that have the same block, the second of which has just taken its place, gives up the one
    /// with the older transaction.
    #[cold]
    fn keep_newer(&mut self, index: &mut Index, first: u32, second: u32) -> Option<()> {
        let version = |slot: u32| Some(index.get(slot as usize).ok()??.version);
        let (old, kept) = if version(first)? < version(second)? {
            (first, second)
        } else {
            (second, first)
        };
        let Slot { block, state, .. } = self.slots[kept as usize];
        if state == State::Staged {
            self.group.journalled.insert(block, kept);
        } else {
            self.cache.insert(block, kept);
        }
        self.dirty -= usize::from(self.slots[old as usize].state == State::Dirty);
        self.slots[old as usize] = Slot::FREE;
        index.free(old as usize);
        self.free.push(old);
        Some(())
    }

    /// Writes again the transaction that the last life has left complete. Call it once, first.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub fn finish_last_transaction(&mut self) -> Result<(), StoreError> {
        let slots = self.group.journalled.slots().to_vec();
        if slots.is_empty() {
            return Ok(());
        }
        for slot in slots {
            self.check_contents(slot);
        }
        fault_point!("fs.before_redo");
        self.counters.redone += 1;
        self.write_group(self.seconds)
    }
}
