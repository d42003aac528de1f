// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Takes parts of the recovery away, to see what each is good for (as OSIRIS does).
//!
//! The programs stay the released ones: a debugger stops every PD at the first instruction of a life that is
//! not its first, and takes away there what this restart has given or preserved.

use std::collections::HashMap;

use injector_service::plan::VICTIMS;
use recovery::{CODE_BASE, DATA_BASE, StartInfo};

use super::Setup;
use super::gdb::{Gdb, PC};
use super::outside::{point, program_file, symbol};
use crate::cli::Ablation;
use crate::error::Result;
use crate::top::qmp::Qmp;

/// Bytes that are compared and written at a time.
const BLOCK_BYTES: usize = 512;
/// The root of the tree supervises too, and is nobody's victim.
const ROOT: &str = "sentinel";

/// One PD.
struct Target {
    name: &'static str,
    name_at: u64,
    start_info: u64,
    /// Where it would block for ever.
    park: u64,
    /// Regions that it shares and that outlive it: address and bytes.
    shared: Vec<(u64, u64)>,
    data_bytes: u64,
}

/// A supervisor, with address and bytes of the memory of each child.
struct Parent {
    name: String,
    children: Vec<(&'static str, u64, u64)>,
}

/// See the module.
pub struct Ablator {
    kind: Ablation,
    /// Where a supervisor begins to load a child.
    loading: u64,
    supervisor_name_at: u64,
    targets: Vec<Target>,
    parents: Vec<Parent>,
    /// Memory of PDs before they were loaded again.
    kept: HashMap<&'static str, Vec<u8>>,
}

/// Whether a region is state that outlives its users; the others are devices, code and the PD's own memory.
fn is_preserved(name: &str) -> bool {
    let ends = ["_requests", "_completions", "_timers", "_firings", "_state"];
    let names = ["timer_clock", "fs_cache_index"];
    ends.iter().any(|end| name.ends_with(end)) || names.contains(&name)
}

fn size(setup: &Setup, region: &str) -> u64 {
    let region = setup.system.region(region);
    region.and_then(|region| region.size).unwrap_or(0)
}

fn target(setup: &Setup, name: &'static str) -> Result<Target> {
    let file = program_file(&setup.system, name)?;
    let maps = setup.system.pd(name).map_or(&[][..], |pd| &pd.maps);
    Ok(Target {
        name,
        name_at: symbol(&setup.folder, &file, "microkit_name")?,
        start_info: symbol(&setup.folder, &file, "__start_info")?,
        park: point(&setup.folder, &file, "runtime.block_for_ever")?,
        shared: maps
            .iter()
            .filter(|map| is_preserved(&map.region))
            .map(|map| (map.vaddr, size(setup, &map.region)))
            .collect(),
        data_bytes: size(setup, &format!("{name}_data")),
    })
}

fn parent(setup: &Setup, name: &str) -> Parent {
    let maps = setup.system.pd(name).map_or(&[][..], |pd| &pd.maps);
    let child = |(victim, _): &(&'static str, Option<usize>)| {
        let region = format!("{victim}_data");
        let map = maps.iter().find(|map| map.region == region)?;
        // Its own is no child's.
        (*victim != name).then(|| (*victim, map.vaddr, size(setup, &region)))
    };
    Parent {
        name: name.to_owned(),
        children: VICTIMS.iter().filter_map(child).collect(),
    }
}

impl Ablator {
    /// Sets its breakpoints.
    ///
    /// # Errors
    ///
    /// When QEMU does not, or a program lacks what is needed.
    pub fn attach(gdb: &mut Gdb, setup: &Setup, kind: Ablation) -> Result<Self> {
        let file = program_file(&setup.system, VICTIMS[0].0)?;
        let loading = point(&setup.folder, &file, "supervisor.loading")?;
        gdb.set_breakpoint(CODE_BASE, true)?;
        if kind == Ablation::KeepMemory {
            gdb.set_breakpoint(loading, true)?;
        }
        let targets: Result<Vec<_>> = VICTIMS
            .iter()
            .map(|(name, _)| target(setup, name))
            .collect();
        let parents = [ROOT, VICTIMS[0].0, VICTIMS[1].0];
        Ok(Self {
            kind,
            loading,
            supervisor_name_at: symbol(&setup.folder, &file, "microkit_name")?,
            targets: targets?,
            parents: parents.map(|name| parent(setup, name)).into(),
            kept: HashMap::new(),
        })
    }

