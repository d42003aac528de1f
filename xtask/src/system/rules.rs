// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Rules over the whole system: the real tool's, and the ones that it leaves to the boot to find.

use std::collections::HashMap;

use crate::board::Board;
use crate::diagnostics::{Diagnostic, Span};
use crate::system::parse::known_pds;
use crate::system::{End, Map, Pd, Region, SetVarValue, System};

/// Largest channel, interrupt and child id: two bits of a badge are Microkit's own.
pub const ID_MAX: u8 = 61;
/// Largest priority of a PD; 255 is the Microkit monitor's.
pub const PRIORITY_MAX: u8 = 254;
/// Smallest stack in bytes.
pub const STACK_MIN: u64 = 0x1000;
/// Largest stack in bytes.
pub const STACK_MAX: u64 = 0x100_0000;
/// Most PDs in a system.
const PDS_MAX: usize = 63;

/// Checks everything; an empty result means that the Microkit tool takes the system and it boots.
pub fn check(system: &System, board: &Board) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    pd_names(system, &mut found);
    region_names(system, &mut found);
    child_ids(system, &mut found);
    irqs(system, board, &mut found);
    channel_ids(system, &mut found);
    protected_calls(system, &mut found);
    for pd in &system.pds {
        let end = board.map_end(pd.stack_size);
        let place = format!("PD '{}'", pd.name);
        maps(system, &pd.maps, &place, end, &mut found);
        if let Some(vm) = &pd.virtual_machine {
            let place = format!("virtual machine '{}'", vm.name);
            maps(system, &vm.maps, &place, board.user_top, &mut found);
        }
        budget(pd, board, &mut found);
        capabilities(system, pd, &mut found);
        setvars(system, pd, &mut found);
    }
    physical_memory(system, board, &mut found);
    unused_regions(system, &mut found);
    found
}

fn pd_names(system: &System, found: &mut Vec<Diagnostic>) {
    if system.pds.is_empty() {
        found.push(Diagnostic::error(
            "the system has no protection_domain",
            &system.at,
        ));
    }
    if let Some(pd) = system.pds.get(PDS_MAX) {
        let message = format!(
            "the system has {} PDs, at most {PDS_MAX} are possible",
            system.pds.len()
        );
        found.push(Diagnostic::error(message, &pd.at).label("one too many"));
    }
    let mut seen: HashMap<&str, &Span> = HashMap::new();
    for pd in &system.pds {
        if pd.name == "monitor" {
            let help = "the name is taken by Microkit's own default fault handler";
            found.push(Diagnostic::error("no PD may be called 'monitor'", &pd.at).help(help));
        }
        if let Some(first) = seen.insert(&pd.name, &pd.at) {
            let message = format!("two PDs are called '{}'", pd.name);
            found.push(Diagnostic::error(message, &pd.at).also(first, "first here"));
        }
    }
}

fn region_names(system: &System, found: &mut Vec<Diagnostic>) {
    let mut seen: HashMap<&str, &Span> = HashMap::new();
    for region in &system.regions {
        if let Some(first) = seen.insert(&region.name, &region.at) {
            let message = format!("two memory regions are called '{}'", region.name);
            found.push(Diagnostic::error(message, &region.at).also(first, "first here"));
        }
    }
}

/// Child ids have a space of their own in each parent. The real tool takes larger ones than
/// [`ID_MAX`], but libmicrokit's masks and a supervisor's tables do not.
fn child_ids(system: &System, found: &mut Vec<Diagnostic>) {
    for (index, parent) in system.pds.iter().enumerate() {
        let mut seen: HashMap<u64, &Span> = HashMap::new();
        for child in system.children(index) {
            let Some(id) = child.child_id else { continue };
            if id > u64::from(ID_MAX) {
                let message = format!("child id {id} of '{}' is out of range", child.name);
                let help = format!("child ids go from 0 to {ID_MAX}");
                found.push(Diagnostic::error(message, &child.at).help(help));
            }
            let vm = parent.virtual_machine.as_ref();
            if let Some(vm) = vm.filter(|vm| vm.vcpu_ids.contains(&id)) {
                let message = format!("child id {id} is a vcpu's id in '{}' too", parent.name);
                found.push(Diagnostic::error(message, &child.at).also(&vm.at, "in this machine"));
            }
            if let Some(first) = seen.insert(id, &child.at) {
                let message = format!("two children of '{}' have the id {id}", parent.name);
                found.push(Diagnostic::error(message, &child.at).also(first, "first here"));
            }
        }
    }
}

