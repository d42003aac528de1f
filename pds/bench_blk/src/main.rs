// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Measures the block service as its client sees it: `cargo xtask bench block` boots this and
//! collects the lines `FIGURE ...`.
//!
//! Busy instructions are the time that passed less the time that `test_spin` counted, which runs
//! when nobody else has anything to do: the work of client, service and kernel together, without
//! waiting for the host's disk. That is only true under QEMU's `-icount shift=0`.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

use chaos_service::killer::Killer;
use figures::Samples;
use microkit_wait::wait_for;
use proto::blk::{Operation, RequestWire, Segment};
use request_table::Client;
use sel4_microkit::{Channel, Handler, NullHandler, protection_domain, var};
use sel4_shared_memory::{SharedMut, SharedRef};
use test_blk_service::{Blocks, Random};

const BLK: Channel = Channel::new(2);
/// Where a request passes on its way to the disk: the service dies as soon as it is notified, with
/// nothing idle in between.
const ON_THE_WAY: [&str; 4] = [
    "blk.after_take",
    "blk.after_submit",
    "blk.before_kick",
    "blk.after_kick",
];
const REGION_BYTES: usize = 0x1_0000;
const SPIN_BYTES: usize = 0x1000;
const INSTRUCTIONS_PER_TICK: u64 = 16;
const INSTRUCTIONS_PER_COUNT: u64 = 3;

/// Name, operation, bytes, depth. 4 KiB at random, 64 KiB one after the other.
const COSTS: [(&str, Operation, u32, usize); 8] = [
    ("block.read_4k_qd1", Operation::Read, 4096, 1),
    ("block.read_4k_qd32", Operation::Read, 4096, 32),
    ("block.write_4k_qd1", Operation::Write, 4096, 1),
    ("block.write_4k_qd32", Operation::Write, 4096, 32),
    ("block.read_64k_qd1", Operation::Read, 65536, 1),
    ("block.read_64k_qd32", Operation::Read, 65536, 32),
    ("block.write_64k_qd1", Operation::Write, 65536, 1),
    ("block.write_64k_qd32", Operation::Write, 65536, 32),
];
/// Values of each figure, and requests that one is the mean of.
const VALUES: u32 = 16;
const REQUESTS_PER_VALUE: u32 = 256;
/// Requests lie below 128 MiB of the disk, at multiples of 64 KiB, and in as many places of memory.
const POSITIONS: u32 = 2048;
const PLACES: u32 = 256;
const PLACE_BYTES: u32 = 65536;
const SECTORS_PER_POSITION: u64 = 128;

const KILLS: usize = 1000;
/// Kills with a full queue.
const KILLS_QD32: usize = 200;
/// Between two kills: the supervisor reports the last one at its next tick, 20 ms later at most.
const REST_MS: u64 = 25;
/// Requests at the beginning of that time.
const REST_REQUESTS: u32 = 8;
/// Steps between two looks at the counter, which cost QEMU more than many instructions.
const REST_STEPS: u32 = 100_000;
/// One second of guest time between two kills.
const KILL_PERIOD_MS: u64 = 1000;
/// Pairs of a stretch with a kill and one without.
const PAIRS: u32 = 3;

struct Bench {
    table: Blocks,
    spin: SharedRef,
    random: Random,
    made: u32,
    operation: Operation,
    bytes: u32,
}

/// A moment: guest time and idle time, both in instructions.
#[derive(Clone, Copy)]
struct Moment {
    time: u64,
    idle: u64,
}

impl Moment {
    fn busy_since(self, start: Self) -> u64 {
        (self.time - start.time).saturating_sub(self.idle - start.idle)
    }
}

impl Bench {
    fn now(&self) -> Moment {
        Moment {
            time: recovery::ticks() * INSTRUCTIONS_PER_TICK,
            idle: self.spin.load_u64(0) * INSTRUCTIONS_PER_COUNT,
        }
    }

    /// Keeps `depth` requests in progress.
    fn submit(&mut self, depth: usize) {
        let before = self.made;
        while self.table.outstanding_count() < depth {
            let position = match self.bytes {
                PLACE_BYTES => self.made % POSITIONS,
                _ => self.random.below(POSITIONS),
            };
            let sector = u64::from(position) * SECTORS_PER_POSITION;
            let place = Segment {
                offset: self.made % PLACES * PLACE_BYTES,
                bytes: self.bytes,
            };
            let wire = RequestWire::transfer(self.operation, sector, &[place]);
            self.table.submit(&wire).expect("depth is below the slots");
            self.made += 1;
        }
        if self.made != before {
            BLK.notify();
        }
    }

    /// Waits for completions. Returns how many there were.
    fn consume(&mut self) -> u32 {
        loop {
            let mut count = 0;
            while let Some((_, _, completion)) = self.table.next_completion() {
                assert!(
                    completion.check().status.errno().is_ok(),
                    "a request failed"
                );
                count += 1;
            }
            if count > 0 {
                return count;
            }
            wait_for(BLK);
        }
    }

    fn settle(&mut self) {
        while self.table.outstanding_count() > 0 {
            self.consume();
        }
    }

    fn cost(&mut self, name: &str, depth: usize) {
        let mut samples = Samples::with_capacity(VALUES as usize);
        for _ in 0..VALUES {
            let start = self.now();
            let mut answered = 0;
            while answered < REQUESTS_PER_VALUE {
                self.submit(depth);
                answered += self.consume();
            }
            samples.add(self.now().busy_since(start) / u64::from(answered));
        }
        self.settle();
        log::info!("{}", samples.summary(name, "instructions"));
    }

