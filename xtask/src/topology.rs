// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Writes `<pd>.topology` for each PD that maps a region called `<pd>_topology`.

use std::collections::HashMap;
use std::path::Path;

use ::topology::builder::Builder;
use ::topology::{Channel, Child, Parts, Perms, Region, SavedElf, Window};

use crate::error::{Context, Result};
use crate::system::{End, Map, Pd, System};
use crate::workspace;

/// Writes all tables into `build`, where the PDs' ELF files are already.
///
/// # Errors
///
/// When an ELF file is missing, or a name does not fit.
pub fn write_all(system: &System, build: &Path) -> Result<()> {
    let files = FileLengths { build };
    for (index, pd) in system.pds.iter().enumerate() {
        let own = format!("{}_topology", pd.name);
        if pd.map(&own).is_none() {
            continue;
        }
        // The table contains its own size, so its length has to be known first. It depends on the
        // number of entries only.
        let length = table(system, index, &files, &HashMap::new())?.len() as u64;
        let sizes = HashMap::from([(own, length)]);
        let bytes = table(system, index, &files, &sizes)?;
        workspace::write(&build.join(format!("{}.topology", pd.name)), &bytes)?;
    }
    Ok(())
}

struct FileLengths<'a> {
    build: &'a Path,
}

impl FileLengths<'_> {
    /// Bytes of a prefill file; those not made yet count as empty.
    fn of(&self, file: &str) -> u64 {
        std::fs::metadata(self.build.join(file)).map_or(0, |data| data.len())
    }
}

fn table(
    system: &System,
    index: usize,
    files: &FileLengths<'_>,
    known: &HashMap<String, u64>,
) -> Result<Vec<u8>> {
    let pd = &system.pds[index];
    let name_help = "make a topology table";
    let mut builder = Builder::new(&pd.name).context(name_help)?;
    for map in &pd.maps {
        builder
            .region(&region(system, map, files, known))
            .context(name_help)?;
    }
    for channel in &system.channels {
        let [a, b] = &channel.ends;
        for (own, peer) in [(a, b), (b, a)] {
            if own.pd == index {
                builder
                    .channel(&channel_end(system, own, peer))
                    .context(name_help)?;
            }
        }
    }
    for child in system.children(index) {
        builder
            .child(&child_entry(system, pd, child, files))
            .context(name_help)?;
    }
    Ok(builder.finish())
}

fn size_of(system: &System, name: &str, files: &FileLengths<'_>) -> u64 {
    let Some(region) = system.region(name) else {
        return 0;
    };
    let prefill = region
        .prefill
        .as_ref()
        .map_or(0, |file| files.of(&file.path));
    region
        .size
        .unwrap_or(prefill.next_multiple_of(region.page_size))
}

fn region<'a>(
    system: &System,
    map: &'a Map,
    files: &FileLengths<'_>,
    known: &HashMap<String, u64>,
) -> Region<'a> {
    let described = system.region(&map.region);
    let page_size = described.map_or(1, |region| region.page_size);
    let size = match known.get(&map.region) {
        Some(length) => length.next_multiple_of(page_size),
        None => size_of(system, &map.region, files),
    };
    Region {
        name: &map.region,
        vaddr: map.vaddr,
        size,
        paddr: described.and_then(|region| region.phys_addr).unwrap_or(0),
        perms: Perms {
            read: map.read,
            write: map.write,
            execute: map.execute,
        },
    }
}

fn channel_end<'a>(system: &'a System, own: &End, peer: &End) -> Channel<'a> {
    Channel {
        peer: &system.pds[peer.pd].name,
        id: own.id,
        peer_id: peer.id,
        notify: own.notify,
        pp: own.pp,
        peer_notify: peer.notify,
        peer_pp: peer.pp,
    }
}

fn child_entry<'a>(
    system: &System,
    parent: &Pd,
    child: &'a Pd,
    files: &FileLengths<'_>,
) -> Child<'a> {
    // The system was checked: ids are below 62, and a restartable child has all its maps.
    let id = child
        .child_id
        .and_then(|id| u8::try_from(id).ok())
        .unwrap_or(0);
    let window = |what: &str| {
        let name = format!("{}_{what}", child.name);
        let (here, there) = (parent.map(&name)?, child.map(&name)?);
        let size = size_of(system, &name, files);
        Some(Window {
            vaddr: here.vaddr,
            vaddr_in_child: there.vaddr,
            size,
        })
    };
    let elf = || {
        let name = format!("{}_elf", child.name);
        let prefill = system.region(&name)?.prefill.as_ref()?;
        Some(SavedElf {
            vaddr: parent.map(&name)?.vaddr,
            size: size_of(system, &name, files),
            file_len: files.of(&prefill.path),
        })
    };
    let parts = || {
        Some(Parts {
            code: window("code")?,
            data: window("data")?,
            elf: elf()?,
        })
    };
    let parts = if child.is_restartable() {
        parts()
    } else {
        None
    };
    Child {
        name: &child.name,
        id,
        priority: child.priority,
        parts,
    }
}
