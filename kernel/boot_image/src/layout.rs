// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! From a [`SystemSpec`] to the bytes of `loader.img`.
//!
//! Does what the Microkit tool and its initialiser do for seL4: patches each program, chooses
//! physical memory, builds address spaces and fills capability tables. No file is read or written.
//! Sizes are known before addresses, so the image's own length, and with it the memory that the
//! image takes, is settled before anything else is placed.

use crate::address_space::{
    LARGE_PAGE, Mapping, PAGE, STACK_TOP, Source, mappings, page_size, region_index,
};
use crate::assemble::{CONTENT_ALIGN, Ram, assemble, report};
use crate::capabilities;
use crate::error::LayoutError;
use crate::memory::{IMAGE_START, Memory, is_normal};
use crate::program::{Program, kernel_blob};
use crate::spec::{MemoryRegion, ProtectionDomain, SystemSpec};
use crate::tables::Tables;
use crate::wire::{
    CapWire, HeaderWire, IrqWire, MapWire, NAME_BYTES, NO_PARENT, PD_FPU, PD_PASSIVE, PDS_MAX,
    PdWire, RamWire,
};

/// What [`build`] makes.
pub struct Built {
    /// `loader.img`.
    pub image: Vec<u8>,
    /// `report.txt`: where everything went.
    pub report: String,
}

/// Makes `loader.img`.
///
/// # Errors
/// Whatever the author of the system has to mend.
pub fn layout(system: &SystemSpec) -> Result<Vec<u8>, LayoutError> {
    build(system).map(|built| built.image)
}

struct Pd<'a> {
    spec: &'a ProtectionDomain,
    program: Program,
    maps: Vec<Mapping>,
    tables: Tables,
}

/// Makes `loader.img` and says where everything went.
///
/// # Errors
/// Whatever the author of the system has to mend.
pub fn build(system: &SystemSpec) -> Result<Built, LayoutError> {
    let kernel = kernel_blob(&system.kernel_elf)?;
    if system.protection_domains.len() > PDS_MAX {
        return Err(LayoutError::TooManyPds(system.protection_domains.len()));
    }
    let caps = capabilities::caps(system)?;
    let irqs = capabilities::irqs(system)?;
    let mut pds = Vec::new();
    for spec in &system.protection_domains {
        let program = Program::parse(spec)?;
        let maps = mappings(system, spec, &program)?;
        pds.push(Pd {
            spec,
            program,
            maps,
            tables: Tables::new(),
        });
    }
    patch_fixed(system, &mut pds)?;
    check_tables(&mut pds)?;

    let image_end = IMAGE_START + image_bound(system, &pds, &kernel, &caps, &irqs);
    let mut memory = Memory::new(image_end);
    let region_paddrs = place_regions(system, &mut memory)?;
    for pd in &mut pds {
        for setvar in &pd.spec.setvars {
            let region = region_index(system, &pd.spec.name, &setvar.region_paddr)?;
            pd.program.set(&setvar.symbol, region_paddrs[region])?;
        }
    }
    let mut ram = region_contents(system, &region_paddrs);
    let mut map_wires = Vec::new();
    let mut pd_wires = Vec::new();
    for (index, pd) in pds.iter_mut().enumerate() {
        let wire = place_pd(
            index,
            pd,
            &region_paddrs,
            &mut memory,
            &mut ram,
            &mut map_wires,
        )?;
        pd_wires.push(wire);
    }
    let image = assemble(&kernel, &pd_wires, &map_wires, &caps, &irqs, &ram);
    assert!(
        image.len() as u64 <= image_end - IMAGE_START,
        "the image must lie in the memory that was kept for it"
    );
    let report = report(&memory, &pd_wires, &map_wires, image.len());
    Ok(Built { image, report })
}

