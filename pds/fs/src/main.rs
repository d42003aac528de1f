// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The file service: ext4 on the block service's disk, for every client in system.xml.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use fs_service::blk_disk::{BlkDisk, BlockPeer};
use fs_service::clock::InodeClock;
use fs_service::disk::DiskError;
use fs_service::entropy::{self, Source};
use fs_service::index::Index;
use fs_service::layout::LayoutError;
use fs_service::limits::Limits;
use fs_service::mount::{MountError, ReadOnly};
use fs_service::seal::Seals;
use fs_service::service::{ClientRegions, Service};
use fs_service::state;
use fs_service::volume::Volume;
use pd_setup::{channel_to, region};
use policy::files::FilesTable;
use proto::fs::Errno;
use sel4_microkit::{Channel, ChannelSet, Handler, Infallible, protection_domain};
use sel4_shared_memory::SharedMut;
use timer_client::Clock;
use topology::{Region, Topology};

const BLK: Channel = Channel::new(2);

/// The block service. We wait for it in the middle of our work, so we have no endpoint.
struct Blk;

impl BlockPeer for Blk {
    fn notify(&mut self) {
        BLK.notify();
    }

    fn wait_or(&mut self, look: &mut dyn FnMut() -> bool) {
        microkit_wait::wait_for_or(BLK, look);
    }

    fn pulse(&mut self) {
        pd_setup::pulse();
    }
}

type Disk = BlkDisk<Blk>;

#[protection_domain(stack_size = 0x40000, heap_size = 0x600000)]
fn init() -> impl Handler {
    pd_setup::log();
    // Their wake-ups are what writes that wait are carried out at, when nobody asks for anything.
    pd_setup::hear_questions();
    let topology = pd_setup::topology();
    let clock = InodeClock::default();
    let wall_clock = topology
        .region("timer_clock")
        .map(|region| pd_setup::reads(&region));
    let wall_clock = wall_clock.and_then(|page| Clock::attach(page, recovery::ticks).ok());
    set_clock(&clock, wall_clock.as_ref());
    let mut state = pd_setup::writes(&region(&topology, "fs_state"));
    let volume = mount(&topology, clock.clone(), &mut state);

    let names: Vec<_> = topology.clients(topology.name(), "requests").collect();
    let clients = names
        .iter()
        .map(|(name, _)| client_regions(&topology, name))
        .collect();
    let channels = names
        .iter()
        .map(|(name, _)| channel_to(&topology, name))
        .collect();
    let seals = seals(&topology, wall_clock.as_ref(), &mut state);
    let service = Service::new(volume, clients, recovery::epoch(), seals);
    let mut service = service.unwrap_or_else(|error| panic!("system.xml: {error}"));
    service.set_second_opinion(Box::new(move || may_doubt(&mut state)));
    service.set_limits(limits(&topology, &names));
    let mut handler = Fs {
        service,
        channels,
        names: names.iter().map(|(name, _)| (*name).into()).collect(),
        clock,
        wall_clock,
        batches: 0,
    };
    // Unfinished requests first, then word to everybody: a client may have notified a dead life.
    handler.serve();
    for client in &handler.channels {
        client.notify();
    }
    recovery::ready();
    handler
}

struct Fs {
    service: Service<Disk>,
    /// Channel of each client, in the order in which the service knows them.
    channels: Vec<Channel>,
    /// Their names.
    names: Vec<String>,
    clock: InodeClock,
    wall_clock: Option<Clock>,
    /// Batches done in this life.
    batches: u64,
}

impl Fs {
    fn serve(&mut self) {
        set_clock(&self.clock, self.wall_clock.as_ref());
        let channels = &self.channels;
        // Pulses say that it works; this says that it also gets done.
        pd_setup::work(1, self.batches);
        let before = self.batches;
        while self
            .service
            .run_batch(&mut |client| channels[client].notify())
        {
            self.batches += 1;
            pd_setup::work(1, self.batches);
        }
        if self.service.has_idle_work(self.batches == before) {
            self.service.idle();
        }
        pd_setup::work(0, self.batches);
        for report in self.service.refusals().take_reports() {
            let (name, what) = (&self.names[report.client], report.refusal.what());
            log::warn!("REFUSED pd={name} count={}: a handle {what}", report.count);
        }
    }
}

impl Handler for Fs {
    type Error = Infallible;

    fn notified(&mut self, _channels: ChannelSet) -> Result<(), Infallible> {
        self.serve();
        Ok(())
    }
}

/// What is at the start of QEMU's memory, as far as it is looked at.
const TREE_BYTES_MAX: usize = 0x10000;

/// This boot's seals: their key is made by our first life.
fn seals(topology: &Topology<'_>, wall_clock: Option<&Clock>, state: &mut SharedMut) -> Seals {
    let key = state::key(state).unwrap_or_else(|| {
        let mut tree = Vec::new();
        if let Some(region) = topology.region("device_tree") {
            let region = pd_setup::reads(&region);
            tree.resize(region.len().min(TREE_BYTES_MAX), 0);
            region.read_bytes(0, &mut tree);
        }
        let wall_ns = wall_clock.map_or(0, |clock| clock.system_time().as_nanos());
        let (key, source) = entropy::key(&tree, [recovery::ticks(), wall_ns]);
        match source {
            Source::Seed => log::info!("handles are sealed with a random key"),
            Source::Clocks => log::warn!("no random seed: a client may guess the key of handles"),
        }
        state::set_key(state, &key);
        key
    });
    Seals::new(key)
}

