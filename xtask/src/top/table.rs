// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! From a machine's memory to the table of PDs.
//!
//! | column | comes from |
//! |---|---|
//! | EPOCH | the PD's start information, at symbol `__start_info` |
//! | STATE, RESTARTS, LAST FAULT | the records of this boot in the supervisors' black boxes |
//! | QUEUE | the request tables whose completions the PD writes: what waits there |
//! | STACK | the stack itself: how far its supervisor's paint has been written over since boot |
//! | BEAT | its vitals page: milliseconds from its latest answer to the latest of anybody |
//!
//! RESTARTS counts deaths that are still in the black box; EPOCH counts them all, also those in
//! which the PD was only taken along.

use std::collections::HashMap;
use std::fmt::Write;
use std::path::Path;

use black_box::{Action, RecordWire, STACK_PAINT, records_in};
use object::{Object, ObjectSymbol};
use recovery::StartInfo;

use super::memory::{Cache, Physical, Space, Spaces};
use crate::error::Result;
use crate::symbolize::Filter;
use crate::system::{Pd, System};

/// A PD's stack is not larger (`declare_protection_domain!` has no limit, a sane table has).
const STACK_BYTES_MAX: u64 = 0x100_0000;
const BLACK_BOX: &str = "_black_box";
const START_INFO: usize = size_of::<StartInfo>();

/// What the PDs' ELF files say.
#[derive(Debug, Default)]
pub struct Files {
    addresses: HashMap<String, Addresses>,
}

#[derive(Debug)]
struct Addresses {
    name: u64,
    start_info: Option<u64>,
}

impl Files {
    /// Reads the ELF files in the build folder; those that are not there are left out.
    pub fn read(system: &System, build_dir: &Path) -> Self {
        let mut files = Self::default();
        for pd in &system.pds {
            let path = &pd.symbols.as_ref().unwrap_or(&pd.image).path;
            let Ok(bytes) = std::fs::read(build_dir.join(path)) else {
                continue;
            };
            let Ok(elf) = object::File::parse(&*bytes) else {
                continue;
            };
            let address = |name: &str| {
                let symbol = elf.symbols().find(|symbol| symbol.name() == Ok(name));
                symbol.map(|symbol| symbol.address())
            };
            if let Some(name) = address("microkit_name") {
                let start_info = address("__start_info");
                files.add(&pd.name, name, start_info);
            }
        }
        files
    }

    /// Adds what is known of one PD.
    pub fn add(&mut self, pd: &str, name: u64, start_info: Option<u64>) {
        let addresses = Addresses { name, start_info };
        self.addresses.insert(pd.to_owned(), addresses);
    }

    /// PDs, and where each has its name.
    pub fn names(&self) -> impl Iterator<Item = (&str, u64)> {
        self.addresses
            .iter()
            .map(|(pd, addresses)| (pd.as_str(), addresses.name))
    }
}

/// One line of the table.
#[derive(Debug, Default)]
pub struct Row {
    pd: String,
    depth: usize,
    priority: u8,
    state: &'static str,
    epoch: Option<u32>,
    restarts: usize,
    queue: Option<usize>,
    stack: Option<(u64, u64)>,
    /// Counter at its latest answer to its supervisor.
    beat_ticks: Option<u64>,
    last: Option<Box<RecordWire>>,
}

/// The table.
#[derive(Debug)]
pub struct Snapshot {
    kernel: String,
    boot: Option<u32>,
    rows: Vec<Row>,
}

impl Snapshot {
    /// Reads everything.
    ///
    /// # Errors
    ///
    /// When the machine does not answer.
    pub fn take<P: Physical>(
        machine: &mut Cache<P>,
        spaces: &Spaces,
        system: &System,
        files: &Files,
    ) -> Result<Self> {
        let (boot, records) = records(machine, spaces, system)?;
        let mut rows = Vec::new();
        for pd in &system.pds {
            let mut row = Row {
                pd: pd.name.clone(),
                depth: depth(system, pd),
                priority: pd.priority,
                state: "not started",
                ..Row::default()
            };
            row.deaths(&records);
            if let Some(space) = spaces.of.get(&pd.name) {
                row.life(machine, space, files.addresses.get(&pd.name))?;
                row.queue = queue(machine, space, system, pd)?;
                row.beat_ticks = beat_ticks(machine, spaces, system, pd)?;
            }
            rows.push(row);
        }
        Ok(Self {
            kernel: spaces.kernel.clone(),
            boot,
            rows,
        })
    }

