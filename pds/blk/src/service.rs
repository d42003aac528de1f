// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Which request goes to the device when, and what its client is told.
//!
//! Rules:
//! - A request is completed when the device is done with it, or at once when it is refused.
//! - A flush starts when every request that its client made before it is completed, and what the
//!   client made after it waits for its end.
//! - Clients take turns, one request each, as long as the device has room. Half of its places are kept
//!   for them, the same number for each; so nobody waits for a neighbour that has filled the others.
//! - A client sees the whole disk, or one partition of it as if that were a disk.
//! - A request that five lives of the driver died of, each with this one in hand, fails.
//! - A command that the device reports as failed is given to it twice more (`retry.rs`).
//! - A device that asks for a reset or has stopped answering gets one (`reset.rs`).
//! - Otherwise nothing is remembered across a crash. Requests that were in progress are still in their table,
//!   and run again; all of them are idempotent.

mod partition;
mod refusal;
mod reset;
mod retry;

use alloc::vec::Vec;
use core::hint::black_box;

use proto::blk::{
    Completion, CompletionWire, DEVICE_DISCARDS, DEVICE_FLUSHES, DEVICE_READ_ONLY,
    DEVICE_WRITES_ZEROES, Operation, Request, RequestWire, Status,
};
use recovery::fault_point;
use request_table::{AttachError, Server, Ticket};
use sel4_shared_memory::{SharedMut, SharedRef};

use crate::device::{Command, Device, Info, Outcome, TAGS};
use crate::lateness::Lateness;
use crate::watchdog::Watchdog;
use partition::Reading;
use refusal::{assert_answer, assert_says};
use reset::Suspect;
use retry::Failures;

pub use retry::{RETRIES_MAX, SecondOpinion};

/// Clients that one service can have: one per bit of a word.
const CLIENTS_MAX: usize = 64;

/// Lives of the driver that one request may cost.
const DEATHS_MAX: u8 = 5;

/// What a client sees as its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// All of it.
    Whole,
    /// The partition with this number, from 1, in the GUID partition table.
    Partition(u32),
}

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
    /// Its disk.
    pub share: Share,
}

/// In [`Client::blocked`]: a flush is in progress, and nothing may overtake it.
const FLUSHING: u8 = 1;
/// In [`Client::blocked`]: where its partition is is not known yet.
const UNPLACED: u8 = 2;

struct Client {
    table: Server<RequestWire, CompletionWire>,
    data_paddr: u64,
    data_bytes: u64,
    share: Share,
    /// Sector of the device that is the client's first one.
    first_sector: u64,
    /// Sectors from there on that are the client's, as far as the device has them.
    sectors: u64,
    /// The client's partition does not exist.
    absent: bool,
    /// Why nothing of this client can be started: 0, or [`FLUSHING`] and [`UNPLACED`].
    blocked: u8,
    /// This one comes first: a flush waits for what is in progress, anything for room.
    held: Option<(Ticket, RequestWire)>,
    in_progress: u32,
}

/// What a tag stands for.
struct InProgress {
    ticket: Ticket,
    client: u32,
    bytes: u32,
}