/// Everything that is patched into programs except physical addresses.
fn patch_fixed(system: &SystemSpec, pds: &mut [Pd]) -> Result<(), LayoutError> {
    for pd in pds.iter_mut() {
        let spec = pd.spec;
        let name = &spec.name.as_bytes()[..spec.name.len().min(NAME_BYTES)];
        let masks = capabilities::masks(system, spec);
        pd.program.patch("microkit_name", name)?;
        pd.program
            .patch("microkit_passive", &[u8::from(spec.passive)])?;
        pd.program
            .patch("microkit_irqs", &masks.irqs.to_le_bytes())?;
        pd.program
            .patch("microkit_notifications", &masks.notifications.to_le_bytes())?;
        pd.program.patch("microkit_pps", &masks.pps.to_le_bytes())?;
        // Only x86 has I/O ports, but the tool wants the symbol everywhere.
        pd.program.patch("microkit_ioports", &0u64.to_le_bytes())?;
        for map in &spec.maps {
            let region = &system.memory_regions[region_index(system, &spec.name, &map.mr)?];
            if let Some(symbol) = &map.setvar_vaddr {
                pd.program.set(symbol, map.vaddr)?;
            }
            if let Some(symbol) = &map.setvar_size {
                pd.program.set(symbol, region.size)?;
            }
            if let Some(symbol) = &map.setvar_prefill_size {
                let prefill = region
                    .prefill
                    .as_ref()
                    .ok_or_else(|| LayoutError::NoPrefill {
                        region: region.name.clone(),
                    })?;
                pd.program.set(symbol, prefill.len() as u64)?;
            }
        }
        for irq in &spec.irqs {
            if let Some(symbol) = &irq.setvar_id {
                pd.program.set(symbol, irq.id.into())?;
            }
        }
        for end in system.channels.iter().flat_map(|channel| &channel.ends) {
            if let (true, Some(symbol)) = (end.pd == spec.name, &end.setvar_id) {
                pd.program.set(symbol, end.id.into())?;
            }
        }
    }
    for child in &system.protection_domains {
        if let Some(parent) = &child.parent
            && let Some(symbol) = &parent.setvar_id
        {
            pds[parent.index].program.set(symbol, parent.id.into())?;
        }
        // An address that is set later counts now: it may make a program's image longer.
    }
    for pd in pds.iter_mut() {
        pd.program
            .make_room(pd.spec.setvars.iter().map(|setvar| setvar.symbol.as_str()))?;
    }
    Ok(())
}

/// Fills the tables with addresses that do not matter, to learn how many tables there are.
fn check_tables(pds: &mut [Pd]) -> Result<(), LayoutError> {
    for pd in pds {
        for map in &pd.maps {
            pd.tables
                .map(map.vaddr, 0, map.size, map.flags)
                .map_err(|vaddr| LayoutError::Overlap {
                    pd: pd.spec.name.clone(),
                    vaddr,
                    what: map.what.clone(),
                })?;
        }
    }
    Ok(())
}

/// An upper bound of the image's length, with the padding between contents.
fn image_bound(
    system: &SystemSpec,
    pds: &[Pd],
    kernel: &[u8],
    caps: &[CapWire],
    irqs: &[IrqWire],
) -> u64 {
    let maps: usize = pds.iter().map(|pd| pd.maps.len()).sum();
    let runs = maps + system.memory_regions.len() + pds.len();
    let table = size_of::<HeaderWire>()
        + size_of_val(caps)
        + size_of_val(irqs)
        + pds.len() * size_of::<PdWire>()
        + maps * size_of::<MapWire>()
        + runs * (size_of::<RamWire>() + CONTENT_ALIGN);
    let programs: usize = pds
        .iter()
        .flat_map(|pd| &pd.program.segments)
        .map(|segment| (segment.vaddr - segment.page_base()) as usize + segment.bytes.len())
        .sum();
    let prefills: usize = system
        .memory_regions
        .iter()
        .filter_map(|region| region.prefill.as_ref())
        .map(Vec::len)
        .sum();
    let tables: u64 = pds.iter().map(|pd| pd.tables.size()).sum();
    let length = (kernel.len() + table + programs + prefills) as u64 + tables;
    length.next_multiple_of(LARGE_PAGE)
}

fn place_regions(system: &SystemSpec, memory: &mut Memory) -> Result<Vec<u64>, LayoutError> {
    let mut paddrs = vec![0; system.memory_regions.len()];
    for (region, paddr) in system.memory_regions.iter().zip(&mut paddrs) {
        check_region(system, region)?;
        if let Some(fixed) = region.phys_addr {
            memory.take(&region.name, fixed, region.size)?;
            *paddr = fixed;
        }
    }
    for (region, paddr) in system.memory_regions.iter().zip(&mut paddrs) {
        if region.phys_addr.is_none() {
            let what = format!("memory region '{}'", region.name);
            *paddr = memory.allocate(&what, region.size, page_size(system, region))?;
        }
    }
    Ok(paddrs)
}

