// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! One request as one operation: its effects, its record and what it costs its client happen whole or not at
//! all.

use proto::fs::{CompletionWire, Errno};
use recovery::fault_point;
use request_table::Whole;
use sel4_shared_memory::{SharedMut, SharedRef};

use crate::disk::Disk;
use crate::doubt::Why;
use crate::mount::ReadOnly;
use crate::operations::Failure;
use crate::request::Request;
use crate::volume::{Volume, store_errno};

/// Whose request it is.
#[derive(Clone, Copy, Debug)]
pub struct RecordPlace {
    /// Number of the client.
    pub client: usize,
    /// Its slot.
    pub slot: usize,
    /// Its sequence number.
    pub sequence: u64,
}

impl<D: Disk> Volume<D> {
    /// Finds what a request returned, if its effects are on the disk.
    pub(crate) fn recorded(
        &mut self,
        place: &RecordPlace,
    ) -> Result<Option<CompletionWire>, Errno> {
        if let Some(result) = self.deferred_result(place) {
            return Ok(Some(result));
        }
        if self.read_only().is_some() && self.results().is_none() {
            return Ok(None);
        }
        let mut store = self.store.borrow_mut();
        self.results()
            .find(&mut store, place.client, place.slot, place.sequence)
            .map_err(|_| Errno::Io)
    }

    /// Runs a request with its record as one operation: all of it happens, or nothing.
    pub(crate) fn run_whole(
        &mut self,
        request: &Request,
        place: &RecordPlace,
        input: &SharedRef,
        output: &mut SharedMut,
    ) -> Result<CompletionWire, Errno> {
        if self.read_only().is_some() {
            return self.run_read_only(request, place, input, output);
        }
        if let Some(completion) = self.defer(request, place, input)? {
            return Ok(completion);
        }
        self.settle_deferred(request)?;
        let outcome = match request {
            Request::Read {
                handle,
                offset,
                output: to,
            } => self
                .run_read(handle, *offset, *to, output)
                .map(|completion| completion.decided(place.sequence))
                .map_err(Failure::Refused),
            _ => self.run_with_record(request, place, input, output),
        };
        // A read may have changed a time of access.
        let outcome = outcome.and_then(|completion| {
            self.end_operation().map_err(Failure::Broken)?;
            Ok(completion)
        });
        match outcome {
            Ok(completion) => Ok(completion),
            Err(Failure::Refused(errno)) => Err(errno),
            Err(Failure::Broken(errno)) => {
                self.roll_back()
                    .inspect_err(|again| log::error!("roll back: {again}"))?;
                Err(errno)
            }
        }
    }

    fn run_with_record(
        &mut self,
        request: &Request,
        place: &RecordPlace,
        input: &SharedRef,
        output: &mut SharedMut,
    ) -> Result<CompletionWire, Failure> {
        if !request.changes() {
            return self.run(request, place.sequence, input, output);
        }
        self.forget_maps(request);
        let before = self.before_charge();
        let completion = self.run(request, place.sequence, input, output)?;
        fault_point!("fs.mid_operation");
        if !core::mem::take(&mut self.past_ext4) {
            self.finish().map_err(Failure::Broken)?;
        }
        self.charge(before)?;
        self.record(place, &completion).map_err(Failure::Broken)?;
        Ok(completion)
    }

    /// Why nothing is written, where that is so. Only a restart helps.
    pub fn read_only(&self) -> Option<ReadOnly> {
        self.read_only.get()
    }

    /// After a write has failed: goes on with what was committed, and without writing.
    ///
    /// # Errors
    ///
    /// When even that cannot be read.
    pub fn go_read_only(&mut self) -> Result<(), Errno> {
        self.store.borrow_mut().give_up();
        self.wait_again();
        self.read_only = Why::new(Some(ReadOnly::Failed));
        self.roll_back()
    }

    /// What `fsync` is without a transaction.
    pub(crate) fn flush(&mut self) -> Result<(), Errno> {
        self.store.borrow_mut().flush().map_err(store_errno)
    }

    /// Runs a request that changes nothing, and refuses others.
    fn run_read_only(
        &mut self,
        request: &Request,
        place: &RecordPlace,
        input: &SharedRef,
        output: &mut SharedMut,
    ) -> Result<CompletionWire, Errno> {
        let writes =
            matches!(request, Request::Open { flags, .. } if flags & proto::fs::OPEN_WRITE != 0);
        if writes || request.changes() {
            return Err(Errno::ReadOnly);
        }
        match request {
            Request::Fsync if self.has_deferred() => return Err(Errno::Io),
            Request::Fsync => self.flush()?,
            Request::Read {
                handle,
                offset,
                output: place_for,
            } => {
                let read = self.read_deferred(handle, *offset, *place_for, output)?;
                if let Some(completion) = read {
                    return Ok(completion.decided(place.sequence));
                }
            }
            _ => {}
        }
        match self.run(request, place.sequence, input, output) {
            Ok(completion) => Ok(completion),
            Err(Failure::Refused(errno) | Failure::Broken(errno)) => Err(errno),
        }
    }

    pub(crate) fn record(
        &mut self,
        place: &RecordPlace,
        completion: &CompletionWire,
    ) -> Result<(), Errno> {
        // What is recorded is what the next life answers.
        let is_whole = completion.is_whole(place.sequence);
        assert!(is_whole, "the answer to be recorded has changed");
        let mut store = self.store.borrow_mut();
        self.results()
            .record(
                &mut store,
                place.client,
                place.slot,
                place.sequence,
                completion,
            )
            .map_err(|_| Errno::Io)
    }
}
