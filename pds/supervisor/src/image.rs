// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Reads the saved ELF of a child and says which bytes go where.
//!
//! The file comes from the build, not from a peer. It is checked all the same: a wrong file (cut
//! off, of another PD, linked otherwise) must end in an error that names the cause, not in a child
//! that runs on half a program.
//!
//! Source: System V ABI, ELF-64 object file format.

use core::ops::Range;

use recovery::{CODE_BASE, DATA_BASE, LastLife, StartInfo};
use sel4_shared_memory::{SharedMut, SharedRef};
use topology::{Parts, Window};
use zerocopy::IntoBytes;
use zerocopy::little_endian::{U32, U64};

use crate::extent::Extent;

/// Most loadable segments that a child may have; `pd.ld` makes five and the boot segment.
const SEGMENTS_MAX: usize = 8;

const HEADER_BYTES: usize = 64;
const PROGRAM_HEADER_BYTES: usize = 56;
const PT_LOAD: u32 = 1;
/// Segment flag "executable".
const PF_X: u32 = 1;
/// Restored at once, where one instruction is wrong.
const PAGE_BYTES: usize = 0x1000;
/// Compared with the saved ELF around the instruction at which a child died.
const LINE_BYTES: usize = 64;

/// Why a saved ELF cannot be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageError {
    /// Not a 64-bit little-endian ELF file.
    NotElf,
    /// The file ends before what its headers promise.
    CutOff,
    /// More loadable segments than a PD has.
    TooManySegments,
    /// A segment that lies in neither of the child's regions; the payload is its address.
    Outside(u64),
    /// The entry is in no code segment; the payload is the entry.
    Entry(u64),
    /// The data segment does not start with start information: not linked with `pd.ld`.
    NoStartInfo,
}

impl core::fmt::Display for ImageError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NotElf => f.write_str("saved ELF: not a 64-bit little-endian ELF file"),
            Self::CutOff => f.write_str("saved ELF: cut off"),
            Self::TooManySegments => f.write_str("saved ELF: too many segments"),
            Self::Outside(vaddr) => {
                write!(
                    f,
                    "saved ELF: segment at {vaddr:#x} is outside of the code and data regions"
                )
            }
            Self::Entry(entry) => write!(f, "saved ELF: entry {entry:#x} is in no code segment"),
            Self::NoStartInfo => {
                f.write_str("saved ELF: no start information, not linked with pd.ld")
            }
        }
    }
}

/// One segment to load: `file` bytes of the ELF go to `offset` of the region, zeros after them up
/// to `memory_bytes`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// Offset in the saved ELF.
    pub file_offset: usize,
    /// Bytes that are in the file.
    pub file_bytes: usize,
    /// Offset in the code or data region.
    pub offset: usize,
    /// Bytes that the segment takes in memory.
    pub memory_bytes: usize,
    /// Whether it goes to the data region.
    pub is_data: bool,
    /// Whether it has instructions.
    pub is_executable: bool,
}

/// What a life of a child starts from.
#[derive(Clone, Debug)]
pub struct Image {
    /// Address of the first instruction.
    pub entry: u64,
    /// Address of the code region in the child.
    code_base: u64,
    segments: [Segment; SEGMENTS_MAX],
    count: usize,
    start_info: StartInfo,
    start_info_offset: usize,
}

/// What the supervisor writes into a child's start information.
#[derive(Clone, Copy, Debug)]
pub struct Life {
    /// How often the child has been restarted.
    pub epoch: u32,
    /// Counter at the fault that ended the last life.
    pub fault_ticks: u64,
    /// Address of the IPC buffer, the same in every PD.
    pub ipc_buffer: u64,
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    let mut value = [0; 8];
    value.copy_from_slice(&bytes[offset..offset + 8]);
    u64::from_le_bytes(value)
}

fn read<const N: usize>(elf: &SharedRef, offset: u64) -> Result<[u8; N], ImageError> {
    let offset = usize::try_from(offset).map_err(|_| ImageError::CutOff)?;
    let end = offset.checked_add(N).ok_or(ImageError::CutOff)?;
    if end > elf.len() {
        return Err(ImageError::CutOff);
    }
    let mut bytes = [0; N];
    elf.read_bytes(offset, &mut bytes);
    Ok(bytes)
}

/// Offset of `[vaddr, vaddr + bytes)` in a region that the child sees as `window`.
fn offset_in(window: &Window, vaddr: u64, bytes: u64) -> Option<usize> {
    let offset = vaddr.checked_sub(window.vaddr_in_child)?;
    (offset.checked_add(bytes)? <= window.size).then_some(offset as usize)
}

