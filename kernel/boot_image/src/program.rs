// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! One PD's program: reading its ELF files and patching the variables that Microkit promises to set.
//!
//! Only `PT_LOAD` segments count. Symbols may come from another file than the segments
//! (`path_for_symbols`), and are then looked up by address in the segments.

use object::elf::{FileHeader64, PF_R, PF_W, PF_X, PT_LOAD};
use object::read::elf::{FileHeader, ProgramHeader, Sym};
use object::{LittleEndian, SymbolIndex};

use crate::error::LayoutError;
use crate::spec::{Perms, ProtectionDomain};

const PAGE: u64 = 0x1000;

/// Part of a program that is loaded.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub vaddr: u64,
    pub memory_size: u64,
    pub perms: Perms,
    /// From `vaddr`; at most `memory_size` bytes, zeros follow.
    pub bytes: Vec<u8>,
}

impl Segment {
    pub(crate) fn page_base(&self) -> u64 {
        self.vaddr & !(PAGE - 1)
    }

    /// Whole pages that the segment touches.
    pub(crate) fn page_span(&self) -> u64 {
        (self.vaddr + self.memory_size).next_multiple_of(PAGE) - self.page_base()
    }
}

struct Symbol {
    name: Vec<u8>,
    address: u64,
    size: u64,
}

/// A program ready to be patched.
pub(crate) struct Program {
    pd: String,
    pub entry: u64,
    pub segments: Vec<Segment>,
    symbols: Vec<Symbol>,
    set: Vec<String>,
}

impl Program {
    pub(crate) fn parse(pd: &ProtectionDomain) -> Result<Self, LayoutError> {
        let bad = |reason: String| LayoutError::BadElf {
            pd: pd.name.clone(),
            reason,
        };
        let image = &pd.program_image;
        let (entry, segments) = read_segments(&image.elf).map_err(bad)?;
        if segments.is_empty() {
            return Err(bad("no loadable segment".into()));
        }
        let symbols = match &image.elf_for_symbols {
            Some(elf) => read_symbols(elf).map_err(bad)?,
            None => read_symbols(&image.elf).map_err(bad)?,
        };
        Ok(Self {
            pd: pd.name.clone(),
            entry,
            segments,
            symbols,
            set: Vec::new(),
        })
    }

    /// Writes `bytes` to a variable of at least that size.
    pub(crate) fn patch(&mut self, symbol: &str, bytes: &[u8]) -> Result<(), LayoutError> {
        let (address, size) = self.find(symbol)?;
        if size < bytes.len() as u64 {
            return Err(self.bad_size(symbol, size, bytes.len() as u64));
        }
        self.write(symbol, address, bytes)
    }

    /// Sets a variable of exactly eight bytes, once.
    pub(crate) fn set(&mut self, symbol: &str, value: u64) -> Result<(), LayoutError> {
        if self.set.iter().any(|known| known == symbol) {
            return Err(LayoutError::DuplicateSetvar {
                pd: self.pd.clone(),
                symbol: symbol.into(),
            });
        }
        let (address, size) = self.find(symbol)?;
        if size != 8 {
            return Err(self.bad_size(symbol, size, 8));
        }
        self.set.push(symbol.into());
        self.write(symbol, address, &value.to_le_bytes())
    }

