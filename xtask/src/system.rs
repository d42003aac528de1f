// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! A Microkit system description: what it says, and whether it may stand.
//!
//! `parse` turns XML into the types below and refuses what the real tool refuses on the spot: unknown
//! elements and attributes, bad numbers. `rules` checks the whole as the real tool does, and what the
//! real tool lets pass although it aborts at boot. `house` adds this project's own rules, which make
//! PDs restartable. `files` checks prefills and ELF files. All but `files` are pure: text and board
//! in, diagnostics out.

pub mod element;
pub mod files;
pub mod house;
pub mod parse;
pub mod parse_pd;
pub mod rules;

use crate::diagnostics::Span;

/// A whole system.
#[derive(Debug, Default)]
pub struct System {
    /// Depth first, parents before children, as the real tool orders them.
    pub pds: Vec<Pd>,
    /// In the order of the file.
    pub regions: Vec<Region>,
    /// In the order of the file.
    pub channels: Vec<Channel>,
    /// Names of the scheduling domains, when the system declares any.
    pub domains: Vec<String>,
    /// The start tag of `<system>`.
    pub at: Span,
}

/// A protection domain.
#[derive(Debug)]
pub struct Pd {
    /// Its name.
    pub name: String,
    /// Index of its parent in [`System::pds`].
    pub parent: Option<usize>,
    /// Child id, for all but root PDs.
    pub child_id: Option<u64>,
    /// Symbol of the parent that gets the child id.
    pub setvar_id: Option<String>,
    /// 0..=254.
    pub priority: u8,
    /// Microseconds.
    pub budget: u64,
    /// Microseconds.
    pub period: u64,
    /// Without a scheduling context of its own after `init`.
    pub passive: bool,
    /// Bytes.
    pub stack_size: u64,
    /// May make SMC calls.
    pub smc: bool,
    /// May use floating point.
    pub fpu: bool,
    /// `program_image@path`.
    pub image: FileName,
    /// `program_image@path_for_symbols`.
    pub symbols: Option<FileName>,
    /// In the order of the file.
    pub maps: Vec<Map>,
    /// In the order of the file.
    pub irqs: Vec<Irq>,
    /// In the order of the real tool, which is the order of the file with channels last.
    pub setvars: Vec<SetVar>,
    /// Capabilities of other PDs.
    pub cap_maps: Vec<CapMap>,
    /// The virtual machine in it, if any.
    pub virtual_machine: Option<VirtualMachine>,
    /// Its start tag.
    pub at: Span,
    /// Where its budget or period is written, or its start tag.
    pub budget_at: Span,
}

/// A file named in the description.
#[derive(Clone, Debug)]
pub struct FileName {
    /// Path, to be looked for on the search path.
    pub path: String,
    /// The attribute's value.
    pub at: Span,
}

/// A mapping of a region.
#[derive(Debug)]
pub struct Map {
    /// Name of the region.
    pub region: String,
    /// Address in the PD.
    pub vaddr: u64,
    /// `r` given.
    pub read: bool,
    /// `w` given.
    pub write: bool,
    /// `x` given.
    pub execute: bool,
    /// False for device memory.
    pub cached: bool,
    /// Symbol that gets the address.
    pub setvar_vaddr: Option<String>,
    /// Symbol that gets the region's size.
    pub setvar_size: Option<String>,
    /// Symbol that gets the prefill file's length.
    pub setvar_prefill_size: Option<String>,
    /// The element.
    pub at: Span,
    /// Value of `mr`.
    pub region_at: Span,
    /// Value of `vaddr`.
    pub vaddr_at: Span,
    /// Value of `perms`, or the element.
    pub perms_at: Span,
}

/// An interrupt.
#[derive(Debug)]
pub struct Irq {
    /// Interrupt number.
    pub irq: u64,
    /// Channel id.
    pub id: u8,
    /// True for edge, false for level.
    pub edge: bool,
    /// Symbol that gets the id.
    pub setvar_id: Option<String>,
    /// The element.
    pub at: Span,
    /// Value of `irq`.
    pub irq_at: Span,
}

