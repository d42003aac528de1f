// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Section 4 of the ABI page: what restart, stop and resume do in each state of the child.

mod sim;

use kernel_core::Fault;
use sim::{CHILD, ENTRY, IRQ, NOTIFY, PPC, REPLY, RESTART, STACK, Sim, pd};

/// Boss 0 (priority 30) is about to run; child 1 (id 1, priority 20), server 2, idle 3.
fn family() -> Sim {
    let mut sim = Sim::new(&[
        pd("boss", 30).server(),
        pd("child", 20).child_of(0, 1),
        pd("server", 10).server(),
        pd("idle", 1),
    ]);
    sim.channel(1, 2, 0);
    sim.channel(2, 0, 5);
    sim.channel(3, 0, 6);
    sim.channel(3, 1, 7);
    sim.recv();
    sim.expect_running(1);
    sim
}

/// Somebody below lets the boss run.
fn wake_boss(sim: &mut Sim) {
    match sim.running() {
        2 => sim.notify(5),
        3 => sim.notify(6),
        other => panic!("{other} runs"),
    }
    sim.expect_running(0);
}

#[test]
fn restart_of_a_preempted_child_works_at_once() {
    let mut sim = family();
    sim.irq(40, 0, 9);
    sim.raise(40);
    sim.expect_running(0);
    sim.restart(1, RESTART);
    sim.recv();
    sim.expect_running(1);
    assert_eq!(sim.pc(1), RESTART);
}

#[test]
fn stop_and_resume_of_a_preempted_child_continues_where_it_was() {
    let mut sim = family();
    sim.svc(-12, &[(0, 65)]);
    sim.irq(40, 0, 9);
    sim.raise(40);
    sim.stop(1);
    assert!(sim.inactive(1));
    sim.resume(1);
    sim.recv();
    sim.expect_running(1);
    assert_eq!(sim.pc(1), ENTRY + 4);
}

#[test]
fn resume_of_a_running_child_has_no_effect() {
    let mut sim = family();
    sim.irq(40, 0, 9);
    sim.raise(40);
    sim.resume(1);
    sim.recv();
    sim.expect_running(1);
    assert_eq!(sim.pc(1), ENTRY);
}

#[test]
fn restart_of_a_child_out_of_budget_runs_at_the_next_replenishment() {
    let mut sim = Sim::new(&[
        pd("boss", 30).server(),
        pd("child", 20).child_of(0, 1).budget(1000, 10_000),
        pd("idle", 1),
    ]);
    sim.channel(2, 0, 5);
    sim.recv();
    sim.compute(1001 * sim::US);
    sim.expect_running(2);
    sim.notify(5);
    sim.restart(1, RESTART);
    sim.recv();
    sim.expect_running(2);
    assert_eq!(sim.pc(1), RESTART);
    sim.compute(9000 * sim::US);
    sim.expect_running(1);
}

#[test]
fn restart_of_a_child_blocked_in_recv_works() {
    let mut sim = family();
    sim.recv();
    sim.expect_running(2);
    wake_boss(&mut sim);
    sim.restart(1, RESTART);
    sim.recv();
    sim.expect_running(1);
    assert_eq!(sim.pc(1), RESTART);
}

#[test]
fn stop_and_resume_of_a_child_in_recv_executes_the_svc_again() {
    let mut sim = family();
    sim.recv();
    wake_boss(&mut sim);
    sim.stop(1);
    sim.resume(1);
    sim.recv();
    sim.expect_running(1);
    assert_eq!(sim.pc(1), ENTRY);
}

#[test]
fn resume_alone_of_a_child_in_recv_executes_the_svc_again() {
    let mut sim = family();
    sim.recv();
    wake_boss(&mut sim);
    sim.resume(1);
    sim.recv();
    sim.expect_running(1);
    assert_eq!(sim.pc(1), ENTRY);
}

/// The child's call is queued: the server has not received yet. The boss runs.
fn queued() -> Sim {
    let mut sim = family();
    sim.call(PPC, 1, &[]);
    sim.expect_running(2);
    wake_boss(&mut sim);
    sim
}

