// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Section 4f of the ABI page: passive PDs, and where scheduling contexts end up.

mod sim;

use kernel_core::Cap;
use sim::{CHILD, ENTRY, MONITOR, NOTIFY, PPC, REPLY, RESTART, Sim, pd};

/// Boss 0, passive server 1 (child 1), client 2 (child 2), idle 3. The server is passive and idle,
/// after one call; the client runs.
fn passive() -> Sim {
    let mut sim = fresh_passive();
    sim.call(PPC, 1, &[]);
    sim.expect_running(1);
    sim.reply_recv(0, &[]);
    sim.expect_running(2);
    sim
}

/// The same before the server's first activation.
fn fresh_passive() -> Sim {
    let mut sim = Sim::new(&[
        pd("boss", 30).server(),
        pd("server", 20).server().child_of(0, 1),
        pd("client", 10).child_of(0, 2),
        pd("idle", 1),
    ]);
    sim.channel(2, 1, 0);
    sim.channel(3, 0, 5);
    sim.channel(3, 1, 6);
    sim.give_context(0, 1, 1);
    sim.give_context(0, 2, 2);
    sim.recv();
    sim.nb_send_recv(MONITOR);
    assert!(
        sim.m
            .console
            .contains("MON|INFO: PD 'server' is now passive!")
    );
    sim.expect_running(2);
    sim
}

fn bind(sim: &mut Sim, context: u64, object: u64) {
    sim.m.ipc.insert((sim.running(), 122), object);
    sim.svc(-1, &[(0, context << 58), (1, 38 << 12 | 1 << 7)]);
    assert_eq!(sim.info(sim.running()), (0, 0), "{}", sim.m.console);
}

fn unbind(sim: &mut Sim, context: u64) {
    sim.call(context << 58, 39, &[]);
    assert_eq!(sim.info(sim.running()), (0, 0), "{}", sim.m.console);
}

#[test]
fn client_lends_its_time_to_a_passive_server() {
    let mut sim = passive();
    sim.call(PPC, 7, &[]);
    sim.expect_running(1);
    assert_eq!(sim.info(1), (7, 0));
    sim.reply_recv(8, &[]);
    sim.expect_running(2);
    assert_eq!(sim.info(2), (8, 0));
}

#[test]
fn notification_lends_the_servers_own_time() {
    let mut sim = passive();
    sim.recv();
    sim.notify(6);
    sim.expect_running(1);
    assert_eq!(sim.x(1, 0), 1 << 6);
    sim.recv();
    sim.expect_running(3);
    sim.notify(6);
    sim.expect_running(1);
}

#[test]
fn budget_is_charged_to_the_lender() {
    let mut sim = Sim::new(&[
        pd("server", 20).server(),
        pd("client", 10).budget(1000, 10_000),
        pd("idle", 1),
    ]);
    sim.channel(1, 0, 0);
    sim.nb_send_recv(MONITOR);
    sim.call(PPC, 0, &[]);
    sim.reply_recv(0, &[]);
    sim.call(PPC, 0, &[]);
    sim.expect_running(0);
    sim.compute(1001 * sim::US);
    sim.expect_running(2);
    sim.compute(9000 * sim::US);
    sim.expect_running(0);
}

#[test]
fn nested_donation_follows_the_call_chain_and_returns() {
    let mut sim = Sim::new(&[pd("a", 30).server(), pd("b", 20).server(), pd("client", 10)]);
    sim.channel(1, 0, 0);
    sim.channel(2, 1, 1);
    for _ in 0..2 {
        sim.nb_send_recv(MONITOR);
    }
    // The first activation of each still runs on its own time.
    for round in 0..3 {
        sim.expect_running(2);
        sim.call(PPC + 1, round, &[]);
        sim.expect_running(1);
        sim.call(PPC, round, &[]);
        sim.expect_running(0);
        sim.reply_recv(round, &[]);
        sim.expect_running(1);
        sim.reply_recv(round, &[]);
        sim.expect_running(2);
        assert_eq!(sim.info(2), (round, 0));
    }
}

