// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Takes requests from the clients' tables, runs them in batches, commits, and only then completes them.
//!
//! A batch is one transaction: all operations in it survive a crash, or none does. A completion is
//! written when the transaction is in the journal. So at any point a request is either unfinished
//! and without effects, or finished with its record on the disk; [`Service::answer`] tells the two
//! apart when a new life finds the request again.

mod admission;

use alloc::vec::Vec;
use core::hint::black_box;

use proto::fs::open_files::{AT, ENTRIES, REGION_BYTES, entry_at, requests_bytes};
use proto::fs::{CompletionWire, Errno, Handle, Operation, RequestWire};
use recovery::fault_point;
use request_table::{AttachError, Server, Ticket, Whole};
use sel4_shared_memory::{SharedMut, SharedRef};

use crate::disk::Disk;
pub use crate::doubt::SecondOpinion;
use crate::doubt::{ask_another, assert_failure, go_read_only, is_broken};
use crate::limits::Limits;
use crate::request::Request;
use crate::seal::{Owner, Refusals, Seals};
use crate::unlinked::Held;
use crate::volume::Volume;
use crate::whole::RecordPlace;
use admission::{admit, refuse, unsealed};

/// The regions that one client shares with us.
#[derive(Debug)]
pub struct ClientRegions {
    /// `<client>_to_fs_requests`.
    pub requests: SharedRef,
    /// `fs_to_<client>_completions`.
    pub completions: SharedMut,
    /// `<client>_to_fs_data`.
    pub input: SharedRef,
    /// `fs_to_<client>_data`.
    pub output: SharedMut,
}

struct Client {
    server: Server<RequestWire, CompletionWire>,
    requests: SharedRef,
    input: SharedRef,
    output: SharedMut,
    /// `None`: it may do nothing.
    limits: Option<Limits>,
    /// Its root folder, once it was looked for.
    root: Option<u32>,
    /// The last handle whose seal did fit, so that it need not be computed for each of its uses.
    sealed: Option<Handle>,
}

/// A request that has run and waits for the commit.
struct Finished {
    client: usize,
    ticket: Ticket,
    completion: CompletionWire,
}

/// Most requests in one transaction.
const BATCH_MAX: usize = 32;
/// A batch also ends when its transaction is this full.
const GROUP_PERCENT_MAX: usize = 40;
/// A request that was taken by so many lives, and finished by none, is what kills them.
///
/// High, because tests kill us at random and must not hit this.
const ATTEMPTS_MAX: u8 = 64;

/// The file service.
pub struct Service<D: Disk> {
    clients: Vec<Client>,
    volume: Result<Volume<D>, Errno>,
    /// What has run in the present batch; kept for its memory.
    finished: Vec<Finished>,
    /// Clients to be notified.
    notify: u64,
    /// Requests that were answered with a recorded completion.
    recorded: u64,
    seals: Seals,
    refusals: Refusals,
    /// This life has taken a request.
    has_answered: bool,
    second_opinion: Option<SecondOpinion>,
}

impl<D: Disk> Service<D> {
    /// Begins to serve. Without a volume, every request is answered with its error.
    ///
    /// # Errors
    ///
    /// When a region is too small.
    pub fn new(
        volume: Result<Volume<D>, Errno>,
        clients: Vec<ClientRegions>,
        epoch: u32,
        seals: Seals,
    ) -> Result<Self, AttachError> {
        let mut attached = Vec::new();
        for client in clients {
            let requests = client.requests;
            let table = requests.subregion(0, requests_bytes(requests.len()));
            let table = table.unwrap_or_else(|| requests.clone());
            attached.push(Client {
                server: Server::attach(table, client.completions, epoch)?,
                requests,
                input: client.input,
                output: client.output,
                limits: Some(Limits::default()),
                root: None,
                sealed: None,
            });
        }
        Ok(Self {
            clients: attached,
            volume,
            finished: Vec::new(),
            notify: 0,
            recorded: 0,
            seals,
            refusals: Refusals::default(),
            has_answered: false,
            second_opinion: None,
        })
    }