#[test]
fn restart_of_a_child_with_a_queued_call_takes_the_message_back() {
    let mut sim = queued();
    sim.restart(1, RESTART);
    sim.recv();
    sim.expect_running(1);
    assert_eq!(sim.pc(1), RESTART);
    sim.recv();
    sim.expect_running(2);
    sim.recv();
    sim.expect_running(3);
}

#[test]
fn stop_and_resume_of_a_child_with_a_queued_call_sends_it_once() {
    let mut sim = queued();
    sim.stop(1);
    sim.resume(1);
    sim.recv();
    sim.expect_running(1);
    assert_eq!(sim.pc(1), ENTRY);
    sim.call(PPC, 1, &[]);
    sim.recv();
    sim.expect_running(2);
    assert_eq!(sim.info(2), (1, 0));
}

/// The server works on the child's call. The boss runs.
fn in_service() -> Sim {
    let mut sim = family();
    sim.call(PPC, 1, &[]);
    sim.recv();
    sim.expect_running(2);
    assert_eq!(sim.info(2), (1, 0));
    wake_boss(&mut sim);
    sim
}

#[test]
fn restart_of_a_child_in_service_drops_the_reply() {
    let mut sim = in_service();
    sim.restart(1, RESTART);
    sim.recv();
    sim.expect_running(1);
    assert_eq!(sim.pc(1), RESTART);
    sim.recv();
    sim.expect_running(2);
    sim.reply_recv(99, &[]);
    sim.expect_running(3);
    assert_ne!(sim.info(1).0, 99);
}

#[test]
fn resume_of_a_child_in_service_sends_the_call_a_second_time() {
    for stop_first in [false, true] {
        let mut sim = in_service();
        if stop_first {
            sim.stop(1);
        }
        sim.resume(1);
        sim.recv();
        sim.expect_running(1);
        assert_eq!(sim.pc(1), ENTRY, "the call's svc");
        sim.call(PPC, 1, &[]);
        sim.expect_running(2);
        sim.reply_recv(99, &[]);
        sim.expect_running(2);
        assert_eq!(sim.info(2), (1, 0), "a duplicate");
    }
}

/// The child faulted and the boss knows.
fn faulted() -> Sim {
    let mut sim = family();
    sim.svc(-12, &[(0, 65)]);
    sim.crash();
    sim.expect_running(0);
    sim
}

#[test]
fn restart_of_a_faulted_child_cancels_the_fault() {
    let mut sim = faulted();
    sim.restart(1, RESTART);
    sim.recv();
    sim.expect_running(1);
    assert_eq!(sim.pc(1), RESTART);
}

#[test]
fn restart_after_the_next_recv_works_too() {
    let mut sim = faulted();
    sim.recv();
    assert!(sim.inactive(1));
    sim.expect_running(2);
    wake_boss(&mut sim);
    sim.restart(1, RESTART);
    sim.recv();
    sim.expect_running(1);
}

#[test]
fn resume_of_a_faulted_child_executes_the_faulting_instruction_again() {
    for stop_first in [false, true] {
        let mut sim = faulted();
        if stop_first {
            sim.stop(1);
        }
        sim.resume(1);
        sim.recv();
        sim.expect_running(1);
        assert_eq!(sim.pc(1), ENTRY + 4);
    }
}

#[test]
fn restart_removes_a_queued_fault_message() {
    let mut sim = Sim::new(&[
        pd("boss", 10).server(),
        pd("child", 20).child_of(0, 1),
        pd("idle", 1),
    ]);
    sim.crash();
    sim.expect_running(0);
    sim.restart(1, RESTART);
    sim.expect_running(1);
    sim.recv();
    sim.expect_running(0);
    sim.recv();
    sim.expect_running(2);
}

#[test]
fn restart_and_resume_of_an_inactive_child() {
    let mut sim = faulted();
    sim.stop(1);
    sim.restart(1, RESTART);
    sim.recv();
    sim.expect_running(1);
    assert_eq!(sim.pc(1), RESTART);
}

