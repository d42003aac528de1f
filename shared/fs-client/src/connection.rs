// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! One request at a time: put it into the table, tell the service, wait for the completion.
//!
//! The data regions have one place, from their start. A second request under way would need another;
//! until something needs that, nothing allocates here.

use alloc::boxed::Box;

use proto::fs::{
    CompletionWire, Errno, Operation, Place, RequestWire, TRANSFER_BYTES_MAX, VERSION,
};
use request_table::{AttachError, Client, Full, Slot};
use sel4_shared_memory::{SharedMut, SharedRef};
use zerocopy::{FromBytes, IntoBytes};

use crate::direct::Direct;
use crate::open_files::OpenFiles;
use crate::{Error, Peer};

/// The regions shared with the file service.
#[derive(Debug)]
pub struct Regions {
    /// `<client>_to_fs_requests`.
    pub requests: SharedMut,
    /// `fs_to_<client>_completions`.
    pub completions: SharedRef,
    /// `<client>_to_fs_data`.
    pub output: SharedMut,
    /// `fs_to_<client>_data`.
    pub input: SharedRef,
}

pub(crate) struct Connection {
    table: Client<RequestWire, CompletionWire>,
    output: SharedMut,
    input: SharedRef,
    peer: Box<dyn Peer>,
    /// Requests of an earlier life may still be under way.
    drained: bool,
    /// Where the service's cache is mapped.
    pub(crate) direct: Option<Direct>,
}

impl Connection {
    pub(crate) fn attach(
        regions: Regions,
        peer: Box<dyn Peer>,
    ) -> Result<(Self, OpenFiles), AttachError> {
        let (requests, open) = OpenFiles::attach(regions.requests);
        let mut table = Client::attach(requests, regions.completions)?;
        table.suppress_notifications();
        let connection = Self {
            table,
            output: regions.output,
            input: regions.input,
            peer,
            drained: false,
            direct: None,
        };
        Ok((connection, open))
    }

    pub(crate) fn server_epoch(&self) -> Option<u32> {
        self.table.server_epoch()
    }

    /// Most bytes that one request moves.
    pub(crate) fn transfer_max(&self) -> usize {
        let most = self.input.len().min(self.output.len());
        most.min(TRANSFER_BYTES_MAX as usize) & !7
    }

    pub(crate) fn request(&self, operation: Operation) -> RequestWire {
        RequestWire {
            version: VERSION.into(),
            operation: (operation as u16).into(),
            ..RequestWire::default()
        }
    }

    /// Makes a request whose names are stored one behind the other.
    pub(crate) fn request_with_paths(
        &mut self,
        operation: Operation,
        first: &str,
        second: &str,
    ) -> Result<RequestWire, Error> {
        self.request_with_names(operation, first.as_bytes(), second.as_bytes())
    }

    /// The same with any bytes.
    pub(crate) fn request_with_names(
        &mut self,
        operation: Operation,
        first: &[u8],
        second: &[u8],
    ) -> Result<RequestWire, Error> {
        if first.len() + second.len() > self.transfer_max() {
            return Err(Errno::NameTooLong.into());
        }
        self.drain();
        self.output.write_bytes(0, first);
        self.output.write_bytes(first.len(), second);
        let mut request = self.request(operation);
        request.input = Place {
            offset: 0.into(),
            length: (first.len() as u32).into(),
        };
        request.second_length = (second.len() as u32).into();
        Ok(request)
    }

    /// Stores data for a request; at most [`Self::transfer_max`] bytes.
    pub(crate) fn store(&mut self, data: &[u8]) -> Place {
        self.drain();
        self.output.write_bytes(0, data);
        Place {
            offset: 0.into(),
            length: (data.len() as u32).into(),
        }
    }

    /// Copies what the service answered.
    pub(crate) fn load(&self, bytes: &mut [u8]) {
        self.input.read_bytes(0, bytes);
    }

    /// Copies a structure that the service answered.
    pub(crate) fn answer<T: FromBytes + IntoBytes>(&self) -> T {
        self.input.read(0)
    }

    /// Runs a request.
    pub(crate) fn call(&mut self, request: &RequestWire) -> Result<CompletionWire, Error> {
        self.drain();
        let slot = self.submit(request);
        self.peer.notify();
        let completion = self.wait_for(slot);
        match completion.status.get() {
            0 => Ok(completion),
            status => match Errno::from_number(status.into()) {
                Some(errno) => Err(Error::Errno(errno)),
                None => Err(Error::BadAnswer),
            },
        }
    }

    fn submit(&mut self, request: &RequestWire) -> Slot {
        loop {
            match self.table.submit(request) {
                Ok(slot) => return slot,
                // Cannot be with one request at a time, but then waiting is what helps.
                Err(Full) => _ = self.next_completion(),
            }
        }
    }

    fn wait_for(&mut self, slot: Slot) -> CompletionWire {
        loop {
            let (found, completion) = self.next_completion();
            if found == slot {
                return completion;
            }
        }
    }

    fn next_completion(&mut self) -> (Slot, CompletionWire) {
        // A service of a higher priority has answered before `notify` returned.
        if let Some((slot, _, completion)) = self.table.next_completion() {
            return (slot, completion);
        }
        self.table.request_notifications();
        loop {
            if let Some((slot, _, completion)) = self.table.next_completion() {
                self.table.suppress_notifications();
                return (slot, completion);
            }
            self.peer.wait_or(&mut || self.table.remind());
        }
    }

    /// Waits for what an earlier life of this program has left unfinished: it uses the data regions.
    fn drain(&mut self) {
        if core::mem::replace(&mut self.drained, true) || self.table.outstanding_count() == 0 {
            return;
        }
        self.peer.notify();
        while self.table.outstanding_count() != 0 {
            self.next_completion();
        }
    }
}