    /// An answer which says that the disk or the file system is broken may come from a life that is broken
    /// itself: memory, code or a register of ours. Where `wanted` says yes, this life ends before it gives
    /// such an answer, and a fresh one runs the request again. Only a second life is believed.
    pub fn set_second_opinion(&mut self, wanted: SecondOpinion) {
        self.second_opinion = Some(wanted);
    }

    /// Says what each client may see and use, in their order. Without this, everybody may use everything.
    pub fn set_limits(&mut self, limits: Vec<Option<Limits>>) {
        for (client, limits) in self.clients.iter_mut().zip(limits) {
            client.limits = limits;
        }
    }

    /// The volume, where there is one.
    pub fn volume(&mut self) -> Result<&mut Volume<D>, Errno> {
        self.volume.as_mut().map_err(|errno| *errno)
    }

    /// How many requests of an earlier life turned out to have had their effects already.
    pub fn recorded_count(&self) -> u64 {
        self.recorded
    }

    /// The handles that clients were refused.
    pub fn refusals(&mut self) -> &mut Refusals {
        &mut self.refusals
    }

    /// Ends; gives the volume back.
    pub fn into_volume(self) -> Result<Volume<D>, Errno> {
        self.volume
    }

    /// Runs one batch. Returns false when there was nothing to do.
    ///
    /// `notify` is called for each client (by its number) that waits for completions which are there now.
    pub fn run_batch(&mut self, notify: &mut dyn FnMut(usize)) -> bool {
        self.assert_all_completed();
        let mut finished = core::mem::take(&mut self.finished);
        let mut durable = false;
        // Clients take turns, so that one with many requests does not keep the others waiting.
        'batch: loop {
            let before = finished.len();
            for client in 0..self.clients.len() {
                // A mount may leave a full group behind.
                let is_full = !finished.is_empty() && self.group_is_full();
                if is_full || finished.len() >= BATCH_MAX {
                    break 'batch;
                }
                let taken = finished.iter().filter(|one| one.client == client).count();
                let limits = self.clients[client].limits.as_ref();
                if limits.is_some_and(|limits| taken >= limits.requests_max) {
                    continue;
                }
                let Some((ticket, wire)) = self.clients[client].server.next_request() else {
                    continue;
                };
                fault_point!("fs.after_take");
                if finished.is_empty() {
                    self.remove_closed();
                }
                // In memory, and not for a part of what reads it in registers: what is done and what is
                // compared would be two copies, of which one may be wrong (campaign on seL4 release at
                // a5e7c4a, seed 1, trial 9059).
                let wire = black_box(&wire);
                let (completion, wants_flush) = self.answer(client, &ticket, wire, &finished);
                durable |= wants_flush;
                // Whatever we did, we did it for this request (campaign on seL4 release, seed 1, trial 1215:
                // each was changed on its way to the stack, and each path was one that does not exist).
                assert!(ticket.is_for(black_box(wire)), "the request has changed");
                finished.push(Finished {
                    client,
                    ticket,
                    completion,
                });
            }
            if finished.len() == before {
                break;
            }
        }
        let worked = !finished.is_empty();
        if worked {
            self.commit(&mut finished, durable);
            self.complete(&mut finished, notify);
        }
        self.finished = finished;
        worked
    }

    /// Whether there is something to do that would otherwise delay a later request. `is_quiet`: we were
    /// woken, and nobody had asked for anything.
    pub fn has_idle_work(&mut self, is_quiet: bool) -> bool {
        let volume = self.volume.as_mut().ok();
        volume.is_some_and(|volume| volume.read_only().is_none() && volume.has_idle_work(is_quiet))
    }

    /// Does it.
    pub fn idle(&mut self) {
        let Ok(volume) = &mut self.volume else { return };
        match volume.idle() {
            Ok(()) => {}
            Err(errno) if volume.has_failed() => {
                go_read_only(volume, &mut self.second_opinion, "the disk", errno);
            }
            // What waits is tried once more, by another life or by this one.
            Err(errno) => ask_another(&mut self.second_opinion, errno, "carry it out"),
        }
    }

    /// What clients have open: what their tables say, and what they were given just now.
    fn held(&self, finished: &[Finished]) -> Held {
        let mut held = Held::new(self.seals);
        let owners: Vec<_> = (0..self.clients.len())
            .map(|client| self.owner(client))
            .collect();
        for (client, owner) in self.clients.iter().zip(&owners) {
            for completion in client.server.last_completions() {
                held.add(*owner, completion.handle);
            }
            add_table(&mut held, *owner, &client.requests);
        }
        for one in finished {
            held.add(owners[one.client], one.completion.handle);
        }
        held
    }

    fn owner(&self, client: usize) -> Owner {
        let life = self.clients[client].server.client_epoch().unwrap_or(0);
        Owner { client, life }
    }

    /// Removes files without a name that nobody has open any more.
    fn remove_closed(&mut self) {
        let Ok(volume) = &mut self.volume else { return };
        // A new life has something better to do first.
        let later = !core::mem::replace(&mut self.has_answered, true);
        if later || volume.read_only().is_some() {
            return;
        }
        if let Err(errno) = volume.look_for_unlinked() {
            log::warn!("unlinked files: {errno}");
            return;
        }
        if !volume.unlinked.has_any() {
            return;
        }
        let held = self.held(&[]);
        let Ok(volume) = &mut self.volume else { return };
        let closed = volume.unlinked_and_closed(&held);
        // What waits may be theirs, and would be written to whoever gets their number next.
        if !closed.is_empty()
            && let Err(errno) = volume.carry_out_deferred()
        {
            log::error!("unlinked files: {errno}");
            return;
        }
        for (inode, client) in closed {
            if let Err(errno) = volume.remove_one_unlinked(inode, client) {
                log::error!("unlinked files: {errno}");
                return;
            }
        }
    }

    fn group_is_full(&self) -> bool {
        self.volume
            .as_ref()
            .is_ok_and(|volume| volume.group_percent() >= GROUP_PERCENT_MAX)
    }

    /// Commits the batch; when that fails, nothing of it is acknowledged.
    fn commit(&mut self, finished: &mut [Finished], durable: bool) {
        fault_point!("fs.before_commit");
        let Ok(volume) = &mut self.volume else { return };
        if volume.read_only().is_some() {
            return;
        }
        if let Err(errno) = volume.commit(durable) {
            // Nothing of the transaction is acknowledged yet.
            go_read_only(volume, &mut self.second_opinion, "a transaction", errno);
            for one in finished {
                one.completion = failed(errno, &one.ticket);
            }
        }
    }

    /// Between batches nothing is taken: a ticket that is left was lost by damaged code or memory of ours,
    /// and its client would wait for ever (campaign on seL4 debug, seed 1, trial 199). Looked for where the
    /// next batch begins: that code is far from the one that has lost it.
    fn assert_all_completed(&self) {
        let left: usize = (self.clients.iter())
            .map(|client| client.server.taken_count())
            .sum();
        assert!(left == 0, "{left} requests are taken and not completed");
    }

    fn complete(&mut self, finished: &mut Vec<Finished>, notify: &mut dyn FnMut(usize)) {
        for one in finished.drain(..) {
            fault_point!("fs.before_complete");
            let status = one.completion.status.get();
            // Our code or memory is damaged (campaign, seed 1, trial 533: every answer from then on).
            let is_sane = status == 0 || Errno::from_number(status.into()).is_some();
            // Or it was, between the answer and its commit (decision 0073).
            let is_whole = one.completion.is_whole(one.ticket.sequence());
            assert!(is_sane && is_whole, "{status} is no answer");
            self.clients[one.client]
                .server
                .complete(one.ticket, &one.completion);
            self.notify |= 1 << one.client;
            fault_point!("fs.after_complete");
        }
        for (client, regions) in self.clients.iter().enumerate() {
            if self.notify & (1 << client) != 0 && regions.server.wants_notification() {
                notify(client);
            }
        }
        self.notify = 0;
    }

    /// Runs a request, or finds what it returned. Also says whether it asks for a flush. The completion is
    /// decided where it is made: what becomes of it on its way to the table is noticed there.
    fn answer(
        &mut self,
        client: usize,
        ticket: &Ticket,
        wire: &RequestWire,
        finished: &[Finished],
    ) -> (CompletionWire, bool) {
        let owner = self.owner(client);
        let removes = [Operation::Unlink as u16, Operation::Rename as u16];
        let held = removes
            .contains(&wire.operation.get())
            .then(|| self.held(finished));
        let volume = match &mut self.volume {
            Ok(volume) => volume,
            Err(errno) => {
                if is_broken(*errno, false) {
                    ask_another(&mut self.second_opinion, *errno, "mount");
                }
                return (failed(*errno, ticket), false);
            }
        };
        let regions = &mut self.clients[client];
        let mut request = match Request::check(wire, &regions.input, &regions.output) {
            Ok(request) => request,
            Err(errno) => return (failed(errno, ticket), false),
        };
        volume.unlinked.held = held;
        volume.unlinked.client = client;
        if let Err(errno) = admit(volume, client, regions, &request) {
            return (failed(errno, ticket), false);
        }
        let place = RecordPlace {
            client,
            slot: ticket.slot().index(),
            sequence: ticket.sequence(),
        };
        let may_be_done = ticket.may_have_run() && request.changes();
        let recorded = may_be_done.then(|| volume.recorded(&place));
        let completion = match recorded.unwrap_or(Ok(None)) {
            Ok(Some(recorded)) => {
                self.recorded += 1;
                Ok(recorded.decided(place.sequence))
            }
            Ok(None) if may_be_done && ticket.attempt() >= ATTEMPTS_MAX => Err(Errno::Io),
            Ok(None) => unsealed(&mut request, &self.seals, owner, &mut regions.sealed)
                .map_err(|refusal| refuse(&mut self.refusals, client, refusal))
                .and_then(|()| {
                    volume.run_whole(&request, &place, &regions.input, &mut regions.output)
                }),
            Err(errno) => Err(errno),
        };
        if let Err(errno) = completion
            && is_broken(errno, volume.read_only().is_some())
            && !ticket.may_have_run()
        {
            ask_another(&mut self.second_opinion, errno, "see");
        }
        let mut completion = completion.unwrap_or_else(|errno| failed(errno, ticket));
        if let (Request::Open { flags, .. }, 0) = (&request, completion.status.get()) {
            let seal = |handle: &Handle| self.seals.seal(owner, handle, *flags);
            completion = with_handle(completion, ticket, seal);
        }
        if matches!(request, Request::Rename { .. } | Request::Rmdir { .. }) {
            // It may have been somebody's root.
            self.clients
                .iter_mut()
                .for_each(|client| client.root = None);
        }
        (completion, request == Request::Fsync)
    }
}

/// Exchanges the handle in an answer that was decided, and is again.
fn with_handle(
    mut completion: CompletionWire,
    ticket: &Ticket,
    exchange: impl FnOnce(&Handle) -> Handle,
) -> CompletionWire {
    let is_whole = completion.is_whole(ticket.sequence());
    assert!(is_whole, "the answer has changed");
    completion.handle = exchange(&completion.handle);
    completion.decided(ticket.sequence())
}

fn failed(errno: Errno, ticket: &Ticket) -> CompletionWire {
    assert_failure(black_box(errno as u32));
    CompletionWire::failed(errno).decided(ticket.sequence())
}

/// Adds what a client's own table says; nothing there is believed but our own seals.
fn add_table(held: &mut Held, owner: Owner, requests: &SharedRef) {
    if requests.len() < REGION_BYTES {
        return;
    }
    let end = requests.load_u64(AT + 8).min(ENTRIES as u64) as usize;
    for index in 0..end {
        held.add(owner, requests.read(entry_at(index)));
    }
}

#[cfg(test)]
mod tests;
