// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Makes a table on the host, from the same types that the reader returns.

use zerocopy::IntoBytes;

use crate::wire::{self, ChannelWire, ChildWire, HeaderWire, NameWire, RegionWire};
use crate::{Channel, Child, Region};

/// A name that does not fit: longer than 47 bytes, or with a NUL in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadName(pub String);

impl core::fmt::Display for BadName {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let most = wire::NAME_BYTES - 1;
        write!(
            f,
            "name '{}' must have at most {most} bytes and no NUL",
            self.0
        )
    }
}

impl core::error::Error for BadName {}

/// Collects the entries of one PD's table.
#[derive(Debug)]
pub struct Builder {
    name: NameWire,
    regions: Vec<RegionWire>,
    channels: Vec<ChannelWire>,
    children: Vec<ChildWire>,
}

impl Builder {
    /// Starts the table of the PD called `pd`.
    ///
    /// # Errors
    ///
    /// [`BadName`] when the name does not fit.
    pub fn new(pd: &str) -> Result<Self, BadName> {
        let (regions, channels, children) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self {
            name: name_wire(pd)?,
            regions,
            channels,
            children,
        })
    }

    /// Adds a mapped region.
    ///
    /// # Errors
    ///
    /// [`BadName`] when its name does not fit.
    pub fn region(&mut self, region: &Region<'_>) -> Result<&mut Self, BadName> {
        let perms = flag(region.perms.read, wire::PERM_READ)
            | flag(region.perms.write, wire::PERM_WRITE)
            | flag(region.perms.execute, wire::PERM_EXECUTE);
        self.regions.push(RegionWire {
            name: name_wire(region.name)?,
            vaddr: region.vaddr.into(),
            size: region.size.into(),
            paddr: region.paddr.into(),
            perms,
            reserved: [0; 7],
        });
        Ok(self)
    }

    /// Adds a channel end.
    ///
    /// # Errors
    ///
    /// [`BadName`] when the peer's name does not fit.
    pub fn channel(&mut self, channel: &Channel<'_>) -> Result<&mut Self, BadName> {
        let flags = flag(channel.notify, wire::FLAG_NOTIFY)
            | flag(channel.pp, wire::FLAG_PP)
            | flag(channel.peer_notify, wire::FLAG_PEER_NOTIFY)
            | flag(channel.peer_pp, wire::FLAG_PEER_PP);
        self.channels.push(ChannelWire {
            peer: name_wire(channel.peer)?,
            id: channel.id,
            peer_id: channel.peer_id,
            flags,
            reserved: [0; 5],
        });
        Ok(self)
    }

    /// Adds a child.
    ///
    /// # Errors
    ///
    /// [`BadName`] when its name does not fit.
    pub fn child(&mut self, child: &Child<'_>) -> Result<&mut Self, BadName> {
        let (code, data, elf) = match child.parts {
            Some(parts) => (Some(parts.code), Some(parts.data), Some(parts.elf)),
            None => (None, None, None),
        };
        self.children.push(ChildWire {
            name: name_wire(child.name)?,
            id: child.id,
            priority: child.priority,
            restartable: u8::from(child.parts.is_some()),
            reserved: [0; 5],
            code_vaddr: code.map_or(0, |window| window.vaddr).into(),
            code_vaddr_in_child: code.map_or(0, |window| window.vaddr_in_child).into(),
            code_size: code.map_or(0, |window| window.size).into(),
            data_vaddr: data.map_or(0, |window| window.vaddr).into(),
            data_vaddr_in_child: data.map_or(0, |window| window.vaddr_in_child).into(),
            data_size: data.map_or(0, |window| window.size).into(),
            elf_vaddr: elf.map_or(0, |elf| elf.vaddr).into(),
            elf_size: elf.map_or(0, |elf| elf.size).into(),
            elf_file_len: elf.map_or(0, |elf| elf.file_len).into(),
        });
        Ok(self)
    }

    /// Bytes of the table as it stands; the region that holds it must be at least as large.
    pub fn len(&self) -> usize {
        size_of::<HeaderWire>()
            + size_of_val(self.regions.as_slice())
            + size_of_val(self.channels.as_slice())
            + size_of_val(self.children.as_slice())
    }

    /// Never true: a table has a header at least.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Returns the table's bytes.
    ///
    /// # Panics
    ///
    /// When the table would not fit 4 GiB.
    pub fn finish(&self) -> Vec<u8> {
        let count = |n: usize| u32::try_from(n).expect("a table is far below 4 GiB").into();
        let header = HeaderWire {
            magic: wire::MAGIC,
            version: wire::VERSION.into(),
            length: count(self.len()),
            checksum: 0.into(),
            region_count: count(self.regions.len()),
            channel_count: count(self.channels.len()),
            child_count: count(self.children.len()),
            reserved: 0.into(),
            name: self.name,
        };
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend_from_slice(self.regions.as_bytes());
        bytes.extend_from_slice(self.channels.as_bytes());
        bytes.extend_from_slice(self.children.as_bytes());
        let checksum = wire::checksum(&bytes[wire::CHECKSUM_START..]);
        bytes[wire::CHECKSUM_START - 4..wire::CHECKSUM_START]
            .copy_from_slice(&checksum.to_le_bytes());
        bytes
    }
}

fn flag(set: bool, bit: u8) -> u8 {
    if set { bit } else { 0 }
}

fn name_wire(name: &str) -> Result<NameWire, BadName> {
    let mut wire = [0; wire::NAME_BYTES];
    if name.len() >= wire.len() || name.contains('\0') {
        return Err(BadName(name.to_owned()));
    }
    wire[..name.len()].copy_from_slice(name.as_bytes());
    Ok(wire)
}