    /// Does what there is to do at this stop.
    ///
    /// # Errors
    ///
    /// When QEMU does not answer.
    pub fn on_stop(&mut self, gdb: &mut Gdb, qmp: &mut Qmp) -> Result<()> {
        match gdb.registers()?[PC] {
            CODE_BASE => self.on_life(gdb, qmp),
            pc if pc == self.loading && self.kind == Ablation::KeepMemory => {
                self.on_loading(gdb, qmp)
            }
            _ => Ok(()),
        }
    }

    /// A supervisor is about to load a child, whichever: what all of its children have is kept.
    fn on_loading(&mut self, gdb: &mut Gdb, qmp: &mut Qmp) -> Result<()> {
        for parent in &self.parents {
            if !gdb.is_in(self.supervisor_name_at, &parent.name)? {
                continue;
            }
            for (child, vaddr, bytes) in &parent.children {
                self.kept.insert(child, qmp.read_virtual(*vaddr, *bytes)?);
            }
        }
        Ok(())
    }

    fn on_life(&mut self, gdb: &mut Gdb, qmp: &mut Qmp) -> Result<()> {
        for target in &self.targets {
            if !gdb.is_in(target.name_at, target.name)? {
                continue;
            }
            let epoch = target.start_info + core::mem::offset_of!(StartInfo, epoch) as u64;
            if gdb.word(epoch)? as u32 == 0 {
                return Ok(());
            }
            return match self.kind {
                Ablation::None => gdb.set_register(PC, target.park),
                Ablation::Stateless => target.forget(gdb, qmp),
                Ablation::KeepMemory => match self.kept.get(target.name) {
                    Some(kept) => target.put_back(gdb, qmp, kept),
                    None => Ok(()),
                },
                Ablation::Full | Ablation::All => Ok(()),
            };
        }
        Ok(())
    }
}

impl Target {
    /// Fills everything that it shares with zeros.
    fn forget(&self, gdb: &mut Gdb, qmp: &mut Qmp) -> Result<()> {
        for (vaddr, bytes) in &self.shared {
            let now = qmp.read_virtual(*vaddr, *bytes)?;
            write_differences(gdb, *vaddr, &now, &vec![0; now.len()])?;
        }
        Ok(())
    }

    /// Gives it the data, bss and heap of its last life, but what its supervisor says of this one.
    fn put_back(&self, gdb: &mut Gdb, qmp: &mut Qmp, kept: &[u8]) -> Result<()> {
        let now = qmp.read_virtual(DATA_BASE, self.data_bytes)?;
        let mut wanted = kept.to_vec();
        let from = usize::try_from(self.start_info.saturating_sub(DATA_BASE)).unwrap_or(0);
        let info = from..from + size_of::<StartInfo>();
        if let (Some(wanted), Some(now)) = (wanted.get_mut(info.clone()), now.get(info)) {
            wanted.copy_from_slice(now);
        }
        write_differences(gdb, DATA_BASE, &now, &wanted)
    }
}

fn write_differences(gdb: &mut Gdb, vaddr: u64, now: &[u8], wanted: &[u8]) -> Result<()> {
    let blocks = now.chunks(BLOCK_BYTES).zip(wanted.chunks(BLOCK_BYTES));
    for (index, (now, wanted)) in blocks.enumerate() {
        if now != wanted {
            gdb.write(vaddr + (index * BLOCK_BYTES) as u64, wanted)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::is_preserved;

    #[test]
    fn what_is_preserved_is_told_by_its_name() {
        for name in [
            "fs_state",
            "fs_cache_index",
            "app_demo_to_fs_requests",
            "timer_clock",
        ] {
            assert!(is_preserved(name), "{name}");
        }
        for name in [
            "fs_data",
            "fs_to_blk_data",
            "rtc",
            "fs_topology",
            "fs_vitals",
        ] {
            assert!(!is_preserved(name), "{name}");
        }
    }
}
