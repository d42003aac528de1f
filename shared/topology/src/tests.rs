// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What goes in comes out, and nothing damaged is believed.

use crate::builder::{BadName, Builder};
use crate::{
    Channel, Child, Parts, Perms, Region, SavedElf, Topology, TopologyError, Window, wire,
};

const READ: Perms = Perms {
    read: true,
    write: false,
    execute: false,
};

fn region(name: &str, vaddr: u64) -> Region<'_> {
    Region {
        name,
        vaddr,
        size: 0x1000,
        paddr: 0,
        perms: READ,
    }
}

fn channel(peer: &str, id: u8) -> Channel<'_> {
    let (notify, pp, peer_notify, peer_pp) = (true, false, true, true);
    Channel {
        peer,
        id,
        peer_id: 61,
        notify,
        pp,
        peer_notify,
        peer_pp,
    }
}

fn child(name: &str) -> Child<'_> {
    let parts = Parts {
        code: Window {
            vaddr: 0x1_0000_0000,
            vaddr_in_child: 0x1000_0000,
            size: 0x8_0000,
        },
        data: Window {
            vaddr: 0x1_0400_0000,
            vaddr_in_child: 0x2000_0000,
            size: 0x10_0000,
        },
        elf: SavedElf {
            vaddr: 0x1_0800_0000,
            size: 0x2000,
            file_len: 0x1234,
        },
    };
    Child {
        name,
        id: 3,
        priority: 120,
        parts: Some(parts),
    }
}

fn sample() -> Vec<u8> {
    let mut builder = Builder::new("fs").unwrap();
    builder
        .region(&region("app_to_fs_requests", 0x8000_0000))
        .unwrap();
    builder
        .region(&region("other_to_fs_requests", 0x8100_0000))
        .unwrap();
    builder
        .region(&region("app_to_fs_data", 0x8200_0000))
        .unwrap();
    builder
        .region(&region("_to_fs_requests", 0x8300_0000))
        .unwrap();
    builder
        .region(&region("app_to_xfs_requests", 0x8400_0000))
        .unwrap();
    builder.channel(&channel("blk", 2)).unwrap();
    builder.channel(&channel("app", 3)).unwrap();
    builder.child(&child("one")).unwrap();
    builder
        .child(&Child {
            parts: None,
            ..child("two")
        })
        .unwrap();
    builder.finish()
}

#[test]
fn reads_back_what_was_built() {
    let mut bytes = sample();
    bytes.resize(0x1000, 0); // As a prefilled region shows it.
    let table = Topology::parse(&bytes).unwrap();
    assert_eq!(table.name(), "fs");
    assert_eq!(table.regions().count(), 5);
    assert_eq!(
        table.region("app_to_fs_data"),
        Some(region("app_to_fs_data", 0x8200_0000))
    );
    assert_eq!(table.region("app_to_fs"), None);
    assert_eq!(table.channel_to("app"), Some(channel("app", 3)));
    assert_eq!(table.channel_to("nobody"), None);
    let children: Vec<_> = table.children().collect();
    assert_eq!(
        children,
        [
            child("one"),
            Child {
                parts: None,
                ..child("two")
            }
        ]
    );
}

#[test]
fn finds_clients_by_region_name() {
    let bytes = sample();
    let table = Topology::parse(&bytes).unwrap();
    let clients: Vec<_> = table
        .clients("fs", "requests")
        .map(|(name, region)| (name, region.vaddr))
        .collect();
    assert_eq!(clients, [("app", 0x8000_0000), ("other", 0x8100_0000)]);
    assert_eq!(table.clients("blk", "requests").count(), 0);
}

#[test]
fn refuses_every_cut_and_every_flipped_bit() {
    let bytes = sample();
    for length in 0..bytes.len() {
        assert_eq!(
            Topology::parse(&bytes[..length]).unwrap_err(),
            TopologyError::Truncated
        );
    }
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(Topology::parse(&damaged).is_err(), "bit {bit}");
    }
}

#[test]
fn refuses_an_inconsistent_table_with_a_right_checksum() {
    let mut bytes = sample();
    bytes[wire::CHECKSUM_START] += 1; // One region more than there is room for.
    let checksum = wire::checksum(&bytes[wire::CHECKSUM_START..]);
    bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
    assert_eq!(
        Topology::parse(&bytes).unwrap_err(),
        TopologyError::Malformed
    );
}

#[test]
fn names_the_reason() {
    assert_eq!(
        Topology::parse(&[0; 4096]).unwrap_err(),
        TopologyError::BadMagic
    );
    let mut bytes = sample();
    bytes[4] = 9;
    assert_eq!(
        Topology::parse(&bytes).unwrap_err(),
        TopologyError::BadVersion(9)
    );
}

#[test]
fn refuses_long_names() {
    let fits = "n".repeat(47);
    let long = "n".repeat(48);
    assert!(Builder::new(&fits).is_ok());
    assert_eq!(Builder::new(&long).unwrap_err(), BadName(long));
}

/// The layout is an interface between separately built files, so its bytes are pinned.
#[test]
fn golden_bytes() {
    let bytes = Builder::new("a").unwrap().finish();
    assert_eq!(bytes.len(), 80);
    assert_eq!(
        bytes[..12],
        [b'K', b'T', b'O', b'P', 2, 0, 0, 0, 80, 0, 0, 0]
    );
    assert_eq!(bytes[16..32], [0; 16]);
    assert_eq!(bytes[32..34], [b'a', 0]);
}
