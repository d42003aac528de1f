// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Writes that are acknowledged first and carried out later, many at once (decision 0079).
//!
//! A write of whole blocks to the end of a file is put into slots of the cache and noted in the index, both
//! of which outlive us, and is acknowledged. Nothing else of the file system changes. What is noted is
//! *carried out*, in its order, before anything that could see that it is not: so nobody ever sees more or
//! less than all that was acknowledged, and what is committed is at any time what was acknowledged up to
//! some moment. A life that finds such notes goes on with them. The transaction that carries a write out
//! also has its number, so that no life carries it out twice, and its result, as that of any other
//! operation.
//!
//! Only what rests on committed state is noted: a file that a transaction under way has made could still
//! vanish.

mod writes;

use core::ops::Range;

use proto::fs::{CompletionWire, Errno, Handle};
use recovery::fault_point;
use rsext4::InodeInfo;
use sel4_shared_memory::{SharedMut, SharedRef};

use crate::append::{Contents, FRESH_BLOCKS_MIN};
use crate::disk::Disk;
use crate::index::{DeferredWrite, RECORDS};
use crate::operations::{Failure, source};
use crate::request::{Output, Request};
use crate::results::{CLIENTS_MAX, SLOTS};
use crate::source::Source;
use crate::store::LeftBlock;
use crate::volume::{Volume, store_errno};
use crate::whole::RecordPlace;
pub(crate) use writes::Deferred;
use writes::result;

/// Free blocks that are left alone: a file that grows takes a few for itself.
const SPARE_BLOCKS: u64 = 256;
/// Wake-ups in a row that find nothing to do, after which what waits is carried out. One alone may be the
/// driver's second word about a request.
const QUIET_WAKE_UPS: u32 = 2;

impl<D: Disk> Volume<D> {
    /// Acknowledges a write that is carried out later; `None` when it has to be carried out now.
    ///
    /// # Errors
    ///
    /// When what waits has to be carried out first, and cannot be.
    pub(crate) fn defer(
        &mut self,
        request: &Request,
        place: &RecordPlace,
        input: &SharedRef,
    ) -> Result<Option<CompletionWire>, Errno> {
        let (handle, offset, data) = match request {
            Request::Write {
                handle,
                offset,
                data,
            } => (handle, Some(*offset), source(input, *data)),
            Request::Append { handle, data } => (handle, None, source(input, *data)),
            _ => return Ok(None),
        };
        let size = self.superblock.block_size as u64;
        let length = data.len() as u64;
        let count = length / size;
        let is_whole = length.is_multiple_of(size) && count >= FRESH_BLOCKS_MIN;
        if !is_whole || self.share.is_some() || self.growth.shape.is_none() {
            return Ok(None);
        }
        let Some(offset) = self.end_for(handle, offset)? else {
            return Ok(None);
        };
        let is_misplaced = !offset.is_multiple_of(size) || offset + length > self.file_bytes_max();
        let most = self.store.borrow().deferred_max() as u64;
        if is_misplaced || count > most || self.store.borrow().has_uncommitted() {
            return Ok(None);
        }
        let blocks = self.deferred.slots.len() as u64;
        if self.deferred.writes.len() == RECORDS || blocks + count > most {
            self.carry_out_deferred()?;
            self.commit(false)?;
        }
        if self.deferred.writes.is_empty() {
            self.deferred.room = self.free_now().blocks.saturating_sub(SPARE_BLOCKS);
        }
        if count > self.deferred.room {
            return Ok(None);
        }
        let write = DeferredWrite {
            number: self.deferred.last + 1,
            sequence: place.sequence,
            inode: handle.inode.get(),
            generation: handle.generation.get(),
            offset,
            length: length as u32,
            client: place.client as u16,
            slot: place.slot as u16,
        };
        Ok(self.note(&write, data).then(|| result(&write)))
    }