/// The block service.
pub struct Service<D> {
    /// `None`: there is no disk, and every request fails with [`Status::NoDevice`].
    device: Option<D>,
    clients: Vec<Client>,
    in_progress: [Option<InProgress>; TAGS],
    free_tags: u64,
    all_tags: u64,
    /// Most requests that a client may have at the device.
    quota: u32,
    /// Client whose turn it is.
    turn: usize,
    /// Clients to notify, as bits.
    to_notify: u64,
    /// Clients know of what an earlier life completed.
    told: bool,
    /// Commands that the device was done with in this life, failed ones among them.
    completed: u64,
    failures: Failures,
    /// The partition table is being read.
    reading: Option<Reading>,
    watchdog: Watchdog,
    lateness: Lateness,
    /// This event began with an interrupt.
    interrupted: bool,
    /// Commands that the device lost in a reset and that go to it one by one now.
    careful: u32,
    /// The request that was alone at the device when that failed.
    suspect: Option<Suspect>,
    /// Resets of the device in this life, besides the one that it began with.
    resets: u64,
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
        let all_tags = u64::MAX.checked_shr((TAGS - depth) as u32).unwrap_or(0);
        let mut service = Self {
            quota: quota(depth, clients.len()),
            device,
            clients,
            in_progress: [const { None }; TAGS],
            free_tags: all_tags,
            all_tags,
            turn: 0,
            to_notify: 0,
            told: false,
            completed: 0,
            failures: Failures::default(),
            reading: None,
            watchdog: Watchdog::default(),
            lateness: Lateness::default(),
            interrupted: false,
            careful: 0,
            suspect: None,
            resets: 0,
        };
        service.place_clients();
        Ok(service)
    }

    /// Commands that the device has and has not completed.
    pub fn in_progress_count(&self) -> u64 {
        let reserved = if self.careful > 0 { 1 } else { self.all_tags };
        u64::from((reserved & !self.free_tags).count_ones())
    }

    /// Commands that the device was done with in this life, and resets: a driver that resets its
    /// device does what it can.
    pub fn progress_count(&self) -> u64 {
        self.completed + self.resets
    }

    /// What interrupts and notifications are missing, by [`Self::look`].
    pub fn lateness(&self) -> Lateness {
        self.lateness
    }

    /// Requests that wait while the device has nothing to do: for the driver, that is, which should never
    /// let them.
    pub fn own_count(&self) -> u64 {
        let waits = |client: &&Client| client.held.is_some() || client.blocked != 0;
        match self.in_progress_count() {
            0 => self.clients.iter().filter(waits).count() as u64,
            _ => 0,
        }
    }

    /// Returns the device, if there is one.
    pub fn device_mut(&mut self) -> Option<&mut D> {
        self.device.as_mut()
    }

    /// Deals with an interrupt of the device. Call [`Self::run`] afterwards.
    pub fn interrupted(&mut self) {
        self.interrupted = true;
        self.lateness.interrupted();
        let asks = self.device.as_mut().map(Device::acknowledge_interrupt);
        if asks == Some(true) {
            self.reset_device("asks for a reset");
        }
    }

    /// Does all that can be done now, after any event. Returns the clients to notify, as bits in
    /// the order of `attach`.
    pub fn run(&mut self) -> u64 {
        self.assert_tickets();
        let completed = self.completed;
        loop {
            self.finish();
            if !self.start() {
                if !self.told {
                    self.tell_of_old_completions();
                }
                if !core::mem::take(&mut self.interrupted) && self.completed != completed {
                    self.lateness.found();
                }
                return core::mem::take(&mut self.to_notify);
            }
        }
    }

    /// Each ticket is with the device or held back: another one was lost by damaged code or memory of
    /// ours, and its client would wait for ever.
    fn assert_tickets(&self) {
        for client in &self.clients {
            let known = client.in_progress as usize + usize::from(client.held.is_some());
            let taken = client.table.taken_count();
            assert!(taken == known, "{taken} requests are taken, {known} known");
        }
    }

    /// A life may have died between a completion and the notification.
    #[cold]
    fn tell_of_old_completions(&mut self) {
        self.told = true;
        for (index, client) in self.clients.iter_mut().enumerate() {
            self.to_notify |= u64::from(client.table.take_untold()) << index;
        }
    }

    /// Completes what the device is done with.
    fn finish(&mut self) {
        while let Some((tag, outcome)) = self.device.as_mut().and_then(Device::next_done) {
            if outcome == Outcome::Failed && self.try_again(tag) {
                continue;
            }
            // Behind the branch, or there are two of them.
            fault_point!("blk.after_used");
            let Some(done) = self.in_progress[tag].take() else {
                self.finish_own(tag, outcome);
                continue;
            };
            self.free_tags |= 1 << tag;
            self.completed += 1;
            if self.careful > 0 {
                self.one_less_to_care_for();
            }
            let index = done.client as usize;
            let client = &mut self.clients[index];
            client.table.take_up(&done.ticket);
            client.in_progress -= 1;
            // A flush is the only thing in progress while it is.
            client.blocked &= !FLUSHING;
            let completion = match outcome {
                Outcome::Done => Completion::done(done.bytes),
                Outcome::Failed => Completion::failed(Status::Io),
                Outcome::NotSupported => Completion::failed(Status::NotSupported),
            };
            self.complete(index, done.ticket, &completion);
        }
    }

    #[inline]
    fn complete(&mut self, client: usize, ticket: Ticket, completion: &Completion) {
        fault_point!("blk.before_complete");
        let wire = black_box(completion.to_wire(ticket.sequence()));
        assert_says(&wire, ticket.sequence(), completion);
        self.clients[client].table.complete(ticket, &wire);
        fault_point!("blk.after_complete");
        self.to_notify |= 1 << client;
    }

    /// Gives the device what it has room for. Returns whether there was anything.
    fn start(&mut self) -> bool {
        let mut any = false;
        loop {
            let mut more = false;
            let mut index = self.turn;
            for _ in 0..self.clients.len() {
                if index >= self.clients.len() {
                    index = 0;
                }
                let started = self.start_one(index);
                index += 1;
                if started {
                    (more, self.turn) = (true, index);
                }
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
        if client.blocked != 0 || client.in_progress >= self.quota {
            return false;
        }
        if client.held.is_some() {
            return self.start_held(index);
        }
        let Some((ticket, wire)) = client.table.next_request() else {
            return false;
        };
        fault_point!("blk.after_take");
        let mut request = Request::EMPTY;
        if let Err(status) = wire.check_into(&mut request, client.data_bytes) {
            return self.refuse(index, ticket, &wire, status);
        }
        if ticket.deaths_in_hand() >= DEATHS_MAX {
            return self.refuse_poison(index, ticket);
        }
        self.begin(index, ticket, &wire, &request)
    }

    #[cold]
    fn start_held(&mut self, index: usize) -> bool {
        match self.clients[index].held.take() {
            Some((ticket, wire)) => {
                let request = wire.check(self.clients[index].data_bytes);
                self.begin(index, ticket, &wire, &request.expect("it was right before"))
            }
            None => false,
        }
    }

    /// Gives a request to the device, answers it, or holds it. Returns false when it is held.
    ///
    /// # Panics
    ///
    /// When the request has changed since it was taken, or the device would do something else
    /// (docs/decisions/0074).
    #[inline(always)]
    fn begin(
        &mut self,
        index: usize,
        ticket: Ticket,
        wire: &RequestWire,
        request: &Request,
    ) -> bool {
        // Everything below goes by this copy (campaign on seL4 release at d5450e3, seed 1, trial 11158).
        assert!(ticket.is_for(black_box(wire)), "the request has changed");
        let client = &mut self.clients[index];
        let Some(device) = self.device.as_mut().filter(|_| !client.absent) else {
            self.complete(index, ticket, &Completion::failed(Status::NoDevice));
            return true;
        };
        let flush = request.operation == Operation::Flush;
        if (flush && client.in_progress > 0) || self.free_tags == 0 {
            client.held = Some((ticket, *wire));
            client.table.put_down();
            return false;
        }
        let info = device.info();
        let sectors = client.sectors.min(info.capacity_sectors);
        if let Some(completion) = answer_without_device(&info, sectors, request) {
            assert_answer(&info, sectors, (wire, client.data_bytes), &completion);
            self.complete(index, ticket, &completion);
            return true;
        }
        let tag = self.free_tags.trailing_zeros() as usize;
        self.free_tags &= !(1 << tag);
        client.in_progress += 1;
        client.blocked = if flush { FLUSHING } else { 0 };
        device.submit(tag, &client.command(request));
        let is_told = device.is_told(tag, wire, client.first_sector, client.data_paddr);
        assert!(is_told, "the disk would do something else");
        fault_point!("blk.after_submit");
        client.table.put_down();
        self.in_progress[tag % TAGS] = Some(InProgress {
            ticket,
            client: index as u32,
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
            share: memory.share,
            first_sector: 0,
            sectors: u64::MAX,
            absent: false,
            blocked: 0,
            held: None,
            in_progress: 0,
        })
    }

    #[inline]
    fn command<'a>(&self, request: &'a Request) -> Command<'a> {
        Command {
            operation: request.operation,
            sector: self.first_sector + request.sector,
            sector_count: request.sector_count,
            segments: request.segments(),
            data_paddr: self.data_paddr,
        }
    }
}

