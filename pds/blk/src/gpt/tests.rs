// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Tables that are right, and every way in which one can be wrong.

use super::*;

const CAPACITY: u64 = 2048;

/// A table with these partitions (first and last sector), as it is on a disk at `place`.
pub(crate) fn table(place: Place, capacity: u64, partitions: &[(u64, u64)]) -> Vec<u8> {
    let mut entries = vec![0; ENTRIES_MAX * ENTRY_BYTES];
    for (entry, (first, last)) in entries.chunks_exact_mut(ENTRY_BYTES).zip(partitions) {
        entry[..16].fill(0xaf);
        entry[16..32].fill(first.to_le_bytes()[0]);
        entry[32..40].copy_from_slice(&first.to_le_bytes());
        entry[40..48].copy_from_slice(&last.to_le_bytes());
    }
    let first = place.first_sector(capacity).unwrap();
    let (header_at, entries_at) = match place {
        Place::Primary => (first, first + 1),
        Place::Backup => (first + 32, first),
    };
    let mut header = vec![0; SECTOR_BYTES];
    header[..8].copy_from_slice(b"EFI PART");
    header[8..12].copy_from_slice(&0x0001_0000_u32.to_le_bytes());
    header[12..16].copy_from_slice(&92_u32.to_le_bytes());
    let words = [
        (24, header_at),
        (40, 34),
        (48, capacity - 34),
        (72, entries_at),
    ];
    for (at, word) in words {
        header[at..at + 8].copy_from_slice(&word.to_le_bytes());
    }
    header[80..84].copy_from_slice(&(ENTRIES_MAX as u32).to_le_bytes());
    header[84..88].copy_from_slice(&(ENTRY_BYTES as u32).to_le_bytes());
    let crc = CRC.checksum(&entries);
    header[88..92].copy_from_slice(&crc.to_le_bytes());
    seal(&mut header);
    match place {
        Place::Primary => [header, entries].concat(),
        Place::Backup => [entries, header].concat(),
    }
}

fn seal(header: &mut [u8]) {
    header[CRC_IN_HEADER].fill(0);
    let crc = CRC.checksum(&header[..92]);
    header[CRC_IN_HEADER].copy_from_slice(&crc.to_le_bytes());
}

#[test]
fn both_tables_are_read() {
    for place in [Place::Primary, Place::Backup] {
        let bytes = table(place, CAPACITY, &[(34, 99), (1000, 1000)]);
        let partitions = read(&bytes, place, CAPACITY).unwrap();
        assert_eq!(partitions.sectors(1), Some(34..100));
        assert_eq!(partitions.sectors(2), Some(1000..1001));
        for missing in [0, 3, 128, 129, u32::MAX] {
            assert_eq!(partitions.sectors(missing), None);
        }
    }
}

#[test]
fn partitions_that_overlap_or_leave_the_disk_are_refused() {
    let cases: [&[(u64, u64)]; 6] = [
        &[(34, 100), (100, 200)],
        &[(34, 400), (100, 200)],
        &[(33, 100)],
        &[(34, CAPACITY - 33)],
        &[(100, 99)],
        &[(34, u64::MAX)],
    ];
    for partitions in cases {
        let bytes = table(Place::Primary, CAPACITY, partitions);
        assert!(
            read(&bytes, Place::Primary, CAPACITY).is_err(),
            "{partitions:?}"
        );
    }
}

#[test]
fn a_table_of_another_place_or_disk_is_refused() {
    let bytes = table(Place::Primary, CAPACITY, &[(34, 99)]);
    assert!(read(&bytes, Place::Backup, CAPACITY).is_err());
    assert_eq!(
        read(&bytes, Place::Primary, CAPACITY - 34),
        Err("it is of a larger disk")
    );
    assert_eq!(
        read(&bytes, Place::Primary, 40),
        Err("it is of a larger disk")
    );
    assert_eq!(
        read(&bytes, Place::Primary, 20),
        Err("the disk is too small")
    );
    assert_eq!(
        read(&bytes[..1024], Place::Primary, CAPACITY),
        Err("cut off")
    );
    assert_eq!(
        read(&[0; 33 * 512], Place::Primary, CAPACITY),
        Err("there is none")
    );
}

/// Every bit of what counts is under a checksum, or has one right value.
#[test]
fn every_flipped_bit_is_noticed() {
    let good = table(Place::Primary, CAPACITY, &[(34, 99), (100, 200)]);
    let flips = (0..92 * 8).chain(512 * 8..768 * 8);
    for bit in flips {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(read(&bytes, Place::Primary, CAPACITY).is_err(), "bit {bit}");
    }
}

/// A hostile disk seals what it likes: a verdict, and never a sector beyond the end.
#[test]
fn any_sealed_header_gets_a_verdict() {
    let good = table(Place::Primary, CAPACITY, &[(34, 99)]);
    for at in (12..92).filter(|at| !CRC_IN_HEADER.contains(at)) {
        for byte in 0..=u8::MAX {
            let mut bytes = good.clone();
            bytes[at] = byte;
            seal(&mut bytes[..SECTOR_BYTES]);
            if let Ok(partitions) = read(&bytes, Place::Primary, CAPACITY) {
                assert!(
                    partitions
                        .sectors(1)
                        .is_some_and(|range| range.end <= CAPACITY)
                );
            }
        }
    }
}
