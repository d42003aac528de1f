// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Either side dies between any two stores; either side lies. The oracle counts.
//!
//! Bodies carry their own number, so that a wrong, repeated or invented answer shows.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::prelude::*;
use sel4_shared_memory::host::{Died, HostRegion, Life};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::layout::{LOOKING, Layout, NOTIFICATIONS, TAIL};
use crate::{AttachError, Client, Full, SLOTS, Server, Slot, Ticket, Whole, region_bytes};

type Request = [u8; 24];
type Completion = [u8; 16];
type TestClient = Client<Request, Completion>;
type TestServer = Server<Request, Completion>;

fn request(number: u64) -> Request {
    let mut body = [0x5a; 24];
    body[..8].copy_from_slice(&number.to_le_bytes());
    body[16..].copy_from_slice(&(!number).to_le_bytes());
    body
}

fn number_of(request: &Request) -> u64 {
    let number = u64::from_le_bytes(request[..8].try_into().unwrap());
    assert_eq!(request[8..16], [0x5a; 8], "torn request");
    assert_eq!(request[16..], (!number).to_le_bytes(), "torn request");
    number
}

fn answer(number: u64) -> Completion {
    let mut body = [0; 16];
    body[..8].copy_from_slice(&number.to_le_bytes());
    body[8..].copy_from_slice(&(number * 3).to_le_bytes());
    body
}

fn answered_number(completion: &Completion) -> u64 {
    let number = u64::from_le_bytes(completion[..8].try_into().unwrap());
    assert_eq!(*completion, answer(number), "torn or invented completion");
    number
}

/// The two regions, and what must hold of them over all lives of both sides.
struct World {
    requests: HostRegion,
    completions: HostRegion,
    slots: usize,
    server_lives: u32,
    next_number: u64,
    /// Numbers of requests that `submit` returned for, and of those whose client died in `submit`.
    made: BTreeSet<u64>,
    /// Consumed completions.
    answered: BTreeSet<u64>,
    /// Sequence number to request number: a sequence number never means two requests.
    sequences: BTreeMap<u64, u64>,
    tickets: Vec<(Ticket, u64)>,
    taken_in_this_life: BTreeSet<u64>,
}

impl World {
    fn new(slots: usize) -> Self {
        Self {
            requests: HostRegion::new(Layout::<Request>::of(slots).region_bytes()),
            completions: HostRegion::new(Layout::<Completion>::of(slots).region_bytes()),
            slots,
            server_lives: 0,
            next_number: 0,
            made: BTreeSet::new(),
            answered: BTreeSet::new(),
            sequences: BTreeMap::new(),
            tickets: Vec::new(),
            taken_in_this_life: BTreeSet::new(),
        }
    }

    fn client(&self, life: &Life) -> TestClient {
        let requests = self.requests.shared_mut(life);
        Client::attach_with(requests, self.completions.shared_ref(), self.slots).unwrap()
    }

    fn server(&mut self, life: &Life) -> TestServer {
        self.tickets.clear();
        self.taken_in_this_life.clear();
        self.server_lives += 1;
        let completions = self.completions.shared_mut(life);
        let requests = self.requests.shared_ref();
        Server::attach_with(requests, completions, self.server_lives - 1, self.slots).unwrap()
    }

    fn submit(&mut self, client: &mut TestClient) -> bool {
        let number = self.next_number;
        // Before the call: a client that dies inside may have made the request.
        self.next_number += 1;
        match client.submit(&request(number)) {
            Ok(slot) => {
                self.made.insert(number);
                let sequence = client.sequence(slot);
                let before = self.sequences.insert(sequence, number);
                assert!(
                    before.is_none_or(|n| n == number),
                    "sequence number {sequence} repeats"
                );
                true
            }
            Err(Full) => false,
        }
    }

    fn consume(&mut self, client: &mut TestClient) -> bool {
        let Some((_, sequence, completion)) = client.next_completion() else {
            return false;
        };
        let number = answered_number(&completion);
        assert!(
            self.answered.insert(number),
            "request {number} completed twice"
        );
        let before = self.sequences.insert(sequence, number);
        assert!(
            before.is_none_or(|n| n == number),
            "completion of another request"
        );
        true
    }