    /// Where a write begins that begins at the end of a file.
    fn end_for(&mut self, handle: &Handle, offset: Option<u64>) -> Result<Option<u64>, Errno> {
        let inode = self.check_handle(handle)?;
        if self.maps.get(inode).is_none() && !self.make_map(inode)? {
            return Ok(None);
        }
        let map = self.maps.get(inode).expect("it was just made");
        if map.generation != handle.generation.get() {
            return Ok(None);
        }
        let end = self.deferred.end_of(inode).unwrap_or(map.size);
        Ok(offset.is_none_or(|offset| offset == end).then_some(end))
    }

    /// Takes the blocks and notes the write. False when there is no room; nothing was changed then.
    fn note(&mut self, write: &DeferredWrite, data: Source<'_>) -> bool {
        let first = write.offset / self.superblock.block_size as u64;
        let mut store = self.store.borrow_mut();
        let deferred = &mut self.deferred;
        let before = deferred.slots.len();
        // Clients that read without us must not take the file to end where it did.
        store.count_change(Some(write.inode));
        if store
            .defer(write.inode, first, data, &mut deferred.slots)
            .is_err()
        {
            for slot in deferred.slots.drain(before..) {
                store.end_deferred(slot);
            }
            return false;
        }
        fault_point!("fs.before_note");
        store.keep_deferred(write, first, &deferred.slots[before..]);
        fault_point!("fs.after_note");
        deferred.room -= (deferred.slots.len() - before) as u64;
        deferred.writes.push(*write);
        deferred.last = write.number;
        deferred.quiet = 0;
        true
    }

    /// What a request returned that was acknowledged, and is not committed.
    pub(crate) fn deferred_result(&self, place: &RecordPlace) -> Option<CompletionWire> {
        self.deferred.result_of(place)
    }

    /// Carries out what waits, if the request could see that it does.
    ///
    /// # Errors
    ///
    /// When that fails.
    pub(crate) fn settle_deferred(&mut self, request: &Request) -> Result<(), Errno> {
        let sees = match request {
            Request::Read { handle, .. } => self.deferred.end_of(handle.inode.get()).is_some(),
            _ => true,
        };
        if sees {
            self.carry_out_deferred()
        } else {
            Ok(())
        }
    }

    /// Carries out what waits, to be committed with the group.
    ///
    /// # Errors
    ///
    /// When the disk fails. What cannot be carried out for another reason is given up at the second
    /// attempt, and the next `fsync` says so, as POSIX has it for writes that fail after they have
    /// returned.
    pub(crate) fn carry_out_deferred(&mut self) -> Result<(), Errno> {
        while !self.deferred.waiting().is_empty() {
            let run = self.deferred.next_run();
            fault_point!("fs.before_carry_out");
            let Err(failure) = self.carry_out_run(&run) else {
                fault_point!("fs.after_carry_out");
                self.deferred.carried_out = run.end;
                self.deferred.has_failed = false;
                continue;
            };
            self.roll_back()?;
            let (Failure::Refused(errno) | Failure::Broken(errno)) = failure;
            let is_again = core::mem::replace(&mut self.deferred.has_failed, true);
            if self.store.borrow().has_failed() || !is_again {
                return Err(errno);
            }
            self.give_up_run(&run, errno);
        }
        Ok(())
    }

    fn carry_out_run(&mut self, run: &Range<usize>) -> Result<(), Failure> {
        let size = self.superblock.block_size;
        let slots = self.deferred.slots_of(run, size);
        let slots = self.deferred.slots[slots].to_vec();
        let writes = self.deferred.writes[run.clone()].to_vec();
        let (first, last) = (writes[0], writes[writes.len() - 1]);
        let is_whole = {
            let mut store = self.store.borrow_mut();
            slots.iter().all(|slot| store.is_whole(*slot))
        };
        if !is_whole {
            log::error!("what was written to file {} is damaged", first.inode);
            return Err(Failure::Broken(Errno::Io));
        }
        self.store.borrow_mut().count_carried_out();
        let handle = Handle {
            inode: first.inode.into(),
            generation: first.generation.into(),
            ..Handle::default()
        };
        if self.end_for(&handle, None)?.is_none() || !self.grow_by(&first, &slots)? {
            self.write_slots_by_ext4(&handle, first.offset, &slots)?;
        }
        if !core::mem::take(&mut self.past_ext4) {
            self.finish().map_err(Failure::Broken)?;
        }
        self.record_run(&writes)?;
        let mut store = self.store.borrow_mut();
        let numbered = self.results().set_deferred(&mut store, last.number);
        numbered.map_err(|error| Failure::Broken(store_errno(error)))?;
        store
            .end_operation()
            .map_err(|error| Failure::Broken(store_errno(error)))
    }

