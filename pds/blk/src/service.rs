// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Which request goes to the device when, and what its client is told.
//!
//! Rules:
//! - A request is completed when the device is done with it, or at once when it is refused.
//! - A flush starts when every request that its client made before it is completed, and what the
//!   client made after it waits for its end.
//! - Clients take turns, one request each, as long as the device has room.
//! - Nothing is remembered across a crash. Requests that were in progress are still in their table,
//!   and run again; all of them are idempotent.

use alloc::vec::Vec;

use proto::blk::{
    Completion, CompletionWire, DEVICE_DISCARDS, DEVICE_FLUSHES, DEVICE_READ_ONLY,
    DEVICE_WRITES_ZEROES, Operation, Request, RequestWire, Status,
};
use recovery::fault_point;
use request_table::{AttachError, Server, Ticket};
use sel4_shared_memory::{SharedMut, SharedRef};

use crate::device::{Command, Device, Info, Outcome, TAGS};

/// Clients that one service can have: one per bit of a word.
const CLIENTS_MAX: usize = 64;

/// The memory of one client.
#[derive(Debug)]
pub struct ClientMemory {
    /// `<client>_to_blk_requests`.
    pub requests: SharedRef,
    /// `blk_to_<client>_completions`.
    pub completions: SharedMut,
    /// Physical address of `<client>_to_blk_data`.
    pub data_paddr: u64,
    /// Size of the same.
    pub data_bytes: u64,
}

/// What keeps the next request of a client from being taken.
enum Turn {
    /// Nothing.
    Free,
    /// This one comes first: a flush waits for what is in progress, anything for room.
    Held(Ticket, Request),
    /// A flush is in progress.
    Flushing,
}

struct Client {
    table: Server<RequestWire, CompletionWire>,
    data_paddr: u64,
    data_bytes: u64,
    turn: Turn,
    in_progress: u32,
}

struct InProgress {
    client: usize,
    ticket: Ticket,
    flush: bool,
    bytes: u32,
}

/// The block service.
pub struct Service<D> {
    /// `None`: there is no disk, and every request fails with [`Status::NoDevice`].
    device: Option<D>,
    clients: Vec<Client>,
    in_progress: [Option<InProgress>; TAGS],
    free_tags: u64,
    /// Clients to notify, as bits.
    to_notify: u64,
}

impl<D: Device> Service<D> {
    /// Takes over the tables of all clients. `epoch` says how often this PD was restarted.
    ///
    /// # Errors
    ///
    /// When a region is too small for its table.
    ///
    /// # Panics
    ///
    /// With more than 64 clients.
    pub fn attach(
        device: Option<D>,
        clients: impl IntoIterator<Item = ClientMemory>,
        epoch: u32,
    ) -> Result<Self, AttachError> {
        let depth = device.as_ref().map_or(0, |device| device.info().depth);
        let clients: Result<Vec<_>, _> = clients
            .into_iter()
            .map(|memory| Client::attach(memory, epoch))
            .collect();
        let clients = clients?;
        assert!(clients.len() <= CLIENTS_MAX, "too many clients");
        Ok(Self {
            device,
            clients,
            in_progress: [const { None }; TAGS],
            free_tags: u64::MAX.checked_shr((TAGS - depth) as u32).unwrap_or(0),
            to_notify: 0,
        })
    }

    /// Returns the device, if there is one.
    pub fn device_mut(&mut self) -> Option<&mut D> {
        self.device.as_mut()
    }

    /// Does all that can be done now, after any event. Returns the clients to notify, as bits in
    /// the order of `attach`.
    pub fn run(&mut self) -> u64 {
        loop {
            self.finish();
            if !self.start() {
                return core::mem::take(&mut self.to_notify);
            }
        }
    }

    /// Completes what the device is done with.
    fn finish(&mut self) {
        while let Some((tag, outcome)) = self.device.as_mut().and_then(Device::next_done) {
            fault_point!("blk.after_used");
            let Some(done) = self.in_progress[tag].take() else {
                // It is reset when we start anew.
                panic!("the disk reports tag {tag} as done, which was not in progress");
            };
            self.free_tags |= 1 << tag;
            let client = &mut self.clients[done.client];
            client.in_progress -= 1;
            if done.flush {
                client.turn = Turn::Free;
            }
            let completion = match outcome {
                Outcome::Done => Completion::done(done.bytes),
                Outcome::Failed => Completion::failed(Status::Io),
                Outcome::NotSupported => Completion::failed(Status::NotSupported),
            };
            self.complete(done.client, done.ticket, &completion);
        }
    }