    /// The table as text; `symbols` says where the PDs died.
    pub fn render(&self, symbols: &mut Filter) -> String {
        // Writing to a `String` does not fail.
        let mut text = self.kernel.clone();
        if let Some(boot) = self.boot {
            let _ = write!(text, ", boot {boot} since power-on");
        }
        let _ = writeln!(
            text,
            "\n{:16} {:>4} {:11} {:>5} {:>8} {:>5} {:>13} {:>5} LAST FAULT",
            "PD", "PRIO", "STATE", "EPOCH", "RESTARTS", "QUEUE", "STACK", "BEAT"
        );
        let newest = self.rows.iter().filter_map(|row| row.beat_ticks).max();
        for row in &self.rows {
            let name = format!("{:depth$}{}", "", row.pd, depth = row.depth);
            let or_dash = |number: Option<String>| number.unwrap_or("-".to_owned());
            let _ = writeln!(
                text,
                "{name:16} {:>4} {:11} {:>5} {:>8} {:>5} {:>13} {:>5} {}",
                row.priority,
                row.state,
                or_dash(row.epoch.map(|epoch| epoch.to_string())),
                row.restarts,
                or_dash(row.queue.map(|count| count.to_string())),
                or_dash(row.stack.map(|(used, size)| format!("{used}/{size}"))),
                or_dash(age_ms(row.beat_ticks, newest).map(|age| age.to_string())),
                row.last_fault(symbols),
            );
        }
        // A line without a last fault ends in a space.
        text.lines()
            .map(|line| format!("{}\n", line.trim_end()))
            .collect()
    }
}

impl Row {
    /// What the black boxes say.
    fn deaths(&mut self, records: &[RecordWire]) {
        let of_pd = || {
            records
                .iter()
                .filter(|wire| wire.record().name() == self.pd)
        };
        let restarted =
            |wire: &&RecordWire| matches!(wire.head.action(), Action::Restart | Action::Fallback);
        self.restarts = of_pd().filter(restarted).count();
        self.last = of_pd()
            .max_by_key(|wire| wire.head.sequence)
            .map(|wire| Box::new(*wire));
    }

    /// What the PD's own memory says.
    fn life<P: Physical>(
        &mut self,
        machine: &mut Cache<P>,
        space: &Space,
        addresses: Option<&Addresses>,
    ) -> Result<()> {
        let Some(at) = addresses.and_then(|addresses| addresses.start_info) else {
            self.state = "foreign";
            return Ok(());
        };
        let bytes = space.read(machine, at, START_INFO)?.unwrap_or_default();
        let Ok(info) = StartInfo::parse(&bytes) else {
            return Ok(());
        };
        let epoch = info.epoch.get();
        self.epoch = Some(epoch);
        self.state = match &self.last {
            Some(wire) if wire.head.action() == Action::Stop => "stopped",
            Some(wire) if wire.head.action() == Action::Escalate => "gave up",
            _ => "running",
        };
        let (bottom, top) = (info.stack_bottom.get(), info.stack_top.get());
        let size = top
            .checked_sub(bottom)
            .filter(|size| *size <= STACK_BYTES_MAX);
        if let Some(size) = size
            && let Some(stack) = space.read(machine, bottom, usize::try_from(size).unwrap_or(0))?
        {
            // Nobody paints the root's stack, but the paint it uses for others can be seen on it.
            let painted = self.depth > 0;
            self.stack = used(&stack).filter(|_| painted).map(|used| (used, size));
        }
        Ok(())
    }

    fn last_fault(&self, symbols: &mut Filter) -> String {
        let Some(wire) = &self.last else {
            return String::new();
        };
        let head = &wire.head;
        let seconds = head.fault_ticks as f64 / head.ticks_per_second.max(1) as f64;
        let place = symbols
            .place(&self.pd, head.pc, wire.lr())
            .unwrap_or_else(|| format!("pc {:#x}", head.pc));
        format!("{head} at {seconds:.3} s in {place}")
    }
}

/// QEMU's counter on every board that we know (CNTFRQ_EL0).
const TICKS_PER_MS: u64 = 62_500;

/// Milliseconds from one answer to the newest one.
fn age_ms(beat_ticks: Option<u64>, newest: Option<u64>) -> Option<u64> {
    Some(newest?.saturating_sub(beat_ticks?) / TICKS_PER_MS)
}

