// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Requests that never reach the disk, and a second look at answers, by other code than that which made them.

use core::hint::black_box;

use proto::blk::{Completion, CompletionWire, RequestWire, Status};
use request_table::{Ticket, Whole};

use super::{DEATHS_MAX, Service, answer_without_device};
use crate::device::{Device, Info};

/// Other code looks at it once more: one wrong instruction, and the file service was told that each of its
/// requests was invalid (campaign on seL4 release at 9481ad8, seed 1, trial 2915).
#[inline(never)]
fn assert_breaks(wire: &RequestWire, data_bytes: u64, status: Status) {
    let again = wire.check(data_bytes);
    assert!(again == Err(status), "a request was refused as {status:?}");
}

/// The same for what is answered without the disk: a write that was taken for something else was called done
/// (campaign on seL4 release, seed 2, trial 3444).
#[cold]
#[inline(never)]
pub(super) fn assert_answer(
    info: &Info,
    sectors: u64,
    (wire, data_bytes): (&RequestWire, u64),
    completion: &Completion,
) {
    let again = wire.check(data_bytes).ok();
    let again = again.and_then(|request| answer_without_device(info, sectors, &request));
    assert!(
        again.as_ref() == Some(completion),
        "answered without the disk"
    );
}

/// The same for any answer, as the client will read it (campaign on seL4 release, seed 2, trial 5940: what
/// was moved was wrong, and the checksum was of that).
#[inline(never)]
pub(super) fn assert_says(wire: &CompletionWire, sequence: u64, completion: &Completion) {
    let is_right = wire.check() == *completion && wire.is_whole(sequence);
    assert!(is_right, "the answer has changed");
}

impl<D: Device> Service<D> {
    /// Answers a request that breaks the rules.
    #[cold]
    #[inline(never)]
    pub(super) fn refuse(
        &mut self,
        index: usize,
        ticket: Ticket,
        wire: &RequestWire,
        status: Status,
    ) -> bool {
        assert!(ticket.is_for(black_box(wire)), "the request has changed");
        assert_breaks(wire, self.clients[index].data_bytes, status);
        self.complete(index, ticket, &Completion::failed(status));
        true
    }

    /// What damaged code may do: takes a request, and forgets it.
    #[cfg(test)]
    pub(crate) fn lose_ticket(&mut self, client: usize) {
        let _ = self.clients[client].table.next_request();
    }

    /// What damaged code may do: carries out another request than the client's, or refuses it.
    #[cfg(test)]
    pub(crate) fn begin_changed(&mut self, index: usize, change: impl Fn(&mut RequestWire)) {
        let client = &mut self.clients[index];
        let (ticket, mut wire) = client.table.next_request().expect("there is one");
        change(&mut wire);
        match wire.check(client.data_bytes) {
            Ok(request) => self.begin(index, ticket, &wire, &request),
            Err(status) => self.refuse(index, ticket, &wire, status),
        };
    }

    /// Fails a request that killed the driver each time it was tried. The count may be wrong (campaign on
    /// seL4 release, seed 2, trial 4514: one bit of a register).
    #[cold]
    pub(super) fn refuse_poison(&mut self, index: usize, ticket: Ticket) -> bool {
        let sequence = ticket.sequence();
        self.failures
            .ask_another(format_args!("request {sequence} is poison"));
        log::error!("request {sequence} failed: it killed the driver {DEATHS_MAX} times");
        self.complete(index, ticket, &Completion::failed(Status::Io));
        true
    }
}

#[cfg(test)]
mod tests {
    use proto::blk::{Operation, Segment};
    use zerocopy::IntoBytes;

    use super::*;

    const PAGE: Segment = Segment {
        offset: 0,
        bytes: 4096,
    };

    #[test]
    fn what_breaks_the_rules_is_refused() {
        assert_breaks(&RequestWire::read(0, PAGE), 2048, Status::BadAddress);
    }

    #[test]
    fn only_what_the_disk_need_not_see_is_answered_without_it() {
        let info = Info {
            capacity_sectors: 64,
            read_only: false,
            flushes: false,
            discard_sectors_max: 0,
            zero_sectors_max: 0,
            depth: 1,
        };
        let asserted = |wire: &RequestWire, completion: Completion| {
            let assert = || assert_answer(&info, 64, (wire, 4096), &completion);
            std::panic::catch_unwind(assert).is_ok()
        };
        let out_of_range = Completion::failed(Status::OutOfRange);
        assert!(asserted(
            &RequestWire::plain(Operation::Flush),
            Completion::done(0)
        ));
        assert!(asserted(&RequestWire::read(64, PAGE), out_of_range));
        assert!(!asserted(&RequestWire::read(63, PAGE), Completion::done(0)));
        for wire in [RequestWire::read(0, PAGE), RequestWire::write(0, PAGE)] {
            assert!(!asserted(&wire, Completion::done(0)));
            assert!(!asserted(&wire, out_of_range));
        }
    }

    #[test]
    fn an_answer_with_any_bit_wrong_is_none() {
        let right = Completion::done(4096);
        assert_says(&right.to_wire(7), 7, &right);
        for bit in 0..size_of::<CompletionWire>() * 8 {
            let mut wire = right.to_wire(7);
            wire.as_mut_bytes()[bit / 8] ^= 1 << (bit % 8);
            assert!(std::panic::catch_unwind(|| assert_says(&wire, 7, &right)).is_err());
        }
        let other = Completion::done(512).to_wire(7);
        assert!(std::panic::catch_unwind(|| assert_says(&other, 7, &right)).is_err());
    }

    #[test]
    #[should_panic = "was refused as Invalid"]
    fn what_does_not_is_not() {
        assert_breaks(&RequestWire::read(0, PAGE), 4096, Status::Invalid);
    }
}
