// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The side that carries requests out.

use sel4_shared_memory::{SharedMut, SharedRef};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::counts::{
    ATTEMPTS, COUNTS, COUNTS_BITS, DEATHS_SHIFT, MAY_HAVE_RUN, SLOT_SHIFT, blame, in_hand, whose,
};
use crate::layout::{
    AttachError, IN_HAND, LOOKING, Layout, NOTIFICATIONS, Ordering, Role, SLOTS, Slot, Stamp,
    fence, load_epoch, slots_of, store_epoch,
};
use crate::ring::{Hint, RingReader, RingWriter};
use crate::whole::Whole;

/// The right and the duty to complete one request.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a request that is not completed blocks its slot until the server is restarted"]
pub struct Ticket {
    stamp: Stamp,
    // Words and no padding: a ticket is moved in two registers.
    slot_and_counts: u32,
    checksum: u32,
}

impl Ticket {
    /// Returns the slot of the request. No two tickets of one server have the same one at a time.
    #[inline]
    #[must_use]
    pub const fn slot(&self) -> Slot {
        Slot::new((self.slot_and_counts >> SLOT_SHIFT) as usize)
    }

    /// Returns the sequence number of the request. It stays the same when the request is run again.
    #[inline]
    #[must_use]
    pub const fn sequence(&self) -> u64 {
        self.stamp.sequence()
    }

    /// Returns how many lives of the server have taken this request, this one included (up to 255).
    #[inline]
    #[must_use]
    pub const fn attempt(&self) -> u8 {
        (self.slot_and_counts & ATTEMPTS) as u8
    }

    /// Says whether the request may have been carried out before: an earlier life may have taken it, or
    /// its completion was damaged. More careful than [`Self::attempt`], whose count lies in the same
    /// region as the completions and can be damaged like them.
    #[inline]
    #[must_use]
    pub const fn may_have_run(&self) -> bool {
        self.attempt() > 1 || self.slot_and_counts & MAY_HAVE_RUN != 0
    }

    /// Returns how many lives of the server died with this very request in hand (see
    /// [`Server::take_up`]; up to 254). What an innocent request has more than once or twice is
    /// bad luck; what kills the server has it each time.
    #[inline]
    #[must_use]
    pub const fn deaths_in_hand(&self) -> u8 {
        ((self.slot_and_counts & COUNTS) >> DEATHS_SHIFT) as u8
    }

    /// Says whether this is the request that the ticket came with: its bytes may have changed since, in
    /// private memory of a server that is damaged.
    #[inline]
    #[must_use]
    pub fn is_for<R: IntoBytes + Immutable>(&self, request: &R) -> bool {
        self.checksum == Layout::checksum(self.stamp, request)
    }
}

/// Takes requests and completes them.
pub struct Server<R, C> {
    requests: SharedRef,
    completions: SharedMut,
    request_layout: Layout<R>,
    completion_layout: Layout<C>,
    /// Stamps of the requests last taken in this life, or else completed in an earlier one.
    current: [Stamp; SLOTS],
    /// Slots whose completions of an earlier life have not been looked at yet.
    unseen: u64,
    /// Slots whose next request may have been carried out already.
    again: u64,
    /// Of each slot the last request whose completion was lost, and how often it was.
    lost: [(Stamp, u8); SLOTS],
    /// The client may not know of a completion that it has not consumed.
    untold: bool,
    /// Slots with a ticket out.
    taken: u64,
    /// Slots that were filled again while their ticket was out. Only a faulty client does that.
    filled_early: u64,
    hints_out: RingWriter,
    /// Requests completed in this life, with one hint each.
    completed: u64,
    hints_in: RingReader,
    /// Slots found by looking everywhere, oldest request first; `backlog[backlog_at..backlog_end]`.
    backlog: [Slot; SLOTS],
    backlog_at: usize,
    backlog_end: usize,
    look_again: bool,
    client_is_there: bool,
    misbehaviour_count: u64,
}

