// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Section 3 of the ABI page: fault messages and what a reply does.

mod sim;

use kernel_core::Fault;
use sim::{ENTRY, NOTIFY, PPC, RESTART, STACK, Sim, pd};

/// Parent 0 (priority 20) waits; child 1 (id 7, priority 10) runs.
fn parent_and_child() -> Sim {
    let mut sim = Sim::new(&[
        pd("parent", 20).server(),
        pd("child", 10).child_of(0, 7),
        pd("idle", 1),
    ]);
    sim.recv();
    sim.expect_running(1);
    sim
}

/// What the parent received: label and words.
#[track_caller]
fn received(sim: &Sim) -> (u64, Vec<u64>) {
    sim.expect_running(0);
    assert_eq!(sim.x(0, 0), 1 << 62 | 7);
    let (label, length) = sim.info(0);
    (label, sim.message_words(0, length))
}

#[test]
fn vm_fault_is_label_6_with_ip_address_instruction_status() {
    let mut sim = parent_and_child();
    sim.fault(Fault::Vm {
        address: 0x123,
        instruction: true,
        status: 0x8200_0006,
    });
    assert_eq!(received(&sim), (6, vec![ENTRY, 0x123, 1, 0x8200_0006]));
}

#[test]
fn user_exception_is_label_3() {
    let mut sim = parent_and_child();
    sim.fault(Fault::UserException { number: 0x200_0000 });
    assert_eq!(received(&sim), (3, vec![ENTRY, STACK, 0x40, 0x200_0000, 0]));
}

#[test]
fn breakpoint_is_label_4_reason_3() {
    let mut sim = parent_and_child();
    sim.fault(Fault::Breakpoint);
    assert_eq!(received(&sim), (4, vec![ENTRY, 3]));
}

#[test]
fn vcpu_fault_is_label_8_with_the_syndrome() {
    let mut sim = parent_and_child();
    sim.fault(Fault::Vcpu {
        status: 0x1fe0_0000,
    });
    assert_eq!(received(&sim), (8, vec![0x1fe0_0000]));
}

#[test]
fn unknown_syscall_has_13_words() {
    for number in [0, -18, 5] {
        let mut sim = parent_and_child();
        let set: Vec<_> = (0..7).map(|index| (index, 100 + index as u64)).collect();
        sim.svc(number, &set);
        let (label, words) = received(&sim);
        let number = number.cast_unsigned();
        assert_eq!(label, 2);
        assert_eq!(words[..8], [100, 101, 102, 103, 104, 105, 106, number]);
        assert_eq!(words[8..], [ENTRY, STACK, ENTRY + 4, 0x40, number]);
    }
}

#[test]
fn send_to_a_bad_address_is_a_guard_mismatch_cap_fault() {
    let mut sim = parent_and_child();
    sim.send(600, 0, &[]);
    assert_eq!(received(&sim), (1, vec![ENTRY, 600, 0, 4, 58, 0, 49]));
}

#[test]
fn nb_send_to_a_bad_address_does_nothing() {
    let mut sim = parent_and_child();
    sim.nb_send(600, 0, &[]);
    sim.expect_running(1);
}

#[test]
fn recv_on_an_empty_slot_is_a_missing_capability_in_receive() {
    let mut sim = parent_and_child();
    sim.svc(-7, &[(0, 400), (6, 4)]);
    assert_eq!(received(&sim), (1, vec![ENTRY, 400, 1, 2, 0]));
}

#[test]
fn recv_on_an_output_notification_is_a_cap_fault() {
    let mut sim = parent_and_child();
    sim.channel(1, 2, 0);
    sim.svc(-7, &[(0, NOTIFY), (6, 4)]);
    assert_eq!(received(&sim), (1, vec![ENTRY, NOTIFY, 1, 2, 0]));
}

#[test]
fn vm_fault_reply_restarts_whatever_the_label() {
    let mut sim = parent_and_child();
    sim.crash();
    sim.reply_recv(5, &[]);
    sim.expect_running(1);
    assert_eq!(sim.pc(1), ENTRY);
}

#[test]
fn vcpu_and_cap_fault_replies_restart_whatever_the_label() {
    let mut sim = parent_and_child();
    sim.fault(Fault::Vcpu { status: 1 });
    sim.reply_recv(9, &[]);
    sim.expect_running(1);
    sim.send(600, 0, &[]);
    sim.reply_recv(9, &[]);
    sim.expect_running(1);
    assert_eq!(sim.pc(1), ENTRY, "the svc is executed again");
}

