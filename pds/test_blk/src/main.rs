// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! A test PD: exercises the block service and prints `KINTSUGI|PASS` or `KINTSUGI|FAIL`.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

use microkit_wait::wait_for;
use proto::blk::{Completion, DEVICE_READ_ONLY, Operation, RequestWire, Segment, Status};
use request_table::Client;
use sel4_microkit::{Channel, ChannelSet, Handler, Infallible, protection_domain, var};
use sel4_shared_memory::{SharedMut, SharedRef};
use test_blk_service::{BLOCK_BYTES, Blocks, Exerciser, Wrong};

const BLK: Channel = Channel::new(2);

const REGION_BYTES: usize = 0x1_0000;
const BLOCKS: u32 = 1024;
const DEPTH: usize = 32;
const SEED: u64 = 1;

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
    let answer = ask(&mut table, &RequestWire::plain(Operation::Describe));
    log::info!("disk: {answer:?}");
    match refusals(&mut table, &answer) {
        Ok(None) => {}
        Ok(Some(kind)) => {
            log::info!("KINTSUGI|PASS test_blk {kind}");
            return Finished;
        }
        Err(what) => {
            log::error!("KINTSUGI|FAIL test_blk {what}");
            return Finished;
        }
    }
    let mut exerciser = Exerciser::new(table, data, BLOCKS, DEPTH, SEED);
    let start = recovery::ticks();
    let result = exercise(&mut exerciser);
    if let Some(block) = exerciser.failed_block {
        log::info!("failed_block={block} failures={}", exerciser.failures);
    }
    match result {
        Ok(()) => log::info!(
            "KINTSUGI|PASS test_blk requests={} verified={} restarts={} misbehaviour={} ticks={}",
            exerciser.completed,
            exerciser.verified_blocks,
            exerciser.server_epoch(),
            exerciser.misbehaviour_count(),
            recovery::ticks() - start
        ),
        Err(wrong) => log::error!("KINTSUGI|FAIL test_blk {wrong}"),
    }
    Finished
}

/// Says what kind of disk it is that refuses some requests, when all of its answers are right.
fn refusals(
    table: &mut Blocks,
    description: &Completion,
) -> Result<Option<&'static str>, &'static str> {
    let page = Segment {
        offset: 0,
        bytes: BLOCK_BYTES,
    };
    let mut status = |wire| ask(table, &wire).status;
    let read = status(RequestWire::read(0, page));
    if description.status == Status::NoDevice {
        let right = read == Status::NoDevice
            && status(RequestWire::write(0, page)) == Status::NoDevice
            && status(RequestWire::plain(Operation::Flush)) == Status::NoDevice;
        return right
            .then_some(Some("no disk"))
            .ok_or("no disk, but an answer");
    }
    if description.flags & DEVICE_READ_ONLY != 0 {
        let right = read == Status::Done
            && status(RequestWire::write(0, page)) == Status::ReadOnly
            && status(RequestWire::sectors(Operation::WriteZeroes, 0, 8)) != Status::Done
            && status(RequestWire::read(8, page)) == Status::Done;
        return right
            .then_some(Some("read-only"))
            .ok_or("a wrong answer of a read-only disk");
    }
    (read == Status::Done).then_some(None).ok_or("cannot read")
}

/// Makes a request and waits for its answer.
fn ask(table: &mut Blocks, wire: &RequestWire) -> Completion {
    table.submit(wire).expect("the table is empty");
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
