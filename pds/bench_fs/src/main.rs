// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Measures the file service as its client sees it: `cargo xtask bench files` boots this and collects the
//! lines `FIGURE ...`.
//!
//! Busy instructions are the time that passed less the time that `test_spin` counted, which runs
//! when nobody else has anything to do: the work of client, service, driver and kernel together, without
//! waiting for the host's disk. That is only true under QEMU's `-icount shift=0`.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

use alloc::{format, vec, vec::Vec};

use chaos_service::killer::Killer;
use figures::Samples;
use fs_client::{DirectRegions, File, FileSystem, OpenOptions};
use sel4_microkit::{Handler, NullHandler, protection_domain, var};
use sel4_shared_memory::SharedRef;

const SPIN_BYTES: usize = 0x1000;
const INSTRUCTIONS_PER_TICK: u64 = 16;
const INSTRUCTIONS_PER_COUNT: u64 = 3;

/// Three times the service's cache, so that nothing of it is there when its turn comes again.
const BIG_BYTES: u64 = 96 << 20;
/// Fits the cache.
const SMALL_BYTES: u64 = 4 << 20;
const K4: usize = 4096;
const K64: usize = 65536;

const KILLS: usize = 1000;
const OPEN_FILES: u64 = 64;
/// Where the service dies, in turn.
const POINTS: [&str; 6] = [
    "fs.after_take",
    "fs.mid_operation",
    "fs.after_intent",
    "fs.after_commit_block",
    "fs.after_progress",
    "fs.before_complete",
];
/// Some 0.05 seconds of work: many more kills than one in a second.
const OPERATIONS_PER_KILL: u64 = 3000;
/// Pairs of a stretch with a kill and one without.
const PAIRS: usize = 4;

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

struct Bench {
    fs: FileSystem,
    spin: SharedRef,
    random: u64,
    bytes: Vec<u8>,
}