    fn take(&mut self, server: &mut TestServer) -> bool {
        let Some((ticket, body)) = server.next_request() else {
            return false;
        };
        let number = number_of(&body);
        assert!(
            self.taken_in_this_life.insert(number),
            "request {number} taken twice in a life"
        );
        assert!(
            !self.answered.contains(&number),
            "request {number} taken after its completion"
        );
        self.tickets.push((ticket, number));
        true
    }

    fn complete(&mut self, server: &mut TestServer) -> bool {
        // The newest first, so that completions are out of order.
        let Some((ticket, number)) = self.tickets.pop() else {
            return false;
        };
        server.complete(ticket, &answer(number));
        true
    }

    /// Lets both sides run until nothing is left to do.
    fn settle(&mut self, client: &mut TestClient, server: &mut TestServer) {
        loop {
            let taken = self.take(server);
            let completed = self.complete(server);
            let consumed = self.consume(client);
            if !(taken || completed || consumed) {
                break;
            }
        }
        assert_eq!((client.outstanding_count(), server.taken_count()), (0, 0));
        assert_eq!(
            (client.misbehaviour_count(), server.misbehaviour_count()),
            (0, 0)
        );
    }
}

/// A bit of everything: partly filled, full, out of order, slots used again.
fn busy_script(world: &mut World, client: &mut TestClient, server: &mut TestServer) {
    for _ in 0..3 {
        while world.submit(client) {}
        world.take(server);
        world.complete(server);
        world.consume(client);
        world.submit(client);
        while world.take(server) {}
        world.complete(server);
        world.consume(client);
        world.complete(server);
    }
}

#[test]
fn without_accidents_each_request_is_answered_once() {
    let mut world = World::new(SLOTS);
    let mut server = world.server(&Life::endless());
    let mut client = world.client(&Life::endless());
    for _ in 0..10 {
        busy_script(&mut world, &mut client, &mut server);
    }
    world.settle(&mut client, &mut server);
    assert_eq!(world.made, world.answered);
    assert_eq!(client.server_epoch(), Some(0));
}

/// The server's helper loses what it was given, at any moment of the script.
#[test]
fn server_takes_back_what_it_has_and_gets_it_again_in_order() {
    for round in 0..40 {
        let mut world = World::new(5);
        let mut server = world.server(&Life::endless());
        let mut client = world.client(&Life::endless());
        for step in 0..40 {
            match (round * 7 + step * 5) % 8 {
                0..3 => drop(world.submit(&mut client)),
                3..5 => drop(world.take(&mut server)),
                5 => drop(world.complete(&mut server)),
                _ => drop(world.consume(&mut client)),
            }
            if step % (round + 3) == round {
                let lost: BTreeSet<u64> = world.tickets.drain(..).map(|(_, n)| n).collect();
                world.taken_in_this_life.clear();
                server.take_back();
                assert_eq!(server.taken_count(), 0);
                for expected in &lost {
                    assert!(world.take(&mut server));
                    assert_eq!(world.tickets.last().map(|(_, n)| n), Some(expected));
                }
            }
        }
        world.settle(&mut client, &mut server);
        assert_eq!(world.made, world.answered);
    }
}

#[test]
fn a_new_life_knows_whom_the_last_one_may_not_have_told() {
    let mut world = World::new(4);
    let mut client = world.client(&Life::endless());
    let mut server = world.server(&Life::endless());
    world.submit(&mut client);
    world.submit(&mut client);
    world.take(&mut server);
    world.complete(&mut server);
    // Not consumed: it may have died before it notified anybody.
    let mut server = world.server(&Life::endless());
    assert!(world.take(&mut server));
    assert!(server.take_untold());
    assert!(!server.take_untold());
    assert!(world.consume(&mut client));
    let mut server = world.server(&Life::endless());
    assert!(world.take(&mut server));
    assert!(!server.take_untold());
}

