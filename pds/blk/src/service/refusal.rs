// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Requests that are answered with an error, and never reach the disk.

use core::hint::black_box;

use proto::blk::{Completion, RequestWire, Status};
use request_table::Ticket;

use super::{DEATHS_MAX, Service};
use crate::device::Device;

/// Other code looks at it once more: one wrong instruction, and the file service was told that each of its
/// requests was invalid (campaign on seL4 release at 9481ad8, seed 1, trial 2915).
#[inline(never)]
fn assert_breaks(wire: &RequestWire, data_bytes: u64, status: Status) {
    let again = wire.check(data_bytes);
    assert!(again == Err(status), "a request was refused as {status:?}");
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

    /// Fails a request that killed the driver each time it was tried.
    #[cold]
    pub(super) fn refuse_poison(&mut self, index: usize, ticket: Ticket) -> bool {
        let sequence = ticket.sequence();
        log::error!("request {sequence} failed: it killed the driver {DEATHS_MAX} times");
        self.complete(index, ticket, &Completion::failed(Status::Io));
        true
    }
}

#[cfg(test)]
mod tests {
    use proto::blk::Segment;

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
    #[should_panic = "was refused as Invalid"]
    fn what_does_not_is_not() {
        assert_breaks(&RequestWire::read(0, PAGE), 4096, Status::Invalid);
    }
}
