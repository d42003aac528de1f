// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What one PD sees at which address, before anything has a physical address.

use crate::error::LayoutError;
use crate::program::Program;
use crate::spec::{MemoryRegion, Perms, ProtectionDomain, SystemSpec};
use crate::wire::{MAP_CACHED, MAP_EXECUTE, MAP_LARGE, MAP_READ, MAP_WRITE};

/// A PD's IPC buffer, as on seL4 for this board.
pub const IPC_BUFFER_VADDR: u64 = 0xff_ffff_f000;
/// A PD's initial stack pointer: one unmapped page below the IPC buffer.
pub const STACK_TOP: u64 = 0xff_ffff_e000;

pub(crate) const PAGE: u64 = 0x1000;
pub(crate) const LARGE_PAGE: u64 = 0x20_0000;

/// One mapping, before it has a physical address.
pub(crate) struct Mapping {
    pub what: String,
    pub vaddr: u64,
    pub flags: u16,
    pub size: u64,
    pub source: Source,
}

#[derive(Clone, Copy)]
pub(crate) enum Source {
    Region(usize),
    Segment(usize),
    Stack,
    IpcBuffer,
}

pub(crate) fn region_index(
    system: &SystemSpec,
    pd: &str,
    name: &str,
) -> Result<usize, LayoutError> {
    system
        .memory_regions
        .iter()
        .position(|region| region.name == name)
        .ok_or_else(|| LayoutError::UnknownRegion {
            pd: pd.into(),
            region: name.into(),
        })
}

/// The tool's rule: as given, else 2 MiB if everything about the region allows it.
pub(crate) fn page_size(system: &SystemSpec, region: &MemoryRegion) -> u64 {
    let aligned = |value: u64| value.is_multiple_of(LARGE_PAGE);
    let maps_allow = || {
        let all = system.protection_domains.iter().flat_map(|pd| &pd.maps);
        all.filter(|map| map.mr == region.name)
            .all(|map| aligned(map.vaddr))
    };
    region.page_size.unwrap_or_else(|| {
        if aligned(region.size) && region.phys_addr.is_none_or(aligned) && maps_allow() {
            LARGE_PAGE
        } else {
            PAGE
        }
    })
}

fn flags(perms: Perms, cached: bool) -> u16 {
    let mut flags = 0;
    for (set, flag) in [
        (perms.read, MAP_READ),
        (perms.write, MAP_WRITE),
        (perms.execute, MAP_EXECUTE),
        (cached, MAP_CACHED),
    ] {
        if set {
            flags |= flag;
        }
    }
    flags
}

pub(crate) fn mappings(
    system: &SystemSpec,
    pd: &ProtectionDomain,
    program: &Program,
) -> Result<Vec<Mapping>, LayoutError> {
    let read_write = Perms {
        read: true,
        write: true,
        execute: false,
    };
    let mut maps = vec![
        Mapping {
            what: "the IPC buffer".into(),
            vaddr: IPC_BUFFER_VADDR,
            flags: flags(read_write, true),
            size: PAGE,
            source: Source::IpcBuffer,
        },
        Mapping {
            what: "the stack".into(),
            vaddr: STACK_TOP - pd.stack_size,
            flags: flags(read_write, true),
            size: pd.stack_size,
            source: Source::Stack,
        },
    ];
    for (index, segment) in program.segments.iter().enumerate() {
        maps.push(Mapping {
            what: format!("the program's segment at {:#x}", segment.vaddr),
            vaddr: segment.page_base(),
            flags: flags(segment.perms, true),
            size: segment.page_span(),
            source: Source::Segment(index),
        });
    }
    for map in &pd.maps {
        let index = region_index(system, &pd.name, &map.mr)?;
        let region = &system.memory_regions[index];
        let large = if page_size(system, region) == LARGE_PAGE {
            MAP_LARGE
        } else {
            0
        };
        maps.push(Mapping {
            what: format!("memory region '{}'", map.mr),
            vaddr: map.vaddr,
            flags: flags(map.perms, map.cached) | large,
            size: region.size,
            source: Source::Region(index),
        });
    }
    check_mappings(pd, &mut maps)?;
    Ok(maps)
}

fn check_mappings(pd: &ProtectionDomain, maps: &mut [Mapping]) -> Result<(), LayoutError> {
    for map in maps.iter() {
        let align = if map.flags & MAP_LARGE != 0 {
            LARGE_PAGE
        } else {
            PAGE
        };
        let end = map.vaddr.checked_add(map.size);
        let fits = end.is_some_and(|end| match map.source {
            Source::IpcBuffer | Source::Stack => true,
            Source::Segment(_) | Source::Region(_) => end <= STACK_TOP - pd.stack_size,
        });
        if !fits || map.size == 0 || !map.vaddr.is_multiple_of(align) {
            return Err(LayoutError::BadAddress {
                pd: pd.name.clone(),
                what: map.what.clone(),
                vaddr: map.vaddr,
            });
        }
    }
    maps.sort_by_key(|map| map.vaddr);
    for pair in maps.windows(2) {
        if pair[0].vaddr + pair[0].size > pair[1].vaddr {
            return Err(LayoutError::Overlap {
                pd: pd.name.clone(),
                vaddr: pair[1].vaddr,
                what: format!("{} and {}", pair[0].what, pair[1].what),
            });
        }
    }
    Ok(())
}
