// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The block driver: owns a virtio disk on virtio-mmio.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

use alloc::{boxed::Box, format, vec::Vec};
use core::num::NonZero;

use blk_service::{
    ClientMemory, Doubt, NOTE_BYTES, PLACES_BYTES, Place, Places, Service, Share, VirtioDisk,
};
use mmio::UniqueMmioPointer;
use sel4_microkit::{
    Channel, ChannelSet, DeferredAction, Handler, Infallible, protection_domain, var,
};
use sel4_shared_memory::{SharedMut, SharedRef};
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
    let (places, dma, mut doubt) = find_places();
    let disk = find_disk(dma, places.dma_paddr);
    let memories = places.clients.iter().map(client_memory);
    let service = Service::attach(disk, memories, recovery::epoch());
    let mut service = service.unwrap_or_else(|error| panic!("system.xml: {error}"));
    service.set_second_opinion(Box::new(move || doubt.may_end()));
    let channel = |place: &Place| Channel::new(place.channel as usize);
    let mut handler = Blk {
        service,
        channels: places.clients.iter().map(channel).collect(),
        questions: pd_setup::hear_questions(),
        interrupted: false,
        ready: None,
    };
    recovery::fault_point!("blk.attached");
    // Unfinished requests first; clients whose completions a dead life may not have told them of
    // are among those that are notified.
    handler.serve();
    recovery::fault_point!("blk.served");
    // A quick disk is done already.
    let completed = handler.service.progress_count() > 0;
    if recovery::epoch() > 0 && (completed || handler.service.in_progress_count() > 0) {
        let since = recovery::ticks();
        handler.ready = Some(Ready { since, completed });
    } else {
        recovery::ready();
    }
    handler
}

/// A life with work waiting does that first, and then says that it was ready.
struct Ready {
    /// When it was.
    since: u64,
    /// Something has been completed in this life.
    completed: bool,
}

struct Blk {
    service: Service<Disk>,
    /// Channel of each client, in the order in which the service knows them.
    channels: Vec<Channel>,
    /// The supervisor asks there from time to time: an occasion to look at the clock.
    questions: Channel,
    /// The interrupt is to be acknowledged at the kernel.
    interrupted: bool,
    /// Still to be said.
    ready: Option<Ready>,
}

impl Blk {
    /// Formatting the line takes longer than a request: it waits until a client that has been told of
    /// a completion has run, which is when a client notifies us again, or until the supervisor asks.
    #[cold]
    fn say_ready(&mut self, channels: ChannelSet) {
        let Some(ready) = &mut self.ready else { return };
        let by_client = self.channels.iter().any(|id| channels.contains(*id));
        if channels.contains(self.questions) || (by_client && ready.completed) {
            recovery::ready_since(ready.since);
            self.ready = None;
        } else {
            // Some events are of the dead life.
            ready.completed = self.service.progress_count() > 0;
        }
    }

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
            recovery::fault_point!("blk.irq_noted");
        }
        if channels.contains(self.questions) {
            let clients = self.service.look(now_ms());
            self.tell(clients);
            let late = self.service.lateness();
            pd_setup::late(late.interrupts(), late.kicks());
            pd_setup::own_work(self.service.own_count());
        } else {
            self.serve();
        }
        if self.ready.is_some() {
            self.say_ready(channels);
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

/// What system.xml says of the clients, the memory for the device, and what earlier lives doubted.
fn find_places() -> (Places, SharedMut, Doubt) {
    let (vaddr, size) = (*var!(dma_vaddr: usize = 0), *var!(dma_size: usize = 0));
    let dma = SharedMut::from_mapped(vaddr, size).expect("system.xml: blk_dma sets dma_vaddr");
    assert!(size > NOTE_BYTES, "system.xml: blk_dma is too small");
    let (dma, note) = dma.split_at(size - NOTE_BYTES);
    let (mut note, doubt) = note.split_at(PLACES_BYTES);
    let key = pd_setup::topology_key();
    let known = match recovery::epoch() {
        // A note would be of an earlier boot.
        0 => None,
        _ => Places::load(&note.as_shared_ref(), key),
    };
    let places = known.unwrap_or_else(|| {
        let places = read_places(&pd_setup::topology());
        places.store(&mut note, key);
        places
    });
    (places, dma, Doubt::new(doubt, recovery::epoch()))
}

fn read_places(topology: &Topology<'static>) -> Places {
    let dma = pd_setup::region(topology, "blk_dma");
    assert!(dma.paddr != 0, "system.xml: blk_dma needs a phys_addr");
    let clients = topology.clients(topology.name(), "requests");
    Places {
        dma_paddr: dma.paddr,
        clients: clients
            .map(|(client, requests)| read_place(topology, client, &requests))
            .collect(),
    }
}

fn read_place(topology: &Topology<'static>, client: &str, requests: &Region<'_>) -> Place {
    let me = topology.name();
    let completions = pd_setup::region(topology, &format!("{me}_to_{client}_completions"));
    let (data, partition) = client_data(topology, client);
    assert!(
        data.paddr != 0,
        "system.xml: {} needs a phys_addr",
        data.name
    );
    Place {
        channel: pd_setup::channel_to(topology, client).index() as u64,
        partition,
        requests: [requests.vaddr, requests.size],
        completions: [completions.vaddr, completions.size],
        data: [data.paddr, data.size],
    }
}

/// A client's data region; its name says what the client sees of the disk: number of a partition, or 0.
fn client_data(topology: &Topology<'static>, client: &str) -> (Region<'static>, u64) {
    let name = format!("{client}_to_{}_data", topology.name());
    let found = topology.regions().find_map(|region| {
        let partition = match region.name.strip_prefix(name.as_str())? {
            "" => 0,
            rest => {
                let number: NonZero<u32> = rest.strip_prefix("_partition_")?.parse().ok()?;
                number.get().into()
            }
        };
        Some((region, partition))
    });
    found.unwrap_or_else(|| panic!("system.xml: no region {name} or {name}_partition_1"))
}

fn client_memory(place: &Place) -> ClientMemory {
    let mapped = |[vaddr, size]: [u64; 2]| (vaddr as usize, size as usize);
    let (requests, bytes) = mapped(place.requests);
    let requests = SharedRef::from_mapped(requests, bytes);
    let (completions, bytes) = mapped(place.completions);
    let completions = SharedMut::from_mapped(completions, bytes);
    ClientMemory {
        requests: requests.expect("in the table"),
        completions: completions.expect("in the table"),
        data_paddr: place.data[0],
        data_bytes: place.data[1],
        share: match place.partition {
            0 => Share::Whole,
            number => Share::Partition(number as u32),
        },
    }
}

/// Starts the disk, or says why there is none. Requests then fail, which beats a crash loop.
fn find_disk(dma: SharedMut, dma_paddr: u64) -> Option<Disk> {
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
    match VirtioDisk::start(transport, dma, dma_paddr) {
        Ok(disk) => Some(disk),
        Err(error) => {
            log::error!("no disk: {error}; all requests will fail");
            None
        }
    }
}
