// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What the `main.rs` of every protection domain starts with: its log ring and its topology table.
//!
//! Both are found through symbols that system.xml sets: `log_vaddr`, `log_size`, `topology_vaddr`,
//! `topology_size`. A region that is missing there is a mistake in system.xml, and panics with its
//! name.

#![cfg_attr(not(test), no_std)]

#[cfg(target_os = "none")]
extern crate alloc;

#[cfg(target_os = "none")]
mod target {
    use alloc::vec;

    use log_ring::Surroundings;
    use sel4_microkit::{Channel, panicking, var};
    use sel4_shared_memory::{SharedMut, SharedRef};
    use topology::Topology;

    /// The writer's end of every channel to the console (system.xml keeps to it).
    const CONSOLE: Channel = Channel::new(1);

    /// Sends crate `log` and panics to this PD's log ring.
    pub fn log() {
        let (vaddr, size) = (*var!(log_vaddr: usize = 0), *var!(log_size: usize = 0));
        let ring = SharedMut::from_mapped(vaddr, size).expect("log ring");
        let around = Surroundings { ticks: recovery::ticks, notify: || CONSOLE.notify() };
        log_ring::init(ring, recovery::epoch(), around).expect("log ring");
        panicking::set_hook(&|info| log_ring::emergency(format_args!("{info}")));
    }

    /// The table that the host tool made from system.xml for this PD.
    pub fn topology() -> Topology<'static> {
        let (vaddr, size) = (*var!(topology_vaddr: usize = 0), *var!(topology_size: usize = 0));
        let region = SharedRef::from_mapped(vaddr, size).expect("topology table");
        let mut bytes = vec![0; region.len()];
        region.read_bytes(0, &mut bytes);
        Topology::parse(bytes.leak()).unwrap_or_else(|error| panic!("topology table: {error}"))
    }

    /// A region that this PD alone writes, at the address and of the size in its topology table.
    pub fn writes(region: &topology::Region<'_>) -> SharedMut {
        SharedMut::from_mapped(region.vaddr as usize, region.size as usize)
            .unwrap_or_else(|error| panic!("{}: {error}", region.name))
    }

    /// A region that a peer writes, at the address and of the size in this PD's topology table.
    pub fn reads(region: &topology::Region<'_>) -> SharedRef {
        SharedRef::from_mapped(region.vaddr as usize, region.size as usize)
            .unwrap_or_else(|error| panic!("{}: {error}", region.name))
    }
}

#[cfg(target_os = "none")]
pub use target::{log, reads, topology, writes};