    /// From the fault to the first completed request, `count` times.
    fn outage(&mut self, killer: &mut Killer, names: [&str; 2], depth: usize, count: usize) {
        let mut busy = Samples::with_capacity(count);
        let mut elapsed = Samples::with_capacity(count);
        for kill in 0..count {
            let rest = self.now().time + REST_MS * 1_000_000;
            for _ in 0..REST_REQUESTS {
                self.submit(depth);
                self.consume();
            }
            self.settle();
            while self.now().time < rest {
                (0..REST_STEPS).for_each(|step| {
                    core::hint::black_box(step);
                });
            }
            let (epoch, _) = killer.life();
            killer.plant(ON_THE_WAY[kill % ON_THE_WAY.len()]);
            let idle = self.now().idle;
            self.submit(depth);
            self.consume();
            let end = self.now();
            let (next, fault_ticks) = killer.life();
            assert!(next == epoch + 1, "{} lives instead of one", next - epoch);
            let time = fault_ticks * INSTRUCTIONS_PER_TICK;
            busy.add(end.busy_since(Moment { time, idle }));
            elapsed.add(end.time - time);
        }
        self.settle();
        log::info!("{}", busy.summary(names[0], "instructions"));
        log::info!("{}", elapsed.summary(names[1], "ns_guest"));
    }

    /// A second of guest time at depth 32, with a kill in its middle if there is a killer.
    fn second(&mut self, mut killer: Option<(&mut Killer, &str)>) -> Rate {
        let start = self.now();
        let mut answered = 0;
        while self.now().time < start.time + KILL_PERIOD_MS * 1_000_000 {
            if self.now().time > start.time + KILL_PERIOD_MS * 500_000
                && let Some((killer, point)) = killer.take()
            {
                killer.plant(point);
            }
            for _ in 0..64 {
                self.submit(32);
                answered += u64::from(self.consume());
            }
        }
        self.settle();
        let end = self.now();
        Rate {
            answered,
            elapsed: end.time - start.time,
            busy: end.busy_since(start),
        }
    }

    /// Requests done with one kill in a second, in percent of those without: per busy instruction, which is
    /// what a disk that takes no time would give; and in all of guest time, in which the speed of the host's
    /// disk counts, and everything else that the host does.
    fn throughput(&mut self, killer: &mut Killer, names: [&str; 2]) {
        let mut elapsed = Samples::with_capacity(PAIRS as usize);
        let mut busy = Samples::with_capacity(PAIRS as usize);
        for pair in 0..PAIRS as usize {
            let undisturbed = self.second(None);
            let (epoch, _) = killer.life();
            let point = ON_THE_WAY[pair % ON_THE_WAY.len()];
            let killed = self.second(Some((&mut *killer, point)));
            assert!(killer.life().0 == epoch + 1, "it was not killed");
            let percent = |time: fn(&Rate) -> u64| {
                let share = u128::from(killed.answered) * u128::from(time(&undisturbed)) * 100;
                share / (u128::from(undisturbed.answered) * u128::from(time(&killed)))
            };
            elapsed.add(percent(|rate| rate.elapsed) as u64);
            busy.add(percent(|rate| rate.busy) as u64);
        }
        log::info!("{}", busy.summary(names[0], "percent"));
        log::info!("{}", elapsed.summary(names[1], "percent"));
    }
}

/// What was done in a stretch.
struct Rate {
    answered: u64,
    elapsed: u64,
    busy: u64,
}

#[protection_domain(stack_size = 0x8000, heap_size = 0x40000)]
fn init() -> impl Handler {
    pd_setup::log();
    let topology = pd_setup::topology();
    let requests = *var!(bench_blk_to_blk_requests_vaddr: usize = 0);
    let completions = *var!(blk_to_bench_blk_completions_vaddr: usize = 0);
    let spin = *var!(spin_counter_vaddr: usize = 0);
    let requests = SharedMut::from_mapped(requests, REGION_BYTES).expect("requests");
    let completions = SharedRef::from_mapped(completions, REGION_BYTES).expect("completions");
    let mut bench = Bench {
        table: Client::attach(requests, completions).expect("the regions are large enough"),
        spin: SharedRef::from_mapped(spin, SPIN_BYTES).expect("spin_counter"),
        random: Random(1),
        made: 0,
        operation: Operation::Read,
        bytes: 4096,
    };
    if *var!(kills_vaddr: usize = 0) == 0 {
        for (name, operation, bytes, depth) in COSTS {
            (bench.operation, bench.bytes) = (operation, bytes);
            bench.cost(name, depth);
        }
    } else {
        kills(&mut bench, &mut Killer::new(&topology, "blk"));
    }
    log::info!("KINTSUGI|PASS bench_blk");
    NullHandler::new()
}

fn kills(bench: &mut Bench, killer: &mut Killer) {
    let names = ["block.outage", "block.outage_elapsed"];
    bench.outage(killer, names, 1, KILLS);
    let names = ["block.outage_qd32", "block.outage_qd32_elapsed"];
    bench.outage(killer, names, 32, KILLS_QD32);
    for (operation, names) in [
        (
            Operation::Read,
            [
                "block.kill1hz_read_percent",
                "block.kill1hz_read_elapsed_percent",
            ],
        ),
        (
            Operation::Write,
            [
                "block.kill1hz_write_percent",
                "block.kill1hz_write_elapsed_percent",
            ],
        ),
    ] {
        bench.operation = operation;
        bench.throughput(killer, names);
    }
}
