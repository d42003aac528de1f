// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Reads a GUID partition table (UEFI 2.10, section 5.3).
//!
//! The disk is not trusted: a table counts only when everything about it is right, and no two of
//! its partitions overlap. Which partition is whose is not decided here.

use alloc::vec::Vec;
use core::ops::Range;

use crc::{CRC_32_ISO_HDLC, Crc};

/// Sectors of a table: header, and 128 entries of 128 bytes. Longer ones are not read.
pub(crate) const TABLE_SECTORS: usize = 33;

const SECTOR_BYTES: usize = 512;
const ENTRIES_MAX: usize = 128;
const ENTRY_BYTES: usize = 128;
const HEADER_BYTES_MIN: usize = 92;
const CRC_IN_HEADER: Range<usize> = 16..20;
const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// A disk has the table twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// From sector 1 on, header first.
    Primary,
    /// At the end of the disk, header last.
    Backup,
}

impl Place {
    /// First of the [`TABLE_SECTORS`], on a disk that has room for both tables.
    pub(crate) fn first_sector(self, capacity: u64) -> Option<u64> {
        let backup = capacity.checked_sub(TABLE_SECTORS as u64)?;
        match self {
            Self::Primary => Some(1),
            Self::Backup => (backup > TABLE_SECTORS as u64).then_some(backup),
        }
    }
}

/// Where the partitions are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Partitions(Vec<Range<u64>>);

impl Partitions {
    /// The sectors of a partition, which are counted from 1.
    pub(crate) fn sectors(&self, number: u32) -> Option<Range<u64>> {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        self.0.get(index).filter(|range| !range.is_empty()).cloned()
    }
}

/// Reads the [`TABLE_SECTORS`] of a table.
///
/// # Errors
///
/// What is wrong with it.
pub(crate) fn read(bytes: &[u8], place: Place, capacity: u64) -> Result<Partitions, &'static str> {
    let first = place
        .first_sector(capacity)
        .ok_or("the disk is too small")?;
    let entries_end = TABLE_SECTORS - 1;
    let (header, entries, header_at, entries_at) = match place {
        Place::Primary => (0..1, 1..TABLE_SECTORS, first, first + 1),
        Place::Backup => (
            entries_end..TABLE_SECTORS,
            0..entries_end,
            first + entries_end as u64,
            first,
        ),
    };
    let part = |sectors: Range<usize>| {
        let range = sectors.start * SECTOR_BYTES..sectors.end * SECTOR_BYTES;
        bytes.get(range).ok_or("cut off")
    };
    let (header, entries) = (part(header)?, part(entries)?);
    check_header(header, header_at)?;
    if number(header, 72..80) != entries_at {
        return Err("its entries are elsewhere");
    }
    let count = number(header, 80..84) as usize;
    if count > ENTRIES_MAX || number(header, 84..88) as usize != ENTRY_BYTES {
        return Err("it has too many entries, or long ones");
    }
    let entries = &entries[..count * ENTRY_BYTES];
    if u64::from(CRC.checksum(entries)) != number(header, 88..92) {
        return Err("wrong checksum of the entries");
    }
    let usable = number(header, 40..48)..number(header, 48..56).saturating_add(1);
    if usable.end > capacity {
        return Err("it is of a larger disk");
    }
    partitions(entries, &usable)
}

fn check_header(header: &[u8], at: u64) -> Result<(), &'static str> {
    if !header.starts_with(b"EFI PART") {
        return Err("there is none");
    }
    let length = number(header, 12..16) as usize;
    if !(HEADER_BYTES_MIN..=SECTOR_BYTES).contains(&length) {
        return Err("impossible length of the header");
    }
    let mut digest = CRC.digest();
    digest.update(&header[..CRC_IN_HEADER.start]);
    digest.update(&[0; 4]);
    digest.update(&header[CRC_IN_HEADER.end..length]);
    if u64::from(digest.finalize()) != number(header, CRC_IN_HEADER) {
        return Err("wrong checksum of the header");
    }
    if number(header, 24..32) != at {
        return Err("it belongs elsewhere");
    }
    Ok(())
}

fn partitions(entries: &[u8], usable: &Range<u64>) -> Result<Partitions, &'static str> {
    let mut found = Vec::new();
    for entry in entries.chunks_exact(ENTRY_BYTES) {
        let used = entry[..16].iter().any(|byte| *byte != 0);
        let (first, last) = (number(entry, 32..40), number(entry, 40..48));
        let fits = usable.contains(&first) && usable.contains(&last) && first <= last;
        match used {
            true if fits => found.push(first..last + 1),
            true => return Err("a partition lies outside of what is usable"),
            false => found.push(0..0),
        }
    }
    let mut sorted: Vec<_> = found.iter().filter(|range| !range.is_empty()).collect();
    sorted.sort_unstable_by_key(|range| range.start);
    match sorted.windows(2).all(|pair| pair[0].end <= pair[1].start) {
        true => Ok(Partitions(found)),
        false => Err("two partitions overlap"),
    }
}

/// A little-endian number of up to eight bytes.
fn number(bytes: &[u8], range: Range<usize>) -> u64 {
    let mut wide = [0; 8];
    wide[..range.len()].copy_from_slice(&bytes[range]);
    u64::from_le_bytes(wide)
}

#[cfg(test)]
pub(crate) mod tests;
