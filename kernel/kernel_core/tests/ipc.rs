// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Section 1 of the ABI page: system calls, messages, badges, errors of addressing.

mod sim;

use sim::{INPUT, NOTIFY, PPC, REPLY, Sim, VSPACE, pd};

/// Client 0 (priority 10) and server 1 (priority 20); the server waits.
fn client_and_server() -> Sim {
    let mut sim = Sim::new(&[pd("client", 10), pd("server", 20).server()]);
    sim.channel(0, 1, 3);
    sim.recv();
    sim.expect_running(0);
    sim
}

#[test]
fn call_blocks_until_reply_and_badge_tells_the_caller() {
    let mut sim = client_and_server();
    sim.call(PPC + 3, 7, &[1, 2, 3, 4, 5, 6]);
    sim.expect_running(1);
    assert_eq!(sim.x(1, 0), 1 << 63 | 3);
    assert_eq!(sim.info(1), (7, 6));
    assert_eq!(sim.message_words(1, 6), [1, 2, 3, 4, 5, 6]);
    sim.reply_recv(9, &[11, 12, 13, 14, 15]);
    sim.expect_running(0);
    assert_eq!(sim.x(0, 0), 0, "badge 0 after a call");
    assert_eq!(sim.info(0), (9, 5));
    assert_eq!(sim.message_words(0, 5), [11, 12, 13, 14, 15]);
}

#[test]
fn reply_with_length_0_leaves_x2_to_x5_as_sent() {
    let mut sim = client_and_server();
    sim.call(PPC + 3, 7, &[1, 2, 3, 4]);
    sim.reply_recv(0, &[]);
    assert_eq!(sim.message_words(0, 4), [1, 2, 3, 4]);
}

#[test]
fn length_127_arrives_as_120() {
    let mut sim = client_and_server();
    sim.svc(-1, &[(0, PPC + 3), (1, 5 << 12 | 127)]);
    assert_eq!(sim.info(1), (5, 120));
}

#[test]
fn caps_bits_are_cleared_at_the_receiver() {
    let mut sim = client_and_server();
    sim.svc(-1, &[(0, PPC + 3), (1, 5 << 12 | 3 << 7 | 7 << 9 | 1)]);
    assert_eq!(sim.x(1, 1), 5 << 12 | 1);
}

#[test]
fn notification_writes_x0_only() {
    let mut sim = Sim::new(&[pd("low", 10), pd("high", 20)]);
    sim.channel(0, 1, 5);
    sim.svc(
        -7,
        &[
            (0, INPUT),
            (1, 71),
            (2, 72),
            (3, 73),
            (4, 74),
            (5, 75),
            (6, REPLY),
        ],
    );
    sim.notify(5);
    sim.expect_running(1);
    assert_eq!(sim.x(1, 0), 1 << 5);
    assert_eq!(
        (1..=5).map(|index| sim.x(1, index)).collect::<Vec<_>>(),
        [71, 72, 73, 74, 75]
    );
}

#[test]
fn nb_recv_and_nb_wait_with_nothing_return_badge_0_and_nothing_else() {
    let mut sim = client_and_server();
    for number in [-8, -10] {
        sim.svc(number, &[(0, INPUT), (1, 71), (2, 72), (6, REPLY)]);
        sim.expect_running(0);
        assert_eq!((sim.x(0, 0), sim.x(0, 1), sim.x(0, 2)), (0, 71, 72));
    }
}

#[test]
fn reply_recv_with_nothing_pending_is_legal_as_first_call() {
    for server in [false, true] {
        let first = pd("pd", 20);
        let first = if server { first.server() } else { first };
        let mut sim = Sim::new(&[pd("low", 10), first]);
        sim.channel(0, 1, 0);
        sim.reply_recv(0xee, &[]);
        sim.expect_running(0);
        sim.notify(0);
        sim.expect_running(1);
        assert_eq!(sim.x(1, 0), 1);
    }
}

#[test]
fn b4_send_to_an_idle_reply_object_is_a_no_op() {
    let mut sim = Sim::new(&[pd("pd", 20).server()]);
    sim.send(REPLY, 0xdead, &[]);
    sim.expect_running(0);
    assert_eq!(sim.pc(0), sim::ENTRY + 4);
}

#[test]
fn endpoint_queue_is_ordered_by_priority_and_fifo_within_one() {
    let mut sim = Sim::new(&[
        pd("server", 5).server(),
        pd("low", 10),
        pd("high", 30),
        pd("first", 20),
        pd("second", 20),
    ]);
    for client in 1..=4 {
        sim.channel(client, 0, client.into());
    }
    for client in [2, 3, 4, 1] {
        sim.expect_running(client);
        sim.call(PPC + u64::from(client), 0, &[]);
    }
    sim.expect_running(0);
    sim.recv();
    for client in [2, 3, 4, 1] {
        sim.expect_running(0);
        assert_eq!(sim.x(0, 0), 1 << 63 | u64::from(client));
        sim.reply_recv(0, &[]);
        if client != 1 {
            // The caller, back with its answer, is done.
            sim.expect_running(client);
            sim.recv();
        }
    }
}

