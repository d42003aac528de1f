// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Client and server at the same time, in loom's model of memory: every interleaving of their loads
//! and stores (with up to three switches between the two), and every value that a load may see.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release -p request-table --lib`

use loom::thread;
use sel4_shared_memory::ModelRegion;

use crate::layout::Layout;
use crate::{Client, Server};

type Body = [u8; 8];
type TestClient = Client<Body, Body>;
type TestServer = Server<Body, Body>;

/// `client_work` returns how many requests it made and how many completions it consumed.
fn check(slots: usize, rounds: usize, client_work: fn(&mut TestClient) -> (usize, usize)) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.max_branches = 10_000;
    model.check(move || {
        let len = Layout::<Body>::of(slots).region_bytes();
        let (requests, completions) = (ModelRegion::new(len), ModelRegion::new(len));
        let mut client: TestClient =
            Client::attach_with(requests.shared_mut(), completions.shared_ref(), slots).unwrap();
        let mut server: TestServer =
            Server::attach_with(requests.shared_ref(), completions.shared_mut(), 0, slots).unwrap();
        let server = thread::spawn(move || {
            for _ in 0..rounds {
                serve(&mut server);
            }
            server
        });
        let (submitted, mut consumed) = client_work(&mut client);
        let mut server = server.join().unwrap();
        // Whatever was left over is served and consumed now: nothing is lost.
        while serve(&mut server) {}
        while consume(&mut client) {
            consumed += 1;
        }
        assert_eq!((client.outstanding_count(), server.taken_count()), (0, 0));
        assert_eq!(
            (client.misbehaviour_count(), server.misbehaviour_count()),
            (0, 0)
        );
        assert_eq!(submitted, consumed);
    });
}

fn serve(server: &mut TestServer) -> bool {
    let Some((ticket, body)) = server.next_request() else {
        return false;
    };
    assert_eq!(
        u64::from_le_bytes(body),
        ticket.sequence() ^ 0x55aa,
        "torn or stale request"
    );
    server.complete(ticket, &body);
    true
}

fn consume(client: &mut TestClient) -> bool {
    let Some((_, sequence, body)) = client.next_completion() else {
        return false;
    };
    assert_eq!(
        u64::from_le_bytes(body),
        sequence ^ 0x55aa,
        "torn or stale completion"
    );
    true
}

fn submit(client: &mut TestClient, sequence: u64) -> bool {
    client.submit(&(sequence ^ 0x55aa).to_le_bytes()).is_ok()
}

/// Makes two requests and looks for completions meanwhile.
fn two_requests(client: &mut TestClient) -> (usize, usize) {
    let (mut submitted, mut consumed) = (0, 0);
    for _ in 0..2 {
        submitted += usize::from(submit(client, submitted as u64 + 1));
        consumed += usize::from(consume(client));
    }
    (submitted, consumed)
}

/// The slot is used again as soon as it is free: the classical place for a stale read.
#[test]
fn one_slot_used_again() {
    check(1, 2, two_requests);
}

#[test]
fn two_slots() {
    check(2, 2, two_requests);
}

/// Who waits for a completion that is there has been told of it.
#[test]
fn notifications_on_request() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(4);
    model.max_branches = 10_000;
    model.check(|| {
        let len = Layout::<Body>::of(1).region_bytes();
        let (requests, completions) = (ModelRegion::new(len), ModelRegion::new(len));
        let mut client: TestClient =
            Client::attach_with(requests.shared_mut(), completions.shared_ref(), 1).unwrap();
        let mut server: TestServer =
            Server::attach_with(requests.shared_ref(), completions.shared_mut(), 0, 1).unwrap();
        client.suppress_notifications();
        assert!(submit(&mut client, 1));
        let server = thread::spawn(move || {
            assert!(serve(&mut server), "it was submitted before");
            server.wants_notification()
        });
        client.request_notifications();
        let waits = !consume(&mut client);
        assert!(server.join().unwrap() || !waits);
    });
}