#[test]
fn unknown_syscall_reply_of_length_0_executes_the_svc_again() {
    let mut sim = parent_and_child();
    sim.svc(-100, &[]);
    sim.reply_recv(0, &[]);
    sim.expect_running(1);
    assert_eq!(sim.pc(1), ENTRY);
}

#[test]
fn unknown_syscall_reply_of_length_9_goes_on_and_returns_x0() {
    let mut sim = parent_and_child();
    sim.svc(-100, &[(3, 33)]);
    sim.reply_recv(0, &[42, 1, 2, 3, 4, 5, 6, 7, ENTRY + 4]);
    sim.expect_running(1);
    assert_eq!((sim.pc(1), sim.x(1, 0), sim.x(1, 3)), (ENTRY + 4, 42, 3));
}

#[test]
fn unknown_syscall_and_user_exception_with_another_label_become_inactive() {
    for fault in [
        Fault::UserException { number: 1 },
        Fault::UnknownSyscall { number: 1 },
    ] {
        let mut sim = parent_and_child();
        sim.fault(fault);
        sim.reply_recv(1, &[]);
        assert!(sim.inactive(1));
    }
}

#[test]
fn user_exception_reply_with_ip_plus_4_skips() {
    let mut sim = parent_and_child();
    sim.fault(Fault::UserException { number: 0x200_0000 });
    sim.reply_recv(0, &[ENTRY + 4]);
    sim.expect_running(1);
    assert_eq!(sim.pc(1), ENTRY + 4);
}

#[test]
fn breakpoint_reply_resumes_at_the_same_brk() {
    let mut sim = parent_and_child();
    sim.fault(Fault::Breakpoint);
    sim.reply_recv(0, &[]);
    sim.expect_running(1);
    assert_eq!(sim.pc(1), ENTRY);
}

#[test]
fn no_reply_leaves_the_child_until_the_next_recv_makes_it_inactive() {
    let mut sim = parent_and_child();
    sim.crash();
    assert!(!sim.inactive(1));
    sim.recv();
    assert!(sim.inactive(1));
    sim.expect_running(2);
}

#[test]
fn g2_restart_by_reply() {
    let mut sim = parent_and_child();
    sim.crash();
    sim.call(sim::CHILD + 7, 3, &[0, 2, RESTART, STACK - 16]);
    sim.expect_running(0);
    sim.reply_recv(0, &[]);
    sim.expect_running(1);
    assert_eq!((sim.pc(1), sim.registers(1).sp), (RESTART, STACK - 16));
}

#[test]
fn root_pd_faults_go_to_the_monitor_which_never_answers() {
    let mut sim = Sim::new(&[pd("root", 20), pd("other", 10)]);
    sim.crash();
    sim.expect_running(1);
    assert!(sim.inactive(0));
    assert!(
        sim.m.console.contains("MON|ERROR: faulting PD: root"),
        "{}",
        sim.m.console
    );
}

#[test]
fn a_root_pd_comes_back_by_write_registers() {
    let mut sim = Sim::new(&[pd("root", 20), pd("other", 10)]);
    let cap = kernel_core::Cap::Tcb(kernel_core::ThreadId(0));
    sim.install(1, 512 + 9, cap);
    sim.crash();
    sim.call(9 << 58, 3, &[1, 1, RESTART]);
    sim.expect_running(0);
    assert_eq!(sim.pc(0), RESTART);
}

#[test]
fn a_child_may_send_any_message_to_its_parents_fault_endpoint() {
    let mut sim = parent_and_child();
    sim.call(sim::FAULT, 6, &[1, 2, 3, 4]);
    assert_eq!(received(&sim), (6, vec![1, 2, 3, 4]));
    sim.reply_recv(77, &[]);
    sim.expect_running(1);
    assert_eq!(sim.info(1), (77, 0));
}

#[test]
fn child_faults_wait_while_the_parent_is_in_a_call() {
    let mut sim = Sim::new(&[
        pd("parent", 20).server(),
        pd("child", 10).child_of(0, 7),
        pd("server", 5).server(),
    ]);
    sim.channel(0, 2, 0);
    sim.call(PPC, 0, &[]);
    sim.expect_running(1);
    sim.crash();
    sim.expect_running(2);
    sim.recv();
    sim.reply_recv(0, &[]);
    sim.expect_running(0);
    sim.recv();
    assert_eq!(received(&sim).0, 6);
}