/// A symbol that the tool sets in the PD's image.
#[derive(Debug)]
pub struct SetVar {
    /// Name of an 8-byte object.
    pub symbol: String,
    /// What is written to it.
    pub value: SetVarValue,
    /// The attribute's value.
    pub at: Span,
}

/// What is written to a symbol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetVarValue {
    /// A number known from the description alone.
    Number(u64),
    /// Size of a region, after rounding.
    Size(String),
    /// Bytes of the file that a region is filled with.
    PrefillSize(String),
    /// Physical address of a region.
    Paddr(String),
}

/// A capability of another PD.
#[derive(Debug)]
pub struct CapMap {
    /// Which one.
    pub kind: CapKind,
    /// The other PD.
    pub pd: String,
    /// Slot of the root CNode.
    pub slot: u64,
    /// The element.
    pub at: Span,
}

/// Kind of a [`CapMap`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CapKind {
    /// Thread.
    Tcb,
    /// Scheduling context.
    Sc,
    /// Address space.
    VSpace,
}

/// A virtual machine; only as much as its checks need.
#[derive(Debug)]
pub struct VirtualMachine {
    /// Its name.
    pub name: String,
    /// Ids of its vCPUs.
    pub vcpu_ids: Vec<u64>,
    /// Its maps.
    pub maps: Vec<Map>,
    /// Its start tag.
    pub at: Span,
}

/// A memory region.
#[derive(Debug)]
pub struct Region {
    /// Its name.
    pub name: String,
    /// Bytes, if given.
    pub size: Option<u64>,
    /// `page_size`, or the smallest.
    pub page_size: u64,
    /// Whether `page_size` was given, which keeps the tool from choosing a larger one.
    pub page_size_given: bool,
    /// `phys_addr`.
    pub phys_addr: Option<u64>,
    /// `prefill_path`.
    pub prefill: Option<FileName>,
    /// `prefill_bootinfo`.
    pub bootinfo: bool,
    /// The element.
    pub at: Span,
    /// Value of `phys_addr`, or the element.
    pub phys_addr_at: Span,
}

/// A channel.
#[derive(Debug)]
pub struct Channel {
    /// Its two ends, in the order of the file.
    pub ends: [End; 2],
}

/// An end of a channel.
#[derive(Debug)]
pub struct End {
    /// Index of its PD in [`System::pds`].
    pub pd: usize,
    /// Channel id.
    pub id: u8,
    /// May notify the other end.
    pub notify: bool,
    /// May call the other end.
    pub pp: bool,
    /// Symbol that gets the id.
    pub setvar_id: Option<String>,
    /// The element.
    pub at: Span,
}

/// Ending of a restartable PD's program image.
pub const BOOT_SUFFIX: &str = ".boot.elf";

impl System {
    /// The region called `name`.
    pub fn region(&self, name: &str) -> Option<&Region> {
        self.regions.iter().find(|region| region.name == name)
    }

    /// The PD called `name`.
    pub fn pd(&self, name: &str) -> Option<&Pd> {
        self.pds.iter().find(|pd| pd.name == name)
    }

    /// Children of the PD with index `parent`.
    pub fn children(&self, parent: usize) -> impl Iterator<Item = &Pd> {
        self.pds.iter().filter(move |pd| pd.parent == Some(parent))
    }

    /// Every map in the system, virtual machines' included.
    pub fn maps(&self) -> impl Iterator<Item = &Map> {
        self.pds.iter().flat_map(|pd| {
            pd.maps
                .iter()
                .chain(pd.virtual_machine.iter().flat_map(|vm| &vm.maps))
        })
    }
}

impl Pd {
    /// Whether the PD consists of a boot stub and regions that its parent fills.
    pub fn is_restartable(&self) -> bool {
        self.image.path.ends_with(BOOT_SUFFIX)
    }

    /// Its map of the region called `region`, the first one.
    pub fn map(&self, region: &str) -> Option<&Map> {
        self.maps.iter().find(|map| map.region == region)
    }
}