impl Bench {
    fn now(&self) -> Moment {
        Moment {
            time: recovery::ticks() * INSTRUCTIONS_PER_TICK,
            idle: self.spin.load_u64(0) * INSTRUCTIONS_PER_COUNT,
        }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 16) % bound
    }

    /// Runs `work` `values` times; it says how many operations it did.
    fn cost(&mut self, name: &str, values: usize, work: &mut dyn FnMut(&mut Self, usize) -> u64) {
        let mut samples = Samples::with_capacity(values);
        for value in 0..values {
            let start = self.now();
            let count = work(self, value);
            samples.add(self.now().busy_since(start) / count);
        }
        log::info!("{}", samples.summary(name, "instructions"));
    }

    fn file(&self, path: &str) -> File {
        let options = OpenOptions::new().read(true).write(true).create(true);
        options.open(&self.fs, path).expect("open")
    }

    /// A page that says where it belongs.
    fn mark(&mut self, at: u64) {
        for (index, page) in self.bytes.chunks_exact_mut(K4).enumerate() {
            let number = at / K4 as u64 + index as u64;
            page[..8].copy_from_slice(&number.to_le_bytes());
        }
    }

    fn read(&mut self, file: &File, at: u64, length: usize) {
        let read = file.read_at(at, &mut self.bytes[..length]).expect("read");
        assert!(read == length, "a short read");
        for (index, page) in self.bytes[..length].chunks_exact(K4).enumerate() {
            let number = at / K4 as u64 + index as u64;
            assert!(page[..8] == number.to_le_bytes(), "wrong bytes at {at}");
        }
    }

    fn write(&mut self, file: &File, at: u64, length: usize) {
        self.mark(at);
        let written = file.write_at(at, &self.bytes[..length]).expect("write");
        assert!(written == length, "a short write");
    }

    /// On the empty disk: `rsext4` looks for room from the start of each group, block by block.
    fn writes(&mut self) {
        const COUNT: u64 = 64;
        let log = self.file("/log");
        self.cost("files.append_fsync_4k", 16, &mut |bench, value| {
            for index in 0..COUNT {
                let at = (value as u64 * COUNT + index) * K4 as u64;
                bench.write(&log, at, K4);
                bench.fs.sync().expect("sync");
            }
            COUNT
        });
        self.cost("files.create_unlink", 16, &mut |bench, _| {
            for index in 0..COUNT {
                let path = format!("/new{index}");
                bench.file(&path);
                bench.fs.remove_file(&path).expect("unlink");
            }
            COUNT
        });
        let big = self.file("/big");
        let values = (BIG_BYTES / K64 as u64 / COUNT) as usize;
        self.cost("files.write_64k", values, &mut |bench, value| {
            for index in 0..COUNT {
                let at = (value as u64 * COUNT + index) * K64 as u64;
                bench.write(&big, at, K64);
            }
            bench.fs.sync().expect("sync");
            COUNT
        });
        let small = self.file("/small");
        for at in (0..SMALL_BYTES).step_by(K64) {
            self.write(&small, at, K64);
        }
        self.cost("files.overwrite_4k", 8, &mut |bench, _| {
            for _ in 0..COUNT {
                let at = bench.below(SMALL_BYTES / K4 as u64) * K4 as u64;
                bench.write(&small, at, K4);
            }
            COUNT
        });
        self.cost("files.overwrite_64k", 8, &mut |bench, _| {
            for index in 0..COUNT {
                bench.write(&small, index * K64 as u64, K64);
            }
            bench.fs.sync().expect("sync");
            COUNT
        });
    }

    fn reads(&mut self) {
        let big = self.file("/big");
        const COUNT: u64 = 256;
        self.cost("files.seq_read_4k", 16, &mut |bench, value| {
            for index in 0..COUNT {
                let at = (value as u64 * COUNT + index) * K4 as u64;
                bench.read(&big, at, K4);
            }
            COUNT
        });
        self.cost("files.read_64k_cold", 16, &mut |bench, value| {
            for index in 0..64 {
                let at = (32 << 20) + (value as u64 * 64 + index) % 1024 * K64 as u64;
                bench.read(&big, at, K64);
            }
            64
        });
        self.cost("files.rand_read_4k", 16, &mut |bench, _| {
            for _ in 0..COUNT {
                let at = bench.below(BIG_BYTES / K4 as u64) * K4 as u64;
                bench.read(&big, at, K4);
            }
            COUNT
        });
        let small = self.file("/small");
        for at in (0..SMALL_BYTES).step_by(K64) {
            self.read(&small, at, K64);
        }
        self.cost("files.read_64k_cached", 16, &mut |bench, _| {
            for index in 0..64 {
                bench.read(&small, index * K64 as u64, K64);
            }
            64
        });
        self.cost("files.seq_read_4k_cached", 4, &mut |bench, _| {
            for index in 0..COUNT {
                bench.read(&small, index * K4 as u64, K4);
            }
            COUNT
        });
    }

    /// The same as the first of [`Self::reads`], by a client that has the cache mapped.
    fn mapped_reads(&mut self, cache: DirectRegions) {
        let big = self.file("/big");
        // More than the cache holds, so that nothing of the file's beginning is in it.
        for at in (BIG_BYTES / 2..BIG_BYTES).step_by(K64) {
            self.read(&big, at, K64);
        }
        self.fs.read_directly(cache);
        const COUNT: u64 = 256;
        self.cost("files.seq_read_4k_mapped", 16, &mut |bench, value| {
            for index in 0..COUNT {
                let at = (value as u64 * COUNT + index) * K4 as u64;
                bench.read(&big, at, K4);
            }
            COUNT
        });
        let asked = 16 * COUNT - self.fs.direct_reads();
        log::info!("mapped reads: {asked} of {} asked the service", 16 * COUNT);
    }

    /// From the fault to the answer of the operation that met it, with open files and a warm cache.
    fn outage(&mut self, killer: &mut Killer) {
        let files: Vec<_> = (0..OPEN_FILES)
            .map(|number| self.file(&format!("/open{number}")))
            .collect();
        for file in &files {
            self.write(file, 0, K64);
        }
        let mut busy = Samples::with_capacity(KILLS);
        let mut elapsed = Samples::with_capacity(KILLS);
        for kill in 0..KILLS {
            let file = &files[kill % files.len()];
            self.read(file, K64 as u64 / 2, K4);
            let (epoch, _) = killer.life();
            killer.plant(POINTS[kill % POINTS.len()]);
            let idle = self.now().idle;
            self.write(file, self.random % 16 * K4 as u64, K4);
            let end = self.now();
            let (next, fault_ticks) = killer.life();
            assert!(next == epoch + 1, "{} lives instead of one", next - epoch);
            let time = fault_ticks * INSTRUCTIONS_PER_TICK;
            busy.add(end.busy_since(Moment { time, idle }));
            elapsed.add(end.time - time);
            let at = self.below(16) * K4 as u64;
            self.read(file, at, K4);
        }
        log::info!("{}", busy.summary("files.outage", "instructions"));
        log::info!("{}", elapsed.summary("files.outage_elapsed", "ns_guest"));
    }

    fn stretch(&mut self, mut killer: Option<(&mut Killer, &str)>) -> u64 {
        let small = self.file("/small");
        let start = self.now();
        for operation in 0..OPERATIONS_PER_KILL {
            if operation > OPERATIONS_PER_KILL / 2
                && let Some((killer, point)) = killer.take()
            {
                killer.plant(point);
            }
            match operation % 4 {
                0 => {
                    let at = self.below(SMALL_BYTES / K4 as u64) * K4 as u64;
                    self.write(&small, at, K4);
                }
                1 => self.read(&small, operation % 60 * K64 as u64, K64),
                _ => self.read(&small, operation % 1000 * K4 as u64, K4),
            }
        }
        self.fs.sync().expect("sync");
        self.now().busy_since(start)
    }

    /// How much work the processor gets done with kills, in percent of that without.
    fn throughput(&mut self, killer: &mut Killer) {
        let mut samples = Samples::with_capacity(PAIRS);
        for pair in 0..PAIRS {
            let undisturbed = self.stretch(None);
            let (epoch, _) = killer.life();
            let killed = self.stretch(Some((&mut *killer, POINTS[pair])));
            assert!(killer.life().0 == epoch + 1, "it was not killed");
            log::info!("kill1hz: {undisturbed} instructions undisturbed, {killed} with a kill");
            samples.add(undisturbed * 100 / killed);
        }
        log::info!("{}", samples.summary("files.kill1hz_percent", "percent"));
    }
}

#[protection_domain(stack_size = 0x8000, heap_size = 0x80000)]
fn init() -> impl Handler {
    pd_setup::log();
    let topology = pd_setup::topology();
    let spin = *var!(spin_counter_vaddr: usize = 0);
    let mut bench = Bench {
        fs: pd_clients::files_through_service(&topology),
        spin: SharedRef::from_mapped(spin, SPIN_BYTES).expect("spin_counter"),
        random: 88_172_645_463_325_252,
        bytes: vec![0x5a; K64],
    };
    bench.writes();
    bench.reads();
    let mut killer = Killer::new(&topology, "fs");
    bench.outage(&mut killer);
    bench.throughput(&mut killer);
    bench.mapped_reads(pd_clients::file_cache(&topology).expect("system.xml maps the cache"));
    log::info!("KINTSUGI|PASS bench_fs");
    NullHandler::new()
}
