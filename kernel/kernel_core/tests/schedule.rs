// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Section 5 of the ABI page: priorities, slices, budgets; and caches and the secure monitor of 1.5.

mod sim;

use kernel_core::{CacheOperation, Cap};
use sim::{SMC, Sim, US, VSPACE, pd};

/// How long each of `count` PDs runs within `total` ticks.
fn shares(sim: &mut Sim, count: usize, total: u64) -> Vec<u64> {
    let mut shares = vec![0; count];
    let step = US;
    for _ in 0..total / step {
        let running = usize::from(sim.running());
        sim.compute(step);
        if running < count {
            shares[running] += step;
        }
    }
    shares
}

#[test]
fn boot_runs_in_descending_priority_order() {
    let mut sim = Sim::new(&[
        pd("low", 1),
        pd("high", 200),
        pd("middle", 100),
        pd("middle 2", 100),
    ]);
    for expected in [1, 2, 3, 0] {
        sim.expect_running(expected);
        sim.recv();
    }
    sim.expect_running(255);
}

#[test]
fn wake_up_of_a_higher_priority_runs_before_the_call_returns() {
    let mut sim = Sim::new(&[pd("low", 1), pd("high", 2)]);
    sim.channel(0, 1, 0);
    sim.recv();
    sim.notify(0);
    sim.expect_running(1);
}

#[test]
fn wake_up_of_an_equal_priority_does_not_switch() {
    let mut sim = Sim::new(&[pd("a", 5), pd("b", 5)]);
    sim.channel(1, 0, 0);
    sim.expect_running(0);
    sim.recv();
    sim.expect_running(1);
    sim.notify(0);
    sim.expect_running(1);
    sim.recv();
    sim.expect_running(0);
}

#[test]
fn equal_priorities_share_by_slices_of_their_budgets() {
    let mut sim = Sim::new(&[
        pd("one", 5).budget(1000, 1000),
        pd("two", 5).budget(2000, 2000),
    ]);
    let shares = shares(&mut sim, 2, 300_000 * US);
    let ratio = shares[1] as f64 / shares[0] as f64;
    assert!((1.9..2.1).contains(&ratio), "{shares:?}");
}

#[test]
fn round_robin_is_never_throttled() {
    let mut sim = Sim::new(&[pd("only", 5), pd("below", 4)]);
    assert_eq!(shares(&mut sim, 2, 100_000 * US), [100_000 * US, 0]);
}

#[test]
fn a_preempted_thread_keeps_its_place_and_its_rest() {
    let mut sim = Sim::new(&[pd("a", 5), pd("b", 5), pd("high", 9)]);
    sim.irq(40, 2, 0);
    sim.recv();
    sim.expect_running(0);
    sim.compute(400 * US);
    sim.raise(40);
    sim.expect_running(2);
    sim.recv();
    sim.expect_running(0);
    sim.compute(500 * US);
    sim.expect_running(0);
    sim.compute(101 * US);
    sim.expect_running(1);
}

#[test]
fn budget_below_period_limits_the_share() {
    let mut sim = Sim::new(&[pd("limited", 9).budget(1000, 4000), pd("below", 1)]);
    let shares = shares(&mut sim, 2, 400_000 * US);
    assert!(
        (95_000 * US..=105_000 * US).contains(&shares[0]),
        "{shares:?}"
    );
    assert_eq!(shares[0] + shares[1], 400_000 * US);
}

#[test]
fn yield_of_a_round_robin_pd_goes_to_the_tail() {
    let mut sim = Sim::new(&[pd("a", 5), pd("b", 5)]);
    for expected in [0, 1, 0, 1] {
        sim.expect_running(expected);
        sim.svc(-11, &[]);
    }
}

#[test]
fn yield_of_a_throttled_pd_forfeits_its_refill() {
    let mut sim = Sim::new(&[pd("limited", 9).budget(500, 10_000), pd("below", 1)]);
    let mut activations = 0;
    for _ in 0..10_000 {
        if sim.running() == 0 {
            activations += 1;
            sim.svc(-11, &[]);
        }
        sim.compute(10 * US);
    }
    assert!((9..=11).contains(&activations), "{activations}");
}

#[test]
fn a_thread_whose_time_ends_at_a_call_repeats_it_later() {
    let mut sim = Sim::new(&[pd("limited", 9).budget(1000, 4000), pd("below", 1)]);
    // The tick is late; the call finds less than the least budget left.
    sim.now += 990 * US;
    sim.svc(-12, &[(0, 65)]);
    sim.notify(0);
    sim.expect_running(1);
    sim.compute(3500 * US);
    sim.expect_running(0);
    assert_eq!(sim.pc(0), sim::ENTRY + 4, "the notification's svc");
}

#[test]
fn vspace_label_46_answers_0_as_the_debug_kernel_does() {
    let mut sim = Sim::new(&[pd("pd", 20)]);
    sim.m.pages.push((0, 0x1000, 0x1000));
    sim.call(VSPACE, 46, &[0x1000, 0x1040]);
    assert_eq!(sim.info(0), (0, 0));
    assert_eq!(sim.m.caches, [(CacheOperation::Unify, 0, 0x1000, 0x1040)]);
    assert_eq!(sim.m.console, "");
}

#[test]
fn vspace_range_across_a_page_is_a_range_error() {
    let mut sim = Sim::new(&[pd("pd", 20)]);
    sim.m.pages.push((0, 0x1000, 0x1000));
    sim.m.pages.push((0, 0x2000, 0x1000));
    sim.call(VSPACE, 43, &[0x1fc0, 0x2040]);
    assert_eq!(sim.info(0), (4, 2));
    sim.call(VSPACE, 43, &[0x1fc0, 0x2000]);
    assert_eq!(sim.info(0), (0, 0));
}

#[test]
fn vspace_operation_on_an_unmapped_address_succeeds_and_does_nothing() {
    let mut sim = Sim::new(&[pd("pd", 20)]);
    sim.call(VSPACE, 44, &[0x1000, 0x1040]);
    assert_eq!(sim.info(0), (0, 0));
    assert!(sim.m.caches.is_empty());
}

#[test]
fn smc_forwards_eight_registers_both_ways() {
    let mut sim = Sim::new(&[pd("pd", 20)]);
    sim.install(0, SMC, Cap::Smc);
    sim.call(SMC, 47, &[1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(sim.m.smc, [[1, 2, 3, 4, 5, 6, 7, 8]]);
    assert_eq!(sim.info(0), (0, 8));
    assert_eq!(sim.message_words(0, 8), [2, 3, 4, 5, 6, 7, 8, 9]);
    sim.call(SMC, 47, &[1]);
    assert_eq!(sim.info(0), (7, 0));
    sim.call(SMC, 43, &[1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(sim.info(0), (3, 0));
}

#[test]
fn without_the_smc_capability_the_call_answers_2() {
    let mut sim = Sim::new(&[pd("pd", 20)]);
    sim.call(SMC, 47, &[1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(sim.info(0), (2, 1));
}

#[test]
fn set_flags_toggles_floating_point() {
    let mut sim = Sim::new(&[pd("parent", 20).server(), pd("child", 10).child_of(0, 1)]);
    let child = kernel_core::ThreadId(1);
    sim.call(sim::CHILD + 1, 21, &[0, 1]);
    assert!(!sim.kernel.may_use_fpu(child));
    sim.call(sim::CHILD + 1, 21, &[1, 0]);
    assert!(sim.kernel.may_use_fpu(child));
}