    /// Records what the last write of each slot of a client returned: no other can be asked for again.
    fn record_run(&mut self, writes: &[DeferredWrite]) -> Result<(), Failure> {
        for (index, write) in writes.iter().enumerate() {
            let is_of_slot =
                |other: &DeferredWrite| (other.client, other.slot) == (write.client, write.slot);
            if writes[index + 1..].iter().any(is_of_slot) {
                continue;
            }
            let place = RecordPlace {
                client: write.client.into(),
                slot: write.slot.into(),
                sequence: write.sequence,
            };
            self.record(&place, &result(write))
                .map_err(Failure::Broken)?;
        }
        Ok(())
    }

    fn grow_by(&mut self, first: &DeferredWrite, slots: &[u32]) -> Result<bool, Failure> {
        let map = self.maps.get(first.inode);
        if map.is_none_or(|map| map.size != first.offset) {
            return Ok(false);
        }
        self.grow(first.inode, first.offset, Contents::Slots(slots))
    }

    /// What is not met every day: see [`Self::grow`].
    fn write_slots_by_ext4(
        &mut self,
        handle: &Handle,
        offset: u64,
        slots: &[u32],
    ) -> Result<(), Failure> {
        let size = self.superblock.block_size;
        self.refresh().map_err(Failure::Broken)?;
        let info = self.regular(handle)?;
        let inode = info.number.raw();
        self.maps.forget(inode);
        self.settle(inode, &[offset, info.size])?;
        let mut bytes = alloc::vec![0; size];
        for (index, slot) in slots.iter().enumerate() {
            self.store.borrow_mut().read_slot(*slot, &mut bytes);
            let at = offset + (index * size) as u64;
            self.write(inode, at, &bytes).map_err(Failure::Broken)?;
        }
        Ok(())
    }

    /// Some writes cannot be carried out.
    fn give_up_run(&mut self, run: &Range<usize>, errno: Errno) {
        let lost = &self.deferred.writes[run.clone()];
        let (inode, bytes) = (
            lost[0].inode,
            lost.iter().map(|write| u64::from(write.length)),
        );
        log::error!(
            "{} bytes of file {inode} are lost: {errno}",
            bytes.sum::<u64>()
        );
        self.deferred.is_lost = true;
        self.deferred.has_failed = false;
        self.drop_writes(run);
    }

    /// Forgets writes, and gives their slots back.
    fn drop_writes(&mut self, writes: &Range<usize>) {
        let slots = self.deferred.slots_of(writes, self.superblock.block_size);
        let mut store = self.store.borrow_mut();
        for slot in self.deferred.slots.drain(slots) {
            store.end_deferred(slot);
        }
        self.deferred.writes.drain(writes.clone());
    }

    /// The group is committed, and what was carried out with it.
    pub(crate) fn forget_carried_out(&mut self) {
        let done = core::mem::take(&mut self.deferred.carried_out);
        if done != 0 {
            self.drop_writes(&(0..done));
        }
    }

    /// The group is dropped: what was carried out with it waits again, for the next life.
    pub(crate) fn wait_again(&mut self) {
        self.deferred.carried_out = 0;
    }

    /// Whether anything waits, or is in the group.
    pub(crate) fn has_deferred(&self) -> bool {
        self.deferred.count() != 0
    }

