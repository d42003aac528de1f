// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Cuts a linked PD into the files that images are made of.
//!
//! - `NAME.debug.elf`: all of it, for debuggers and backtraces on the host;
//! - `NAME.elf`: without debug sections; the supervisor's saved copy, and where the Microkit tool
//!   finds symbols;
//! - `NAME.boot.elf`: the boot stub and the variables that the tool patches, for a restartable PD.
//!
//! Bytes in, bytes out; no file is touched here.

use std::collections::BTreeMap;

use object::LittleEndian as LE;
use object::elf::{self, FileHeader64, ProgramHeader64, SectionHeader64, Sym64};
use object::endian::{U16, U64};
use object::pod::{bytes_of, bytes_of_slice};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader, Sym};

use crate::error::{Context, Error, Result};

type Header = FileHeader64<LE>;
type Segment = ProgramHeader64<LE>;

/// Code and data of a restartable PD begin here; what lies below is the boot part.
const CODE_BASE: u64 = 0x1000_0000;
/// Entry of the boot part.
const BOOT_ENTRY: &str = "__boot_stub";
/// Smallest page of any kernel that we make images for.
const PAGE: u64 = 0x1000;

/// Names and addresses of the variables that the Microkit tool patches in a PD's boot part.
///
/// # Errors
///
/// When `file` is not a whole ELF file of the expected kind.
pub fn patched_variables(file: &[u8]) -> Result<BTreeMap<String, u64>> {
    let header = header(file)?;
    let sections = header.sections(LE, file).context("read section headers")?;
    let symbols = sections
        .symbols(LE, file, elf::SHT_SYMTAB)
        .context("read symbols")?;
    let strings = symbols.strings();
    let mut found = BTreeMap::new();
    for symbol in symbols.iter() {
        let is_variable = symbol.st_type() == elf::STT_OBJECT;
        if is_variable && symbol.st_value(LE) < CODE_BASE {
            let name = symbol.name(LE, strings).context("read a symbol's name")?;
            found.insert(
                String::from_utf8_lossy(name).into_owned(),
                symbol.st_value(LE),
            );
        }
    }
    Ok(found)
}

/// Returns the file without its debug sections. Segments keep their places in the file.
///
/// # Errors
///
/// When `file` is not a whole ELF file of the expected kind.
pub fn strip_debug(file: &[u8]) -> Result<Vec<u8>> {
    let header = header(file)?;
    let sections = header
        .section_headers(LE, file)
        .context("read section headers")?;
    let names = header
        .section_strings(LE, file, sections)
        .context("read section names")?;
    let mut out = loaded_part(header, file)?;
    let mut kept: Vec<SectionHeader64<LE>> = Vec::new();
    // Old index to new one; dropped sections have none.
    let mut places: Vec<Option<u16>> = Vec::new();
    for section in sections {
        let name = section.name(LE, names).context("read a section's name")?;
        let keep = !name.starts_with(b".debug_");
        places.push(keep.then(|| u16::try_from(kept.len()).unwrap_or(elf::SHN_ABS)));
        if keep {
            kept.push(*section);
        }
    }
    for section in &mut kept {
        section
            .sh_link
            .set(LE, moved(&places, section.sh_link.get(LE)));
        if section.sh_type.get(LE) == elf::SHT_NULL
            || section.sh_flags(LE) & u64::from(elf::SHF_ALLOC) != 0
        {
            continue;
        }
        let data = section.data(LE, file).context("read a section")?;
        pad(&mut out, section.sh_addralign(LE).max(1));
        let start = out.len() as u64;
        if section.sh_type(LE) == elf::SHT_SYMTAB {
            let (symbols, locals) = moved_symbols(data, &places)?;
            out.extend_from_slice(bytes_of_slice(&symbols));
            section.sh_info.set(LE, locals);
        } else {
            out.extend_from_slice(data);
        }
        section.sh_size.set(LE, out.len() as u64 - start);
        section.sh_offset.set(LE, start);
    }
    pad(&mut out, 8);
    let mut new_header = *header;
    new_header.e_shoff = U64::new(LE, out.len() as u64);
    new_header.e_shnum = U16::new(LE, u16::try_from(kept.len()).unwrap_or(0));
    let string_index = moved(&places, u32::from(header.e_shstrndx.get(LE)));
    new_header.e_shstrndx = U16::new(LE, u16::try_from(string_index).unwrap_or(0));
    out.extend_from_slice(bytes_of_slice(&kept));
    out[..size_of::<Header>()].copy_from_slice(bytes_of(&new_header));
    Ok(out)
}

