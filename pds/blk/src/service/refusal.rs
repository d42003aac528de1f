// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Requests that are answered with an error, and never reach the disk.

use proto::blk::{Completion, RequestWire, Status};
use request_table::Ticket;

use super::{DEATHS_MAX, Service};
use crate::device::Device;

impl<D: Device> Service<D> {
    /// Answers a request that breaks the rules. Other code looks at it once more: one wrong instruction, and
    /// the file service was told that each of its requests was invalid (campaign on seL4 release at
    /// 9481ad8, seed 1, trial 2915).
    #[cold]
    #[inline(never)]
    pub(super) fn refuse(
        &mut self,
        index: usize,
        ticket: Ticket,
        wire: &RequestWire,
        status: Status,
    ) -> bool {
        let again = wire.check(self.clients[index].data_bytes);
        assert!(again == Err(status), "a request was refused as {status:?}");
        self.complete(index, ticket, &Completion::failed(status));
        true
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
