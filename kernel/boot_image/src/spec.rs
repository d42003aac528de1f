// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! A Microkit system as plain values: what [`layout`](crate::layout) turns into an image.
//!
//! The names are those of the attributes and elements of `system.xml`. Whoever fills this in has
//! parsed the XML, read the files and checked the rules that can be told from the XML alone;
//! `layout` checks what needs the ELF files and the memory map. PDs are named, not numbered, except
//! for parents, so that an error can say what the author of the XML wrote.

/// The whole system, with the bytes of every file that it needs.
#[derive(Clone, Debug, Default)]
pub struct SystemSpec {
    /// The kernel's ELF file, as the linker wrote it.
    pub kernel_elf: Vec<u8>,
    /// Depth-first, parents before their children, as in the XML.
    pub protection_domains: Vec<ProtectionDomain>,
    /// Every `<memory_region>`, used or not.
    pub memory_regions: Vec<MemoryRegion>,
    /// Every `<channel>`.
    pub channels: Vec<Channel>,
}

/// `<protection_domain>`.
#[derive(Clone, Debug)]
pub struct ProtectionDomain {
    /// Unique; the first 64 bytes reach the PD.
    pub name: String,
    /// The enclosing `<protection_domain>`, if nested.
    pub parent: Option<Parent>,
    /// 0 to 254.
    pub priority: u8,
    /// Microseconds in each period that this PD may run.
    pub budget_us: u64,
    /// Microseconds; equal to the budget for plain round robin.
    pub period_us: u64,
    /// Whether the PD gives its scheduling context away after `init`.
    pub passive: bool,
    /// Bytes, a multiple of 4 KiB.
    pub stack_size: u64,
    /// Whether the PD may make secure monitor calls.
    pub smc: bool,
    /// Whether the PD may use floating point and SIMD registers.
    pub fpu: bool,
    /// `<program_image>`.
    pub program_image: ProgramImage,
    /// `<map>` elements in order.
    pub maps: Vec<Map>,
    /// `<irq>` elements in order.
    pub irqs: Vec<Irq>,
    /// `<setvar>` elements in order.
    pub setvars: Vec<Setvar>,
    /// `<cspace>` entries in order.
    pub cspace: Vec<CspaceCap>,
}

impl Default for ProtectionDomain {
    /// The values that the Microkit tool assumes for absent attributes.
    fn default() -> Self {
        Self {
            name: String::new(),
            parent: None,
            priority: 0,
            budget_us: 1000,
            period_us: 1000,
            passive: false,
            stack_size: 0x2000,
            smc: false,
            fpu: true,
            program_image: ProgramImage::default(),
            maps: Vec::new(),
            irqs: Vec::new(),
            setvars: Vec::new(),
            cspace: Vec::new(),
        }
    }
}

/// The place of a nested PD.
#[derive(Clone, Debug)]
pub struct Parent {
    /// Index of the parent in [`SystemSpec::protection_domains`].
    pub index: usize,
    /// The child's `id`.
    pub id: u16,
    /// Symbol in the *parent's* ELF that receives `id`.
    pub setvar_id: Option<String>,
}

/// `<program_image>`.
#[derive(Clone, Debug, Default)]
pub struct ProgramImage {
    /// Contents of `path`.
    pub elf: Vec<u8>,
    /// Contents of `path_for_symbols`: only its symbol table is used.
    pub elf_for_symbols: Option<Vec<u8>>,
}

/// `<map>`.
#[derive(Clone, Debug)]
pub struct Map {
    /// Name of the memory region.
    pub mr: String,
    /// Where the PD sees it.
    pub vaddr: u64,
    /// `perms`.
    pub perms: Perms,
    /// `false` maps as device memory.
    pub cached: bool,
    /// Symbol that receives `vaddr`.
    pub setvar_vaddr: Option<String>,
    /// Symbol that receives the region's size.
    pub setvar_size: Option<String>,
    /// Symbol that receives the length of the region's prefill file.
    pub setvar_prefill_size: Option<String>,
}

/// Access rights of a map or an ELF segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Perms {
    /// Loads.
    pub read: bool,
    /// Stores.
    pub write: bool,
    /// Instruction fetches.
    pub execute: bool,
}

/// `<irq>`.
#[derive(Clone, Debug)]
pub struct Irq {
    /// Interrupt number as the GIC counts (INTID).
    pub irq: u32,
    /// Channel id, 0 to 61.
    pub id: u8,
    /// `trigger`.
    pub trigger: Trigger,
    /// Symbol that receives `id`.
    pub setvar_id: Option<String>,
}

/// How an interrupt line signals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trigger {
    /// While the line is high.
    #[default]
    Level,
    /// On a rising edge.
    Edge,
}

/// `<setvar symbol="..." region_paddr="..." />`.
#[derive(Clone, Debug)]
pub struct Setvar {
    /// Symbol that receives the address.
    pub symbol: String,
    /// Name of the memory region whose physical address is meant.
    pub region_paddr: String,
}

/// `<cap_tcb>`, `<cap_sc>` or `<cap_vspace>` inside `<cspace>`.
#[derive(Clone, Debug)]
pub struct CspaceCap {
    /// Which object of the PD.
    pub kind: CspaceCapKind,
    /// 1 to 63; the PD names the capability as `slot << 58`.
    pub slot: u8,
    /// Whose object.
    pub pd: String,
}

/// The objects that `<cspace>` can hand out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CspaceCapKind {
    /// `cap_tcb`.
    Tcb,
    /// `cap_sc`.
    SchedContext,
    /// `cap_vspace`.
    Vspace,
}

/// `<memory_region>`.
#[derive(Clone, Debug, Default)]
pub struct MemoryRegion {
    /// Unique.
    pub name: String,
    /// Bytes; a multiple of the page size, already rounded up from the prefill file if `size` is
    /// absent.
    pub size: u64,
    /// 0x1000 or 0x20_0000 where given.
    pub page_size: Option<u64>,
    /// Where the region must lie, if the author says.
    pub phys_addr: Option<u64>,
    /// Contents of `prefill_path`.
    pub prefill: Option<Vec<u8>>,
}

/// `<channel>`: exactly two ends.
#[derive(Clone, Debug)]
pub struct Channel {
    /// In the order of the XML.
    pub ends: [ChannelEnd; 2],
}

/// `<end>`.
#[derive(Clone, Debug)]
pub struct ChannelEnd {
    /// Name of the PD.
    pub pd: String,
    /// Channel id, 0 to 61.
    pub id: u8,
    /// Whether this end may make protected calls to the other.
    pub pp: bool,
    /// Whether this end may notify the other.
    pub notify: bool,
    /// Symbol that receives `id`.
    pub setvar_id: Option<String>,
}
