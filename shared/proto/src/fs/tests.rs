// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Golden bytes of file requests and completions.

use super::*;

#[test]
fn golden_request() {
    let request = RequestWire {
        version: VERSION.into(),
        operation: (Operation::Rename as u16).into(),
        flags: RENAME_NO_REPLACE.into(),
        handle: Handle {
            inode: 0x11.into(),
            scope: 0.into(),
            generation: 0x2233.into(),
            seal: 0.into(),
        },
        offset: 0x4455_6677_8899.into(),
        offset_high: 1.into(),
        input: Place {
            offset: 8.into(),
            length: 5.into(),
        },
        output: Place {
            offset: 16.into(),
            length: 7.into(),
        },
        second_length: 6.into(),
        mode: 0o644.into(),
    };
    let golden: [u8; 72] = [
        3, 0, 10, 0, 0, 1, 0, 0, // version, operation, flags
        0x11, 0, 0, 0, 0, 0, 0, 0, 0x33, 0x22, 0, 0, 0, 0, 0, 0, // inode, generation
        0, 0, 0, 0, 0, 0, 0, 0, // seal
        0x99, 0x88, 0x77, 0x66, 0x55, 0x44, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, // offset
        8, 0, 0, 0, 5, 0, 0, 0, 16, 0, 0, 0, 7, 0, 0, 0, // input, output
        6, 0, 0, 0, 0xa4, 1, 0, 0, // second path, mode
    ];
    assert_eq!(request.as_bytes(), golden);
    assert_eq!(RequestWire::read_from_bytes(&golden).unwrap(), request);
}

#[test]
fn golden_completion() {
    let completion = CompletionWire {
        value: 0x0102.into(),
        extra: 3.into(),
        kind: (Kind::Directory as u16).into(),
        ..CompletionWire::failed(Errno::Stale)
    };
    let mut golden = [0; 48];
    golden[0] = 116;
    golden[2] = 2;
    golden[8..10].copy_from_slice(&[2, 1]);
    golden[16] = 3;
    assert_eq!(completion.as_bytes(), golden);
}

#[test]
fn every_changed_bit_of_a_completion_shows() {
    let mut wire = CompletionWire {
        value: 4096.into(),
        ..CompletionWire::default()
    };
    wire.handle.seal = 0x1234.into();
    assert!(!wire.is_whole(7));
    let wire = wire.decided(7);
    assert!(wire.is_whole(7) && !wire.is_whole(8));
    for bit in 0..8 * size_of::<CompletionWire>() {
        let mut changed = wire;
        changed.as_mut_bytes()[bit / 8] ^= 1 << (bit % 8);
        assert!(!changed.is_whole(7), "bit {bit}");
    }
    assert!(!CompletionWire::default().is_whole(0));
}

#[test]
fn numbers_are_abi() {
    assert_eq!(Operation::from_number(0), None);
    assert_eq!(Operation::from_number(19), None);
    for number in 1..19 {
        assert_eq!(Operation::from_number(number).unwrap() as u16, number);
    }
    assert_eq!(Errno::from_number(28), Some(Errno::NoSpace));
    assert_eq!(Errno::from_number(122), Some(Errno::Quota));
    assert_eq!(Errno::from_number(0), None);
    assert_eq!(Kind::from_number(4), Some(Kind::Other));
}

#[test]
fn golden_stat() {
    let stat = StatWire {
        size: 0x0102.into(),
        links: 3.into(),
        mtime: (-2).into(),
        atime: 1_000_000_007.into(),
        ..StatWire::default()
    };
    let mut golden = [0; 64];
    golden[..2].copy_from_slice(&[2, 1]);
    golden[24] = 3;
    golden[40..48].copy_from_slice(&(-2_i64).to_le_bytes());
    golden[56..60].copy_from_slice(&1_000_000_007_u32.to_le_bytes());
    assert_eq!(stat.as_bytes(), golden);
}

#[test]
fn the_table_of_open_files_is_behind_the_requests() {
    assert_eq!(open_files::entry_at(0), 0x6040);
    assert_eq!(open_files::REGION_BYTES, 0x9040);
}