fn irqs(system: &System, board: &Board, found: &mut Vec<Diagnostic>) {
    let mut seen: HashMap<u64, (&Span, &str)> = HashMap::new();
    for pd in &system.pds {
        for irq in &pd.irqs {
            let number = irq.irq;
            if number > board.irq.max {
                let message = format!("interrupt {number} does not exist");
                let help = format!("this board's interrupts go up to {}", board.irq.max);
                found.push(Diagnostic::error(message, &irq.irq_at).help(help));
            }
            if board.irq.reserved.contains(&number) {
                let message = format!("interrupt {number} is the kernel's own");
                let help = "the tool would take it, but the system would stop at boot";
                found.push(Diagnostic::error(message, &irq.irq_at).help(help));
            }
            if let Some((first, owner)) = seen.insert(number, (&irq.at, &pd.name)) {
                let message = format!("interrupt {number} is given to '{}' and '{owner}'", pd.name);
                let diagnostic = Diagnostic::error(message, &irq.at).also(first, "first here");
                found.push(diagnostic.help("one PD handles it and notifies the other"));
            }
        }
    }
}

/// Channels and interrupts share the ids of a PD. Both ends of a channel from a PD to itself may have
/// the same id: the real tool takes it.
fn channel_ids(system: &System, found: &mut Vec<Diagnostic>) {
    let mut seen: HashMap<(usize, u8), Span> = HashMap::new();
    for (index, pd) in system.pds.iter().enumerate() {
        for irq in &pd.irqs {
            let first = seen.insert((index, irq.id), irq.at.clone());
            found.extend(first.map(|first| duplicate_id(pd, irq.id, &irq.at, &first)));
        }
    }
    for channel in &system.channels {
        let [a, b] = &channel.ends;
        for end in [a, b] {
            let first = seen.get(&(end.pd, end.id));
            let pd = &system.pds[end.pd];
            found.extend(first.map(|first| duplicate_id(pd, end.id, &end.at, first)));
        }
        seen.insert((a.pd, a.id), a.at.clone());
        seen.insert((b.pd, b.id), b.at.clone());
    }
}

fn duplicate_id(pd: &Pd, id: u8, at: &Span, first: &Span) -> Diagnostic {
    Diagnostic::error(
        format!("channel id {id} of '{}' is used twice", pd.name),
        at,
    )
    .also(first, "first here")
    .help("channels and interrupts of a PD share the ids 0 to 61")
}

fn protected_calls(system: &System, found: &mut Vec<Diagnostic>) {
    let mut check = |caller: &End, callee: &End| {
        let (from, to) = (&system.pds[caller.pd], &system.pds[callee.pd]);
        if !caller.pp || from.priority < to.priority {
            return;
        }
        let message = format!(
            "'{}' (priority {}) may not call '{}' (priority {})",
            from.name, from.priority, to.name, to.priority
        );
        let help = format!(
            "a protected procedure call must go to a higher priority: raise '{}' above {}, \
             or use a notification and shared memory",
            to.name, from.priority
        );
        found.push(Diagnostic::error(message, &caller.at).help(help));
    };
    for channel in &system.channels {
        let [a, b] = &channel.ends;
        check(a, b);
        check(b, a);
    }
}

/// Size of a region as far as the description says it; of a prefilled one, at least a page.
pub fn known_size(region: &Region) -> u64 {
    region.size.unwrap_or(region.page_size)
}

fn maps(system: &System, maps: &[Map], place: &str, end: u64, found: &mut Vec<Diagnostic>) {
    let mut seen: Vec<(&Map, u64)> = Vec::new();
    for map in maps {
        let Some(region) = system.region(&map.region) else {
            let message = format!("there is no memory region called '{}'", map.region);
            found.push(Diagnostic::error(message, &map.region_at));
            continue;
        };
        if !map.vaddr.is_multiple_of(region.page_size) {
            let message = format!("vaddr {:#x} is not page aligned", map.vaddr);
            let help = format!("make it a multiple of {:#x}", region.page_size);
            found.push(Diagnostic::error(message, &map.vaddr_at).help(help));
        }
        let map_end = map.vaddr.saturating_add(known_size(region));
        if map_end > end {
            let message = format!(
                "map of '{}' [{:#x}..{map_end:#x}) reaches beyond {end:#x} in {place}",
                map.region, map.vaddr
            );
            let help = "the stack begins there: choose a lower vaddr";
            found.push(Diagnostic::error(message, &map.vaddr_at).help(help));
        }
        let overlap = seen
            .iter()
            .find(|(other, other_end)| map.vaddr < *other_end && other.vaddr < map_end);
        if let Some((other, other_end)) = overlap {
            let message = format!(
                "map of '{}' [{:#x}..{map_end:#x}) overlaps the map of '{}' [{:#x}..{other_end:#x}) \
                 in {place}",
                map.region, map.vaddr, other.region, other.vaddr
            );
            let diagnostic = Diagnostic::error(message, &map.at).also(&other.at, "mapped here");
            found.push(diagnostic.help("move one of them to a free address"));
        }
        seen.push((map, map_end));
    }
}

