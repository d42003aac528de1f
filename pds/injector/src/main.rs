// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! A test PD that puts faults into others and watches what comes of it. It supervises nobody.
//!
//! It has a budget smaller than its period and never blocks: `Yield` gives up the rest of the budget, so
//! that it gets the processor once per period, above its victims and whatever they do. Its results go to a
//! region that the host reads from outside, so that no service has to work for them to arrive.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

mod completions;
mod device_error;
mod inject;
mod look;
mod outside;
mod rates;
mod trial;
mod victim;

use injector_service::record::{self, RECORD_WORDS, Record, header};
use injector_service::settings::{self, Settings};
use log::{info, warn};
use microkit_abi::syscalls;
use sel4_microkit::{Handler, NullHandler, protection_domain};
use sel4_shared_memory::SharedMut;
use topology::Topology;

use crate::look::Machine;

#[protection_domain(stack_size = 0x8000, heap_size = 0x80000)]
fn init() -> impl Handler {
    pd_setup::log();
    let topology = pd_setup::topology();
    let Some(settings) = settings_of(&topology) else {
        warn!("no settings: nothing to do");
        return NullHandler::new();
    };
    let mut results = Results::attach(&topology, &settings);
    info!(
        "seed={} first={} end={} starts={}",
        settings.seed, settings.first, settings.end, results.starts
    );
    let mut machine = Machine::new(&topology, settings);
    trial::run_all(&mut machine, &mut results);
    NullHandler::new()
}

/// Lets so many periods pass.
fn rest(periods: u32) {
    (0..periods).for_each(|_| syscalls::yield_now());
}

fn settings_of(topology: &Topology<'static>) -> Option<Settings> {
    let region = pd_setup::reads(&topology.region("injector_settings")?);
    let mut words = [0; settings::WORDS];
    for (index, word) in words.iter_mut().enumerate() {
        *word = region.load_u64(index * 8);
    }
    Settings::parse(&words)
}

/// The region that the host reads.
struct Results {
    region: SharedMut,
    /// Starts of the machine, this one included.
    starts: u64,
    /// The first trial that has no final record.
    next: u64,
}

impl Results {
    /// Takes the region; after a reset of the machine it still has what was there.
    fn attach(topology: &Topology<'static>, settings: &Settings) -> Self {
        let region = topology
            .region("injector_to_host_records")
            .expect("overlay.xml maps it");
        let mut region = pd_setup::writes(&region);
        let word = |region: &SharedMut, index: usize| region.load_u64(index * 8);
        let same = word(&region, header::MAGIC) == record::MAGIC
            && word(&region, header::SEED) == settings.seed
            && word(&region, header::FIRST) == settings.first;
        if !same {
            region.fill(0, record::BYTES, 0);
            region.store_u64(header::SEED * 8, settings.seed);
            region.store_u64(header::FIRST * 8, settings.first);
            region.store_u64(header::FINISHED * 8, settings.first);
            region.store_u64(header::MAGIC * 8, record::MAGIC);
        }
        let starts = word(&region, header::STARTS) + 1;
        region.store_u64(header::STARTS * 8, starts);
        let next = word(&region, header::FINISHED);
        Self {
            region,
            starts,
            next,
        }
    }

    fn set(&mut self, word: usize, value: u64) {
        self.region.store_u64(word * 8, value);
    }

    /// The record of `trial`, when there is one.
    fn record(&self, trial: u64) -> Option<Record> {
        let offset = Record::offset(trial);
        let mut words = [0; RECORD_WORDS];
        for (index, word) in words.iter_mut().enumerate() {
            *word = self.region.load_u64(offset + index * 8);
        }
        Record::parse(&words).filter(|record| record.trial == trial)
    }

    fn store(&mut self, record: &Record) {
        let offset = Record::offset(record.trial);
        for (index, word) in record.words().into_iter().enumerate() {
            self.region.store_u64(offset + index * 8, word);
        }
        // QEMU keeps the memory over a reset, but hardware would only keep what has left the caches.
        microkit_abi::cache::clean(self.region.addr() + offset, RECORD_WORDS * 8);
    }

    /// Stores the last word on a trial.
    fn finish(&mut self, record: &Record) {
        self.store(record);
        self.next = record.trial + 1;
        self.set(header::FINISHED, self.next);
    }
}
