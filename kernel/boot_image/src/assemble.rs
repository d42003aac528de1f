// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The last step of the layout: everything settled becomes one file, and a report about it.

use std::collections::HashSet;

use zerocopy::IntoBytes;

use crate::memory::Memory;
use crate::reader::{CRC, CRC_START};
use crate::wire::{
    CapWire, HeaderWire, IrqWire, MAGIC, MAP_CACHED, MAP_EXECUTE, MAP_READ, MAP_WRITE, MapWire,
    PdWire, RamWire, VERSION,
};

/// A run of physical memory and its initial bytes; zeros follow up to `size`.
pub(crate) struct Ram {
    pub paddr: u64,
    pub size: u64,
    pub content: Vec<u8>,
}

/// Contents start on cache lines, for a fast copy.
pub(crate) const CONTENT_ALIGN: usize = 64;

pub(crate) fn assemble(
    kernel: &[u8],
    pds: &[PdWire],
    maps: &[MapWire],
    caps: &[CapWire],
    irqs: &[IrqWire],
    ram: &[Ram],
) -> Vec<u8> {
    let table = size_of::<HeaderWire>()
        + size_of_val(pds)
        + size_of_val(maps)
        + size_of_val(caps)
        + size_of_val(irqs)
        + size_of::<RamWire>() * ram.len();
    let mut offset = table.next_multiple_of(CONTENT_ALIGN);
    let mut ram_wires = Vec::new();
    let mut payload = vec![0; offset - table];
    for run in ram {
        ram_wires.push(RamWire {
            paddr: run.paddr.into(),
            size: run.size.into(),
            offset: (offset as u64).into(),
            length: (run.content.len() as u64).into(),
        });
        payload.extend_from_slice(&run.content);
        let next = (offset + run.content.len()).next_multiple_of(CONTENT_ALIGN);
        payload.resize(payload.len() + next - offset - run.content.len(), 0);
        offset = next;
    }
    let header = HeaderWire {
        magic: MAGIC,
        version: VERSION.into(),
        crc: 0.into(),
        length: (offset as u64).into(),
        pd_count: (pds.len() as u32).into(),
        map_count: (maps.len() as u32).into(),
        cap_count: (caps.len() as u32).into(),
        irq_count: (irqs.len() as u32).into(),
        ram_count: (ram.len() as u32).into(),
        reserved: 0.into(),
    };
    let mut image = kernel.to_vec();
    let start = image.len();
    for part in [
        header.as_bytes(),
        pds.as_bytes(),
        maps.as_bytes(),
        caps.as_bytes(),
        irqs.as_bytes(),
        ram_wires.as_bytes(),
        &payload,
    ] {
        image.extend_from_slice(part);
    }
    let crc = CRC.checksum(&image[start + CRC_START..]);
    image[start + CRC_START - 4..start + CRC_START].copy_from_slice(&crc.to_le_bytes());
    debug_assert_eq!(image.len() - start, offset);
    image
}

pub(crate) fn report(memory: &Memory, pds: &[PdWire], maps: &[MapWire], length: usize) -> String {
    use std::fmt::Write;
    let mut text = format!("# Image for the Kintsugi development kernel: {length} bytes\n");
    text.push_str("\n# Physical memory\n");
    for (start, end, what) in memory.taken() {
        let _ = writeln!(text, "{start:#012x}..{end:#012x} {what}");
    }
    let mut seen = HashSet::new();
    for map in maps {
        let pd = usize::from(map.pd.get());
        if seen.insert(pd) {
            let name = String::from_utf8_lossy(&pds[pd].name);
            let name = name.trim_end_matches('\0');
            let _ = writeln!(
                text,
                "\n# {name}: priority {}, budget {} us of {} us, entry {:#x}",
                pds[pd].priority, pds[pd].budget_us, pds[pd].period_us, pds[pd].entry,
            );
        }
        let flags = map.flags.get();
        let letter = |flag, letter| if flags & flag != 0 { letter } else { '-' };
        let _ = writeln!(
            text,
            "{:#014x} -> {:#012x} {:#10x} {}{}{} {}",
            map.vaddr.get(),
            map.paddr.get(),
            map.size.get(),
            letter(MAP_READ, 'r'),
            letter(MAP_WRITE, 'w'),
            letter(MAP_EXECUTE, 'x'),
            if flags & MAP_CACHED != 0 {
                "cached"
            } else {
                "device"
            },
        );
    }
    text
}
