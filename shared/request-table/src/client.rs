// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The side that makes requests.

use core::fmt;

use sel4_shared_memory::{SharedMut, SharedRef};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::layout::{
    AttachError, LOOKING, Layout, NOTIFICATIONS, Ordering, Role, SLOTS, Slot, Stamp, fence,
    first_of, load_epoch, slots_of, store_epoch,
};
use crate::ring::{Hint, RingReader, RingWriter};
use crate::whole::Whole;

/// All slots are in use: consume completions first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "all {SLOTS} request slots are in use")
    }
}

/// Makes requests and consumes completions.
pub struct Client<R, C> {
    requests: SharedMut,
    completions: SharedRef,
    request_layout: Layout<R>,
    completion_layout: Layout<C>,
    /// What we have stored in our slots. Ours, so never read back.
    stamps: [Stamp; SLOTS],
    pending: u64,
    next_sequence: u64,
    hints_out: RingWriter,
    hints_in: RingReader,
    /// Slots still to be looked at without a hint.
    to_look_at: u64,
    server_is_there: bool,
    misbehaviour_count: u64,
}

impl<R, C> Client<R, C>
where
    R: FromBytes + IntoBytes + Immutable,
    C: FromBytes + IntoBytes + Immutable + Whole,
{
    /// Takes over the table, with what an earlier life left in it.
    ///
    /// # Errors
    ///
    /// When a region is too small.
    pub fn attach(requests: SharedMut, completions: SharedRef) -> Result<Self, AttachError> {
        Self::attach_with(requests, completions, SLOTS)
    }

    pub(crate) fn attach_with(
        mut requests: SharedMut,
        completions: SharedRef,
        slots: usize,
    ) -> Result<Self, AttachError> {
        let request_layout = Layout::of(slots);
        let completion_layout = Layout::of(slots);
        request_layout.check_len(requests.len())?;
        completion_layout.check_len(completions.len())?;
        let own = requests.as_shared_ref();
        let mut newest = 0;
        if !request_layout.header_is_valid(Role::Requests, &own) {
            // Our sequence numbers are lost. Begin above those that the server still remembers, or
            // an old completion could pass for one of a new request.
            newest = newest_known_to(completion_layout, &completions);
            request_layout.format(Role::Requests, &mut requests);
        }
        let generation = load_epoch(&own).map_or(0, |epoch| epoch.wrapping_add(1));
        store_epoch(&mut requests, generation);
        let mut client = Self {
            hints_out: RingWriter::attach(&mut requests),
            requests,
            completions,
            request_layout,
            completion_layout,
            stamps: [Stamp::UNUSED; SLOTS],
            pending: 0,
            next_sequence: 1 + newest,
            hints_in: RingReader::new(),
            to_look_at: 0,
            server_is_there: false,
            misbehaviour_count: 0,
        };
        client.take_over_slots();
        client.request_notifications();
        Ok(client)
    }

    fn take_over_slots(&mut self) {
        let own = self.requests.as_shared_ref();
        for slot in slots_of(self.request_layout.all()) {
            let mut stamp = Stamp(own.load_u64(self.request_layout.stamp(slot)));
            if stamp.is_pending() {
                if self.request_layout.body(&own, slot, stamp).is_some() {
                    self.pending |= slot.bit();
                } else {
                    // Damaged after it was stored: no server will take it. Give it up.
                    stamp = stamp.consumed();
                    self.requests
                        .store_u64(self.request_layout.stamp(slot), stamp.0);
                }
            }
            self.stamps[slot.index()] = stamp;
            self.next_sequence = self.next_sequence.max(stamp.sequence() + 1);
        }
    }

    /// Puts a request into a free slot. The caller then notifies the server.
    ///
    /// # Errors
    ///
    /// [`Full`] when there is no free slot.
    #[inline]
    pub fn submit(&mut self, request: &R) -> Result<Slot, Full> {
        let slot = first_of(self.request_layout.all() & !self.pending).ok_or(Full)?;
        let stamp = Stamp::pending(self.next_sequence);
        self.next_sequence += 1;
        self.request_layout
            .publish(&mut self.requests, slot, stamp, request);
        self.stamps[slot.index()] = stamp;
        self.pending |= slot.bit();
        self.hints_out.push(&mut self.requests, slot);
        Ok(slot)
    }

    /// Consumes a completion, if there is one, and frees its slot.
    ///
    /// Returns the slot, the sequence number of the request, and what the server answered.
    #[inline]
    pub fn next_completion(&mut self) -> Option<(Slot, u64, C)> {
        if !self.server_is_there && !self.find_server() {
            return None;
        }
        // A peer that goes on writing hints must not keep us here.
        for _ in 0..2 * SLOTS {
            let from_table = first_of(self.to_look_at & self.pending);
            let hint = match from_table {
                Some(slot) => Hint::Look(slot),
                None => self
                    .hints_in
                    .next(&self.completions, self.completion_layout.slots),
            };
            match hint {
                Hint::Nothing => return None,
                Hint::Look(slot) => {
                    self.to_look_at &= !slot.bit();
                    let completion = self.consume(slot);
                    if completion.is_some() {
                        return completion;
                    }
                    if from_table.is_none() {
                        self.to_look_at = self.pending;
                    }
                }
                Hint::LookEverywhere => self.to_look_at = self.pending,
                Hint::Impossible => {
                    self.misbehaviour_count += 1;
                    self.to_look_at = self.pending;
                }
            }
        }
        None
    }

    fn find_server(&mut self) -> bool {
        let layout = self.completion_layout;
        self.server_is_there = layout.header_is_valid(Role::Completions, &self.completions);
        if self.server_is_there {
            self.hints_in.skip(&self.completions);
            self.to_look_at = self.pending;
        }
        self.server_is_there
    }

    /// Tells the server that nobody waits: this client looks for completions itself. Spares both a system
    /// call where the server has a higher priority, and is done when the client gets to look (virtio 1.2,
    /// 2.7.7: used buffer notification suppression).
    #[inline]
    pub fn suppress_notifications(&mut self) {
        self.requests.store_u64(NOTIFICATIONS, LOOKING);
    }

    /// Has the server notify again, as it does of every client at first. What was completed before is not
    /// told of: look once more ([`Self::next_completion`]), and then wait.
    #[inline]
    pub fn request_notifications(&mut self) {
        self.requests.store_u64(NOTIFICATIONS, 0);
        // The server stores a completion and then looks here: one of us sees what the other has stored.
        fence(Ordering::SeqCst);
    }

    /// For a client that has waited for long: looks at everything that is pending, hint or none, and
    /// says whether [`Self::next_completion`] has something now. If not, the hints go out once more,
    /// in case they or the completions were lost; the caller then notifies the server.
    ///
    /// A server whose header is damaged has completed nothing, whatever else is there: it is to hear of us.
    pub fn remind(&mut self) -> bool {
        let own = self.requests.as_shared_ref();
        if !self.request_layout.header_is_valid(Role::Requests, &own) {
            // Ours alone: the next life of the server would not find us.
            self.request_layout
                .store_header(Role::Requests, &mut self.requests);
        }
        let is_there = self.server_is_there || self.find_server();
        self.to_look_at = self.pending;
        let layout = self.completion_layout;
        let is_complete = |slot: Slot| {
            let stamp = self.stamps[slot.index()];
            self.completions.load_u64(layout.stamp(slot)) == stamp.0
                && layout.completion(&self.completions, slot, stamp).is_some()
        };
        let found = is_there && slots_of(self.pending).any(is_complete);
        if !found {
            for slot in slots_of(self.pending) {
                self.hints_out.push(&mut self.requests, slot);
            }
        }
        found
    }

    #[inline(always)]
    fn consume(&mut self, slot: Slot) -> Option<(Slot, u64, C)> {
        let stamp = self.stamps[slot.index()];
        let layout = self.completion_layout;
        if !stamp.is_pending() || self.completions.load_u64(layout.stamp(slot)) != stamp.0 {
            return None;
        }
        let Some(completion) = layout.completion(&self.completions, slot, stamp) else {
            self.misbehaviour_count += 1;
            return None;
        };
        // From here on no life of ours gets this completion again.
        self.stamps[slot.index()] = stamp.consumed();
        self.pending &= !slot.bit();
        self.requests
            .store_u64(self.request_layout.stamp(slot), stamp.consumed().0);
        Some((slot, stamp.sequence(), completion))
    }

    /// Returns the requests that are not consumed yet: their slots, sequence numbers and contents.
    ///
    /// Right after [`Self::attach`] that is what an earlier life left. Some may be completed
    /// already; [`Self::next_completion`] will tell.
    pub fn outstanding(&self) -> impl Iterator<Item = (Slot, u64, R)> + '_ {
        let own = self.requests.as_shared_ref();
        slots_of(self.pending).filter_map(move |slot| {
            let stamp = self.stamps[slot.index()];
            Some((
                slot,
                stamp.sequence(),
                self.request_layout.body(&own, slot, stamp)?,
            ))
        })
    }

    /// Returns how many requests are not consumed yet.
    #[must_use]
    pub const fn outstanding_count(&self) -> usize {
        self.pending.count_ones() as usize
    }

    /// Returns the sequence number of the last request made in a slot.
    #[must_use]
    pub const fn sequence(&self, slot: Slot) -> u64 {
        self.stamps[slot.index()].sequence()
    }

    /// Returns how often the server was restarted, if it has ever been here.
    #[must_use]
    pub fn server_epoch(&self) -> Option<u32> {
        load_epoch(&self.completions)
    }

    /// Returns how often the server's region held something impossible.
    #[must_use]
    pub const fn misbehaviour_count(&self) -> u64 {
        self.misbehaviour_count
    }
}

/// Returns a sequence number that no request known to the server exceeds.
///
/// Requests made after its newest completion all had slots of their own: at most [`SLOTS`].
fn newest_known_to<C>(layout: Layout<C>, completions: &SharedRef) -> u64 {
    if !layout.header_is_valid(Role::Completions, completions) {
        return 0;
    }
    let completed = slots_of(layout.all())
        .map(|slot| Stamp(completions.load_u64(layout.stamp(slot))).sequence())
        // A server that claims absurd numbers must not use up ours.
        .filter(|sequence| *sequence < u64::MAX >> 2)
        .max();
    completed.unwrap_or(0) + SLOTS as u64
}