#[test]
fn only_who_says_that_it_looks_is_not_notified() {
    let mut world = World::new(4);
    let server = world.server(&Life::endless());
    assert!(server.wants_notification(), "nobody is there yet");
    let mut client = world.client(&Life::endless());
    assert!(server.wants_notification());
    client.suppress_notifications();
    assert!(!server.wants_notification());
    for bit in 0..64 {
        let word = LOOKING ^ 1 << bit;
        world
            .requests
            .shared_mut(&Life::endless())
            .store_u64(NOTIFICATIONS, word);
        assert!(server.wants_notification(), "damaged bit {bit}");
    }
    client.suppress_notifications();
    client.request_notifications();
    assert!(server.wants_notification());
    client.suppress_notifications();
    world.client(&Life::endless());
    assert!(server.wants_notification(), "another life has not said it");
}

#[test]
fn server_dies_between_any_two_stores() {
    let mut died_at_last = false;
    for steps in 0.. {
        let mut world = World::new(3);
        let life = Life::of_steps(steps);
        let mut client = world.client(&Life::endless());
        let end = life.run(|| {
            let mut server = world.server(&life);
            busy_script(&mut world, &mut client, &mut server);
        });
        let mut server = world.server(&Life::endless());
        assert_eq!(client.server_epoch(), Some(1));
        busy_script(&mut world, &mut client, &mut server);
        world.settle(&mut client, &mut server);
        assert_eq!(world.made, world.answered, "died after {steps} stores");
        if end.is_ok() {
            break;
        }
        died_at_last = true;
    }
    assert!(died_at_last);
}

#[test]
fn server_dies_again_while_it_recovers() {
    for first in (0..400).step_by(7) {
        for second in 0..60 {
            let mut world = World::new(3);
            let mut client = world.client(&Life::endless());
            for steps in [first, second, second / 2] {
                let life = Life::of_steps(steps);
                let _: Result<(), Died> = life.run(|| {
                    let mut server = world.server(&life);
                    busy_script(&mut world, &mut client, &mut server);
                });
            }
            let mut server = world.server(&Life::endless());
            world.settle(&mut client, &mut server);
            assert_eq!(
                world.made, world.answered,
                "died after {first} and {second} stores"
            );
        }
    }
}

#[test]
fn client_dies_between_any_two_stores() {
    for steps in 0.. {
        let mut world = World::new(3);
        let mut server = world.server(&Life::endless());
        let life = Life::of_steps(steps);
        let end = life.run(|| {
            let mut client = world.client(&life);
            busy_script(&mut world, &mut client, &mut server);
        });
        let mut client = world.client(&Life::endless());
        for (_, sequence, body) in client.outstanding() {
            let number = number_of(&body);
            assert!(
                !world.answered.contains(&number),
                "request {number} came back"
            );
            let before = world.sequences.insert(sequence, number);
            assert!(
                before.is_none_or(|n| n == number),
                "sequence number {sequence} repeats"
            );
        }
        world.settle(&mut client, &mut server);
        busy_script(&mut world, &mut client, &mut server);
        world.settle(&mut client, &mut server);
        // The request that the client died in may or may not have been made. A completion that it
        // died while consuming would not be lost either: the last store is the one that counts.
        assert!(
            world.made.is_subset(&world.answered),
            "died after {steps} stores"
        );
        assert!(world.answered.len() - world.made.len() <= 1);
        if end.is_ok() {
            break;
        }
    }
}

