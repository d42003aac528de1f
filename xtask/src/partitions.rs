// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Makes a disk with a GUID partition table (UEFI 2.10, section 5.3) for tests, and looks afterwards
//! whether anything outside of the partitions that were in use has changed.
//!
//! Written from the specification, not from the driver's reader.

use std::ops::RangeInclusive;
use std::path::Path;

use crate::error::{Context, Error, Result};
use crate::{disk, workspace};

const SECTOR: usize = 512;
const ENTRIES: usize = 128;
const ENTRY: usize = 128;
/// Linux file system data.
const TYPE: [u8; 16] = [
    0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84, 0x72, 0x47, 0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d, 0xe4,
];
/// First and last sectors.
const PARTITIONS: [RangeInclusive<u64>; 3] = [2048..=34_815, 34_816..=67_583, 67_584..=100_351];
/// Which of them a test's clients have.
const USED: [usize; 2] = [0, 2];

/// Makes an empty disk with three partitions of 16 MiB.
///
/// # Errors
///
/// When the image cannot be written.
pub fn make(image: &Path, megabytes: u64) -> Result<()> {
    disk::make_blank(image, megabytes)?;
    workspace::write(image, &with_tables((megabytes << 20) as usize / SECTOR))
}

/// The disk, with table and copy.
fn with_tables(sectors: usize) -> Vec<u8> {
    let mut bytes = vec![0; sectors * SECTOR];
    let mut entries = vec![0; ENTRIES * ENTRY];
    for (index, (entry, range)) in entries.chunks_mut(ENTRY).zip(PARTITIONS).enumerate() {
        entry[..16].copy_from_slice(&TYPE);
        entry[16] = index as u8 + 1;
        entry[32..40].copy_from_slice(&range.start().to_le_bytes());
        entry[40..48].copy_from_slice(&range.end().to_le_bytes());
    }
    let last = sectors as u64 - 1;
    let copies = [(1, last, 2), (last, 1, last - 32)];
    for (place, other, entries_at) in copies {
        let at = entries_at as usize * SECTOR;
        bytes[at..at + entries.len()].copy_from_slice(&entries);
        let header = header(place, other, entries_at, last, &entries);
        bytes[place as usize * SECTOR..][..header.len()].copy_from_slice(&header);
    }
    // The protective record of the old kind of table: one partition of type 0xee over everything.
    bytes[446 + 4] = 0xee;
    bytes[446 + 8] = 1;
    bytes[446 + 12..446 + 16].copy_from_slice(&(last as u32).to_le_bytes());
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    bytes
}

fn header(place: u64, other: u64, entries_at: u64, last: u64, entries: &[u8]) -> Vec<u8> {
    let mut header = b"EFI PART\0\0\x01\0\x5c\0\0\0".to_vec();
    header.extend([0; 8]);
    for word in [place, other, 34, last - 33] {
        header.extend(word.to_le_bytes());
    }
    header.extend([0x6b; 16]);
    header.extend(entries_at.to_le_bytes());
    for word in [ENTRIES as u32, ENTRY as u32, crc32(entries)] {
        header.extend(word.to_le_bytes());
    }
    let crc = crc32(&header);
    header[16..20].copy_from_slice(&crc.to_le_bytes());
    header
}

/// CRC-32 of IEEE 802.3, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let crc = bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 * (crc & 1))
        })
    });
    !crc
}

/// Checks that nothing outside of the used partitions was written, and something inside was.
///
/// # Errors
///
/// Names the first sector that is not as it was.
pub fn check(image: &Path, _: &Path) -> Result<()> {
    let bytes = std::fs::read(image).context(format!("read '{}'", image.display()))?;
    let expected = with_tables(bytes.len() / SECTOR);
    let mut written = [0; USED.len()];
    for (sector, (is, was)) in bytes
        .chunks(SECTOR)
        .zip(expected.chunks(SECTOR))
        .enumerate()
    {
        if is == was {
            continue;
        }
        let home = USED
            .iter()
            .position(|used| PARTITIONS[*used].contains(&(sector as u64)));
        match home {
            Some(home) => written[home] += 1,
            None => {
                return Err(Error::new(format!(
                    "sector {sector} was written, which is nobody's"
                )));
            }
        }
    }
    match written.contains(&0) {
        true => Err(Error::new("a partition was not written at all")),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::{check, crc32, make};

    #[test]
    fn the_checksum_is_the_standard_one() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn foreign_sectors_are_noticed() {
        let folder = std::env::temp_dir().join(format!("kintsugi-gpt-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let image = folder.join("disk.img");
        make(&image, 64).unwrap();
        let mut bytes = std::fs::read(&image).unwrap();
        assert!(check(&image, &folder).is_err());
        for sector in [2048, 100_351] {
            bytes[sector * 512] = 1;
        }
        std::fs::write(&image, &bytes).unwrap();
        check(&image, &folder).unwrap();
        for sector in [1, 5, 34_816, 100_352] {
            let mut bytes = bytes.clone();
            bytes[sector * 512 + 100] ^= 1;
            std::fs::write(&image, &bytes).unwrap();
            assert!(check(&image, &folder).is_err(), "{sector}");
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
