// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! An answer that changes between its decision and its completion. The rest is tested in `tests/`.

use std::panic::{AssertUnwindSafe, catch_unwind};

use request_table::Client as Table;
use sel4_shared_memory::host::{HostRegion, Life};

use super::*;
use crate::blk_disk::{BlkDisk, BlockPeer};
use crate::seal::Key;

struct Nobody;

impl BlockPeer for Nobody {
    fn notify(&mut self) {}

    fn wait_or(&mut self, _look: &mut dyn FnMut() -> bool) {}
}

/// A service without a disk, and a client of it.
fn start(
    requests: &HostRegion,
    completions: &HostRegion,
) -> (Service<BlkDisk<Nobody>>, Table<RequestWire, CompletionWire>) {
    let life = Life::endless();
    let table = Table::attach(requests.shared_mut(&life), completions.shared_ref()).unwrap();
    let data = HostRegion::new(0x1000);
    let regions = ClientRegions {
        requests: requests.shared_ref(),
        completions: completions.shared_mut(&life),
        input: data.shared_ref(),
        output: data.shared_mut(&life),
    };
    let seals = Seals::new(Key([1, 2]));
    let service = Service::new(Err(Errno::NoDevice), vec![regions], 0, seals);
    (service.unwrap(), table)
}

/// Takes a request, decides, changes one bit of what was decided, and completes. Returns whether that ended
/// the life, and what the client has got. Nothing lies between the answer and the change (campaign on seL4
/// release at a5e7c4a, seed 1, trial 8762: a copy of the answer, and only then the decision).
fn complete_with(bit: Option<usize>) -> (bool, bool) {
    let (requests, completions) = (HostRegion::new(0x4000), HostRegion::new(0x4000));
    let (mut service, mut table) = start(&requests, &completions);
    table.submit(&RequestWire::default()).unwrap();
    let (ticket, wire) = service.clients[0].server.next_request().unwrap();
    let (mut completion, _) = service.answer(0, &ticket, &wire, &[]);
    if let Some(bit) = bit {
        zerocopy::IntoBytes::as_mut_bytes(&mut completion)[bit / 8] ^= 1 << (bit % 8);
    }
    let mut finished = vec![Finished {
        client: 0,
        ticket,
        completion,
    }];
    let ended = catch_unwind(AssertUnwindSafe(|| {
        service.complete(&mut finished, &mut |_| ());
    }));
    (ended.is_err(), table.next_completion().is_some())
}

/// Campaign on seL4 debug, seed 1, trial 199: a branch in the service's code went elsewhere, and a request
/// was carried out and never completed.
#[test]
#[should_panic(expected = "1 requests are taken")]
fn a_ticket_that_is_lost_ends_the_life() {
    let (requests, completions) = (HostRegion::new(0x4000), HostRegion::new(0x4000));
    let (mut service, mut table) = start(&requests, &completions);
    table.submit(&RequestWire::default()).unwrap();
    service.run_batch(&mut |_| ());
    table.submit(&RequestWire::default()).unwrap();
    drop(service.clients[0].server.next_request().unwrap());
    service.run_batch(&mut |_| ());
}

#[test]
fn an_answer_that_was_changed_after_its_decision_ends_the_life_and_is_not_given() {
    assert_eq!(complete_with(None), (false, true));
    for bit in 0..8 * size_of::<CompletionWire>() {
        assert_eq!(complete_with(Some(bit)), (true, false), "bit {bit}");
    }
}