/// Returns an ELF file with nothing but the boot part, or `None` when the PD has no boot part.
///
/// # Errors
///
/// When `file` is not a whole ELF file of the expected kind, or has no boot entry.
pub fn boot_part(file: &[u8]) -> Result<Option<Vec<u8>>> {
    let header = header(file)?;
    let entry = symbol(header, file, BOOT_ENTRY)?;
    let segments: Vec<&Segment> = load_segments(header, file)?
        .into_iter()
        .filter(|segment| segment.p_vaddr(LE) < CODE_BASE)
        .collect();
    let Some(entry) = entry else { return Ok(None) };
    if segments.is_empty() {
        return Err(Error::new(format!(
            "there is '{BOOT_ENTRY}' but no segment for it"
        )));
    }
    let table_end = size_of::<Header>() + segments.len() * size_of::<Segment>();
    let mut out = vec![0; table_end];
    let mut table: Vec<Segment> = Vec::new();
    for segment in segments {
        pad(&mut out, PAGE);
        out.resize(
            out.len() + usize::try_from(segment.p_vaddr(LE) % PAGE).unwrap_or(0),
            0,
        );
        let mut moved = *segment;
        moved.p_offset = U64::new(LE, out.len() as u64);
        let data = segment
            .data(LE, file)
            .map_err(|()| Error::new("it ends inside a segment"))?;
        out.extend_from_slice(data);
        table.push(moved);
    }
    let mut new_header = *header;
    new_header.e_entry = U64::new(LE, entry);
    new_header.e_phoff = U64::new(LE, size_of::<Header>() as u64);
    new_header.e_phnum = U16::new(LE, u16::try_from(table.len()).unwrap_or(0));
    new_header.e_shoff = U64::new(LE, 0);
    new_header.e_shnum = U16::new(LE, 0);
    new_header.e_shstrndx = U16::new(LE, 0);
    out[..size_of::<Header>()].copy_from_slice(bytes_of(&new_header));
    out[size_of::<Header>()..table_end].copy_from_slice(bytes_of_slice(&table));
    Ok(Some(out))
}

/// A place where a test may kill the PD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultPoint {
    /// Address of the instruction to overwrite.
    pub address: u64,
    /// The name in the source.
    pub name: String,
}

/// Lists the fault points that `recovery::fault_point!` has left in the file.
///
/// # Errors
///
/// When the section does not have the form that `recovery` describes.
pub fn fault_points(file: &[u8]) -> Result<Vec<FaultPoint>> {
    let header = header(file)?;
    let sections = header.sections(LE, file).context("read section headers")?;
    let Some((_, section)) = sections.section_by_name(LE, b".fault_points") else {
        return Ok(Vec::new());
    };
    let mut rest = section
        .data(LE, file)
        .context("read section .fault_points")?;
    let mut points = Vec::new();
    while let Some((address, after)) = rest.split_first_chunk::<8>() {
        let Some(length) = after.iter().position(|byte| *byte == 0) else {
            return Err(Error::new("a name in section .fault_points does not end"));
        };
        let name = String::from_utf8_lossy(&after[..length]).into_owned();
        points.push(FaultPoint {
            address: u64::from_le_bytes(*address),
            name,
        });
        let next = (length + 1).next_multiple_of(8).min(after.len());
        rest = &after[next..];
    }
    points.sort_by(|a, b| (&a.name, a.address).cmp(&(&b.name, b.address)));
    Ok(points)
}

fn header(file: &[u8]) -> Result<&Header> {
    Header::parse(file).context("read the ELF header")
}

fn load_segments<'data>(header: &Header, file: &'data [u8]) -> Result<Vec<&'data Segment>> {
    let all = header
        .program_headers(LE, file)
        .context("read program headers")?;
    Ok(all
        .iter()
        .filter(|segment| segment.p_type(LE) == elf::PT_LOAD && segment.p_memsz(LE) > 0)
        .collect())
}

/// Everything up to the end of the last segment: headers and what is loaded.
fn loaded_part(header: &Header, file: &[u8]) -> Result<Vec<u8>> {
    let table = header.e_phoff(LE) + u64::from(header.e_phnum(LE)) * size_of::<Segment>() as u64;
    let end = load_segments(header, file)?
        .iter()
        .map(|segment| segment.p_offset(LE) + segment.p_filesz(LE))
        .fold(table, u64::max);
    let part = file.get(..usize::try_from(end).unwrap_or(usize::MAX));
    Ok(part
        .ok_or_else(|| Error::new("it ends inside a segment"))?
        .to_vec())
}

fn moved(places: &[Option<u16>], index: u32) -> u32 {
    places
        .get(index as usize)
        .copied()
        .flatten()
        .map_or(0, u32::from)
}

/// Drops symbols of dropped sections; returns the rest and the number of local ones.
fn moved_symbols(data: &[u8], places: &[Option<u16>]) -> Result<(Vec<Sym64<LE>>, u32)> {
    let count = data.len() / size_of::<Sym64<LE>>();
    let (symbols, _) = object::pod::slice_from_bytes::<Sym64<LE>>(data, count)
        .map_err(|()| Error::new("the symbol table is cut off"))?;
    let mut kept = Vec::new();
    let mut locals = 0;
    for symbol in symbols {
        let mut symbol = *symbol;
        let section = symbol.st_shndx(LE);
        if section != elf::SHN_UNDEF && section < elf::SHN_LORESERVE {
            match places.get(usize::from(section)).copied().flatten() {
                Some(place) => symbol.st_shndx = U16::new(LE, place),
                None => continue,
            }
        }
        locals += u32::from(symbol.st_bind() == elf::STB_LOCAL);
        kept.push(symbol);
    }
    Ok((kept, locals))
}

fn symbol(header: &Header, file: &[u8], wanted: &str) -> Result<Option<u64>> {
    let sections = header.sections(LE, file).context("read section headers")?;
    let table = sections
        .symbols(LE, file, elf::SHT_SYMTAB)
        .context("read the symbol table")?;
    let found = table.iter().find(|symbol| {
        symbol.st_shndx(LE) != elf::SHN_UNDEF
            && symbol
                .name(LE, table.strings())
                .is_ok_and(|name| name == wanted.as_bytes())
    });
    Ok(found.map(|symbol| symbol.st_value(LE)))
}

fn pad(out: &mut Vec<u8>, align: u64) {
    let align = usize::try_from(align).unwrap_or(1);
    out.resize(out.len().next_multiple_of(align), 0);
}