fn set_clock(clock: &InodeClock, wall_clock: Option<&Clock>) {
    if let Some(wall_clock) = wall_clock {
        clock.set(wall_clock.system_time().as_nanos());
    }
}

/// Mounts the disk, or says why there is nothing to serve. Every request is then answered with an
/// error, which beats a crash loop.
fn mount(
    topology: &Topology<'_>,
    clock: InodeClock,
    state: &mut SharedMut,
) -> Result<Volume<Disk>, Errno> {
    match try_mount(topology, clock, state) {
        Ok(volume) => {
            state::may_mount_again(state, true);
            Ok(volume)
        }
        Err(error) => {
            log::error!("no file system: {error}");
            // The driver may be at fault, and its supervisor needs some time to notice. The first life has
            // nobody before it who could mount.
            if recovery::epoch() > 0 && state::may_mount_again(state, false) {
                rest();
                panic!("let another life see");
            }
            Err(match error {
                MountError::Disk(DiskError::NoDevice) => Errno::NoDevice,
                MountError::Disk(_) => Errno::Io,
                MountError::Layout(LayoutError::NotExt4) => Errno::WrongMedium,
                _ => Errno::NeedsCleaning,
            })
        }
    }
}

/// Shortest time between two lives that end for a second opinion.
const DOUBT_PAUSE_MS: u64 = 30;

/// So long a life that cannot mount waits for somebody to mend the driver.
const REST_MS: u64 = 60;
/// Wake-ups while it does so, at most: the driver may signal without end.
const WAKE_UPS_MAX: u32 = 1_000;

fn rest() {
    let until = recovery::ticks() + REST_MS * (recovery::ticks_per_second() / 1_000);
    for _ in 0..WAKE_UPS_MAX {
        if recovery::ticks() >= until {
            break;
        }
        microkit_wait::wait_for_or(BLK, &mut || true);
    }
}

fn may_doubt(state: &mut SharedMut) -> bool {
    let pause = DOUBT_PAUSE_MS * (recovery::ticks_per_second() / 1_000);
    state::may_doubt(state, recovery::ticks(), pause)
}

fn try_mount(
    topology: &Topology<'_>,
    clock: InodeClock,
    state: &mut SharedMut,
) -> Result<Volume<Disk>, MountError> {
    let disk = BlkDisk::attach(
        pd_setup::writes(&region(topology, "fs_to_blk_requests")),
        pd_setup::reads(&region(topology, "blk_to_fs_completions")),
        pd_setup::writes(&region(topology, "fs_to_blk_data")),
        Blk,
    );
    let mut disk = disk.unwrap_or_else(|error| panic!("system.xml: {error}"));
    disk.start()?;
    let index = topology.region("fs_cache_index");
    let index = index.map(|region| Index::new(pd_setup::writes(&region)));
    let (volume, report) = Volume::mount(disk, clock, state::boot(state), index)?;
    if report.transactions != 0 {
        log::info!(
            "replayed {} transactions, {} blocks",
            report.transactions,
            report.blocks
        );
    }
    if let Some(why) = volume.read_only() {
        log::warn!("read-only: {why}");
        if why != ReadOnly::Failed {
            // Nobody has counted this boot.
            return Ok(volume);
        }
    }
    state::set_boot(state, volume.boot());
    Ok(volume)
}

/// What each client may see and use, as `policy.toml` says; everything, where no table is mapped.
fn limits<N: AsRef<str>>(
    topology: &Topology<'_>,
    names: &[(N, Region<'_>)],
) -> Vec<Option<Limits>> {
    let Some(region) = topology.region("fs_clients") else {
        return names.iter().map(|_| Some(Limits::default())).collect();
    };
    let region = pd_setup::reads(&region);
    let mut bytes = alloc::vec![0; region.len()];
    region.read_bytes(0, &mut bytes);
    let table = FilesTable::parse(&bytes);
    let table = table.unwrap_or_else(|error| panic!("fs_clients: {error:?}"));
    let of = |(name, _): &(N, Region<'_>)| Limits::of(&table.of(name.as_ref())?);
    names.iter().map(of).collect()
}

fn client_regions(topology: &Topology<'_>, client: &str) -> ClientRegions {
    let me = topology.name();
    let region = |name: &str| region(topology, name);
    ClientRegions {
        requests: pd_setup::reads(&region(&format!("{client}_to_{me}_requests"))),
        completions: pd_setup::writes(&region(&format!("{me}_to_{client}_completions"))),
        input: pd_setup::reads(&region(&format!("{client}_to_{me}_data"))),
        output: pd_setup::writes(&region(&format!("{me}_to_{client}_data"))),
    }
}