#[test]
fn f0_restart_before_the_first_activation_works() {
    let mut sim = fresh_passive();
    sim.recv();
    sim.notify(5);
    sim.restart(1, RESTART);
    sim.recv();
    sim.expect_running(1);
    assert_eq!(sim.pc(1), RESTART);
}

#[test]
fn f3_restart_of_an_idle_passive_server_leaves_it_without_time_until_it_is_bound() {
    let mut sim = passive();
    sim.recv();
    sim.notify(5);
    sim.restart(1, RESTART);
    sim.recv();
    sim.expect_running(3);
    sim.notify(6);
    sim.expect_running(3);
    sim.notify(5);
    bind(&mut sim, 1, CHILD + 1);
    sim.recv();
    sim.expect_running(1);
    assert_eq!(sim.pc(1), RESTART);
}

#[test]
fn f7_stop_and_resume_of_an_idle_passive_server_does_the_same() {
    let mut sim = passive();
    sim.recv();
    sim.notify(5);
    sim.stop(1);
    sim.resume(1);
    sim.recv();
    sim.expect_running(3);
}

/// The passive server crashed while it ran on the client's time, and was restarted.
fn crashed_on_clients_time() -> Sim {
    let mut sim = passive();
    sim.call(PPC, 7, &[]);
    sim.expect_running(1);
    sim.crash();
    sim.expect_running(0);
    sim.restart(1, RESTART);
    sim.recv();
    sim.expect_running(1);
    sim
}

#[test]
fn f4_plain_recv_keeps_the_stolen_time_until_it_is_bound_back() {
    let mut sim = crashed_on_clients_time();
    sim.recv();
    assert!(sim.inactive(2));
    sim.expect_running(3);
    sim.notify(5);
    sim.restart(2, RESTART);
    sim.recv();
    sim.expect_running(3);
    sim.notify(6);
    sim.expect_running(1);
    sim.recv();
    sim.notify(5);
    unbind(&mut sim, 2);
    bind(&mut sim, 2, CHILD + 2);
    sim.recv();
    sim.expect_running(2);
    assert_eq!(sim.pc(2), RESTART);
}

#[test]
fn f5_send_to_the_reply_object_takes_the_servers_time_before_it_receives() {
    let mut sim = crashed_on_clients_time();
    sim.send(REPLY, 0xdead, &[]);
    sim.expect_running(2);
    assert_eq!(sim.info(2), (0xdead, 0));
    sim.call(PPC, 7, &[]);
    sim.expect_running(3);
    sim.notify(6);
    sim.expect_running(3);
}

#[test]
fn f6_reply_recv_as_first_receive_is_correct() {
    let mut sim = crashed_on_clients_time();
    sim.reply_recv(0xdead, &[]);
    sim.expect_running(2);
    assert_eq!(sim.info(2), (0xdead, 0));
    sim.call(PPC, 7, &[]);
    sim.expect_running(1);
    sim.reply_recv(1, &[]);
    sim.recv();
    sim.notify(6);
    sim.expect_running(1);
}

#[test]
fn f6_becoming_passive_again_is_harmless() {
    let mut sim = passive();
    sim.call(PPC, 7, &[]);
    sim.nb_send(MONITOR, 0, &[]);
    assert!(sim.m.console.contains("could not bind scheduling context"));
    sim.reply_recv(3, &[]);
    assert_eq!(sim.info(2), (3, 0));
}

#[test]
fn f8_crash_on_its_own_time_needs_only_a_restart() {
    let mut sim = passive();
    sim.recv();
    sim.notify(6);
    sim.expect_running(1);
    sim.crash();
    sim.restart(1, RESTART);
    sim.recv();
    sim.expect_running(1);
    sim.reply_recv(0, &[]);
    sim.notify(6);
    sim.expect_running(1);
}