    /// Extends the image to where these variables end, so that setting them later changes no size.
    pub(crate) fn make_room<'a>(
        &mut self,
        symbols: impl Iterator<Item = &'a str>,
    ) -> Result<(), LayoutError> {
        for symbol in symbols {
            let (address, size) = self.find(symbol)?;
            if size != 8 {
                return Err(self.bad_size(symbol, size, 8));
            }
            self.write(symbol, address, &[0; 8])?;
        }
        Ok(())
    }

    fn bad_size(&self, symbol: &str, found: u64, expected: u64) -> LayoutError {
        LayoutError::BadSymbolSize {
            pd: self.pd.clone(),
            symbol: symbol.into(),
            found,
            expected,
        }
    }

    fn find(&self, symbol: &str) -> Result<(u64, u64), LayoutError> {
        let mut found = self
            .symbols
            .iter()
            .filter(|entry| entry.name == symbol.as_bytes());
        let first = found.next().ok_or_else(|| LayoutError::NoSymbol {
            pd: self.pd.clone(),
            symbol: symbol.into(),
        })?;
        if found.next().is_some() {
            return Err(LayoutError::DuplicateSymbol {
                pd: self.pd.clone(),
                symbol: symbol.into(),
            });
        }
        Ok((first.address, first.size))
    }

    fn write(&mut self, symbol: &str, address: u64, bytes: &[u8]) -> Result<(), LayoutError> {
        let end = address.saturating_add(bytes.len() as u64);
        let segment = self
            .segments
            .iter_mut()
            .find(|segment| segment.vaddr <= address && end <= segment.vaddr + segment.memory_size)
            .ok_or_else(|| LayoutError::SymbolOutside {
                pd: self.pd.clone(),
                symbol: symbol.into(),
            })?;
        let start = (address - segment.vaddr) as usize;
        // A variable in .bss: the part before it becomes part of the image.
        if segment.bytes.len() < start + bytes.len() {
            segment.bytes.resize(start + bytes.len(), 0);
        }
        segment.bytes[start..start + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
}

/// Entry point and loadable segments of an ELF file.
pub(crate) fn read_segments(elf: &[u8]) -> Result<(u64, Vec<Segment>), String> {
    let header = header(elf)?;
    let headers = header
        .program_headers(LittleEndian, elf)
        .map_err(|error| format!("cannot read program headers: {error}"))?;
    let mut segments = Vec::new();
    for program_header in headers {
        if program_header.p_type(LittleEndian) != PT_LOAD {
            continue;
        }
        let bytes = program_header
            .data(LittleEndian, elf)
            .map_err(|()| "a segment lies outside the file: it is cut off".to_string())?;
        let memory_size = program_header.p_memsz(LittleEndian);
        let vaddr = program_header.p_vaddr(LittleEndian);
        if memory_size == 0 {
            continue;
        }
        if (bytes.len() as u64) > memory_size {
            return Err(format!(
                "segment at {vaddr:#x} is longer in the file than in memory"
            ));
        }
        if vaddr
            .checked_add(memory_size)
            .is_none_or(|end| end > u64::MAX - PAGE)
        {
            return Err(format!(
                "segment at {vaddr:#x} ends outside the address space"
            ));
        }
        let flags = program_header.p_flags(LittleEndian);
        let perms = Perms {
            read: flags & PF_R != 0,
            write: flags & PF_W != 0,
            execute: flags & PF_X != 0,
        };
        segments.push(Segment {
            vaddr,
            memory_size,
            perms,
            bytes: bytes.to_vec(),
        });
    }
    Ok((header.e_entry(LittleEndian), segments))
}

fn read_symbols(elf: &[u8]) -> Result<Vec<Symbol>, String> {
    let header = header(elf)?;
    let table = header
        .sections(LittleEndian, elf)
        .and_then(|sections| sections.symbols(LittleEndian, elf, object::elf::SHT_SYMTAB))
        .map_err(|error| format!("cannot read the symbol table: {error}"))?;
    if table.is_empty() {
        return Err("unable to find symbol table section".into());
    }
    let mut symbols = Vec::new();
    for (index, symbol) in table.enumerate() {
        if index == SymbolIndex(0) || symbol.is_undefined(LittleEndian) {
            continue;
        }
        let name = table
            .symbol_name(LittleEndian, symbol)
            .map_err(|error| format!("cannot read a symbol's name: {error}"))?;
        symbols.push(Symbol {
            name: name.to_vec(),
            address: symbol.st_value(LittleEndian),
            size: symbol.st_size(LittleEndian),
        });
    }
    Ok(symbols)
}

fn header(elf: &[u8]) -> Result<&FileHeader64<LittleEndian>, String> {
    let header = FileHeader64::<LittleEndian>::parse(elf)
        .map_err(|error| format!("not a 64-bit ELF file: {error}"))?;
    if !header.is_little_endian() {
        return Err("not a little-endian ELF file".into());
    }
    Ok(header)
}

/// Turns the kernel's ELF into the bytes that belong at its load address.
///
/// The kernel is linked at its virtual addresses with load addresses that are contiguous, and its
/// entry is its first byte; its .bss is part of the blob so that a reset finds it zeroed.
///
/// # Errors
/// If the file is no ELF or its entry is not its first byte.
pub fn kernel_blob(elf: &[u8]) -> Result<Vec<u8>, LayoutError> {
    let (entry, mut segments) = read_segments(elf).map_err(LayoutError::Kernel)?;
    segments.sort_by_key(|segment| segment.vaddr);
    let base = match segments.first() {
        Some(first) => first.vaddr,
        None => return Err(LayoutError::Kernel("no loadable segment".into())),
    };
    if entry != base {
        return Err(LayoutError::Kernel(format!(
            "entry {entry:#x} is not the start {base:#x}"
        )));
    }
    let mut blob = Vec::new();
    for segment in &segments {
        let start = (segment.vaddr - base) as usize;
        if start < blob.len() || segment.vaddr - base + segment.memory_size > 1 << 26 {
            return Err(LayoutError::Kernel(
                "segments overlap or lie too far apart".into(),
            ));
        }
        blob.resize(start, 0);
        blob.extend_from_slice(&segment.bytes);
        blob.resize(start + segment.memory_size as usize, 0);
    }
    blob.resize(blob.len().next_multiple_of(PAGE as usize), 0);
    Ok(blob)
}