    fn complete(&mut self, client: usize, ticket: Ticket, completion: &Completion) {
        fault_point!("blk.before_complete");
        self.clients[client]
            .table
            .complete(ticket, &completion.to_wire());
        fault_point!("blk.after_complete");
        self.to_notify |= 1 << client;
    }

    /// Gives the device what it has room for. Returns whether there was anything.
    fn start(&mut self) -> bool {
        let mut any = false;
        loop {
            let mut more = false;
            for client in 0..self.clients.len() {
                more |= self.start_one(client);
            }
            any |= more;
            if !more {
                break;
            }
        }
        if let Some(device) = &mut self.device {
            device.kick();
            fault_point!("blk.after_kick");
        }
        any
    }

    /// Starts or refuses the next request of a client. Returns whether there was one to do so with.
    #[inline]
    fn start_one(&mut self, index: usize) -> bool {
        let client = &mut self.clients[index];
        let (ticket, request) = match core::mem::replace(&mut client.turn, Turn::Free) {
            Turn::Free => {
                let Some((ticket, wire)) = client.table.next_request() else {
                    return false;
                };
                fault_point!("blk.after_take");
                match wire.check(client.data_bytes) {
                    Ok(request) => (ticket, request),
                    Err(status) => {
                        self.complete(index, ticket, &Completion::failed(status));
                        return true;
                    }
                }
            }
            Turn::Held(ticket, request) => (ticket, request),
            Turn::Flushing => {
                client.turn = Turn::Flushing;
                return false;
            }
        };
        let Some(device) = &mut self.device else {
            self.complete(index, ticket, &Completion::failed(Status::NoDevice));
            return true;
        };
        let info = device.info();
        let flush = request.operation == Operation::Flush;
        if flush && client.in_progress > 0 {
            client.turn = Turn::Held(ticket, request);
            return false;
        }
        if let Some(completion) = answer_without_device(&info, &request) {
            self.complete(index, ticket, &completion);
            return true;
        }
        if self.free_tags == 0 {
            client.turn = Turn::Held(ticket, request);
            return false;
        }
        let tag = self.free_tags.trailing_zeros() as usize;
        self.free_tags &= !(1 << tag);
        client.in_progress += 1;
        if flush {
            client.turn = Turn::Flushing;
        }
        device.submit(tag, &client.command(&request));
        fault_point!("blk.after_submit");
        self.in_progress[tag] = Some(InProgress {
            client: index,
            ticket,
            flush,
            bytes: request.bytes(),
        });
        true
    }
}

impl Client {
    fn attach(memory: ClientMemory, epoch: u32) -> Result<Self, AttachError> {
        Ok(Self {
            table: Server::attach(memory.requests, memory.completions, epoch)?,
            data_paddr: memory.data_paddr,
            data_bytes: memory.data_bytes,
            turn: Turn::Free,
            in_progress: 0,
        })
    }

    #[inline]
    fn command<'a>(&self, request: &'a Request) -> Command<'a> {
        Command {
            operation: request.operation,
            sector: request.sector,
            sector_count: request.sector_count,
            segments: request.segments(),
            data_paddr: self.data_paddr,
        }
    }
}

/// Returns the completion of a request that the device need not or must not see.
#[inline]
fn answer_without_device(info: &Info, request: &Request) -> Option<Completion> {
    let writes = match request.operation {
        Operation::Read | Operation::Identify => false,
        Operation::Write => true,
        Operation::Discard | Operation::WriteZeroes => {
            let most = match request.operation {
                Operation::Discard => info.discard_sectors_max,
                _ => info.zero_sectors_max,
            };
            if most == 0 {
                return Some(Completion::failed(Status::NotSupported));
            }
            if request.sector_count > most {
                return Some(Completion::failed(Status::Invalid));
            }
            true
        }
        // Without a cache, what is written is on the medium.
        Operation::Flush => return (!info.flushes).then_some(Completion::done(0)),
        Operation::Describe => return Some(describe(info)),
    };
    if writes && info.read_only {
        return Some(Completion::failed(Status::ReadOnly));
    }
    // `check` has made sure that the sum does not wrap around.
    let end = request.sector + u64::from(request.sector_count);
    (end > info.capacity_sectors).then_some(Completion::failed(Status::OutOfRange))
}

fn describe(info: &Info) -> Completion {
    let flag = |condition: bool, flag: u16| if condition { flag } else { 0 };
    Completion {
        flags: flag(info.read_only, DEVICE_READ_ONLY)
            | flag(info.flushes, DEVICE_FLUSHES)
            | flag(info.discard_sectors_max > 0, DEVICE_DISCARDS)
            | flag(info.zero_sectors_max > 0, DEVICE_WRITES_ZEROES),
        value: info.capacity_sectors,
        ..Completion::done(0)
    }
}