    /// The size of a file with what waits at its end: a disk that has failed takes nothing more from us,
    /// and what was acknowledged can be read all the same.
    pub(crate) fn size_of(&self, info: &InodeInfo) -> u64 {
        let end = self.deferred.end_of(info.number.raw());
        end.map_or(info.size, |end| end.max(info.size))
    }

    /// Reads such a file; `None` when nothing of it waits.
    ///
    /// # Errors
    ///
    /// As [`Self::run_read`].
    pub(crate) fn read_deferred(
        &mut self,
        handle: &Handle,
        offset: u64,
        output: Output,
        to: &mut SharedMut,
    ) -> Result<Option<CompletionWire>, Errno> {
        let size = self.superblock.block_size;
        let slots = self.deferred.slots_of_file(handle, size);
        let Some((begin, slots)) = slots else {
            return Ok(None);
        };
        let end = begin + (slots.len() * size) as u64;
        let mut done = 0;
        if offset < begin {
            let length = u64::min(output.length as u64, begin - offset) as usize;
            let before = self.run_read(handle, offset, Output { length, ..output }, to)?;
            done = before.value.get() as usize;
        }
        while done < output.length && offset + (done as u64) < end {
            let at = (offset + done as u64 - begin) as usize;
            let (slot, skip) = (slots[at / size], at % size);
            let length = (output.length - done).min(size - skip);
            let mut store = self.store.borrow_mut();
            if !store.is_whole(slot) {
                return Err(Errno::Io);
            }
            store.copy_slot(slot, skip, (&mut *to, output.offset + done, length));
            done += length;
        }
        Ok(Some(CompletionWire {
            value: (done as u64).into(),
            ..CompletionWire::default()
        }))
    }

    /// Whether anything was lost since this was last asked.
    pub(crate) fn take_is_lost(&mut self) -> bool {
        core::mem::take(&mut self.deferred.is_lost)
    }

    /// Carries out and commits what waits, if nobody has asked for anything for some time.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub(crate) fn carry_out_when_due(&mut self) -> Result<(), Errno> {
        if self.deferred.waiting().is_empty() || self.deferred.quiet < QUIET_WAKE_UPS {
            return Ok(());
        }
        self.carry_out_deferred()?;
        self.commit(false)
    }

    /// Finds what the last life has acknowledged and not committed.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub(crate) fn take_left(&mut self) -> Result<(), Errno> {
        let size = self.superblock.block_size as u64;
        let mut store = self.store.borrow_mut();
        let (writes, mut left) = store.take_left();
        let done = self.results.deferred(&mut store).map_err(store_errno)?;
        let deferred = &mut self.deferred;
        deferred.last = writes.last().map_or(done, |write| write.number.max(done));
        left.sort_unstable();
        let sane = |write: &&DeferredWrite| {
            write.number > done
                && usize::from(write.client) < CLIENTS_MAX
                && usize::from(write.slot) < SLOTS
        };
        for write in writes.iter().filter(sane) {
            let first = write.offset / size;
            let before = deferred.slots.len();
            let logical = first..first + u64::from(write.length) / size;
            deferred.slots.extend(logical.clone().map_while(|logical| {
                let found = left.binary_search_by_key(&(write.inode, logical), |block| {
                    (block.inode, block.logical)
                });
                found.ok().map(|index| left[index].slot)
            }));
            if (deferred.slots.len() - before) as u64 == logical.end - logical.start {
                deferred.writes.push(*write);
            } else {
                log::error!("{} bytes of file {} are lost", write.length, write.inode);
                deferred.slots.truncate(before);
                deferred.is_lost = true;
            }
        }
        let mut kept = deferred.slots.clone();
        kept.sort_unstable();
        for LeftBlock { slot, .. } in left {
            if kept.binary_search(&slot).is_err() {
                store.end_deferred(slot);
            }
        }
        Ok(())
    }
}