impl<R, C> Server<R, C>
where
    R: FromBytes + IntoBytes + Immutable,
    C: FromBytes + IntoBytes + Immutable + Whole,
{
    /// Takes over the table. `epoch` says how often this server was restarted.
    ///
    /// # Errors
    ///
    /// When a region is too small.
    pub fn attach(
        requests: SharedRef,
        completions: SharedMut,
        epoch: u32,
    ) -> Result<Self, AttachError> {
        Self::attach_with(requests, completions, epoch, SLOTS)
    }

    pub(crate) fn attach_with(
        requests: SharedRef,
        mut completions: SharedMut,
        epoch: u32,
        slots: usize,
    ) -> Result<Self, AttachError> {
        let request_layout = Layout::of(slots);
        let completion_layout = Layout::of(slots);
        request_layout.check_len(requests.len())?;
        completion_layout.check_len(completions.len())?;
        let own = completions.as_shared_ref();
        if !completion_layout.header_is_valid(Role::Completions, &own) {
            completion_layout.format(Role::Completions, &mut completions);
        }
        blame(&mut completions, completion_layout);
        store_epoch(&mut completions, epoch);
        Ok(Self {
            hints_out: RingWriter::attach(&mut completions),
            completed: 0,
            requests,
            completions,
            request_layout,
            completion_layout,
            current: [Stamp::UNUSED; SLOTS],
            unseen: completion_layout.all(),
            again: if epoch == 0 {
                0
            } else {
                completion_layout.all()
            },
            lost: [(Stamp::UNUSED, 0); SLOTS],
            untold: false,
            taken: 0,
            filled_early: 0,
            hints_in: RingReader::new(),
            backlog: [Slot::new(0); SLOTS],
            backlog_at: 0,
            backlog_end: 0,
            look_again: false,
            client_is_there: false,
            misbehaviour_count: 0,
        })
    }

    /// Takes the next request: in the first place those that an earlier life did not complete, in
    /// the order in which they were made, then new ones as they come.
    ///
    /// # Panics
    ///
    /// When this life has completed a request several times and the completion never was there, and when
    /// the header of the completions or the tail of its hints is damaged.
    #[inline]
    pub fn next_request(&mut self) -> Option<(Ticket, R)> {
        if !self.client_is_there && !self.find_client() {
            return None;
        }
        // A peer that goes on writing hints must not keep us here.
        for _ in 0..2 * SLOTS {
            let from_backlog = self.backlog_at < self.backlog_end;
            let hint = if from_backlog {
                self.backlog_at += 1;
                Hint::Look(self.backlog[self.backlog_at - 1])
            } else if core::mem::take(&mut self.look_again) {
                Hint::LookEverywhere
            } else {
                self.hints_in
                    .next(&self.requests, self.request_layout.slots)
            };
            match hint {
                Hint::Nothing => {
                    // Nobody else writes it. Without hints each answer is found only when its client has
                    // waited for long (campaign on seL4 release at 20ea7c9, seed 1, trial 7632: 100 ms;
                    // development kernel, trial 1938).
                    let own = self.completions.as_shared_ref();
                    let is_seen = self.hints_out.has_published(&own, self.completed);
                    assert!(is_seen, "our hints are lost");
                    return None;
                }
                Hint::Look(slot) => {
                    let request = self.take(slot);
                    if request.is_some() {
                        return request;
                    }
                    if !from_backlog {
                        self.look_everywhere();
                    }
                }
                Hint::LookEverywhere => self.look_everywhere(),
                Hint::Impossible => {
                    self.misbehaviour_count += 1;
                    self.look_everywhere();
                }
            }
        }
        None
    }

    fn find_client(&mut self) -> bool {
        let layout = self.request_layout;
        self.client_is_there = layout.header_is_valid(Role::Requests, &self.requests);
        if self.client_is_there {
            self.hints_in.skip(&self.requests);
            self.look_everywhere();
        }
        self.client_is_there
    }

    /// Says whether a slot holds a request that nobody has taken in this life and nobody completed.
    #[inline]
    fn is_new(&mut self, slot: Slot, stamp: Stamp) -> bool {
        if !stamp.is_pending() {
            return false;
        }
        if self.unseen & slot.bit() != 0 {
            self.see_completion(slot, stamp);
        }
        if stamp == self.current[slot.index()] {
            return false;
        }
        // One ticket per slot, whatever the client does: this one has to wait.
        let early = self.taken & slot.bit() != 0;
        if early {
            self.filled_early |= slot.bit();
        }
        !early
    }

    /// Says whether this life has completed the request, and the completion is not there any more: our
    /// region was damaged since. The request is run again, as after a restart.
    fn is_lost(&self, slot: Slot, request: Stamp) -> bool {
        let is_ours = request == self.current[slot.index()];
        let is_finished = (self.taken | self.unseen) & slot.bit() == 0;
        if !is_ours || !is_finished || !request.is_pending() {
            return false;
        }
        let (layout, own) = (self.completion_layout, self.completions.as_shared_ref());
        own.load_u64(layout.stamp(slot)) != request.0
            || layout.completion(&own, slot, request).is_none()
    }

    /// Only we write our region, so whoever keeps losing the completion of one request has damaged code
    /// or memory (campaign on seL4 debug, seed 1, trial 68: no completion of the driver was whole).
    /// Another life mends both.
    fn run_again(&mut self, slot: Slot, request: Stamp) {
        self.current[slot.index()] = Stamp::UNUSED;
        self.again |= slot.bit();
        let (last, times) = &mut self.lost[slot.index()];
        *times = if *last == request { *times + 1 } else { 1 };
        *last = request;
        assert!(*times < LOST_MAX, "what we complete is never there");
    }

    /// Finds out what an earlier life left in a slot whose request has this stamp.
    #[cold]
    fn see_completion(&mut self, slot: Slot, request: Stamp) {
        self.unseen &= !slot.bit();
        let (layout, own) = (self.completion_layout, self.completions.as_shared_ref());
        let stamp = Stamp(own.load_u64(layout.stamp(slot)));
        if stamp == Stamp::UNUSED || layout.completion(&own, slot, stamp).is_some() {
            self.current[slot.index()] = stamp;
            self.untold |= stamp == request;
        } else {
            // Damaged after it was stored. The client will not take it: run the request again.
            self.completions
                .store_u64(layout.stamp(slot), Stamp::UNUSED.0);
        }
    }

    /// Says whether the client has to be notified of a completion that an earlier life had made.
    pub fn take_untold(&mut self) -> bool {
        core::mem::take(&mut self.untold)
    }

    #[cold]
    fn look_everywhere(&mut self) {
        // Only we write it: our code or memory is damaged, and a client that begins anew would not find us
        // (campaign on seL4 release at a5e7c4a, seed 1, trial 8900, from 8889 on: what is in hand went to
        // a wrong place, and the next life of the file service waited for ever).
        let own = self.completions.as_shared_ref();
        let is_whole = self
            .completion_layout
            .header_is_valid(Role::Completions, &own);
        assert!(is_whole, "the header of our completions is damaged");
        let mut found = [(u64::MAX, Slot::new(0)); SLOTS];
        let mut count = 0;
        for slot in slots_of(self.request_layout.all()) {
            let stamp = Stamp(self.requests.load_u64(self.request_layout.stamp(slot)));
            if self.is_lost(slot, stamp) {
                self.run_again(slot, stamp);
            }
            if self.is_new(slot, stamp) {
                found[count] = (stamp.sequence(), slot);
                count += 1;
            }
        }
        found[..count].sort_unstable();
        for (to, (_, slot)) in self.backlog.iter_mut().zip(&found[..count]) {
            *to = *slot;
        }
        (self.backlog_at, self.backlog_end) = (0, count);
    }

    #[inline(always)]
    fn take(&mut self, slot: Slot) -> Option<(Ticket, R)> {
        let stamp = Stamp(self.requests.load_u64(self.request_layout.stamp(slot)));
        if !self.is_new(slot, stamp) {
            return None;
        }
        let Some(request) = self.request_layout.body(&self.requests, slot, stamp) else {
            self.misbehaviour_count += 1;
            return None;
        };
        let checksum = Layout::checksum(stamp, &request);
        self.taken |= slot.bit();
        self.current[slot.index()] = stamp;
        let mut counts = self.count_attempt(slot, stamp);
        if self.again & slot.bit() != 0 {
            self.again &= !slot.bit();
            counts |= MAY_HAVE_RUN;
        }
        self.completions.store_u64(IN_HAND, in_hand(stamp, slot));
        Some((
            Ticket {
                stamp,
                slot_and_counts: (slot.index() as u32) << SLOT_SHIFT | counts,
                checksum,
            },
            request,
        ))
    }

    /// Notes in our region which request this life is busy with: if it dies now, this one is to
    /// blame, and not the others that are in progress.
    #[inline]
    pub fn take_up(&mut self, ticket: &Ticket) {
        let word = in_hand(ticket.stamp, ticket.slot());
        self.completions.store_u64(IN_HAND, word);
    }

    /// Notes that this life is not busy with a request any more: others carry it out now.
    #[inline]
    pub fn put_down(&mut self) {
        self.completions.store_u64(IN_HAND, 0);
    }

    /// Notes in our region that this life has taken a request. Returns both of its counts.
    #[inline]
    fn count_attempt(&mut self, slot: Slot, stamp: Stamp) -> u32 {
        let at = self.completion_layout.attempts(slot);
        let word = self.completions.load_u32(at);
        let before = if word >> COUNTS_BITS == whose(stamp) {
            word & COUNTS
        } else {
            0
        };
        let counts = if before & ATTEMPTS == ATTEMPTS {
            before
        } else {
            before + 1
        };
        self.completions
            .store_u32(at, whose(stamp) << COUNTS_BITS | counts);
        counts
    }

    /// Completes a request. The caller notifies the client, if it [wants that](Self::wants_notification).
    #[inline]
    pub fn complete(&mut self, ticket: Ticket, completion: &C) {
        let (slot, stamp) = (ticket.slot(), ticket.stamp);
        self.completion_layout
            .publish(&mut self.completions, slot, stamp, completion);
        self.taken &= !slot.bit();
        if self.filled_early & slot.bit() != 0 {
            self.look_again = true;
            self.filled_early &= !slot.bit();
        }
        self.hints_out.push(&mut self.completions, slot);
        self.completed = self.completed.wrapping_add(1);
        self.put_down();
    }

    /// Whether the client is to be notified of what was completed. To be asked after that.
    #[inline]
    #[must_use]
    pub fn wants_notification(&self) -> bool {
        // See `Client::request_notifications`.
        fence(Ordering::SeqCst);
        self.requests.load_u64(NOTIFICATIONS) != LOOKING
    }

    /// Takes back all tickets that are out: the requests come again, in the order in which they were
    /// made. For a server whose own helper has lost them. The caller drops the tickets.
    pub fn take_back(&mut self) {
        for slot in slots_of(core::mem::take(&mut self.taken)) {
            // Seen already, and not completed.
            self.current[slot.index()] = Stamp::UNUSED;
        }
        self.filled_early = 0;
        self.put_down();
        // What was found and not taken yet is found again, in its place among the others.
        (self.backlog_at, self.backlog_end) = (0, 0);
        self.look_again = true;
    }

    /// Returns the completions whose slots the client has not used again: it may not have acted on them yet.
    /// Also those of an earlier life.
    pub fn last_completions(&self) -> impl Iterator<Item = C> + '_ {
        let layout = self.completion_layout;
        slots_of(layout.all()).filter_map(move |slot| {
            let own = self.completions.as_shared_ref();
            let stamp = Stamp(own.load_u64(layout.stamp(slot)));
            let theirs = Stamp(self.requests.load_u64(self.request_layout.stamp(slot)));
            let kept = stamp != Stamp::UNUSED && stamp.sequence() == theirs.sequence();
            kept.then(|| layout.completion(&own, slot, stamp)).flatten()
        })
    }

    /// Returns how many requests are taken and not completed.
    #[must_use]
    pub const fn taken_count(&self) -> usize {
        self.taken.count_ones() as usize
    }

    /// Returns how often the client was restarted, if it has ever been here.
    #[must_use]
    pub fn client_epoch(&self) -> Option<u32> {
        load_epoch(&self.requests)
    }

    /// Returns how often the client's region held something impossible.
    #[must_use]
    pub const fn misbehaviour_count(&self) -> u64 {
        self.misbehaviour_count
    }
}

/// So often the completion of one request is lost in one life before that life ends: others than
/// ourselves do no such thing twice.
const LOST_MAX: u8 = 3;
