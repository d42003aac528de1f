// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! A test PD: exercises the block service and prints `KINTSUGI|PASS` or `KINTSUGI|FAIL`.
//!
//! What system.xml maps decides what it does: see [`role`].

#![no_std]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

mod campaign;
mod hostile;
mod killer;
mod operations;
mod planter;
mod poison;

use core::fmt;

use microkit_wait::wait_for;
use planter::Planter;
use proto::blk::{Completion, Operation, RequestWire, Segment, Status};
use request_table::Client;
use sel4_microkit::{Channel, Handler, pd_name, protection_domain, var};
use sel4_shared_memory::{SharedMut, SharedRef};
use test_blk_service::{BLOCK_BYTES, Blocks, Exerciser};

const BLK: Channel = Channel::new(2);

const REGION_BYTES: usize = 0x1_0000;
const BLOCKS: u32 = 1024;
/// As many as the table has slots, and the device places.
const DEPTH: usize = 64;
const SEED: u64 = 1;

/// Requests and restarts until the result is printed.
const REQUESTS: u32 = 30_000;
/// The second number holds when somebody kills the service meanwhile.
const RESTARTS: u32 = 120;

/// What this PD is.
enum Role {
    /// Works at random and checks every word.
    Exerciser,
    /// As before, while the service is killed so many times.
    UnderFire,
    /// Breaks the rules in every way (region `hostile`).
    Hostile,
    /// Has a request that the service does not survive (the service's code, and requests).
    Poisoner(Planter),
    /// Kills the service in the middle of its start (the service's code, and no requests).
    Killer(Planter),
    /// Works beside a file system while a campaign makes faults (region `test_blk_to_injector_score`).
    Campaign,
}

fn role() -> Role {
    let serves = requests_vaddr() != 0;
    match Planter::find() {
        Some(planter) if serves => Role::Poisoner(planter),
        Some(planter) => Role::Killer(planter),
        None if *var!(topology_vaddr: usize = 0) != 0 => Role::Campaign,
        None if *var!(hostile_vaddr: usize = 0) != 0 => Role::Hostile,
        None if *var!(under_fire_vaddr: usize = 0) != 0 => Role::UnderFire,
        None => Role::Exerciser,
    }
}

fn requests_vaddr() -> usize {
    *var!(blk_requests_vaddr: usize = 0)
}

/// The connection to the service.
struct Disk {
    table: Blocks,
    data: SharedMut,
}

impl Disk {
    fn attach() -> Self {
        let (requests, completions) = Self::regions();
        let data = *var!(blk_data_vaddr: usize = 0);
        let data_bytes = *var!(blk_data_size: usize = 0);
        Self {
            table: Client::attach(requests, completions).expect("the regions are large enough"),
            data: SharedMut::from_mapped(data, data_bytes).expect("data"),
        }
    }

    fn regions() -> (SharedMut, SharedRef) {
        let requests = requests_vaddr();
        let completions = *var!(blk_completions_vaddr: usize = 0);
        (
            SharedMut::from_mapped(requests, REGION_BYTES).expect("requests"),
            SharedRef::from_mapped(completions, REGION_BYTES).expect("completions"),
        )
    }

    /// Makes a request and waits for its answer. Nothing else may be in progress.
    fn ask(&mut self, wire: &RequestWire) -> Completion {
        self.table.submit(wire).expect("the table is empty");
        BLK.notify();
        loop {
            if let Some((_, _, completion)) = self.table.next_completion() {
                return completion.check();
            }
            wait_for(BLK);
        }
    }

    /// As [`Self::ask`], and the answer must be this.
    fn expect(&mut self, wire: &RequestWire, expected: Status) -> Result<(), Failure> {
        match self.ask(wire).status {
            status if status == expected => Ok(()),
            status => Err(Failure::Status(*wire, expected, status)),
        }
    }
}

/// What went wrong.
enum Failure {
    Status(RequestWire, Status, Status),
    Text(&'static str),
    Wrong(test_blk_service::Wrong),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(wire, expected, status) => {
                write!(f, "{status:?} instead of {expected:?} for {wire:?}")
            }
            Self::Text(text) => f.write_str(text),
            Self::Wrong(wrong) => write!(f, "{wrong}"),
        }
    }
}

#[protection_domain(stack_size = 0x8000, heap_size = 0x40000)]
fn init() -> impl Handler {
    pd_setup::log();
    let name = pd_name().unwrap_or("test_blk");
    let result = match role() {
        Role::Killer(mut planter) => killer::run(&mut planter),
        Role::Hostile => hostile::run(&mut Disk::attach()),
        Role::Poisoner(mut planter) => poison::run(&mut Disk::attach(), &mut planter),
        Role::UnderFire => exercise(Disk::attach(), RESTARTS),
        Role::Exerciser => plain(Disk::attach()),
        Role::Campaign => campaign::run(Disk::attach()),
    };
    match result {
        Ok(()) => log::info!("KINTSUGI|PASS {name}"),
        Err(failure) => log::error!("KINTSUGI|FAIL {name} {failure}"),
    }
    pd_setup::Done
}

fn plain(mut disk: Disk) -> Result<(), Failure> {
    let description = disk.ask(&RequestWire::plain(Operation::Describe));
    log::info!("disk: {description:?}");
    if operations::refused(&mut disk, &description)? {
        return Ok(());
    }
    operations::check(&mut disk, &description)?;
    exercise(disk, 0)
}

fn exercise(disk: Disk, restarts: u32) -> Result<(), Failure> {
    let mut exerciser = Exerciser::new(disk.table, disk.data, BLOCKS, DEPTH, SEED);
    let (start, first) = (recovery::ticks(), exerciser.server_epoch());
    let mut next_report = 0;
    let mut check = || {
        while exerciser.completed < REQUESTS || exerciser.server_epoch() < restarts {
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
    };
    let result = check().map_err(Failure::Wrong);
    if let Some(block) = exerciser.failed_block {
        log::info!("failed_block={block} failures={}", exerciser.failures);
    }
    let ms = (recovery::ticks() - start) * 1_000 / recovery::ticks_per_second();
    log::info!(
        "RESULT requests={} verified={} flushes={} restarts={} misbehaviour={} guest_ms={ms}",
        exerciser.completed,
        exerciser.verified_blocks,
        exerciser.flushes,
        exerciser.server_epoch() - first,
        exerciser.misbehaviour_count(),
    );
    result
}

/// A page of the data region.
const PAGE: Segment = Segment {
    offset: 0,
    bytes: BLOCK_BYTES,
};
