// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What can be wrong with a system once its files have been read.

/// Why no image was made. Each message names the PD or region as the XML does.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LayoutError {
    /// The kernel's ELF is not one that can be made flat.
    Kernel(String),
    /// More PDs than the kernel can hold.
    TooManyPds(usize),
    /// A name that nothing bears.
    UnknownPd(String),
    /// A name that nothing bears, used by the first PD.
    UnknownRegion {
        /// Who uses it.
        pd: String,
        /// What it asks for.
        region: String,
    },
    /// The file is not a 64-bit little-endian ELF, or is cut off.
    BadElf {
        /// Whose program.
        pd: String,
        /// What the parser says.
        reason: String,
    },
    /// Two segments, or a segment and something else, in one page.
    Overlap {
        /// Whose address space.
        pd: String,
        /// First page that is taken twice.
        vaddr: u64,
        /// What came first and what came second.
        what: String,
    },
    /// A mapping above the stack's bottom or not on a page boundary.
    BadAddress {
        /// Whose address space.
        pd: String,
        /// What is mapped.
        what: String,
        /// Where.
        vaddr: u64,
    },
    /// A variable that the Microkit tool patches does not exist in the program.
    NoSymbol {
        /// Whose program.
        pd: String,
        /// The symbol.
        symbol: String,
    },
    /// Two symbols of one name, so that it is not clear which one is meant.
    DuplicateSymbol {
        /// Whose program.
        pd: String,
        /// The symbol.
        symbol: String,
    },
    /// A variable of the wrong size.
    BadSymbolSize {
        /// Whose program.
        pd: String,
        /// The symbol.
        symbol: String,
        /// Its size in the ELF file.
        found: u64,
        /// What it must hold.
        expected: u64,
    },
    /// A variable that lies in no loaded segment.
    SymbolOutside {
        /// Whose program.
        pd: String,
        /// The symbol.
        symbol: String,
    },
    /// Two `setvar`s for one symbol.
    DuplicateSetvar {
        /// Whose program.
        pd: String,
        /// The symbol.
        symbol: String,
    },
    /// `setvar_prefill_size` for a region without a file.
    NoPrefill {
        /// The region.
        region: String,
    },
    /// A size or address that is not a multiple of the page size, or a prefill that does not fit.
    BadRegion {
        /// The region.
        region: String,
        /// What is wrong.
        reason: String,
    },
    /// Fixed physical addresses that collide with each other or with the image.
    PhysicalOverlap {
        /// The region.
        region: String,
        /// With what.
        with: String,
    },
    /// No room in physical memory.
    OutOfMemory {
        /// For what.
        what: String,
        /// Bytes.
        size: u64,
    },
    /// An interrupt that the kernel keeps, or that does not exist.
    BadIrq {
        /// Who asks for it.
        pd: String,
        /// Its number.
        irq: u32,
    },
    /// Two capabilities in one slot, or a slot that does not exist.
    BadSlot {
        /// Whose CSpace.
        pd: String,
        /// The slot.
        slot: u16,
    },
    /// Budget or period that the kernel cannot honour.
    BadBudget {
        /// Whose.
        pd: String,
    },
}

impl LayoutError {
    /// Messages about memory, interrupts, capabilities and time.
    fn fmt_memory(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NoPrefill { region } => {
                write!(
                    f,
                    "memory region '{region}' has no prefill whose size could be told"
                )
            }
            Self::BadRegion { region, reason } => {
                write!(f, "memory region '{region}': {reason}")
            }
            Self::PhysicalOverlap { region, with } => {
                write!(
                    f,
                    "memory region '{region}' overlaps {with} in physical memory"
                )
            }
            Self::OutOfMemory { what, size } => {
                write!(f, "no room in physical memory for {what} ({size:#x} bytes)")
            }
            Self::BadIrq { pd, irq } => {
                write!(
                    f,
                    "{pd}: interrupt {irq} does not exist or belongs to the kernel"
                )
            }
            Self::BadSlot { pd, slot } => {
                write!(f, "{pd}: capability slot {slot} is taken or does not exist")
            }
            Self::BadBudget { pd } => {
                write!(
                    f,
                    "{pd}: budget and period must be 20 us to 1 h, budget <= period"
                )
            }
            _ => unreachable!("the others are written by `fmt`"),
        }
    }
}

impl core::fmt::Display for LayoutError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Kernel(reason) => write!(f, "kernel ELF: {reason}"),
            Self::TooManyPds(count) => write!(f, "{count} protection domains; 63 is the most"),
            Self::UnknownPd(pd) => write!(f, "no protection domain is called '{pd}'"),
            Self::UnknownRegion { pd, region } => {
                write!(f, "{pd}: no memory region is called '{region}'")
            }
            Self::BadElf { pd, reason } => write!(f, "{pd}: program image: {reason}"),
            Self::Overlap { pd, vaddr, what } => {
                write!(f, "{pd}: {what} both need the page at {vaddr:#x}")
            }
            Self::BadAddress { pd, what, vaddr } => {
                write!(f, "{pd}: {what} cannot be mapped at {vaddr:#x}")
            }
            Self::NoSymbol { pd, symbol } => write!(f, "{pd}: no symbol named '{symbol}'"),
            Self::DuplicateSymbol { pd, symbol } => {
                write!(f, "{pd}: more than one symbol is named '{symbol}'")
            }
            Self::BadSymbolSize {
                pd,
                symbol,
                found,
                expected,
            } => {
                write!(
                    f,
                    "{pd}: symbol '{symbol}' has {found} bytes, {expected} are needed"
                )
            }
            Self::SymbolOutside { pd, symbol } => {
                write!(
                    f,
                    "{pd}: symbol '{symbol}' lies in no loaded segment of the program"
                )
            }
            Self::DuplicateSetvar { pd, symbol } => {
                write!(f, "{pd}: symbol '{symbol}' is set twice")
            }
            other => other.fmt_memory(f),
        }
    }
}

impl std::error::Error for LayoutError {}
