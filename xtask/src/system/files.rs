// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Rules that need the files which a description names: prefills and ELF files.

use std::collections::HashMap;
use std::path::PathBuf;

use object::Endianness;
use object::elf::{FileHeader64, PF_R, PT_LOAD};
use object::read::elf::{FileHeader, ProgramHeader, Sym};

use crate::board::Board;
use crate::diagnostics::Diagnostic;
use crate::system::{FileName, Pd, Region, SetVarValue, System, rules};
use crate::workspace;

type Header = FileHeader64<Endianness>;

/// Symbols that the tool writes into every PD, with the bytes that each must have.
const PATCHED: [(&str, u64); 6] = [
    ("microkit_name", 1),
    ("microkit_passive", 1),
    ("microkit_irqs", 8),
    ("microkit_notifications", 8),
    ("microkit_pps", 8),
    ("microkit_ioports", 8),
];

/// Most bytes of a PD's name that reach its image.
const NAME_MAX: u64 = 64;

/// What of an ELF file matters here.
struct Program {
    segments: Vec<Segment>,
    /// Address and size; a second entry of the same name makes the name unusable.
    symbols: HashMap<String, Vec<(u64, u64)>>,
    has_symbol_table: bool,
}

struct Segment {
    start: u64,
    end: u64,
    flags: u32,
}

/// Checks every prefill and every program image.
pub fn check(system: &System, board: &Board, search_path: &[PathBuf]) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut sizes = HashMap::new();
    for region in &system.regions {
        match prefill(region, search_path) {
            Ok(size) => drop(sizes.insert(region.name.as_str(), size)),
            Err(diagnostic) => found.push(*diagnostic),
        }
    }
    for pd in &system.pds {
        if let Err(diagnostic) = program(pd, &sizes, board, search_path) {
            found.push(*diagnostic);
        }
    }
    found
}

/// Returns the region's size after rounding.
fn prefill(region: &Region, search_path: &[PathBuf]) -> Result<u64, Box<Diagnostic>> {
    let Some(file) = &region.prefill else {
        return Ok(rules::known_size(region));
    };
    let bytes = read(file, search_path)?;
    let length = bytes.len() as u64;
    if length == 0 {
        let message = format!("prefill file '{}' is empty", file.path);
        return Err(Box::new(Diagnostic::error(message, &file.at)));
    }
    let rounded = length.next_multiple_of(region.page_size);
    match region.size {
        None => Ok(rounded),
        Some(size) if size == rounded => Ok(size),
        Some(size) if length > size => {
            let message = format!(
                "prefill file '{}' has {length:#x} bytes, the region {size:#x}",
                file.path
            );
            let help = format!("make the region at least {rounded:#x}, or omit size");
            Err(Box::new(Diagnostic::error(message, &region.at).help(help)))
        }
        Some(size) => {
            let message = format!(
                "region '{}' has {size:#x} bytes, whole pages more than its prefill's {length:#x}",
                region.name
            );
            let help = "the Microkit tool stops at that: omit size";
            Err(Box::new(Diagnostic::error(message, &region.at).help(help)))
        }
    }
}

fn read(file: &FileName, search_path: &[PathBuf]) -> Result<Vec<u8>, Box<Diagnostic>> {
    let Some(path) = workspace::find(&file.path, search_path) else {
        let looked: Vec<_> = search_path
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        let message = format!("cannot find the file '{}'", file.path);
        let help = format!("looked in: {}, and here", looked.join(", "));
        return Err(Box::new(Diagnostic::error(message, &file.at).help(help)));
    };
    std::fs::read(&path).map_err(|error| {
        let message = format!("cannot read the file '{}': {error}", path.display());
        Box::new(Diagnostic::error(message, &file.at))
    })
}

fn program(
    pd: &Pd,
    sizes: &HashMap<&str, u64>,
    board: &Board,
    search_path: &[PathBuf],
) -> Result<(), Box<Diagnostic>> {
    let image = parse_elf(&pd.image, search_path)?;
    segments(pd, &image, sizes, board)?;
    let symbols = match &pd.symbols {
        None => image.symbols,
        Some(file) => {
            let symbols = parse_elf(file, search_path)?;
            require_symbol_table(file, symbols.has_symbol_table)?;
            return check_symbols(pd, file, &symbols.symbols, &image.segments);
        }
    };
    require_symbol_table(&pd.image, image.has_symbol_table)?;
    check_symbols(pd, &pd.image, &symbols, &image.segments)
}

fn require_symbol_table(file: &FileName, has: bool) -> Result<(), Box<Diagnostic>> {
    if has {
        return Ok(());
    }
    let message = format!("'{}' has no symbol table", file.path);
    let help = "do not strip it, or name the unstripped file in path_for_symbols";
    Err(Box::new(Diagnostic::error(message, &file.at).help(help)))
}

fn parse_elf(file: &FileName, search_path: &[PathBuf]) -> Result<Program, Box<Diagnostic>> {
    let bytes = read(file, search_path)?;
    program_of(&bytes).map_err(|error| {
        let message = format!("'{}' is not a usable ELF file: {error}", file.path);
        let help = "it must be a whole 64-bit little-endian ELF file; build it again";
        Box::new(Diagnostic::error(message, &file.at).help(help))
    })
}