#[test]
fn both_die() {
    for client_steps in (0..320).step_by(5) {
        for server_steps in (0..320).step_by(5) {
            let mut world = World::new(3);
            let lives = (Life::of_steps(client_steps), Life::of_steps(server_steps));
            let mut client = None;
            let mut server = None;
            // Each side goes on after the other's death, up to its own.
            let _: Result<(), Died> = lives.0.run(|| client = Some(world.client(&lives.0)));
            let _: Result<(), Died> = lives.1.run(|| server = Some(world.server(&lives.1)));
            for _ in 0..20 {
                for operation in 0..2 {
                    if let Some(alive) = &mut client {
                        let end = lives.0.run(|| match operation {
                            0 => world.submit(alive),
                            _ => world.consume(alive),
                        });
                        client = client.filter(|_| end.is_ok());
                    }
                    if let Some(alive) = &mut server {
                        let end = lives.1.run(|| match operation {
                            0 => world.take(alive),
                            _ => world.complete(alive),
                        });
                        server = server.filter(|_| end.is_ok());
                    }
                }
            }
            let mut server = world.server(&Life::endless());
            let mut client = world.client(&Life::endless());
            world.settle(&mut client, &mut server);
            assert!(world.made.is_subset(&world.answered));
            assert!(world.answered.len() - world.made.len() <= 1);
        }
    }
}

/// Every order of up to seven operations and deaths, with one and with two slots.
#[test]
fn every_short_history() {
    const EVENTS: u32 = 6;
    for slots in 1..=2 {
        for length in 1..=7 {
            for mut history in 0..EVENTS.pow(length) {
                let mut world = World::new(slots);
                let mut client = world.client(&Life::endless());
                let mut server = world.server(&Life::endless());
                for _ in 0..length {
                    match history % EVENTS {
                        0 => drop(world.submit(&mut client)),
                        1 => drop(world.consume(&mut client)),
                        2 => drop(world.take(&mut server)),
                        3 => drop(world.complete(&mut server)),
                        4 => client = world.client(&Life::endless()),
                        _ => server = world.server(&Life::endless()),
                    }
                    history /= EVENTS;
                }
                world.settle(&mut client, &mut server);
                assert_eq!(world.made, world.answered);
            }
        }
    }
}

#[test]
fn requests_come_in_the_order_in_which_they_were_made() {
    let mut world = World::new(8);
    let mut client = world.client(&Life::endless());
    let mut server = world.server(&Life::endless());
    // Use the slots so that their order is not that of the sequence numbers.
    for _ in 0..8 {
        world.submit(&mut client);
    }
    while world.take(&mut server) {}
    world.tickets.swap(0, 7);
    for _ in 0..4 {
        world.complete(&mut server);
        world.consume(&mut client);
        world.submit(&mut client);
    }
    let mut order = Vec::new();
    while let Some((ticket, body)) = server.next_request() {
        order.push((ticket.sequence(), number_of(&body)));
    }
    assert_eq!(
        order.iter().map(|o| o.0).collect::<Vec<_>>(),
        [9, 10, 11, 12]
    );
    let mut server = world.server(&Life::endless());
    let mut again = Vec::new();
    while let Some((ticket, _)) = server.next_request() {
        assert!(ticket.attempt() == 2);
        again.push(ticket.sequence());
    }
    assert!(again.is_sorted() && again.len() == 8);
}

#[test]
fn attempts_are_counted_over_lives_and_per_request() {
    let mut world = World::new(2);
    let mut client = world.client(&Life::endless());
    client.submit(&request(0)).unwrap();
    for attempt in 1..=3 {
        let mut server = world.server(&Life::endless());
        let (ticket, _) = server.next_request().unwrap();
        assert_eq!(ticket.attempt(), attempt);
        if attempt == 3 {
            server.complete(ticket, &answer(0));
            client.next_completion().unwrap();
            client.submit(&request(1)).unwrap();
            assert_eq!(server.next_request().unwrap().0.attempt(), 1);
        }
    }
}

/// One request, completed and not consumed.
fn world_with_an_answer() -> (World, TestClient, TestServer) {
    let mut world = World::new(2);
    let mut server = world.server(&Life::endless());
    let mut client = world.client(&Life::endless());
    client.submit(&request(0)).unwrap();
    let (ticket, _) = server.next_request().unwrap();
    server.complete(ticket, &answer(0));
    (world, client, server)
}

/// The server finds out that its region is damaged.
fn assert_ends(server: &mut TestServer) {
    let ended = catch_unwind(AssertUnwindSafe(|| server.next_request()));
    assert!(ended.is_err(), "the life goes on");
}

