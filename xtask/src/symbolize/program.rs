// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! One program with debug information: addresses in, functions and lines out.

use std::path::Path;

use addr2line::Loader;
use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};

use crate::error::{Context, Error, Result};

/// How source paths of this repository begin in the ELF files (`compile::remapped`).
const SOURCES: &str = "/kintsugi/";
/// The boot stub starts here.
const BOOT_BASE: u64 = 0x20_0000;
/// Code of a PD starts here.
const CODE_BASE: u64 = 0x1000_0000;

/// A program.
pub struct Program {
    lines: Loader,
    functions: Vec<Function>,
    code: Vec<(u64, Vec<u8>)>,
}

struct Function {
    start: u64,
    end: u64,
}

impl Program {
    /// Reads a program.
    ///
    /// # Errors
    ///
    /// When it is no ELF file.
    pub fn load(path: &Path) -> Result<Self> {
        let lines = Loader::new(path)
            .map_err(|error| Error::new(format!("cannot read '{}': {error}", path.display())))?;
        let bytes = std::fs::read(path).context(format!("read '{}'", path.display()))?;
        let file = object::File::parse(&*bytes).context("read the ELF file")?;
        let functions = file
            .symbols()
            .filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.size() > 0)
            .map(|symbol| Function {
                start: symbol.address(),
                end: symbol.address() + symbol.size(),
            })
            .collect();
        let code = file
            .sections()
            .filter(|section| section.kind() == object::SectionKind::Text)
            .filter_map(|section| Some((section.address(), section.data().ok()?.to_vec())))
            .collect();
        Ok(Self {
            lines,
            functions,
            code,
        })
    }

    /// Lines about one frame; `depth` 0 is where the PD was, the others are return addresses.
    pub fn places(&self, address: u64, depth: usize) -> Vec<String> {
        // The instruction before the return address is the call.
        let wanted = if depth == 0 {
            address
        } else {
            address.saturating_sub(1)
        };
        let mut lines = Vec::new();
        if let Ok(mut frames) = self.lines.find_frames(wanted) {
            while let Ok(Some(frame)) = frames.next() {
                let name = frame
                    .function
                    .as_ref()
                    .and_then(|name| name.demangle().ok().map(std::borrow::Cow::into_owned));
                let location = frame.location.as_ref().map(location);
                if name.is_none() && location.is_none() {
                    continue;
                }
                let start = match lines.is_empty() {
                    true => format!("#{depth} {address:#x}"),
                    false => format!("#{depth} inlined in"),
                };
                let name = name
                    .or_else(|| self.symbol(wanted))
                    .unwrap_or("?".to_owned());
                let location = location.unwrap_or("?".to_owned());
                lines.push(format!("{start} {name} at {location}"));
            }
        }
        if lines.is_empty() {
            let what = match self.symbol(wanted) {
                Some(name) => name,
                None if (BOOT_BASE..CODE_BASE).contains(&address) => "boot stub".to_owned(),
                None => "not in this program".to_owned(),
            };
            lines.push(format!("#{depth} {address:#x} {what}"));
        }
        lines
    }

    /// Whether an address is in one of the program's functions.
    pub fn contains(&self, address: u64) -> bool {
        self.function(address).is_some()
    }

    fn symbol(&self, address: u64) -> Option<String> {
        self.function(address)?;
        let name = self.lines.find_symbol(address)?;
        Some(addr2line::demangle_auto(name.into(), None).into_owned())
    }

    /// Whether the function at `pc` has made its frame record before it came there. An address that
    /// is in no function has none.
    pub fn has_frame(&self, pc: u64) -> bool {
        self.function(pc)
            .is_some_and(|function| sets_frame(&self.words(function.start, pc)))
    }

    fn function(&self, address: u64) -> Option<&Function> {
        self.functions
            .iter()
            .find(|function| (function.start..function.end).contains(&address))
    }

    fn words(&self, start: u64, end: u64) -> Vec<u32> {
        let found = self.code.iter().find_map(|(base, bytes)| {
            let from = usize::try_from(start.checked_sub(*base)?).ok()?;
            let to = usize::try_from(end.checked_sub(*base)?).ok()?;
            bytes.get(from..to)
        });
        let words = found.unwrap_or_default().chunks_exact(4);
        words
            .map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]))
            .collect()
    }
}

/// Finds `add x29, sp, #n`, of which `mov x29, sp` is one (Arm ARM C6.2.4, ADD immediate, 64-bit).
pub fn sets_frame(words: &[u32]) -> bool {
    words.iter().any(|word| word & 0xffc0_03ff == 0x9100_03fd)
}

fn location(location: &addr2line::Location<'_>) -> String {
    let file = location.file.unwrap_or("?");
    let file = file.strip_prefix(SOURCES).unwrap_or(file);
    // The compiler's own sources carry its commit.
    let file = match file
        .strip_prefix("/rustc/")
        .and_then(|rest| rest.split_once('/'))
    {
        Some((_, rest)) => rest,
        None => file,
    };
    match location.line {
        Some(line) => format!("{file}:{line}"),
        None => file.to_owned(),
    }
}
