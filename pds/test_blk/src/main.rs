// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! A test PD: exercises the block service and prints `KINTSUGI|PASS` or `KINTSUGI|FAIL`.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

use microkit_wait::wait_for;
use proto::blk::{Operation, RequestWire, Segment};
use request_table::Client;
use sel4_microkit::{Channel, ChannelSet, Handler, Infallible, protection_domain, var};
use sel4_shared_memory::{SharedMut, SharedRef};
use test_blk_service::{Blocks, Exerciser, Random, Wrong};

const BLK: Channel = Channel::new(2);

const REGION_BYTES: usize = 0x1_0000;
const BLOCKS: u32 = 1024;
const DEPTH: usize = 32;
const SEED: u64 = 1;

/// What is measured first: name, operation, bytes, depth.
const FIGURES: [(&str, Operation, u32, usize); 8] = [
    ("read_4k_qd1", Operation::Read, 4096, 1),
    ("read_4k_qd32", Operation::Read, 4096, 32),
    ("write_4k_qd1", Operation::Write, 4096, 1),
    ("write_4k_qd32", Operation::Write, 4096, 32),
    ("read_64k_qd1", Operation::Read, 65536, 1),
    ("read_64k_qd32", Operation::Read, 65536, 32),
    ("write_64k_qd1", Operation::Write, 65536, 1),
    ("write_64k_qd32", Operation::Write, 65536, 32),
];
const PACE_REQUESTS: u32 = 4096;
/// Places of 64 KiB in the data region that are used in turn.
const PACE_PLACES: u32 = 256;
/// The disk is used at multiples of 32 KiB below 32 MiB.
const PACE_POSITIONS: u32 = 1024;
const PACE_STRIDE_SECTORS: u64 = 64;
const SPIN_BYTES: usize = 0x1000;
/// Requests until the result is printed.
const REQUESTS: u32 = 30_000;

#[protection_domain(stack_size = 0x8000, heap_size = 0x10000)]
fn init() -> impl Handler {
    pd_setup::log();
    let requests = *var!(test_blk_to_blk_requests_vaddr: usize = 0);
    let completions = *var!(blk_to_test_blk_completions_vaddr: usize = 0);
    let data = *var!(test_blk_to_blk_data_vaddr: usize = 0);
    let data_bytes = *var!(test_blk_to_blk_data_size: usize = 0);
    let requests = SharedMut::from_mapped(requests, REGION_BYTES).expect("requests");
    let completions = SharedRef::from_mapped(completions, REGION_BYTES).expect("completions");
    let data = SharedMut::from_mapped(data, data_bytes).expect("data");
    let mut table = Client::attach(requests, completions).expect("the regions are large enough");
    recovery::ready();
    let answer = ask(&mut table, Operation::Describe);
    log::info!("disk: {answer:?}");
    if answer.status.errno().is_err() {
        log::error!("KINTSUGI|FAIL no disk");
        return Finished;
    }
    let counter = *var!(spin_counter_vaddr: usize = 0);
    let spin = SharedRef::from_mapped(counter, SPIN_BYTES).expect("spin_counter");
    for (name, operation, bytes, depth) in FIGURES {
        let instructions = pace(&mut table, &spin, operation, bytes, depth);
        log::info!("FIGURE block.{name} {instructions} instructions n={PACE_REQUESTS}");
    }
    let mut exerciser = Exerciser::new(table, data, BLOCKS, DEPTH, SEED);
    let start = recovery::ticks();
    match exercise(&mut exerciser) {
        Ok(()) => log::info!(
            "KINTSUGI|PASS test_blk requests={} verified={} failures={:?} restarts={} \
             misbehaviour={} ticks={}",
            exerciser.completed,
            exerciser.verified_blocks,
            exerciser.failures,
            exerciser.server_epoch(),
            exerciser.misbehaviour_count(),
            recovery::ticks() - start
        ),
        Err(wrong) => log::error!("KINTSUGI|FAIL test_blk {wrong}"),
    }
    Finished
}

/// Busy instructions per request, all PDs and the kernel together. Only true under
/// `-icount shift=0`, where a tick of the counter is 16 instructions.
fn pace(
    table: &mut Blocks,
    spin: &SharedRef,
    operation: Operation,
    bytes: u32,
    depth: usize,
) -> u64 {
    let mut random = Random(SEED);
    let mut made = 0;
    let mut answered = 0;
    let (ticks, count) = (recovery::ticks(), spin.load_u64(0));
    while answered < PACE_REQUESTS {
        let before = made;
        while made < PACE_REQUESTS && table.outstanding_count() < depth {
            let sector = u64::from(random.below(PACE_POSITIONS)) * PACE_STRIDE_SECTORS;
            let offset = made % PACE_PLACES * 65536;
            let place = Segment { offset, bytes };
            let wire = RequestWire::transfer(operation, sector, &[place]);
            table
                .submit(&wire)
                .expect("the depth is below the number of slots");
            made += 1;
        }
        if made != before {
            BLK.notify();
        }
        let seen = answered;
        while let Some((_, _, completion)) = table.next_completion() {
            assert!(completion.check().status.errno().is_ok());
            answered += 1;
        }
        if answered == seen {
            wait_for(BLK);
        }
    }
    let instructions = (recovery::ticks() - ticks) * 16;
    let idle = (spin.load_u64(0) - count) * 3;
    instructions.saturating_sub(idle) / u64::from(PACE_REQUESTS)
}

/// Makes a request without data and waits for its answer.
fn ask(table: &mut Blocks, operation: Operation) -> proto::blk::Completion {
    table
        .submit(&RequestWire::plain(operation))
        .expect("the table is empty");
    BLK.notify();
    loop {
        if let Some((_, _, completion)) = table.next_completion() {
            return completion.check();
        }
        wait_for(BLK);
    }
}

fn exercise(exerciser: &mut Exerciser) -> Result<(), Wrong> {
    let mut next_report = 0;
    while exerciser.completed < REQUESTS {
        if exerciser.submit() {
            BLK.notify();
        }
        if exerciser.consume()? == 0 {
            wait_for(BLK);
        }
        if exerciser.completed >= next_report {
            let (done, restarts) = (exerciser.completed, exerciser.server_epoch());
            log::info!("requests={done} restarts={restarts}");
            next_report += REQUESTS / 10;
        }
    }
    Ok(())
}

/// Nothing is left to do.
struct Finished;

impl Handler for Finished {
    type Error = Infallible;

    fn notified(&mut self, _channels: ChannelSet) -> Result<(), Infallible> {
        Ok(())
    }
}
