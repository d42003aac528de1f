// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What the `main.rs` of every protection domain starts with: its log ring, its topology table, and the
//! vitals page on which it answers its supervisor.
//!
//! They are found through symbols that system.xml sets: `log_vaddr`, `log_size`, `topology_vaddr`,
//! `topology_size`, `vitals_vaddr`, `vitals_size`. A region that is missing there is a mistake in
//! system.xml, and panics with its name.

#![cfg_attr(not(test), no_std)]

#[cfg(target_os = "none")]
extern crate alloc;

#[cfg(target_os = "none")]
mod target {
    use alloc::vec;
    use core::convert::Infallible;

    use log_ring::Surroundings;
    use microkit_abi::watch::{self, Moment};
    use sel4_microkit::{Channel, ChannelSet, Handler, panicking, var};
    use sel4_shared_memory::{SharedMut, SharedRef};
    use spin::Mutex;
    use topology::{Region, Topology};
    use vitals::Vitals;

    /// The writer's end of every channel to the console (system.xml keeps to it).
    const CONSOLE: Channel = Channel::new(1);

    /// The supervised end of every channel from a supervisor (system.xml keeps to it).
    const SUPERVISOR: Channel = Channel::new(60);

    static VITALS: Mutex<Option<Vitals>> = Mutex::new(None);

    fn on_moment(moment: Moment) {
        // The lock is held by nobody: a PD has one thread, and nothing in here panics.
        let mut vitals = VITALS.lock();
        let Some(vitals) = vitals.as_mut() else {
            return;
        };
        match moment {
            Moment::Asked => {
                recovery::fault_point!("runtime.beat");
                vitals.beat(recovery::ticks());
            }
            Moment::Busy => vitals.busy(recovery::ticks()),
            Moment::Idle => vitals.idle(),
            Moment::Waiting(channels) => vitals.waiting(channels),
        }
    }

    /// From here on this PD answers its supervisor, if system.xml gives it a vitals page. [`log`] does
    /// this too.
    pub fn vitals() {
        let (vaddr, size) = (
            *var!(vitals_vaddr: usize = 0),
            *var!(vitals_size: usize = 0),
        );
        if vaddr == 0 {
            return;
        }
        let page = SharedMut::from_mapped(vaddr, size).expect("vitals");
        let attached = Vitals::attach(page, recovery::epoch(), recovery::ticks());
        *VITALS.lock() = Some(attached.unwrap_or_else(|_| panic!("vitals page is too small")));
        watch::set(1 << SUPERVISOR.index(), on_moment);
    }

    /// Has the handler hear the supervisor's questions, too. Returns their channel.
    pub fn hear_questions() -> Channel {
        watch::deliver();
        SUPERVISOR
    }

    fn with_vitals(change: impl FnOnce(&mut Vitals)) {
        VITALS.lock().as_mut().map(change);
    }

    /// Says that a long piece of work goes on. For loops that handle one event for longer than a
    /// heartbeat's timeout.
    pub fn pulse() {
        with_vitals(Vitals::pulse);
    }

    /// States how much work is there, and how much was finished in this life. A PD that does so is
    /// restarted when the first is not zero and the second stands still.
    pub fn work(outstanding: u64, done: u64) {
        with_vitals(|vitals| vitals.work(outstanding, done));
    }

    /// States how much of the work waits for nobody but this PD. It is restarted when it finishes none
    /// of that for longer than a question may go unanswered.
    pub fn own_work(own: u64) {
        with_vitals(|vitals| vitals.own(own));
    }

    /// States at how many of the supervisor's questions in a row interrupts turned out to be missing, and
    /// at how many others had not heard of the work they were told of. Two are enough for a restart.
    pub fn late(interrupts: u64, work: u64) {
        with_vitals(|vitals| vitals.late(interrupts, work));
    }

    /// Of a supervisor: states the highest priority that is occupied below it.
    pub fn occupied(priority: Option<u8>) {
        with_vitals(|vitals| vitals.occupied(priority));
    }

    /// Sends crate `log` and panics to this PD's log ring, and has this PD answer its supervisor.
    pub fn log() {
        vitals();
        let (vaddr, size) = (*var!(log_vaddr: usize = 0), *var!(log_size: usize = 0));
        let ring = SharedMut::from_mapped(vaddr, size).expect("log ring");
        let around = Surroundings {
            ticks: recovery::ticks,
            notify: || CONSOLE.notify(),
        };
        log_ring::init(ring, recovery::epoch(), around).expect("log ring");
        panicking::set_hook(&|info| log_ring::emergency(format_args!("{info}")));
    }

    fn topology_region() -> SharedRef {
        let (vaddr, size) = (
            *var!(topology_vaddr: usize = 0),
            *var!(topology_size: usize = 0),
        );
        SharedRef::from_mapped(vaddr, size).expect("topology table")
    }

    /// A number that another topology table would hardly have: its length and checksum. For a PD that
    /// keeps what it has read there.
    pub fn topology_key() -> u64 {
        topology_region().load_u64(topology::wire::KEY)
    }

    /// The table that the host tool made from system.xml for this PD.
    pub fn topology() -> Topology<'static> {
        let region = topology_region();
        let mut bytes = vec![0; region.len()];
        region.read_bytes(0, &mut bytes);
        Topology::parse(bytes.leak()).unwrap_or_else(|error| panic!("topology table: {error}"))
    }

    /// The region called `name`, which this PD must have.
    ///
    /// # Panics
    ///
    /// When system.xml does not map it.
    pub fn region<'a>(topology: &Topology<'a>, name: &str) -> Region<'a> {
        let region = topology.region(name);
        region.unwrap_or_else(|| panic!("system.xml maps no {name} to {}", topology.name()))
    }

    /// The channel to the PD called `peer`, which this PD must have.
    ///
    /// # Panics
    ///
    /// When system.xml has none.
    pub fn channel_to(topology: &Topology<'_>, peer: &str) -> Channel {
        let Some(found) = topology.channel_to(peer) else {
            let name = topology.name();
            panic!("system.xml has no channel from {name} to {peer}");
        };
        Channel::new(usize::from(found.id))
    }

    /// The handler of a program that has done its work: what peers still tell it is nothing to it.
    pub struct Done;

    impl Handler for Done {
        type Error = Infallible;

        fn notified(&mut self, _: ChannelSet) -> Result<(), Infallible> {
            Ok(())
        }
    }

    /// A region that this PD alone writes, at the address and of the size in its topology table.
    pub fn writes(region: &Region<'_>) -> SharedMut {
        SharedMut::from_mapped(region.vaddr as usize, region.size as usize)
            .unwrap_or_else(|error| panic!("{}: {error}", region.name))
    }

    /// A region that a peer writes, at the address and of the size in this PD's topology table.
    pub fn reads(region: &Region<'_>) -> SharedRef {
        SharedRef::from_mapped(region.vaddr as usize, region.size as usize)
            .unwrap_or_else(|error| panic!("{}: {error}", region.name))
    }
}

#[cfg(target_os = "none")]
pub use target::{
    Done, channel_to, hear_questions, late, log, occupied, own_work, pulse, reads, region,
    topology, topology_key, vitals, work, writes,
};