/// Campaign on seL4 release at a5e7c4a, seed 1, trial 8900: one skipped instruction in the driver (in trial
/// 8889) had destroyed the header of its completions. The next life of the file service saw that its request
/// was complete, did not take it for want of a header, and told nobody.
#[test]
fn a_server_without_a_header_is_reminded_and_ends() {
    let (mut world, _, mut server) = world_with_an_answer();
    world.completions.set_bytes(0, &[0; 8]);
    let mut client = world.client(&Life::endless());
    assert!(client.next_completion().is_none());
    assert!(!client.remind(), "it cannot be taken, so it is not there");
    assert_ends(&mut server);
    let mut server = world.server(&Life::endless());
    let (ticket, _) = server.next_request().unwrap();
    server.complete(ticket, &answer(0));
    assert!(client.next_completion().is_some());
}

/// Campaign on seL4 release at 20ea7c9, seed 1, trial 7632: the store of the tail was skipped, and every
/// answer was found only by a client that had waited for long.
#[test]
fn a_server_whose_hints_are_lost_ends() {
    let (mut world, mut client, mut server) = world_with_an_answer();
    let tail = world.completions.shared_ref().load_u64(TAIL);
    world.completions.set_bytes(TAIL, &(tail - 1).to_le_bytes());
    assert_ends(&mut server);
    world.server(&Life::endless());
    assert!(client.next_completion().is_some());
}

/// The same in the client's region: the next life of the server would not know of it.
#[test]
fn a_client_that_reminds_has_a_header() {
    let mut world = World::new(2);
    let mut client = world.client(&Life::endless());
    client.submit(&request(0)).unwrap();
    world.requests.set_bytes(0, &[0; 8]);
    let mut server = world.server(&Life::endless());
    assert!(server.next_request().is_none());
    assert!(!client.remind());
    assert!(server.next_request().is_some());
}

/// Campaign on seL4 release, seed 1, trial 10: a completion was written over with that of another slot, its
/// count of attempts included. The file service carried the request out twice.
#[test]
fn a_request_whose_completion_was_damaged_may_have_run() {
    let mut world = World::new(2);
    let mut client = world.client(&Life::endless());
    let mut server = world.server(&Life::endless());
    let slot = client.submit(&request(0)).unwrap();
    let (ticket, _) = server.next_request().unwrap();
    assert!(!ticket.may_have_run());
    server.complete(ticket, &answer(0));
    let at = 256 + slot.index() * 64;
    world.completions.set_bytes(at, &[0; 64]);
    assert!(!client.remind());
    let (ticket, _) = server.next_request().unwrap();
    assert!(ticket.may_have_run());
    server.complete(ticket, &answer(0));
    client.next_completion().unwrap();
    // The next one in the same slot is a new one.
    client.submit(&request(1)).unwrap();
    assert!(!server.next_request().unwrap().0.may_have_run());
    // Another life cannot know whether the count that it finds was damaged.
    world.completions.set_bytes(at, &[0; 64]);
    let (ticket, _) = world.server(&Life::endless()).next_request().unwrap();
    assert!(ticket.attempt() == 1 && ticket.may_have_run());
}

/// A completion with a check of its own, as the file service's.
#[derive(Clone, Copy, Debug, PartialEq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Checked {
    number: u64,
    check: u64,
}

impl Checked {
    fn new(number: u64, sequence: u64) -> Self {
        let check = !(number ^ sequence);
        Self { number, check }
    }
}

impl Whole for Checked {
    fn is_whole(&self, sequence: u64) -> bool {
        *self == Self::new(self.number, sequence)
    }
}