#[test]
fn restart_changes_nothing_but_the_pc() {
    let mut sim = family();
    sim.svc(-12, &[(0, 65), (9, 9), (30, 30)]);
    sim.kernel.registers_mut(kernel_core::ThreadId(1)).tpidr = 0x1234;
    sim.kernel.registers_mut(kernel_core::ThreadId(1)).sp = 0x5000;
    sim.crash();
    sim.restart(1, RESTART);
    let registers = sim.registers(1);
    assert_eq!((registers.x[9], registers.x[30]), (9, 30));
    assert_eq!((registers.tpidr, registers.sp), (0x1234, 0x5000));
}

#[test]
fn b1_caller_of_a_crashed_server_is_cancelled_by_a_plain_recv_and_comes_back_by_resume() {
    let mut sim = Sim::new(&[
        pd("boss", 30).server(),
        pd("server", 20).server().child_of(0, 1),
        pd("client", 10).child_of(0, 2),
        pd("idle", 1),
    ]);
    sim.channel(2, 1, 0);
    sim.channel(3, 0, 5);
    sim.recv();
    sim.recv();
    sim.call(PPC, 4, &[]);
    sim.expect_running(1);
    sim.crash();
    sim.expect_running(0);
    assert!(!sim.inactive(2));
    sim.restart(1, RESTART);
    sim.recv();
    sim.expect_running(1);
    sim.recv();
    assert!(sim.inactive(2), "stuck for good");
    sim.expect_running(3);
    sim.notify(5);
    sim.resume(2);
    sim.recv();
    sim.expect_running(2);
    assert_eq!(sim.pc(2), ENTRY, "its call is executed again");
    sim.call(PPC, 4, &[]);
    sim.expect_running(1);
    sim.reply_recv(5, &[]);
    sim.expect_running(2);
    assert_eq!(sim.info(2), (5, 0));
}

/// A server (1) that crashed while client (2) waits for it, just restarted.
fn crashed_server() -> Sim {
    let mut sim = Sim::new(&[
        pd("boss", 30).server(),
        pd("server", 20).server().child_of(0, 1),
        pd("client", 10),
        pd("late", 5),
        pd("idle", 1),
    ]);
    sim.channel(2, 1, 0);
    sim.channel(3, 1, 1);
    sim.recv();
    sim.recv();
    sim.call(PPC, 4, &[]);
    sim.crash();
    sim.restart(1, RESTART);
    sim.recv();
    sim.expect_running(1);
    sim
}

#[test]
fn b2_send_to_the_reply_object_first_releases_the_caller_with_an_error() {
    let mut sim = crashed_server();
    sim.send(REPLY, 0xdead, &[]);
    sim.expect_running(1);
    sim.recv();
    sim.expect_running(2);
    assert_eq!(sim.info(2), (0xdead, 0));
}

#[test]
fn u_reply_recv_with_an_error_as_first_receive_releases_the_caller() {
    let mut sim = crashed_server();
    sim.reply_recv(0xee, &[]);
    sim.expect_running(2);
    assert_eq!(sim.info(2), (0xee, 0));
    sim.call(PPC, 4, &[]);
    sim.expect_running(1);
    assert_eq!(sim.info(1), (4, 0));
}

#[test]
fn b10_recv_that_only_returns_a_notification_cancels_the_caller_too() {
    let mut sim = crashed_server();
    let cap = kernel_core::Cap::Notification {
        notification: kernel_core::NotificationId(1),
        badge: 1,
    };
    sim.install(1, NOTIFY + 20, cap);
    sim.notify(20);
    sim.recv();
    assert_eq!(sim.x(1, 0), 1);
    assert!(sim.inactive(2));
}

#[test]
fn callers_that_come_while_the_server_is_dead_are_served_after_the_restart() {
    let mut sim = Sim::new(&[
        pd("boss", 30).server(),
        pd("server", 20).server().child_of(0, 1),
        pd("client", 10),
        pd("idle", 1),
    ]);
    sim.channel(2, 1, 0);
    sim.channel(3, 0, 5);
    sim.recv();
    sim.crash();
    sim.recv();
    sim.expect_running(2);
    sim.call(PPC, 4, &[]);
    sim.expect_running(3);
    sim.notify(5);
    sim.restart(1, RESTART);
    sim.recv();
    sim.reply_recv(0xee, &[]);
    sim.expect_running(1);
    assert_eq!(sim.info(1), (4, 0));
}

