// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Physical memory of a machine, and address spaces in it.

use std::collections::HashMap;

use crate::error::Result;

/// Bytes of the smallest page.
pub const PAGE: u64 = 0x1000;
const PAGE_BYTES: usize = 0x1000;

/// Somebody who knows what is in a machine's physical memory.
pub trait Physical {
    /// Reads whole pages.
    ///
    /// # Errors
    ///
    /// When the machine does not answer.
    fn read_pages(&mut self, paddr: u64, count: usize) -> Result<Vec<u8>>;
}

/// Remembers pages, so that a walk through page tables does not ask for each word.
pub struct Cache<P> {
    inner: P,
    pages: HashMap<u64, Vec<u8>>,
}

impl<P: Physical> Cache<P> {
    /// Knows nothing yet.
    pub fn new(inner: P) -> Self {
        Self {
            inner,
            pages: HashMap::new(),
        }
    }

    /// Forgets all, because time has passed.
    pub fn forget(&mut self) {
        self.pages.clear();
    }

    /// Asks whether the machine is still there.
    ///
    /// # Errors
    ///
    /// When it is not.
    pub fn check(&mut self) -> Result<()> {
        self.inner.read_pages(0, 1).map(|_| ())
    }

    /// Reads bytes.
    ///
    /// # Errors
    ///
    /// When the machine does not answer.
    pub fn read(&mut self, paddr: u64, length: usize) -> Result<Vec<u8>> {
        let first = paddr / PAGE;
        let last = (paddr + length.max(1) as u64 - 1) / PAGE;
        let missing = (first..=last).any(|page| !self.pages.contains_key(&page));
        if missing {
            let count = usize::try_from(last - first).unwrap_or(0) + 1;
            let bytes = self.inner.read_pages(first * PAGE, count)?;
            for (page, bytes) in (first..=last).zip(bytes.chunks(PAGE_BYTES)) {
                self.pages.insert(page, bytes.to_vec());
            }
        }
        let mut all = Vec::new();
        for page in first..=last {
            all.extend_from_slice(self.pages.get(&page).map_or(&[], Vec::as_slice));
        }
        let start = usize::try_from(paddr % PAGE).unwrap_or(0);
        Ok(all
            .get(start..start + length)
            .map(<[u8]>::to_vec)
            .unwrap_or_default())
    }

    /// Reads one word.
    ///
    /// # Errors
    ///
    /// When the machine does not answer.
    pub fn word(&mut self, paddr: u64) -> Result<u64> {
        let bytes = self.read(paddr, 8)?;
        Ok(bytes.try_into().map_or(0, u64::from_le_bytes))
    }
}

/// Where a PD's addresses are in physical memory.
#[derive(Clone, Debug)]
pub enum Space {
    /// Page tables of seL4 on AArch64; the payload is the physical address of the root.
    Tables(u64),
    /// Known pieces: address, physical address, bytes.
    Pieces(Vec<(u64, u64, u64)>),
}

/// All PDs' address spaces, and whose.
#[derive(Clone, Debug)]
pub struct Spaces {
    /// For people.
    pub kernel: String,
    /// By PD.
    pub of: HashMap<String, Space>,
}

impl Space {
    /// Physical address of `vaddr`, if it is mapped.
    ///
    /// # Errors
    ///
    /// When the machine does not answer.
    pub fn translate<P: Physical>(
        &self,
        machine: &mut Cache<P>,
        vaddr: u64,
    ) -> Result<Option<u64>> {
        match self {
            Self::Tables(root) => super::sel4::translate(machine, *root, vaddr),
            Self::Pieces(pieces) => {
                let piece = pieces
                    .iter()
                    .find(|(start, _, size)| vaddr >= *start && vaddr - start < *size);
                Ok(piece.map(|(start, paddr, _)| paddr + (vaddr - start)))
            }
        }
    }

    /// Reads bytes at an address of the PD; `None` when not all of them are mapped.
    ///
    /// # Errors
    ///
    /// When the machine does not answer.
    pub fn read<P: Physical>(
        &self,
        machine: &mut Cache<P>,
        vaddr: u64,
        length: usize,
    ) -> Result<Option<Vec<u8>>> {
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            let at = vaddr + bytes.len() as u64;
            let Some(start) = self.translate(machine, at)? else {
                return Ok(None);
            };
            // As many pages as follow each other in physical memory, too.
            let mut run = PAGE - at % PAGE;
            let left = (length - bytes.len()) as u64;
            while run < left && self.translate(machine, at + run)? == Some(start + run) {
                run += PAGE;
            }
            let run = usize::try_from(run.min(left)).unwrap_or(PAGE_BYTES);
            let part = machine.read(start, run)?;
            if part.len() != run {
                return Ok(None);
            }
            bytes.extend(part);
        }
        Ok(Some(bytes))
    }
}