#[test]
fn f2_client_restarted_while_served_has_no_time_left() {
    let mut sim = passive();
    sim.irq(40, 0, 9);
    sim.call(PPC, 7, &[]);
    sim.raise(40);
    sim.restart(2, RESTART);
    sim.recv();
    sim.expect_running(1);
    sim.reply_recv(0, &[]);
    sim.expect_running(3);
    sim.notify(5);
    unbind(&mut sim, 2);
    bind(&mut sim, 2, CHILD + 2);
    sim.recv();
    sim.expect_running(2);
    assert_eq!(sim.pc(2), RESTART);
}

#[test]
fn passive_parent_strands_a_child_by_restart_but_not_by_reply() {
    for by_reply in [false, true] {
        let mut sim = Sim::new(&[
            pd("parent", 20).server(),
            pd("child", 10).child_of(0, 1),
            pd("idle", 1),
        ]);
        sim.nb_send_recv(MONITOR);
        // The first fault is handled on the parent's own time.
        sim.crash();
        sim.restart(1, RESTART);
        sim.recv();
        sim.crash();
        sim.expect_running(0);
        sim.call(CHILD + 1, 3, &[u64::from(!by_reply), 1, RESTART]);
        if by_reply {
            sim.reply_recv(0, &[]);
            sim.expect_running(1);
            assert_eq!(sim.pc(1), RESTART);
        } else {
            sim.recv();
            sim.expect_running(2);
        }
    }
}

#[test]
fn f9_lazy_restart_of_an_idle_passive_server_starts_at_the_next_call() {
    let mut sim = passive();
    sim.recv();
    sim.notify(5);
    sim.call(CHILD + 1, 3, &[0, 1, RESTART]);
    sim.recv();
    sim.expect_running(3);
    sim.notify(5);
    sim.resume(2);
    sim.recv();
    sim.expect_running(2);
    sim.call(PPC, 7, &[70]);
    sim.expect_running(1);
    assert_eq!(sim.pc(1), RESTART);
    assert_eq!(
        (sim.x(1, 0), sim.info(1), sim.x(1, 2)),
        (1 << 63, (7, 1), 70)
    );
    sim.reply_recv(0xdead, &[]);
    sim.expect_running(2);
    assert_eq!(sim.info(2), (0xdead, 0));
}

#[test]
fn f10_lazy_restart_of_a_client_in_service_starts_it_with_the_reply() {
    let mut sim = passive();
    sim.irq(40, 0, 9);
    sim.call(PPC, 7, &[]);
    sim.raise(40);
    sim.call(CHILD + 2, 3, &[0, 1, RESTART]);
    sim.recv();
    sim.expect_running(1);
    sim.reply_recv(5, &[]);
    sim.expect_running(2);
    assert_eq!(sim.pc(2), RESTART);
}

#[test]
fn bind_refuses_what_has_a_partner() {
    let mut sim = passive();
    sim.recv();
    sim.notify(5);
    sim.m.ipc.insert((0, 122), CHILD + 2);
    sim.svc(-1, &[(0, 2 << 58), (1, 38 << 12 | 1 << 7)]);
    assert_eq!(sim.info(0), (3, 0));
    sim.svc(-1, &[(0, 2 << 58), (1, 38 << 12)]);
    assert_eq!(sim.info(0), (7, 0), "no object named");
}

#[test]
fn consumed_counts_microseconds_since_the_last_question() {
    let mut sim = Sim::new(&[pd("pd", 20), pd("worker", 10)]);
    sim.give_context(0, 1, 1);
    sim.install(
        1,
        NOTIFY,
        Cap::Notification {
            notification: kernel_core::NotificationId(0),
            badge: 1,
        },
    );
    sim.recv();
    sim.compute(300 * sim::US);
    sim.notify(0);
    sim.call(1 << 58, 41, &[]);
    assert_eq!(sim.message_words(0, 1), [300]);
    sim.call(1 << 58, 41, &[]);
    assert_eq!(sim.message_words(0, 1), [0]);
    assert_eq!(sim.pc(0), ENTRY + 12);
}