/// Campaign on seL4 release, seed 1, `wrong_completion`: the slot's checksum is right, and what it covers is
/// not what was decided. Nobody takes it; the request comes again, also in another life.
#[test]
fn a_completion_that_is_not_whole_is_none() {
    for restart in [false, true] {
        let (requests, completions) = (HostRegion::new(0x4000), HostRegion::new(0x4000));
        let life = Life::endless();
        let mut client: Client<Request, Checked> =
            Client::attach(requests.shared_mut(&life), completions.shared_ref()).unwrap();
        let attach = |epoch| -> Server<Request, Checked> {
            let region = completions.shared_mut(&life);
            Server::attach(requests.shared_ref(), region, epoch).unwrap()
        };
        let mut server = attach(0);
        client.submit(&request(5)).unwrap();
        let (ticket, _) = server.next_request().unwrap();
        let sequence = ticket.sequence();
        // The answer to another request.
        server.complete(ticket, &Checked::new(5, sequence + 1));
        assert_eq!(client.next_completion(), None);
        assert_eq!(client.misbehaviour_count(), 1);
        assert_eq!(server.last_completions().count(), 0);
        assert!(!client.remind());
        if restart {
            server = attach(1);
        }
        let (ticket, body) = server.next_request().expect("it is run again");
        assert!(ticket.may_have_run() && ticket.sequence() == sequence);
        assert_eq!(number_of(&body), 5);
        server.complete(ticket, &Checked::new(5, sequence));
        let (_, _, completion) = client.next_completion().expect("it is whole");
        assert_eq!(completion.number, 5);
        assert_eq!(server.next_request(), None);
    }
}

/// Campaign on seL4 debug, seed 1, trial 68: one wrong instruction in the block driver, and nothing that it
/// completed was whole. Its client asked again and again, and it ran the request again and again.
#[test]
#[should_panic(expected = "never there")]
fn a_server_whose_completions_are_never_whole_ends() {
    let (requests, completions) = (HostRegion::new(0x4000), HostRegion::new(0x4000));
    let life = Life::endless();
    let mut client: Client<Request, Checked> =
        Client::attach(requests.shared_mut(&life), completions.shared_ref()).unwrap();
    let mut server: Server<Request, Checked> =
        Server::attach(requests.shared_ref(), completions.shared_mut(&life), 0).unwrap();
    for number in 0..5 {
        client.submit(&request(number)).unwrap();
    }
    for _ in 0..4 {
        while let Some((ticket, body)) = server.next_request() {
            server.complete(ticket, &Checked::new(number_of(&body), 1000));
        }
        assert!(!client.remind());
    }
}

/// Campaign on seL4 release, seed 1, trial 1215.
#[test]
fn a_request_that_was_changed_after_it_was_taken_is_told_from_the_one_that_was() {
    let mut world = World::new(64);
    let mut client = world.client(&Life::endless());
    let mut server = world.server(&Life::endless());
    for number in 0..64 {
        client.submit(&request(number)).unwrap();
        let (ticket, body) = server.next_request().unwrap();
        assert!(ticket.is_for(&body) && ticket.slot().index() as u64 == number);
        for bit in 0..8 * body.len() {
            let mut changed = body;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(!ticket.is_for(&changed), "bit {bit}");
        }
    }
}

/// One that was lost now and then is no reason to end.
#[test]
fn a_server_may_lose_a_completion_of_each_request() {
    let (requests, completions) = (HostRegion::new(0x4000), HostRegion::new(0x4000));
    let life = Life::endless();
    let mut client: Client<Request, Checked> =
        Client::attach(requests.shared_mut(&life), completions.shared_ref()).unwrap();
    let mut server: Server<Request, Checked> =
        Server::attach(requests.shared_ref(), completions.shared_mut(&life), 0).unwrap();
    for number in 0..20 {
        client.submit(&request(number)).unwrap();
        for time in 0..3 {
            let (ticket, _) = server.next_request().unwrap();
            let sequence = ticket.sequence() + u64::from(time < 2);
            server.complete(ticket, &Checked::new(number, sequence));
            assert_eq!(client.remind(), time == 2);
        }
        client.next_completion().unwrap();
    }
}

#[test]
fn a_server_that_comes_first_finds_the_client_later() {
    let mut world = World::new(4);
    let mut server = world.server(&Life::endless());
    assert!(server.next_request().is_none());
    assert_eq!(server.client_epoch(), None);
    let mut client = world.client(&Life::endless());
    world.submit(&mut client);
    assert!(world.take(&mut server));
    assert_eq!(server.client_epoch(), Some(0));
    let mut client = world.client(&Life::endless());
    assert_eq!(server.client_epoch(), Some(1));
    world.settle(&mut client, &mut server);
}