fn program_of(bytes: &[u8]) -> Result<Program, Box<dyn std::error::Error>> {
    let header = Header::parse(bytes)?;
    let endian = header.endian()?;
    let mut segments = Vec::new();
    for segment in header.program_headers(endian, bytes)? {
        if segment.p_type(endian) != PT_LOAD || segment.p_memsz(endian) == 0 {
            continue;
        }
        // Reading the bytes is what finds a file that was cut off.
        segment
            .data(endian, bytes)
            .map_err(|()| "it ends inside a segment")?;
        let start = segment.p_vaddr(endian);
        let end = start.saturating_add(segment.p_memsz(endian));
        segments.push(Segment {
            start,
            end,
            flags: segment.p_flags(endian),
        });
    }
    let sections = header.sections(endian, bytes)?;
    let table = sections.symbols(endian, bytes, object::elf::SHT_SYMTAB)?;
    let mut symbols: HashMap<String, Vec<(u64, u64)>> = HashMap::new();
    for symbol in table.iter().skip(1) {
        let name = String::from_utf8_lossy(table.symbol_name(endian, symbol)?).into_owned();
        symbols
            .entry(name)
            .or_default()
            .push((symbol.st_value(endian), symbol.st_size(endian)));
    }
    let has_symbol_table = !table.is_empty();
    Ok(Program {
        segments,
        symbols,
        has_symbol_table,
    })
}

fn segments(
    pd: &Pd,
    image: &Program,
    sizes: &HashMap<&str, u64>,
    board: &Board,
) -> Result<(), Box<Diagnostic>> {
    let page = board.page_sizes[0];
    let at = &pd.image.at;
    let file = &pd.image.path;
    let refuse = |message: String, help: &str| -> Result<(), Box<Diagnostic>> {
        Err(Box::new(Diagnostic::error(message, at).help(help)))
    };
    if image.segments.is_empty() {
        return refuse(
            format!("'{file}' has nothing to load"),
            "it needs a PT_LOAD segment",
        );
    }
    let mut pages: Vec<(u64, u64)> = Vec::new();
    for segment in &image.segments {
        let (start, end) = (
            segment.start / page * page,
            segment.end.next_multiple_of(page),
        );
        let range = format!("[{:#x}..{:#x})", segment.start, segment.end);
        if segment.flags & PF_R == 0 {
            let help = "the kernel maps nothing without r, so the PD would fault";
            return refuse(format!("segment {range} of '{file}' cannot be read"), help);
        }
        if end > board.map_end(pd.stack_size) {
            let help = "link it lower";
            return refuse(
                format!("segment {range} of '{file}' reaches into the stack"),
                help,
            );
        }
        if let Some((a, b)) = pages.iter().find(|(a, b)| start < *b && *a < end) {
            let help = "align each segment to a page in the linker script";
            let message =
                format!("segment {range} of '{file}' shares a page with [{a:#x}..{b:#x})");
            return refuse(message, help);
        }
        pages.push((start, end));
        for map in &pd.maps {
            let Some(size) = sizes.get(map.region.as_str()) else {
                continue;
            };
            if start < map.vaddr.saturating_add(*size) && map.vaddr < end {
                let message = format!(
                    "map of '{}' at {:#x} overlaps segment {range} of '{file}'",
                    map.region, map.vaddr
                );
                let diagnostic = Diagnostic::error(message, &map.at);
                return Err(Box::new(diagnostic.help("move the map to a free address")));
            }
        }
    }
    Ok(())
}

fn check_symbols(
    pd: &Pd,
    file: &FileName,
    symbols: &HashMap<String, Vec<(u64, u64)>>,
    segments: &[Segment],
) -> Result<(), Box<Diagnostic>> {
    let find = |name: &str| -> Result<(u64, u64), String> {
        match symbols.get(name).map(Vec::as_slice) {
            None | Some([]) => Err(format!("'{}' has no symbol '{name}'", file.path)),
            Some([(address, size)]) => Ok((*address, *size)),
            Some(_) => Err(format!("'{}' has more than one symbol '{name}'", file.path)),
        }
    };
    let in_image = |address: u64, size: u64| {
        let end = address.saturating_add(size);
        segments
            .iter()
            .any(|segment| segment.start <= address && end <= segment.end)
    };
    let name_length = (pd.name.len() as u64).min(NAME_MAX);
    for (name, least) in PATCHED {
        let least = if name == "microkit_name" {
            name_length
        } else {
            least
        };
        let (address, size) = find(name).map_err(|message| {
            let help = "the PD runtime defines the six microkit_ symbols: link it in";
            Box::new(Diagnostic::error(message, &file.at).help(help))
        })?;
        if size < least || !in_image(address, size) {
            let message = format!("symbol '{name}' in '{}' cannot be patched", file.path);
            let help = format!(
                "it must have {least} bytes or more inside '{}'",
                pd.image.path
            );
            return Err(Box::new(Diagnostic::error(message, &file.at).help(help)));
        }
    }
    for setvar in &pd.setvars {
        let name = &setvar.symbol;
        let what = match &setvar.value {
            SetVarValue::Number(_) => "a number".to_owned(),
            SetVarValue::Size(region) => format!("the size of '{region}'"),
            SetVarValue::PrefillSize(region) => format!("the length of the file in '{region}'"),
            SetVarValue::Paddr(region) => format!("the physical address of '{region}'"),
        };
        let (address, size) = find(name).map_err(|message| {
            let help = format!("declare it with var!({name}: usize = 0), or remove the setvar");
            Box::new(Diagnostic::error(message, &setvar.at).help(help))
        })?;
        if size != 8 || !in_image(address, size) {
            let message = format!("symbol '{name}' in '{}' cannot take {what}", file.path);
            let help = format!("it must have exactly 8 bytes inside '{}'", pd.image.path);
            return Err(Box::new(Diagnostic::error(message, &setvar.at).help(help)));
        }
    }
    Ok(())
}