impl Image {
    /// Checks the saved ELF in `elf` (exactly the file's bytes) against the child's regions.
    pub fn parse(elf: &SharedRef, parts: &Parts) -> Result<Self, ImageError> {
        let header: [u8; HEADER_BYTES] = read(elf, 0).map_err(|_| ImageError::NotElf)?;
        if !header.starts_with(b"\x7fELF\x02\x01") {
            return Err(ImageError::NotElf);
        }
        let table = u64_at(&header, 32);
        let header_count = u16::from_le_bytes([header[56], header[57]]);
        let mut image = Self {
            entry: u64_at(&header, 24),
            code_base: parts.code.vaddr_in_child,
            segments: [Segment::default(); SEGMENTS_MAX],
            count: 0,
            start_info: EMPTY_START_INFO,
            start_info_offset: usize::MAX,
        };
        for index in 0..u64::from(header_count) {
            let offset = index
                .checked_mul(PROGRAM_HEADER_BYTES as u64)
                .and_then(|offset| offset.checked_add(table))
                .ok_or(ImageError::CutOff)?;
            image.add(elf, parts, &read(elf, offset)?)?;
        }
        if image.start_info_offset == usize::MAX {
            return Err(ImageError::NoStartInfo);
        }
        let entry_is_code = image.segments().iter().any(|segment| {
            let start = parts.code.vaddr_in_child + segment.offset as u64;
            let range = start..start + segment.file_bytes as u64;
            !segment.is_data && range.contains(&image.entry)
        });
        if entry_is_code {
            Ok(image)
        } else {
            Err(ImageError::Entry(image.entry))
        }
    }

    fn add(
        &mut self,
        elf: &SharedRef,
        parts: &Parts,
        header: &[u8; PROGRAM_HEADER_BYTES],
    ) -> Result<(), ImageError> {
        let kind = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
        let flags = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
        let [file_offset, vaddr, _, file_bytes, memory_bytes] =
            [8, 16, 24, 32, 40].map(|offset| u64_at(header, offset));
        // The boot segment is the tool's business; a segment without bytes in the file is scratch.
        let is_boot = vaddr < CODE_BASE;
        if kind != PT_LOAD || is_boot || memory_bytes == 0 {
            return Ok(());
        }
        let data = offset_in(&parts.data, vaddr, memory_bytes);
        let code = offset_in(&parts.code, vaddr, memory_bytes);
        let offset = data.or(code).ok_or(ImageError::Outside(vaddr))?;
        if file_bytes == 0 {
            return Ok(());
        }
        let file_end = file_offset
            .checked_add(file_bytes)
            .ok_or(ImageError::CutOff)?;
        if file_end > elf.len() as u64 || file_bytes > memory_bytes {
            return Err(ImageError::CutOff);
        }
        if self.count == SEGMENTS_MAX {
            return Err(ImageError::TooManySegments);
        }
        let segment = Segment {
            file_offset: file_offset as usize,
            file_bytes: file_bytes as usize,
            offset,
            memory_bytes: memory_bytes as usize,
            is_data: data.is_some(),
            is_executable: flags & PF_X != 0,
        };
        if segment.is_data && self.start_info_offset == usize::MAX {
            let bytes: [u8; size_of::<StartInfo>()] =
                read(elf, file_offset).map_err(|_| ImageError::NoStartInfo)?;
            self.start_info = StartInfo::parse(&bytes).map_err(|_| ImageError::NoStartInfo)?;
            self.start_info_offset = offset;
        }
        self.segments[self.count] = segment;
        self.count += 1;
        Ok(())
    }

    /// The segments to load.
    pub fn segments(&self) -> &[Segment] {
        &self.segments[..self.count]
    }

    /// Addresses of the child's stack.
    pub fn stack(&self) -> Range<u64> {
        self.start_info.stack_bottom.get()..self.start_info.stack_top.get()
    }

    /// Offset of the start information in the data region.
    pub const fn start_info_offset(&self) -> usize {
        self.start_info_offset
    }

    /// Offset in the data region of what a life finds of the last one, if it all lies in there.
    pub fn last_life_offset(&self, data: &SharedRef) -> Option<usize> {
        let offset = self.start_info.last_life.get().checked_sub(DATA_BASE)?;
        let end = offset.checked_add(size_of::<LastLife>() as u64)?;
        (end <= data.len() as u64 && offset.is_multiple_of(8)).then_some(offset as usize)
    }

