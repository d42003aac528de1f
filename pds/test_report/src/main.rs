// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! A test PD that dies in a different way in each of its lives, then resets the machine, and in the
//! next boot checks what the black box says of the boot before.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

use alloc::vec;
use core::hint::black_box;

use black_box::{Kind, RecordWire, records_in};
use log::info;
use microkit_abi::psci;
use sel4_microkit::{Handler, NullHandler, memory_region_symbol, protection_domain, var};
use sel4_shared_memory::SharedRef;

/// How each life ends, and what the record must say of it.
const DEATHS: [(fn(u64), Kind, usize); 6] = [
    (read_nothing, Kind::Read, 3),
    (write_code, Kind::Write, 3),
    (overflow, Kind::Write, 16),
    (panic, Kind::Panic, 3),
    (call_the_kernel, Kind::BadSystemCall, 3),
    (jump_nowhere, Kind::Execute, 1),
];
/// Bytes of stack; the overflow must have used all of it.
const STACK_BYTES: u64 = 0x4000;

#[protection_domain(stack_size = 0x4000, heap_size = 0x20000)]
fn init() -> impl Handler {
    pd_setup::log();
    recovery::ready();
    let (bytes, boot) = black_box_of_the_supervisor();
    let epoch = recovery::epoch() as usize;
    if boot > 1 {
        check(&bytes, boot - 1);
    } else if let Some((death, kind, _)) = DEATHS.get(epoch) {
        info!("dying by {}", kind.name());
        outer(*death, black_box(1));
    } else {
        info!("resetting the machine");
        psci::system_reset();
        info!("KINTSUGI|FAIL no reset: smc is missing in system.xml");
    }
    NullHandler::new()
}

fn black_box_of_the_supervisor() -> (alloc::vec::Vec<u8>, u32) {
    let size = *var!(black_box_size: usize = 0);
    let start = memory_region_symbol!(black_box_vaddr: *mut u8).as_ptr() as usize;
    let region = SharedRef::from_mapped(start, size).expect("black box");
    let mut bytes = vec![0; size];
    region.read_bytes(0, &mut bytes);
    let (boot, _) = records_in(&bytes).expect("the supervisor has formatted it");
    (bytes, boot)
}

fn check(bytes: &[u8], boot: u32) {
    let (_, records) = records_in(bytes).expect("checked before");
    let mut found = 0;
    for wire in records.filter(|wire| wire.head.boot == boot) {
        let (_, kind, frames) = DEATHS[wire.head.epoch as usize];
        assert_eq!(wire.head.kind(), kind, "epoch {}", wire.head.epoch);
        assert!(
            usize::from(wire.head.frame_count) >= frames,
            "{} frames",
            wire.head.frame_count
        );
        check_stack(&wire, kind);
        found += 1;
    }
    assert_eq!(found, DEATHS.len(), "records of boot {boot}");
    info!("KINTSUGI|PASS {found} reports survived the reset");
}

fn check_stack(wire: &RecordWire, kind: Kind) {
    let used = wire.head.stack_used().expect("a mark");
    let overflowed = wire.head.epoch >= 2;
    assert!(
        used == STACK_BYTES || !overflowed,
        "{used} bytes after the overflow"
    );
    assert!(
        used < STACK_BYTES || overflowed,
        "{used} bytes before the overflow"
    );
    if kind == Kind::Panic {
        assert!(
            wire.record().text().contains("on purpose"),
            "{:?}",
            wire.record().text()
        );
    }
}

/// Two frames of known names in every backtrace.
#[inline(never)]
fn outer(death: fn(u64), argument: u64) {
    inner(death, argument + 1);
    black_box(argument);
}

#[inline(never)]
fn inner(death: fn(u64), argument: u64) {
    death(argument);
    black_box(argument);
}

#[inline(never)]
fn read_nothing(argument: u64) {
    #[allow(unsafe_code)]
    // SAFETY: nothing is mapped there, so the PD faults; that is the purpose.
    let value = unsafe { core::ptr::without_provenance::<u64>(8).read_volatile() };
    black_box(value + argument);
}

#[inline(never)]
fn write_code(argument: u64) {
    let code = inner as *mut u64;
    #[allow(unsafe_code)]
    // SAFETY: code cannot be written, so the PD faults; that is the purpose.
    unsafe {
        code.write_volatile(argument)
    };
}

#[inline(never)]
#[expect(unconditional_recursion, reason = "on purpose")]
fn overflow(argument: u64) {
    let frame = [argument; 32];
    overflow(black_box(&frame)[3] + 1);
    black_box(&frame);
}

#[inline(never)]
fn panic(argument: u64) {
    panic!("on purpose, with {argument}");
}

#[inline(never)]
fn call_the_kernel(argument: u64) {
    #[allow(unsafe_code)]
    // SAFETY: no kernel has such a system call, so the PD faults; that is the purpose.
    unsafe {
        core::arch::asm!("svc #0", in("x7") 1_000, options(nostack))
    };
    black_box(argument);
}

#[inline(never)]
fn jump_nowhere(argument: u64) {
    #[allow(unsafe_code)]
    // SAFETY: nothing is mapped there, so the PD faults; that is the purpose.
    let nowhere: fn(u64) = unsafe { core::mem::transmute(black_box(0x66_0000_0000_usize)) };
    nowhere(argument);
    black_box(argument);
}