#[test]
fn a_full_table_refuses_and_recovers() {
    let mut world = World::new(SLOTS);
    let mut server = world.server(&Life::endless());
    let mut client = world.client(&Life::endless());
    for _ in 0..SLOTS {
        assert!(world.submit(&mut client));
    }
    assert_eq!(client.submit(&request(1000)), Err(Full));
    world.settle(&mut client, &mut server);
    assert!(world.submit(&mut client));
}

#[test]
fn small_regions_are_refused() {
    let needed = region_bytes::<Request>();
    assert_eq!(needed, 256 + 64 * 64);
    let requests = HostRegion::new(needed - 8);
    let completions = HostRegion::new(needed);
    let life = Life::endless();
    let error = TestClient::attach(requests.shared_mut(&life), completions.shared_ref()).err();
    assert_eq!(
        error,
        Some(AttachError::RegionTooSmall {
            needed,
            len: needed - 8
        })
    );
    let error = TestServer::attach(requests.shared_ref(), completions.shared_mut(&life), 0).err();
    assert_eq!(
        error.unwrap().to_string(),
        "the request table needs 4352 bytes, its region has 4344"
    );
}

#[test]
fn a_client_that_lost_its_header_does_not_repeat_sequence_numbers() {
    let mut world = World::new(2);
    let mut server = world.server(&Life::endless());
    let mut client = world.client(&Life::endless());
    for _ in 0..5 {
        world.submit(&mut client);
        world.settle(&mut client, &mut server);
    }
    world.submit(&mut client);
    world.take(&mut server);
    world.requests.set_bytes(3, &[0xff]);
    let mut client = world.client(&Life::endless());
    // The old request is forgotten by its maker. Its completion must not pass for the new one's.
    world.submit(&mut client);
    world.complete(&mut server);
    assert!(client.next_completion().is_none());
    world.take(&mut server);
    world.complete(&mut server);
    assert!(world.consume(&mut client));
}

/// Damages every byte of a region in several ways, at rest and under attached peers.
#[test]
fn every_damaged_byte_is_survived() {
    let len = world_with_work().0.requests.bytes().len();
    for offset in 0..len {
        for damage in [0x00, 0x01, 0x80, 0xff] {
            let (mut world, _, mut server) = world_with_work();
            // The client's region, read by a server that knows it and by one that starts anew.
            let was = world.requests.bytes()[offset];
            world.requests.set_bytes(offset, &[was ^ damage]);
            drain_unchecked(&mut server);
            drain_unchecked(&mut world.server(&Life::endless()));
            // The client itself survives its own damaged region, and goes on.
            let mut client = world.client(&Life::endless());
            let mut server = world.server(&Life::endless());
            drain_unchecked(&mut server);
            while client.next_completion().is_some() {}
            assert!(client.submit(&request(99)).is_ok());
            drain_unchecked(&mut server);
            let mut last = None;
            while let Some((_, _, completion)) = client.next_completion() {
                last = Some(completion);
            }
            assert_eq!(last, Some([7; 16]), "byte {offset} ^ {damage:#x}");
        }
    }
    for offset in 0..world_with_work().0.completions.bytes().len() {
        for damage in [0x01, 0x80, 0xff] {
            let (mut world, mut client, mut server) = world_with_work();
            let was = world.completions.bytes()[offset];
            world.completions.set_bytes(offset, &[was ^ damage]);
            while client.next_completion().is_some() {}
            // It may notice, and end.
            let _ = catch_unwind(AssertUnwindSafe(|| drain_unchecked(&mut server)));
            // Whatever was damaged, a server that starts anew sees that all is completed.
            let mut server = world.server(&Life::endless());
            drain_unchecked(&mut server);
            while client.next_completion().is_some() {}
            assert_eq!(client.outstanding_count(), 0, "byte {offset} ^ {damage:#x}");
        }
    }
}

