// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The disk behind the block service's request table.
//!
//! A restart of the block service is not seen: its next life completes what the last one left. After a
//! restart of ours, requests of the last life may still be under way; they are waited for before
//! anything else, or a late write could land on what the replay has put in place.

use proto::blk::{
    CompletionWire, DEVICE_READ_ONLY, Operation, RequestWire, SECTOR_BYTES, Segment, Status,
    TRANSFER_BYTES_MAX,
};
use request_table::{AttachError, Client, Slot};
use sel4_shared_memory::{SharedMut, SharedRef};

use crate::disk::{Disk, DiskError};

/// How to tell the block service to look, and to wait for it.
pub trait BlockPeer {
    /// Tells the service that there are requests.
    fn notify(&mut self);

    /// Returns when the service may have completed something. One that can tell that it waits for long
    /// may call `look`, return when that says true, and else tell the service to look again: a
    /// notification or a completion may have been lost.
    fn wait_or(&mut self, look: &mut dyn FnMut() -> bool);

    /// A long piece of work goes on.
    fn pulse(&mut self) {}
}

/// See the head of this file.
pub struct BlkDisk<P> {
    table: Client<RequestWire, CompletionWire>,
    memory: SharedMut,
    peer: P,
    sectors: u64,
    read_only: bool,
    /// Requests were made since the service was last told.
    untold: bool,
    /// First failure of a write since the last wait.
    failure: Option<DiskError>,
    /// Anything has ever failed.
    has_failed: bool,
}

fn check(completion: &CompletionWire) -> Result<u64, DiskError> {
    let completion = completion.check();
    match completion.status {
        Status::Done => Ok(completion.value),
        Status::NoDevice => Err(DiskError::NoDevice),
        Status::OutOfRange => Err(DiskError::OutOfRange),
        _ => Err(DiskError::Io),
    }
}

/// Whether the disk has said that it has failed. Other errors say that a request makes no sense, and requests
/// are ours (campaign on seL4 release at a6f2120, seed 1, trial 445: a flush with a wrong byte, and
/// nothing was written any more).
fn is_failure(completion: &CompletionWire) -> bool {
    let status = completion.check().status;
    !matches!(
        status,
        Status::Done | Status::Invalid | Status::NotSupported | Status::OutOfRange
    )
}

impl<P: BlockPeer> BlkDisk<P> {
    /// Takes the regions shared with the block service.
    ///
    /// # Errors
    ///
    /// When a region is too small.
    pub fn attach(
        requests: SharedMut,
        completions: SharedRef,
        memory: SharedMut,
        peer: P,
    ) -> Result<Self, AttachError> {
        let table = Client::attach(requests, completions)?;
        let untold = table.outstanding_count() != 0;
        Ok(Self {
            table,
            memory,
            peer,
            sectors: 0,
            read_only: false,
            untold,
            failure: None,
            has_failed: false,
        })
    }

    /// Waits for what an earlier life has left, then finds out how large the disk is.
    ///
    /// # Errors
    ///
    /// [`DiskError::NoDevice`] when there is none.
    pub fn start(&mut self) -> Result<(), DiskError> {
        // How those ended is of no interest: the replay reads what is there.
        let _ = self.wait();
        let slot = self.submit(&RequestWire::plain(Operation::Describe));
        let completion = self.wait_for(slot);
        self.sectors = check(&completion)?;
        self.read_only = completion.check().flags & DEVICE_READ_ONLY != 0;
        Ok(())
    }

    fn submit(&mut self, request: &RequestWire) -> Slot {
        loop {
            self.untold = true;
            match self.table.submit(request) {
                Ok(slot) => return slot,
                Err(_full) => self.wait_for_any(),
            }
        }
    }

    fn tell(&mut self) {
        if core::mem::take(&mut self.untold) {
            self.peer.notify();
        }
    }

    fn note(&mut self, completion: &CompletionWire) {
        if let Err(error) = check(completion) {
            self.failure.get_or_insert(error);
        }
    }

    /// Waits until a request is completed; notes the failures of others.
    fn wait_for(&mut self, slot: Slot) -> CompletionWire {
        self.tell();
        loop {
            while let Some((found, _, completion)) = self.table.next_completion() {
                self.has_failed |= is_failure(&completion);
                if found == slot {
                    return completion;
                }
                self.note(&completion);
            }
            self.wait_longer();
        }
    }

    /// Waits for the driver, who owes us an answer. If he does not, our own count of what is under way is
    /// wrong, and nobody would ever end this wait (campaign on seL4 release at a5e7c4a, seed 1, trial 516:
    /// 12 s, until our supervisor had seen enough of it).
    fn wait_longer(&mut self) {
        let owes_us = self.table.outstanding_count() != 0;
        assert!(owes_us, "nothing is under way, and it is waited for");
        self.peer.wait_or(&mut || self.table.remind());
    }

    fn wait_for_any(&mut self) {
        self.tell();
        loop {
            if let Some((_, _, completion)) = self.table.next_completion() {
                self.has_failed |= is_failure(&completion);
                self.note(&completion);
                return;
            }
            self.wait_longer();
        }
    }
}

impl<P: BlockPeer> Disk for BlkDisk<P> {
    fn bytes(&self) -> u64 {
        self.sectors * u64::from(SECTOR_BYTES)
    }