fn budget(pd: &Pd, board: &Board, found: &mut Vec<Diagnostic>) {
    let (min, max) = (board.schedule.budget_us_min, board.schedule.period_us_max);
    if pd.budget < min || pd.period > max {
        let message = format!(
            "budget {} us and period {} us are out of range",
            pd.budget, pd.period
        );
        let help = format!(
            "the kernel takes {min} us to {max} us; the tool takes more, but then the system \
             stops at boot"
        );
        found.push(Diagnostic::error(message, &pd.budget_at).help(help));
    }
}

fn capabilities(system: &System, pd: &Pd, found: &mut Vec<Diagnostic>) {
    let mut seen: HashMap<u64, &Span> = HashMap::new();
    for cap in &pd.cap_maps {
        if system.pd(&cap.pd).is_none() {
            let message = format!("there is no PD called '{}'", cap.pd);
            found.push(Diagnostic::error(message, &cap.at).help(known_pds(&system.pds)));
        }
        if let Some(first) = seen.insert(cap.slot, &cap.at) {
            let message = format!("slot {} of '{}' is filled twice", cap.slot, pd.name);
            found.push(Diagnostic::error(message, &cap.at).also(first, "first here"));
        }
    }
}

fn setvars(system: &System, pd: &Pd, found: &mut Vec<Diagnostic>) {
    for setvar in &pd.setvars {
        match &setvar.value {
            SetVarValue::Paddr(name) if system.region(name).is_none() => {
                let message = format!("there is no memory region called '{name}'");
                found.push(Diagnostic::error(message, &setvar.at));
            }
            SetVarValue::PrefillSize(name) => {
                if let Some(region) = system.region(name).filter(|r| r.prefill.is_none()) {
                    let message = format!("memory region '{name}' is not filled from a file");
                    let diagnostic = Diagnostic::error(message, &setvar.at)
                        .also(&region.at, "no prefill_path here");
                    found.push(diagnostic.help("setvar_prefill_size needs a prefill_path"));
                }
            }
            _ => {}
        }
    }
}

fn physical_memory(system: &System, board: &Board, found: &mut Vec<Diagnostic>) {
    let mut seen: Vec<(&Region, u64, u64)> = Vec::new();
    for region in &system.regions {
        let Some(start) = region.phys_addr else {
            continue;
        };
        let end = start.saturating_add(known_size(region));
        let at = &region.phys_addr_at;
        if end > board.memory.end {
            let message = format!("'{}' [{start:#x}..{end:#x}) is not memory", region.name);
            let help = format!("physical addresses end at {:#x}", board.memory.end);
            found.push(Diagnostic::error(message, at).help(help));
        }
        let reserved = board
            .memory
            .reserved
            .iter()
            .find(|[a, b]| start < *b && *a < end);
        if let Some([a, b]) = reserved {
            let message = format!(
                "'{}' [{start:#x}..{end:#x}) touches the kernel's own",
                region.name
            );
            let help = format!("the kernel keeps [{a:#x}..{b:#x})");
            found.push(Diagnostic::error(message, at).help(help));
        }
        let straddles = |[a, b]: &&[u64; 2]| start < *b && *a < end && !(*a <= start && end <= *b);
        if let Some([a, b]) = board.memory.normal.iter().find(straddles) {
            let message = format!(
                "'{}' [{start:#x}..{end:#x}) is partly memory, partly device",
                region.name
            );
            let help = format!("memory is [{a:#x}..{b:#x})");
            found.push(Diagnostic::error(message, at).help(help));
        }
        if let Some((other, a, b)) = seen.iter().find(|(_, a, b)| start < *b && *a < end) {
            let message = format!(
                "'{}' [{start:#x}..{end:#x}) overlaps '{}' [{a:#x}..{b:#x}) in physical memory",
                region.name, other.name
            );
            found.push(Diagnostic::error(message, at).also(&other.phys_addr_at, "placed here"));
        }
        seen.push((region, start, end));
    }
}

fn unused_regions(system: &System, found: &mut Vec<Diagnostic>) {
    for region in &system.regions {
        if system.maps().all(|map| map.region != region.name) {
            let message = format!("memory region '{}' is not mapped anywhere", region.name);
            found.push(Diagnostic::warning(message, &region.at));
        }
    }
}