    /// Where in the code region `pc` is, in its program or behind that.
    pub fn region_offset(&self, pc: u64, code: &SharedMut) -> Option<usize> {
        let offset = pc.checked_sub(self.code_base)?;
        let inside = offset < code.len() as u64 && offset.is_multiple_of(4);
        inside.then_some(offset as usize)
    }

    /// The segment of code that has the byte at `offset` of the code region.
    fn code_segment(&self, offset: usize) -> Option<&Segment> {
        self.segments().iter().find(|segment| {
            let bytes = segment.offset..segment.offset + segment.file_bytes;
            !segment.is_data && bytes.contains(&offset)
        })
    }

    /// Where in the code region the instruction at `pc` is; `None` when `pc` is in no code.
    pub fn code_offset(&self, pc: u64) -> Option<usize> {
        let offset = usize::try_from(pc.checked_sub(self.code_base)?).ok()?;
        let segment = self.code_segment(offset)?;
        (segment.is_executable && offset.is_multiple_of(4)).then_some(offset)
    }

    /// Whether the instructions around `offset` of the code region are those of the saved ELF.
    pub fn is_intact(&self, elf: &SharedRef, code: &SharedMut, offset: usize) -> bool {
        let Some(segment) = self.code_segment(offset) else {
            return false;
        };
        let start = (offset & !(LINE_BYTES - 1)).max(segment.offset);
        let rest = segment.offset + segment.file_bytes - start;
        if rest < LINE_BYTES {
            // The end of the code.
            let (mut found, mut saved) = ([0u8; LINE_BYTES], [0u8; LINE_BYTES]);
            code.read_bytes(start, &mut found[..rest]);
            elf.read_bytes(segment.saved(start), &mut saved[..rest]);
            return found == saved;
        }
        type Line = [u64; LINE_BYTES / 8];
        code.read::<Line>(start) == elf.read::<Line>(segment.saved(start))
    }

    /// Loads all data and as much code as `extent` says, and writes the start information of the
    /// new life. Returns the bytes of the code region whose instructions have been written.
    ///
    /// The child must not be running.
    pub fn load(
        &self,
        elf: &SharedRef,
        code: &mut SharedMut,
        data: &mut SharedMut,
        life: Life,
        extent: Extent,
    ) -> Range<usize> {
        let mut written = 0..0;
        for segment in self.segments() {
            if segment.is_data {
                fill_segment(segment, elf, data);
            } else if extent == Extent::All {
                fill_segment(segment, elf, code);
                if segment.is_executable {
                    written = segment.offset..segment.offset + segment.memory_bytes;
                }
            }
        }
        if let Extent::Page(offset) = extent {
            written = self.load_page(elf, code, offset);
        }
        let mut info = self.start_info;
        info.epoch = U32::new(life.epoch);
        info.ipc_buffer = U64::new(life.ipc_buffer);
        info.fault_ticks = U64::new(life.fault_ticks);
        data.write_bytes(self.start_info_offset, info.as_bytes());
        written
    }

    fn load_page(&self, elf: &SharedRef, code: &mut SharedMut, offset: usize) -> Range<usize> {
        let Some(segment) = self.code_segment(offset) else {
            return 0..0;
        };
        let start = (offset & !(PAGE_BYTES - 1)).max(segment.offset);
        let end = (start + PAGE_BYTES).min(segment.offset + segment.file_bytes);
        code.copy_from(start, elf, segment.saved(start), end - start);
        start..end
    }
}

impl Segment {
    /// Where in the saved ELF the byte at `offset` of the region comes from.
    const fn saved(&self, offset: usize) -> usize {
        self.file_offset + offset - self.offset
    }
}

fn fill_segment(segment: &Segment, elf: &SharedRef, region: &mut SharedMut) {
    region.copy_from(segment.offset, elf, segment.file_offset, segment.file_bytes);
    let zeros = segment.memory_bytes - segment.file_bytes;
    if zeros > 0 {
        region.fill(segment.offset + segment.file_bytes, zeros, 0);
    }
}

const EMPTY_START_INFO: StartInfo = StartInfo {
    magic: U64::ZERO,
    version: U32::ZERO,
    epoch: U32::ZERO,
    ipc_buffer: U64::ZERO,
    stack_bottom: U64::ZERO,
    stack_top: U64::ZERO,
    fault_ticks: U64::ZERO,
    last_life: U64::ZERO,
    reserved: U64::ZERO,
};

#[cfg(test)]
mod tests;