#[test]
fn b8_a_server_stopped_in_the_middle_of_a_call_replies_after_resume() {
    let mut sim = Sim::new(&[
        pd("boss", 30).server(),
        pd("server", 20).server().child_of(0, 1),
        pd("client", 10),
    ]);
    sim.channel(2, 1, 0);
    sim.irq(40, 0, 9);
    sim.recv();
    sim.recv();
    sim.call(PPC, 4, &[]);
    sim.raise(40);
    sim.stop(1);
    sim.resume(1);
    sim.recv();
    sim.expect_running(1);
    sim.reply_recv(8, &[]);
    sim.expect_running(2);
    assert_eq!(sim.info(2), (8, 0));
}

#[test]
fn pending_notification_bits_survive_restart_and_stop() {
    let mut sim = family();
    sim.recv();
    sim.recv();
    sim.expect_running(3);
    sim.notify(6);
    sim.stop(1);
    sim.recv();
    sim.expect_running(3);
    // Raised while the child is stopped.
    sim.notify(7);
    sim.expect_running(3);
    sim.notify(6);
    sim.restart(1, RESTART);
    sim.recv();
    sim.expect_running(1);
    sim.recv();
    sim.expect_running(1);
    assert_eq!(sim.x(1, 0), 1 << 7);
}

#[test]
fn c3b_an_irq_is_masked_until_it_is_acknowledged() {
    let mut sim = Sim::new(&[pd("driver", 20), pd("idle", 1)]);
    sim.irq(48, 0, 3);
    sim.recv();
    sim.raise(48);
    sim.expect_running(0);
    assert_eq!(sim.x(0, 0), 1 << 3);
    sim.recv();
    sim.raise(48);
    sim.expect_running(1);
    assert!(sim.m.masked.contains(&48));
}

#[test]
fn irq_ack_is_label_31_also_by_nb_send_and_nb_send_recv() {
    let mut sim = Sim::new(&[pd("driver", 20), pd("idle", 1)]);
    sim.irq(48, 0, 3);
    sim.raise(48);
    sim.call(IRQ + 3, 27, &[]);
    assert_eq!(sim.info(0), (3, 0), "27 is the label of release kernels");
    assert!(sim.m.masked.contains(&48));
    sim.call(IRQ + 3, 31, &[]);
    assert_eq!(sim.info(0), (0, 0));
    assert!(!sim.m.masked.contains(&48));
    sim.raise(48);
    sim.nb_send(IRQ + 3, 31, &[]);
    assert!(!sim.m.masked.contains(&48));
    sim.raise(48);
    sim.svc(-3, &[(0, 1), (1, 31 << 12), (6, REPLY), (8, IRQ + 3)]);
    assert!(!sim.m.masked.contains(&48));
    assert_eq!(sim.x(0, 0), 1 << 3);
}

/// Boss 0, its child mid 1 (a supervisor), and mid's child leaf 2. Leaf runs.
fn three_levels() -> Sim {
    let mut sim = Sim::new(&[
        pd("boss", 30).server(),
        pd("mid", 20).server().child_of(0, 1),
        pd("leaf", 10).child_of(1, 2),
        pd("idle", 1),
    ]);
    sim.channel(3, 0, 5);
    sim.channel(3, 1, 6);
    sim.recv();
    sim.recv();
    sim.expect_running(2);
    sim
}

#[test]
fn e1_leaf_faults_while_mid_is_faulted_and_is_heard_after_mids_restart() {
    let mut sim = three_levels();
    sim.recv();
    sim.notify(6);
    sim.expect_running(1);
    sim.crash();
    sim.recv();
    sim.expect_running(3);
    sim.restart_leaf_and_fault();
    sim.expect_running(3);
    sim.notify(5);
    sim.restart(1, RESTART);
    sim.recv();
    sim.expect_running(1);
    sim.reply_recv(0, &[]);
    assert_eq!((sim.x(1, 0), sim.info(1).0), (1 << 62 | 2, 6));
}

impl Sim {
    /// Wakes the leaf by its notification and lets it crash.
    fn restart_leaf_and_fault(&mut self) {
        let cap = kernel_core::Cap::Notification {
            notification: kernel_core::NotificationId(2),
            badge: 1,
        };
        self.install(3, NOTIFY + 30, cap);
        self.notify(30);
        self.expect_running(2);
        self.crash();
    }
}