/// Half of the device's places are for whoever comes; of the other half each client has its part.
fn quota(depth: usize, clients: usize) -> u32 {
    // Not 0, or requests to a disk that is not there would wait.
    (depth - depth / 2 + depth / 2 / clients.max(1)).max(1) as u32
}

/// Returns the completion of a request that the device need not or must not see. The client's disk has
/// `sectors`.
#[inline]
fn answer_without_device(info: &Info, sectors: u64, request: &Request) -> Option<Completion> {
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
        Operation::Describe => return Some(describe(info, sectors)),
    };
    if writes && info.read_only {
        return Some(Completion::failed(Status::ReadOnly));
    }
    // `check` has made sure that the sum does not wrap around.
    let end = request.sector + u64::from(request.sector_count);
    (end > sectors).then_some(Completion::failed(Status::OutOfRange))
}

fn describe(info: &Info, sectors: u64) -> Completion {
    let flag = |condition: bool, flag: u16| if condition { flag } else { 0 };
    Completion {
        flags: flag(info.read_only, DEVICE_READ_ONLY)
            | flag(info.flushes, DEVICE_FLUSHES)
            | flag(info.discard_sectors_max > 0, DEVICE_DISCARDS)
            | flag(info.zero_sectors_max > 0, DEVICE_WRITES_ZEROES),
        value: sectors,
        ..Completion::done(0)
    }
}
