// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The block driver: owns a virtio disk on virtio-mmio.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

use alloc::{format, vec::Vec};

use blk_service::{ClientMemory, Service, Share, VirtioDisk};
use mmio::UniqueMmioPointer;
use sel4_microkit::{
    Channel, ChannelSet, DeferredAction, Handler, Infallible, protection_domain, var,
};
use topology::{Region, Topology};
use virtio_drivers::transport::DeviceTypeError;
use virtio_drivers::transport::mmio::{MmioError, MmioTransport, VirtIOHeader};

const DEVICE: Channel = Channel::new(0);

/// The device's configuration space follows its registers (virtio 1.2, section 4.2.2).
const CONFIG_OFFSET: usize = 0x100;
/// QEMU virt gives each virtio-mmio device 0x200 bytes.
const CONFIG_BYTES: usize = 0x100;

type Disk = VirtioDisk<MmioTransport<'static>>;

#[protection_domain(stack_size = 0x8000, heap_size = 0x10000)]
fn init() -> impl Handler {
    pd_setup::log();
    // The transport would tell its life's story at every start.
    log::set_max_level(log::LevelFilter::Info);
    let topology = pd_setup::topology();
    let disk = find_disk(&topology);
    let clients: Vec<_> = topology.clients(topology.name(), "requests").collect();
    let channels = clients
        .iter()
        .map(|(client, _)| channel_to(&topology, client))
        .collect();
    let memories = clients
        .iter()
        .map(|(client, _)| client_memory(&topology, client));
    let service = Service::attach(disk, memories, recovery::epoch());
    let service = service.unwrap_or_else(|error| panic!("system.xml: {error}"));
    let mut handler = Blk {
        service,
        channels,
        questions: pd_setup::hear_questions(),
        interrupted: false,
    };
    // Unfinished requests first, then word to everybody: a client may have notified a dead life.
    handler.serve();
    for client in &handler.channels {
        client.notify();
    }
    recovery::ready();
    handler
}

struct Blk {
    service: Service<Disk>,
    /// Channel of each client, in the order in which the service knows them.
    channels: Vec<Channel>,
    /// The supervisor asks there from time to time: an occasion to look at the clock.
    questions: Channel,
    /// The interrupt is to be acknowledged at the kernel.
    interrupted: bool,
}

impl Blk {
    fn serve(&mut self) {
        let clients = self.service.run();
        self.tell(clients);
    }

    /// Notifies clients, and states how far the work has got.
    fn tell(&mut self, mut clients: u64) {
        while clients != 0 {
            recovery::fault_point!("blk.before_notify");
            self.channels[clients.trailing_zeros() as usize].notify();
            clients &= clients - 1;
        }
        pd_setup::work(
            self.service.in_progress_count(),
            self.service.progress_count(),
        );
    }
}

impl Handler for Blk {
    type Error = Infallible;

    fn notified(&mut self, channels: ChannelSet) -> Result<(), Infallible> {
        if channels.contains(DEVICE) {
            recovery::fault_point!("blk.irq");
            self.service.interrupted();
            recovery::fault_point!("blk.after_irq_ack");
            self.interrupted = true;
        }
        if channels.contains(self.questions) {
            let clients = self.service.look(now_ms());
            self.tell(clients);
        } else {
            self.serve();
        }
        Ok(())
    }

    /// Acknowledges the interrupt together with the next receive: one system call for both.
    fn take_deferred_action(&mut self) -> Option<DeferredAction> {
        core::mem::take(&mut self.interrupted).then(|| DeferredAction::new_irq_ack(DEVICE))
    }
}

fn now_ms() -> u64 {
    recovery::ticks() / (recovery::ticks_per_second() / 1_000)
}

/// Starts the disk, or says why there is none. Requests then fail, which beats a crash loop.
fn find_disk(topology: &Topology<'_>) -> Option<Disk> {
    let vaddr = *var!(virtio_mmio_vaddr: usize = 0);
    let registers = mmio::from_mapped::<VirtIOHeader>(vaddr).expect("virtio_mmio_vaddr is set");
    let config = mmio::from_mapped::<[u8; CONFIG_BYTES]>(vaddr + CONFIG_OFFSET);
    let config: UniqueMmioPointer<'static, [u8]> = config.expect("as above").into();
    let transport = match MmioTransport::new_from_unique(registers, config) {
        Ok(transport) => transport,
        Err(MmioError::InvalidDeviceID(DeviceTypeError::InvalidDeviceType(0))) => {
            log::error!("no disk: the virtio slot is empty; all requests will fail");
            return None;
        }
        Err(error) => {
            log::error!("no disk: {error}; all requests will fail");
            return None;
        }
    };
    let dma = topology.region("blk_dma").expect("system.xml maps blk_dma");
    assert!(dma.paddr != 0, "system.xml: blk_dma needs a phys_addr");
    match VirtioDisk::start(transport, pd_setup::writes(&dma), dma.paddr) {
        Ok(disk) => Some(disk),
        Err(error) => {
            log::error!("no disk: {error}; all requests will fail");
            None
        }
    }
}

fn channel_to(topology: &Topology<'_>, client: &str) -> Channel {
    let channel = topology.channel_to(client);
    let channel = channel.unwrap_or_else(|| panic!("system.xml: no channel to {client}"));
    Channel::new(usize::from(channel.id))
}

fn client_memory(topology: &Topology<'static>, client: &str) -> ClientMemory {
    let me = topology.name();
    let region = |name: &str| {
        let region = topology.region(name);
        region.unwrap_or_else(|| panic!("system.xml: {me} does not map {name}"))
    };
    let (data, share) = client_data(topology, client);
    assert!(
        data.paddr != 0,
        "system.xml: {} needs a phys_addr",
        data.name
    );
    ClientMemory {
        requests: pd_setup::reads(&region(&format!("{client}_to_{me}_requests"))),
        completions: pd_setup::writes(&region(&format!("{me}_to_{client}_completions"))),
        data_paddr: data.paddr,
        data_bytes: data.size,
        share,
    }
}

/// A client's data region; its name says what the client sees of the disk.
fn client_data(topology: &Topology<'static>, client: &str) -> (Region<'static>, Share) {
    let name = format!("{client}_to_{}_data", topology.name());
    let found = topology.regions().find_map(|region| {
        let share = match region.name.strip_prefix(name.as_str())? {
            "" => Share::Whole,
            rest => Share::Partition(rest.strip_prefix("_partition_")?.parse().ok()?),
        };
        Some((region, share))
    });
    found.unwrap_or_else(|| panic!("system.xml: no region {name} or {name}_partition_1"))
}