#[test]
fn e2_mid_crashes_inside_fault_and_a_plain_recv_loses_the_leafs_fault() {
    let mut sim = three_levels();
    sim.crash();
    sim.expect_running(1);
    sim.crash();
    sim.expect_running(0);
    sim.restart(1, RESTART);
    sim.recv();
    sim.recv();
    assert!(sim.inactive(2));
    sim.expect_running(3);
    sim.notify(6);
    sim.restart(2, RESTART);
    sim.recv();
    sim.expect_running(2);
}

#[test]
fn e3_with_a_reply_first_the_leaf_faults_again_and_mid_hears_of_it() {
    let mut sim = three_levels();
    sim.crash();
    sim.crash();
    sim.restart(1, RESTART);
    sim.recv();
    sim.send(REPLY, 0, &[]);
    sim.recv();
    sim.expect_running(2);
    assert_eq!(sim.pc(2), ENTRY);
    sim.crash();
    sim.expect_running(1);
    assert_eq!((sim.x(1, 0), sim.info(1).0), (1 << 62 | 2, 6));
}

#[test]
fn e4_leaf_faults_while_mid_is_stopped_and_is_heard_after_resume() {
    let mut sim = three_levels();
    sim.irq(40, 0, 9);
    sim.raise(40);
    sim.stop(1);
    sim.recv();
    sim.expect_running(2);
    sim.fault(Fault::UserException { number: 1 });
    sim.expect_running(3);
    sim.notify(5);
    sim.resume(1);
    sim.recv();
    sim.expect_running(1);
    // Its receive is executed again.
    sim.recv();
    assert_eq!((sim.x(1, 0), sim.info(1).0), (1 << 62 | 2, 3));
}

#[test]
fn restarting_mid_does_not_disturb_a_running_leaf() {
    let mut sim = three_levels();
    sim.irq(40, 0, 9);
    sim.raise(40);
    sim.restart(1, RESTART);
    sim.recv();
    sim.recv();
    sim.expect_running(2);
    assert_eq!(sim.pc(2), ENTRY);
}

#[test]
fn read_registers_returns_the_svc_of_a_blocked_thread() {
    let mut sim = family();
    sim.svc(-12, &[(0, 65)]);
    sim.recv();
    wake_boss(&mut sim);
    sim.call(CHILD + 1, 2, &[0, 36]);
    assert_eq!(sim.info(0), (0, 36));
    assert_eq!(sim.message_words(0, 3), [ENTRY + 4, STACK, 0x40]);
}

#[test]
fn read_registers_checks_its_count() {
    let mut sim = faulted();
    for count in [0, 37] {
        sim.call(CHILD + 1, 2, &[0, count]);
        assert_eq!(sim.info(0), (4, 2));
        assert_eq!(sim.message_words(0, 2), [1, 36]);
    }
    sim.call(CHILD + 1, 2, &[0]);
    assert_eq!(sim.info(0).0, 7);
}

#[test]
fn write_registers_checks_its_count() {
    let mut sim = faulted();
    sim.call(CHILD + 1, 3, &[0, 3, 1, 2]);
    assert_eq!(sim.info(0), (7, 0), "too short");
    sim.call(CHILD + 1, 3, &[0, 0]);
    assert_eq!(sim.info(0), (0, 0), "no register is fine");
    let mut words = vec![0, 100];
    words.extend(1000..1100);
    sim.call(CHILD + 1, 3, &words);
    assert_eq!(sim.info(0), (0, 0), "more than 36 is clamped");
    assert_eq!(sim.registers(1).tpidrro, 1035);
}

#[test]
fn own_tcb_is_an_illegal_operation() {
    let mut sim = Sim::new(&[pd("pd", 20)]);
    sim.install(0, 512 + 3, kernel_core::Cap::Tcb(kernel_core::ThreadId(0)));
    sim.call(3 << 58, 2, &[0, 1]);
    assert_eq!(sim.info(0), (3, 0));
    sim.call(3 << 58, 3, &[1, 1, RESTART]);
    assert_eq!(sim.info(0), (3, 0));
}
