// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Hands a checked system with its files to `boot_image`, which lays it out for the development
//! kernel. Only translation here; what cannot be translated is refused by name.

use std::path::PathBuf;

use boot_image::SystemSpec;
use boot_image::spec;

use crate::build::Built;
use crate::error::{Context, Error, Result};
use crate::system::{CapKind, Channel, End, FileName, Irq, Map, Pd, Region, SetVarValue, System};
use crate::workspace;

/// The image and its report.
#[derive(Debug)]
pub struct DevImage {
    /// Bytes of `loader.img`.
    pub image: Vec<u8>,
    /// Text of `report.txt`.
    pub report: String,
}

/// Lays out `built` with the development kernel in `kernel_elf`.
///
/// # Errors
///
/// When the system needs something that the development kernel does not have, or does not fit.
pub fn make(built: &Built, kernel_elf: Vec<u8>) -> Result<DevImage> {
    let spec = system_spec(&built.loaded.system, &built.search_path, kernel_elf)?;
    let image = boot_image::build(&spec).context("lay out the system")?;
    Ok(DevImage {
        image: image.image,
        report: image.report,
    })
}

fn system_spec(system: &System, files: &[PathBuf], kernel_elf: Vec<u8>) -> Result<SystemSpec> {
    if !system.domains.is_empty() {
        return Err(unsupported("scheduling domains"));
    }
    Ok(SystemSpec {
        kernel_elf,
        protection_domains: system
            .pds
            .iter()
            .map(|pd| protection_domain(pd, files))
            .collect::<Result<_>>()?,
        memory_regions: system
            .regions
            .iter()
            .map(|region| memory_region(region, files))
            .collect::<Result<_>>()?,
        channels: system
            .channels
            .iter()
            .map(|channel| spec_channel(channel, system))
            .collect(),
    })
}

fn unsupported(what: &str) -> Error {
    Error::new(format!("the development kernel has no {what}")).help("use --kernel sel4")
}

fn contents(file: &FileName, files: &[PathBuf]) -> Result<Vec<u8>> {
    let path = workspace::find(&file.path, files)
        .ok_or_else(|| Error::new(format!("cannot find the file '{}'", file.path)))?;
    workspace::read(&path)
}

fn protection_domain(pd: &Pd, files: &[PathBuf]) -> Result<spec::ProtectionDomain> {
    if pd.virtual_machine.is_some() {
        return Err(unsupported("virtual machines"));
    }
    let parent = pd.parent.map(|index| spec::Parent {
        index,
        // Checked to be at most 61.
        id: pd
            .child_id
            .and_then(|id| u16::try_from(id).ok())
            .unwrap_or_default(),
        setvar_id: pd.setvar_id.clone(),
    });
    let paddr = |setvar: &crate::system::SetVar| match &setvar.value {
        SetVarValue::Paddr(region) => Some(spec::Setvar {
            symbol: setvar.symbol.clone(),
            region_paddr: region.clone(),
        }),
        _ => None,
    };
    Ok(spec::ProtectionDomain {
        name: pd.name.clone(),
        parent,
        priority: pd.priority,
        budget_us: pd.budget,
        period_us: pd.period,
        passive: pd.passive,
        stack_size: pd.stack_size,
        smc: pd.smc,
        fpu: pd.fpu,
        program_image: spec::ProgramImage {
            elf: contents(&pd.image, files)?,
            elf_for_symbols: pd
                .symbols
                .as_ref()
                .map(|file| contents(file, files))
                .transpose()?,
        },
        maps: pd.maps.iter().map(spec_map).collect(),
        irqs: pd.irqs.iter().map(spec_irq).collect(),
        setvars: pd.setvars.iter().filter_map(paddr).collect(),
        cspace: pd.cap_maps.iter().map(spec_cap).collect(),
    })
}

fn spec_map(map: &Map) -> spec::Map {
    spec::Map {
        mr: map.region.clone(),
        vaddr: map.vaddr,
        perms: spec::Perms {
            read: map.read,
            write: map.write,
            execute: map.execute,
        },
        cached: map.cached,
        setvar_vaddr: map.setvar_vaddr.clone(),
        setvar_size: map.setvar_size.clone(),
        setvar_prefill_size: map.setvar_prefill_size.clone(),
    }
}

fn spec_irq(irq: &Irq) -> spec::Irq {
    spec::Irq {
        // Checked against the board's highest number.
        irq: u32::try_from(irq.irq).unwrap_or(u32::MAX),
        id: irq.id,
        trigger: if irq.edge {
            spec::Trigger::Edge
        } else {
            spec::Trigger::Level
        },
        setvar_id: irq.setvar_id.clone(),
    }
}

fn spec_cap(cap: &crate::system::CapMap) -> spec::CspaceCap {
    let kind = match cap.kind {
        CapKind::Tcb => spec::CspaceCapKind::Tcb,
        CapKind::Sc => spec::CspaceCapKind::SchedContext,
        CapKind::VSpace => spec::CspaceCapKind::Vspace,
    };
    // Checked to be at most 63.
    spec::CspaceCap {
        kind,
        slot: u8::try_from(cap.slot).unwrap_or(u8::MAX),
        pd: cap.pd.clone(),
    }
}

fn memory_region(region: &Region, files: &[PathBuf]) -> Result<spec::MemoryRegion> {
    if region.bootinfo {
        return Err(unsupported("prefill_bootinfo"));
    }
    let prefill = region
        .prefill
        .as_ref()
        .map(|file| contents(file, files))
        .transpose()?;
    let length = prefill.as_ref().map_or(0, Vec::len) as u64;
    Ok(spec::MemoryRegion {
        name: region.name.clone(),
        size: region
            .size
            .unwrap_or(length.next_multiple_of(region.page_size)),
        page_size: region.page_size_given.then_some(region.page_size),
        phys_addr: region.phys_addr,
        prefill,
    })
}

fn spec_channel(channel: &Channel, system: &System) -> spec::Channel {
    let end = |end: &End| spec::ChannelEnd {
        pd: system.pds[end.pd].name.clone(),
        id: end.id,
        pp: end.pp,
        notify: end.notify,
        setvar_id: end.setvar_id.clone(),
    };
    let [a, b] = &channel.ends;
    spec::Channel {
        ends: [end(a), end(b)],
    }
}