/// A server that goes on living does not know that a completion was damaged after it was stored, or that
/// its hint was. The client that waits reminds it.
#[test]
fn a_reminder_makes_up_for_every_damaged_byte_of_the_completions() {
    for offset in 0..world_with_work().0.completions.bytes().len() {
        for damage in [0x00, 0x01, 0x80, 0xff] {
            let (mut world, mut client, mut server) = world_with_work();
            // Both know each other, so that headers do not matter any more.
            world.settle(&mut client, &mut server);
            for _ in 0..3 {
                world.submit(&mut client);
            }
            drain_unchecked(&mut server);
            let was = world.completions.bytes()[offset];
            world.completions.set_bytes(offset, &[was ^ damage]);
            while client.next_completion().is_some() {}
            while client.outstanding_count() != 0 {
                let left = client.outstanding_count();
                if !client.remind() {
                    drain_unchecked(&mut server);
                }
                while client.next_completion().is_some() {}
                let fewer = client.outstanding_count() < left;
                assert!(fewer, "byte {offset} ^ {damage:#x}");
            }
        }
    }
}

#[test]
fn a_reminder_does_not_repeat_what_is_under_way() {
    let mut world = World::new(2);
    let mut server = world.server(&Life::endless());
    let mut client = world.client(&Life::endless());
    world.submit(&mut client);
    world.take(&mut server);
    assert!(!client.remind());
    assert!(server.next_request().is_none());
    world.complete(&mut server);
    assert!(client.remind());
    assert!(world.consume(&mut client));
    assert!(!client.remind());
}

fn world_with_work() -> (World, TestClient, TestServer) {
    let mut world = World::new(3);
    let mut client = world.client(&Life::endless());
    let mut server = world.server(&Life::endless());
    for _ in 0..3 {
        world.submit(&mut client);
    }
    world.take(&mut server);
    world.take(&mut server);
    world.complete(&mut server);
    (world, client, server)
}

/// Completes everything without looking at what it says. At most one ticket per slot, always.
fn drain_unchecked(server: &mut TestServer) {
    let mut tickets: Vec<Ticket> = Vec::new();
    for _ in 0..100 {
        match server.next_request() {
            Some((ticket, _)) => {
                assert!(tickets.iter().all(|t| t.slot() != ticket.slot()));
                tickets.push(ticket);
            }
            None => break,
        }
    }
    for ticket in tickets {
        server.complete(ticket, &[7; 16]);
    }
}

proptest! {
    /// A client that writes anything anywhere at any time neither crashes the server nor gets two
    /// tickets for one slot out of it.
    #[test]
    fn hostile_client(writes in prop::collection::vec((0_usize..448, any::<u8>(), any::<bool>()), 0..400)) {
        let mut world = World::new(3);
        let mut client = world.client(&Life::endless());
        let mut server = world.server(&Life::endless());
        let mut tickets: Vec<Ticket> = Vec::new();
        for (offset, byte, complete) in writes {
            world.requests.set_bytes(offset, &[byte]);
            let _ = client.submit(&request(1));
            if let Some((ticket, _)) = server.next_request() {
                prop_assert!(tickets.iter().all(|t| t.slot() != ticket.slot()));
                tickets.push(ticket);
            }
            if complete && let Some(ticket) = tickets.pop() {
                server.complete(ticket, &answer(1));
            }
            let _ = client.next_completion();
        }
    }

    /// A server that writes anything neither crashes the client nor completes a request twice.
    #[test]
    fn hostile_server(writes in prop::collection::vec((0_usize..448, any::<u8>()), 0..400)) {
        let world = World::new(3);
        let mut client = world.client(&Life::endless());
        let mut outstanding: BTreeSet<(Slot, u64)> = BTreeSet::new();
        for (offset, byte) in writes {
            if let Ok(slot) = client.submit(&request(1)) {
                outstanding.insert((slot, client.sequence(slot)));
            }
            world.completions.set_bytes(offset, &[byte]);
            while let Some((slot, sequence, _)) = client.next_completion() {
                prop_assert!(outstanding.remove(&(slot, sequence)));
            }
        }
    }
}