#[test]
fn bound_notification_is_delivered_before_a_queued_sender() {
    let mut sim = Sim::new(&[
        pd("server", 5).server(),
        pd("caller", 10),
        pd("notifier", 20),
    ]);
    sim.channel(1, 0, 1);
    sim.channel(2, 0, 2);
    sim.expect_running(2);
    sim.notify(2);
    sim.recv();
    sim.call(PPC + 1, 0, &[]);
    sim.expect_running(0);
    sim.recv();
    assert_eq!(sim.x(0, 0), 1 << 2);
    sim.recv();
    assert_eq!(sim.x(0, 0), 1 << 63 | 1);
}

#[test]
fn recv_with_an_unreplied_caller_cancels_it() {
    let mut sim = client_and_server();
    sim.call(PPC + 3, 0, &[]);
    sim.recv();
    assert!(sim.inactive(0));
    assert!(
        sim.m
            .console
            .contains("Reply object already has unexecuted reply!")
    );
    sim.expect_running(255);
}

#[test]
fn nb_send_recv_signals_and_receives() {
    let mut sim = client_and_server();
    sim.nb_send_recv(NOTIFY + 3);
    sim.expect_running(1);
    assert_eq!(sim.x(1, 0), 1 << 3);
}

#[test]
fn nb_send_wait_takes_its_destination_from_x6() {
    let mut sim = client_and_server();
    sim.svc(-4, &[(0, INPUT), (1, 0), (6, NOTIFY + 3)]);
    sim.expect_running(1);
    assert_eq!(sim.x(1, 0), 1 << 3);
}

#[test]
fn send_leaves_x0_unchanged() {
    let mut sim = client_and_server();
    sim.nb_send(NOTIFY + 3, 0, &[]);
    assert_eq!(sim.x(0, 0), NOTIFY + 3);
}

#[test]
fn call_on_an_empty_slot_answers_0x2001() {
    let mut sim = client_and_server();
    sim.call(500, 0, &[]);
    sim.expect_running(0);
    assert_eq!((sim.x(0, 0), sim.x(0, 1)), (0, 0x2001));
}

#[test]
fn send_on_an_empty_slot_does_nothing() {
    let mut sim = client_and_server();
    sim.send(500, 0, &[]);
    sim.nb_send(500, 0, &[]);
    sim.expect_running(0);
    assert_eq!(sim.x(0, 0), 500);
}

#[test]
fn wrong_label_on_a_valid_cap_is_label_3_without_effect() {
    let mut sim = client_and_server();
    sim.call(VSPACE, 42, &[0, 64]);
    assert_eq!(sim.info(0), (3, 0));
    assert!(sim.m.caches.is_empty());
}

#[test]
fn badge_is_or_of_the_receivers_channel_bits_and_cleared_on_receive() {
    let mut sim = Sim::new(&[pd("sender", 20), pd("receiver", 10)]);
    sim.channel(0, 1, 1);
    sim.channel(0, 1, 4);
    sim.notify(1);
    sim.notify(4);
    sim.recv();
    sim.expect_running(1);
    sim.recv();
    assert_eq!(sim.x(1, 0), 1 << 1 | 1 << 4);
    sim.svc(-8, &[(0, INPUT), (6, REPLY)]);
    assert_eq!(sim.x(1, 0), 0);
}

#[test]
fn a_client_may_receive_on_the_servers_endpoint() {
    let mut sim = Sim::new(&[pd("server", 20).server(), pd("thief", 15), pd("client", 10)]);
    sim.channel(1, 0, 1);
    sim.channel(2, 0, 2);
    sim.svc(-7, &[(0, INPUT), (6, REPLY)]);
    sim.svc(-7, &[(0, PPC + 1), (6, REPLY)]);
    sim.expect_running(2);
    sim.call(PPC + 2, 1, &[]);
    sim.expect_running(0);
    assert_eq!(
        sim.info(0),
        (1, 0),
        "the highest priority waiter gets the message"
    );
}

#[test]
fn debug_put_char_writes_and_leaves_x0() {
    let mut sim = client_and_server();
    sim.svc(-12, &[(0, u64::from(b'k'))]);
    assert_eq!(sim.m.console, "k");
    assert_eq!(sim.x(0, 0), u64::from(b'k'));
}

#[test]
#[should_panic(expected = "stopped: seL4_DebugSnapshot is not implemented; PD client, pc 0x200000")]
fn what_is_not_implemented_stops_by_name() {
    let mut sim = client_and_server();
    sim.svc(-16, &[]);
}