fn check_region(system: &SystemSpec, region: &MemoryRegion) -> Result<(), LayoutError> {
    let bad = |reason: &str| {
        Err(LayoutError::BadRegion {
            region: region.name.clone(),
            reason: reason.into(),
        })
    };
    let page = page_size(system, region);
    if page != PAGE && page != LARGE_PAGE {
        return bad("page_size must be 0x1000 or 0x200000");
    }
    if region.size == 0 || !region.size.is_multiple_of(page) {
        return bad("size must be a multiple of the page size and not 0");
    }
    if region
        .phys_addr
        .is_some_and(|paddr| !paddr.is_multiple_of(page))
    {
        return bad("phys_addr must be a multiple of the page size");
    }
    if region
        .prefill
        .as_ref()
        .is_some_and(|prefill| prefill.len() as u64 > region.size)
    {
        return bad("prefill file is longer than the region");
    }
    Ok(())
}

fn region_contents(system: &SystemSpec, paddrs: &[u64]) -> Vec<Ram> {
    let mut ram = Vec::new();
    for (region, &paddr) in system.memory_regions.iter().zip(paddrs) {
        let content = region.prefill.clone().unwrap_or_default();
        // Outside normal memory nothing is cleared: devices, and RAM that survives a reset.
        let size = if is_normal(paddr) {
            region.size
        } else {
            content.len() as u64
        };
        if size > 0 {
            ram.push(Ram {
                paddr,
                size,
                content,
            });
        }
    }
    ram
}

fn place_pd(
    index: usize,
    pd: &mut Pd,
    region_paddrs: &[u64],
    memory: &mut Memory,
    ram: &mut Vec<Ram>,
    map_wires: &mut Vec<MapWire>,
) -> Result<PdWire, LayoutError> {
    let name = &pd.spec.name;
    let mut tables = Tables::new();
    let mut ipc_buffer_paddr = 0;
    for map in &pd.maps {
        let what = format!("{name}: {}", map.what);
        let mut content = Vec::new();
        let paddr = match map.source {
            Source::Region(region) => region_paddrs[region],
            Source::Segment(_) | Source::Stack | Source::IpcBuffer => {
                memory.allocate(&what, map.size, PAGE)?
            }
        };
        match map.source {
            Source::Segment(segment) => {
                let segment = &pd.program.segments[segment];
                content.resize((segment.vaddr - segment.page_base()) as usize, 0);
                content.extend_from_slice(&segment.bytes);
            }
            Source::IpcBuffer => ipc_buffer_paddr = paddr,
            Source::Region(_) | Source::Stack => {}
        }
        if !matches!(map.source, Source::Region(_)) {
            ram.push(Ram {
                paddr,
                size: map.size,
                content,
            });
        }
        tables
            .map(map.vaddr, paddr, map.size, map.flags)
            .expect("overlaps were refused");
        map_wires.push(MapWire {
            pd: (index as u16).into(),
            flags: map.flags.into(),
            reserved: 0.into(),
            vaddr: map.vaddr.into(),
            paddr: paddr.into(),
            size: map.size.into(),
        });
    }
    let what = format!("{name}: page tables");
    let root = memory.allocate(&what, tables.size(), PAGE)?;
    ram.push(Ram {
        paddr: root,
        size: tables.size(),
        content: tables.finish(root),
    });
    pd_wire(pd, ipc_buffer_paddr, root)
}

fn pd_wire(pd: &Pd, ipc_buffer_paddr: u64, root: u64) -> Result<PdWire, LayoutError> {
    let spec = pd.spec;
    // seL4's kernel aborts the boot below 20 us; an hour is far above any use.
    let sane = 20..=3_600_000_000;
    if !sane.contains(&spec.budget_us)
        || !sane.contains(&spec.period_us)
        || spec.budget_us > spec.period_us
    {
        return Err(LayoutError::BadBudget {
            pd: spec.name.clone(),
        });
    }
    let mut name = [0; NAME_BYTES];
    let length = spec.name.len().min(NAME_BYTES);
    name[..length].copy_from_slice(&spec.name.as_bytes()[..length]);
    let mut flags = 0;
    if spec.passive {
        flags |= PD_PASSIVE;
    }
    if spec.fpu {
        flags |= PD_FPU;
    }
    let parent = spec.parent.as_ref();
    Ok(PdWire {
        name,
        priority: spec.priority,
        flags,
        parent: parent.map_or(NO_PARENT, |parent| parent.index as u8),
        reserved: 0,
        child_id: parent.map_or(0, |parent| parent.id).into(),
        reserved2: 0.into(),
        budget_us: spec.budget_us.into(),
        period_us: spec.period_us.into(),
        entry: pd.program.entry.into(),
        stack_top: STACK_TOP.into(),
        ipc_buffer_paddr: ipc_buffer_paddr.into(),
        root_table_paddr: root.into(),
    })
}