/// Counter at the latest answer of `pd`; `None` when it has not answered, or is not asked.
fn beat_ticks<P: Physical>(
    machine: &mut Cache<P>,
    spaces: &Spaces,
    system: &System,
    pd: &Pd,
) -> Result<Option<u64>> {
    let region = format!("{}_vitals", pd.name);
    let page = region_bytes(machine, spaces, system, &region)?.unwrap_or_default();
    Ok(beat_in(&page))
}

fn beat_in(page: &[u8]) -> Option<u64> {
    let word = |index: usize| {
        let bytes = page.get(index * 8..)?.first_chunk()?;
        Some(u64::from_le_bytes(*bytes))
    };
    word(vitals::BEAT_TICKS).filter(|_| word(vitals::BEATS) != Some(0))
}

/// Bytes of a painted stack that have been used; `None` when nobody has painted it.
fn used(stack: &[u8]) -> Option<u64> {
    let paint = stack
        .iter()
        .take_while(|byte| **byte == STACK_PAINT)
        .count();
    // Eight bytes of paint somewhere: painted, and used down to the bottom.
    let painted = paint > 0 || stack.windows(8).any(|bytes| bytes == [STACK_PAINT; 8]);
    painted.then_some((stack.len() - paint) as u64)
}

fn depth(system: &System, pd: &Pd) -> usize {
    let mut depth = 0;
    let mut parent = pd.parent;
    while let Some(index) = parent.filter(|_| depth < system.pds.len()) {
        depth += 1;
        parent = system.pds[index].parent;
    }
    depth
}

/// The records of this boot in all black boxes, and the boot's number.
fn records<P: Physical>(
    machine: &mut Cache<P>,
    spaces: &Spaces,
    system: &System,
) -> Result<(Option<u32>, Vec<RecordWire>)> {
    let (mut boot, mut all) = (None, Vec::new());
    for region in system
        .regions
        .iter()
        .filter(|region| region.name.ends_with(BLACK_BOX))
    {
        let Some(bytes) = region_bytes(machine, spaces, system, &region.name)? else {
            continue;
        };
        if let Some((number, records)) = records_in(&bytes) {
            boot = boot.max(Some(number));
            all.extend(records.filter(|wire| wire.head.boot == number));
        }
    }
    Ok((boot, all))
}

/// A region's bytes, seen through whichever PD maps it.
fn region_bytes<P: Physical>(
    machine: &mut Cache<P>,
    spaces: &Spaces,
    system: &System,
    region: &str,
) -> Result<Option<Vec<u8>>> {
    for pd in &system.pds {
        let map = pd.maps.iter().find(|map| map.region == region);
        if let (Some(map), Some(space)) = (map, spaces.of.get(&pd.name)) {
            let size = size_of_region(system, region);
            return space.read(machine, map.vaddr, size);
        }
    }
    Ok(None)
}

fn size_of_region(system: &System, region: &str) -> usize {
    let size = system.region(region).and_then(|region| region.size);
    size.and_then(|size| usize::try_from(size).ok())
        .unwrap_or(0)
}

/// Requests that wait in the tables that `pd` serves; `None` when it serves none.
fn queue<P: Physical>(
    machine: &mut Cache<P>,
    space: &Space,
    system: &System,
    pd: &Pd,
) -> Result<Option<usize>> {
    let mut total = None;
    let suffix = format!("_to_{}_requests", pd.name);
    for map in &pd.maps {
        let Some(client) = map.region.strip_suffix(&suffix) else {
            continue;
        };
        let completions = format!("{}_to_{client}_completions", pd.name);
        let Some(other) = pd.maps.iter().find(|map| map.region == completions) else {
            continue;
        };
        let mut bytes = |map: &crate::system::Map| {
            space.read(machine, map.vaddr, size_of_region(system, &map.region))
        };
        if let (Some(requests), Some(completions)) = (bytes(map)?, bytes(other)?) {
            let waiting = request_table::inspect::unfinished(&requests, &completions);
            total = Some(total.unwrap_or(0) + waiting.unwrap_or(0));
        }
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beat_is_as_old_as_the_newest_is_younger() {
        let mut page = vec![0; 0x100];
        assert_eq!((beat_in(&page), beat_in(&[])), (None, None));
        page[vitals::BEATS * 8] = 1;
        page[vitals::BEAT_TICKS * 8..][..8].copy_from_slice(&125_000u64.to_le_bytes());
        assert_eq!(beat_in(&page), Some(125_000));
        assert_eq!(age_ms(Some(125_000), Some(1_375_000)), Some(20));
        assert_eq!((age_ms(None, Some(1)), age_ms(Some(1), None)), (None, None));
    }
}
