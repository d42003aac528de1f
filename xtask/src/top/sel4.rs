// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Address spaces on seL4, read off the kernel's own tables.
//!
//! The Microkit's initialiser decides at boot where pages go, so no file says it. The kernel knows:
//! its ASID table leads to the page tables of every PD. The SDK's `sel4.elf` says where the ASID
//! table is; which PD a page table belongs to is found by the name that the Microkit tool has
//! written into the PD's image. Nothing is guessed: a kernel whose code in memory is not that of the
//! file, and a page table without a name, are left alone.
//!
//! Sources, seL4 16.0.0: `include/arch/arm/arch/64/mode/object/structures.bf` (`asid_map_vspace`,
//! `pte_*`), `kernel/vspace.c`. Hypervisor configuration with 40-bit physical addresses, hence three
//! levels of tables, the first with 1,024 entries.

use object::{Object, ObjectSection, ObjectSegment, ObjectSymbol};

use super::memory::{Cache, Physical, Space, Spaces};
use super::table::Files;
use crate::error::{Context, Error, Result};

const POOLS: u64 = 128;
const POOL_ENTRIES: usize = 512;
/// Bits 47..12 of an entry are an address.
const ADDRESS: u64 = 0xffff_ffff_f000;
/// Bits 1..0 of a page table entry: a table, or a page of the last level.
const TABLE: u64 = 3;
/// Bits 1..0: a block.
const BLOCK: u64 = 1;
/// Set in an entry of the last level, which otherwise looks like a table.
const SOFTWARE_PAGE: u64 = 1 << 58;
/// So much of the kernel's code is compared.
const CODE_BYTES: usize = 0x8000;

/// What the kernel's ELF file says.
pub struct Kernel {
    /// Kernel address minus physical address.
    offset: u64,
    asid_table: u64,
    code_at: u64,
    code: Vec<u8>,
}

impl Kernel {
    /// Reads the file.
    ///
    /// # Errors
    ///
    /// When it is not seL4.
    pub fn parse(elf: &[u8]) -> Result<Self> {
        let file = object::File::parse(elf).context("read the kernel's ELF file")?;
        let wrong = || Error::new("this is no ELF file of seL4 with symbols");
        let symbol = file
            .symbols()
            .find(|symbol| symbol.name() == Ok("armKSASIDTable"));
        let text = file.section_by_name(".text").ok_or_else(wrong)?;
        let segment = file.segments().next().ok_or_else(wrong)?;
        let paddr = physical_start(elf).ok_or_else(wrong)?;
        let code = text.data().context("read the kernel's code")?;
        Ok(Self {
            offset: segment.address() - paddr,
            asid_table: symbol.ok_or_else(wrong)?.address(),
            code_at: text.address(),
            code: code[..code.len().min(CODE_BYTES)].to_vec(),
        })
    }

    /// Whether the machine runs this kernel: its code is in memory.
    ///
    /// # Errors
    ///
    /// When the machine does not answer.
    pub fn runs<P: Physical>(&self, machine: &mut Cache<P>) -> Result<bool> {
        Ok(machine.read(self.code_at - self.offset, self.code.len())? == self.code)
    }

    /// Finds the PDs' page tables.
    ///
    /// # Errors
    ///
    /// When the machine does not answer, or has not started any PD yet.
    pub fn spaces<P: Physical>(
        &self,
        machine: &mut Cache<P>,
        files: &Files,
        config: &str,
    ) -> Result<Spaces> {
        let mut spaces = Spaces {
            kernel: format!("seL4, {config}"),
            of: std::collections::HashMap::new(),
        };
        for root in self.roots(machine)? {
            for (pd, name_at) in files.names() {
                let space = Space::Tables(root);
                let found = space.read(machine, name_at, pd.len() + 1)?;
                let is_it =
                    found.is_some_and(|bytes| bytes.strip_suffix(&[0]) == Some(pd.as_bytes()));
                if is_it {
                    spaces.of.insert(pd.to_owned(), space);
                }
            }
        }
        if spaces.of.is_empty() {
            return Err(Error::new("seL4 runs, but no PD of this system does yet")
                .help("was the image made again after the machine was started?"));
        }
        Ok(spaces)
    }

    /// Physical addresses of all roots of page tables.
    fn roots<P: Physical>(&self, machine: &mut Cache<P>) -> Result<Vec<u64>> {
        let mut roots = Vec::new();
        for pool in 0..POOLS {
            let pool = machine.word(self.asid_table - self.offset + pool * 8)?;
            let Some(pool) = pool.checked_sub(self.offset).filter(|pool| *pool != 0) else {
                continue;
            };
            let entries = machine.read(pool, POOL_ENTRIES * 8)?;
            for entry in entries.chunks_exact(8) {
                let entry = entry.try_into().map_or(0, u64::from_le_bytes);
                let is_vspace = entry & 1 == 1;
                let root = (entry & ADDRESS).checked_sub(self.offset);
                roots.extend(root.filter(|_| is_vspace));
            }
        }
        Ok(roots)
    }
}

/// `p_paddr` of the first segment, which `object` does not tell.
fn physical_start(elf: &[u8]) -> Option<u64> {
    use object::read::elf::{FileHeader, ProgramHeader};
    let header = object::elf::FileHeader64::<object::LittleEndian>::parse(elf).ok()?;
    let segments = header.program_headers(object::LittleEndian, elf).ok()?;
    let load = segments
        .iter()
        .find(|segment| segment.p_type(object::LittleEndian) == object::elf::PT_LOAD)?;
    Some(load.p_paddr(object::LittleEndian))
}

/// Walks the page tables at `root`.
///
/// # Errors
///
/// When the machine does not answer.
pub fn translate<P: Physical>(
    machine: &mut Cache<P>,
    root: u64,
    vaddr: u64,
) -> Result<Option<u64>> {
    if vaddr >> 40 != 0 {
        return Ok(None);
    }
    let mut table = root;
    for shift in [30, 21, 12] {
        let entries = if shift == 30 { 1024 } else { 512 };
        let entry = machine.word(table + (vaddr >> shift) % entries * 8)?;
        let within = vaddr & ((1 << shift) - 1);
        match entry & 3 {
            TABLE if shift > 12 && entry & SOFTWARE_PAGE == 0 => table = entry & ADDRESS,
            TABLE if shift == 12 => return Ok(Some((entry & ADDRESS) + within)),
            BLOCK if shift > 12 => {
                return Ok(Some((entry & ADDRESS & !((1 << shift) - 1)) + within));
            }
            _ => return Ok(None),
        }
    }
    Ok(None)
}