    fn has_failed(&self) -> bool {
        self.has_failed
    }

    fn is_read_only(&self) -> bool {
        self.read_only
    }

    fn memory(&mut self) -> &mut SharedMut {
        // Whatever takes long, it comes by here for every block.
        self.peer.pulse();
        &mut self.memory
    }

    fn read(&mut self, at: u64, memory: usize, length: usize) -> Result<(), DiskError> {
        for part in parts(at, memory, length) {
            assert_inside(&part, at, memory, length);
            let slot = self.submit(&RequestWire::read(part.sector, part.segment));
            check(&self.wait_for(slot))?;
        }
        Ok(())
    }

    fn write(&mut self, at: u64, memory: usize, length: usize) -> Result<(), DiskError> {
        for part in parts(at, memory, length) {
            assert_inside(&part, at, memory, length);
            self.submit(&RequestWire::write(part.sector, part.segment));
        }
        Ok(())
    }

    fn barrier(&mut self) -> Result<(), DiskError> {
        // Nothing that is asked for later begins before a flush is done.
        self.submit(&RequestWire::plain(Operation::Flush));
        Ok(())
    }

    fn wait(&mut self) -> Result<(), DiskError> {
        while self.table.outstanding_count() != 0 {
            self.wait_for_any();
        }
        self.failure.take().map_or(Ok(()), Err)
    }

    fn flush(&mut self) -> Result<(), DiskError> {
        // A flush is a barrier: it waits for the writes before it.
        let slot = self.submit(&RequestWire::plain(Operation::Flush));
        let completion = self.wait_for(slot);
        self.wait()?;
        check(&completion).map(|_| ())
    }
}

struct Part {
    sector: u64,
    segment: Segment,
}

/// Splits a transfer into requests.
fn parts(at: u64, memory: usize, length: usize) -> impl Iterator<Item = Part> {
    let most = TRANSFER_BYTES_MAX as usize;
    (0..length).step_by(most).map(move |done| Part {
        sector: (at + done as u64) / u64::from(SECTOR_BYTES),
        segment: Segment {
            offset: (memory + done) as u32,
            bytes: most.min(length - done) as u32,
        },
    })
}

/// Looked at by other code, before the disk has it: parts that go on behind the end put whatever lies behind
/// in memory over whatever lies behind on the disk (campaign on seL4 release at d5450e3, seed 1, trial 17551:
/// one skipped instruction, and half of the file system was gone).
#[inline(never)]
fn assert_inside(part: &Part, at: u64, memory: usize, length: usize) {
    let skip = (part.segment.offset as usize).wrapping_sub(memory);
    let end = skip.checked_add(part.segment.bytes as usize);
    let is_inside = end.is_some_and(|end| end <= length);
    let is_there = part.sector * u64::from(SECTOR_BYTES) == at.wrapping_add(skip as u64);
    assert!(is_inside && is_there, "not what is to be moved");
}

#[cfg(test)]
mod tests {
    use proto::blk::Completion;
    use sel4_shared_memory::host::{HostRegion, Life};

    use super::*;

    struct Nobody;

    impl BlockPeer for Nobody {
        fn notify(&mut self) {}

        fn wait_or(&mut self, _look: &mut dyn FnMut() -> bool) {
            panic!("a wait without end");
        }
    }

    /// Campaign on seL4 release at a5e7c4a, seed 1, trial 516: an instruction that looks whether anything is
    /// under way loaded that into another register, and the service waited for nothing.
    #[test]
    #[should_panic(expected = "nothing is under way")]
    fn a_wait_for_nothing_ends_the_life() {
        let life = Life::endless();
        let [requests, completions, memory] = [0x8000; 3].map(HostRegion::new);
        let disk = BlkDisk::attach(
            requests.shared_mut(&life),
            completions.shared_ref(),
            memory.shared_mut(&life),
            Nobody,
        );
        disk.unwrap().wait_for_any();
    }

    #[test]
    fn what_makes_no_sense_is_no_failure_of_the_disk() {
        let fails = |status| is_failure(&Completion::failed(status).to_wire(1));
        assert!(
            [Status::Io, Status::NoDevice, Status::ReadOnly]
                .into_iter()
                .all(fails)
        );
        let ours = [Status::Invalid, Status::NotSupported, Status::OutOfRange];
        assert!(!ours.into_iter().any(fails));
        assert!(!is_failure(&Completion::done(512).to_wire(1)));
    }

    #[test]
    fn every_part_is_inside_and_no_other_is() {
        let most = TRANSFER_BYTES_MAX as usize;
        let (at, memory) = (1 << 20, 0x3000);
        for length in [4096, most - 4096, most, most + 4096, 5 * most] {
            let all: Vec<_> = parts(at, memory, length).collect();
            all.iter()
                .for_each(|part| assert_inside(part, at, memory, length));
            let moved: usize = all.iter().map(|part| part.segment.bytes as usize).sum();
            assert_eq!(moved, length);
            let next = parts(at, memory, length + 4096)
                .last()
                .expect("it is longer");
            for (at, memory) in [(at, memory), (at + 4096, memory), (at, memory - 4096)] {
                let refused = std::panic::catch_unwind(|| assert_inside(&next, at, memory, length));
                assert!(refused.is_err(), "{at} {memory} {length}");
            }
        }
    }
}
