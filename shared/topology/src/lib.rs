// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What a protection domain may know about `system.xml`: its own regions, channels and children.
//!
//! `cargo xtask build` writes one table for each PD that maps a region called `<pd>_topology`, and
//! the region's prefill brings it into the PD. So a server finds its clients without a line of code
//! that names them, and a supervisor finds its children's saved ELFs.
//!
//! This crate decides the bytes and nothing else. What follows from a table is the reader's business.
//!
//! Layout, little endian: [`Header`](wire::HeaderWire), then its regions, channels and children, each
//! an array of fixed-size entries in the order of `system.xml`. The region's tail beyond `length` is
//! not looked at (prefill rounds up to whole pages).
//!
//! The table is made with the image and mapped read-only, so a bad checksum means a mismatched build
//! or a wrong address, not a hostile peer.

#![cfg_attr(not(any(test, feature = "std")), no_std)]
#![forbid(unsafe_code)]

#[cfg(any(test, feature = "std"))]
pub mod builder;
pub mod wire;

#[cfg(test)]
mod tests;

use zerocopy::FromBytes;

use wire::{ChannelWire, ChildWire, HeaderWire, RegionWire};

/// Why a table was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopologyError {
    /// The memory is shorter than the header, or than the length that the header states.
    Truncated,
    /// The first bytes are not [`wire::MAGIC`]: nothing was written here.
    BadMagic,
    /// The table has another layout than this reader; the payload is its version.
    BadVersion(u32),
    /// The checksum over the table's entries differs.
    BadChecksum,
    /// The counts do not add up to the length, or a field has a value outside its range.
    Malformed,
}

impl core::fmt::Display for TopologyError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Truncated => f.write_str("topology table is cut off"),
            Self::BadMagic => f.write_str("no topology table here"),
            Self::BadVersion(found) => write!(f, "topology table has version {found}"),
            Self::BadChecksum => f.write_str("topology table has a wrong checksum"),
            Self::Malformed => f.write_str("topology table contradicts itself"),
        }
    }
}

impl core::error::Error for TopologyError {}

/// What a PD may do with a mapped region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Perms {
    /// `r` in system.xml.
    pub read: bool,
    /// `w` in system.xml.
    pub write: bool,
    /// `x` in system.xml.
    pub execute: bool,
}

/// One region that the PD maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region<'a> {
    /// Name of the memory region.
    pub name: &'a str,
    /// Where the PD sees it.
    pub vaddr: u64,
    /// Bytes, a whole number of pages.
    pub size: u64,
    /// Value of `phys_addr`; 0 when system.xml leaves the place to the tool.
    pub paddr: u64,
    /// How the PD maps it.
    pub perms: Perms,
}

/// One end of a channel, as the PD sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Channel<'a> {
    /// Name of the PD at the other end.
    pub peer: &'a str,
    /// Channel id at this PD's end, 0..=61.
    pub id: u8,
    /// Channel id at the peer's end.
    pub peer_id: u8,
    /// Whether this PD may notify the peer.
    pub notify: bool,
    /// Whether this PD may make protected calls to the peer (`pp="true"` at this end).
    pub pp: bool,
    /// Whether the peer may notify this PD.
    pub peer_notify: bool,
    /// Whether the peer may make protected calls to this PD.
    pub peer_pp: bool,
}

/// A region that a supervisor shares with its child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Where the supervisor sees it.
    pub vaddr: u64,
    /// Where the child sees it.
    pub vaddr_in_child: u64,
    /// Bytes.
    pub size: u64,
}

/// The child's saved ELF file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SavedElf {
    /// Where the supervisor sees it.
    pub vaddr: u64,
    /// Bytes of the region.
    pub size: u64,
    /// Bytes of the file; the rest of the region is zero.
    pub file_len: u64,
}

/// What a supervisor needs in order to load a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// `NAME_code`: `rx` in the child, `rw` here.
    pub code: Window,
    /// `NAME_data`: `rw` in both.
    pub data: Window,
    /// `NAME_elf`: `r` here.
    pub elf: SavedElf,
}

/// One child PD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Child<'a> {
    /// The child's name.
    pub name: &'a str,
    /// Its child id, 0..=61.
    pub id: u8,
    /// Its priority.
    pub priority: u8,
    /// Present when the child is restartable, that is, made of a boot stub and these regions.
    pub parts: Option<Parts>,
}

/// A checked table. It borrows the memory that it was parsed from.
#[derive(Clone, Copy, Debug)]
pub struct Topology<'a> {
    name: &'a str,
    regions: &'a [RegionWire],
    channels: &'a [ChannelWire],
    children: &'a [ChildWire],
}

impl<'a> Topology<'a> {
    /// Checks all of `bytes` once; nothing that the accessors return can be malformed afterwards.
    ///
    /// # Errors
    ///
    /// Says which check failed; see [`TopologyError`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, TopologyError> {
        let (header, _) =
            HeaderWire::ref_from_prefix(bytes).map_err(|_| TopologyError::Truncated)?;
        if header.magic != wire::MAGIC {
            return Err(TopologyError::BadMagic);
        }
        if header.version.get() != wire::VERSION {
            return Err(TopologyError::BadVersion(header.version.get()));
        }
        let length = header.length.get() as usize;
        let table = bytes.get(..length).ok_or(TopologyError::Truncated)?;
        let covered = table
            .get(wire::CHECKSUM_START..)
            .ok_or(TopologyError::Malformed)?;
        if wire::checksum(covered) != header.checksum.get() {
            return Err(TopologyError::BadChecksum);
        }
        let entries = &table[size_of::<HeaderWire>()..];
        let (regions, entries) = split(entries, header.region_count.get())?;
        let (channels, entries) = split(entries, header.channel_count.get())?;
        let (children, entries) = split(entries, header.child_count.get())?;
        let checked = entries.is_empty()
            && regions.iter().all(RegionWire::is_valid)
            && channels.iter().all(ChannelWire::is_valid)
            && children.iter().all(ChildWire::is_valid);
        match wire::name_of(&header.name) {
            Some(name) if checked => Ok(Self {
                name,
                regions,
                channels,
                children,
            }),
            _ => Err(TopologyError::Malformed),
        }
    }

    /// Name of the PD that the table was made for.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// All regions that the PD maps, in the order of system.xml.
    pub fn regions(&self) -> impl Iterator<Item = Region<'a>> + use<'a> {
        self.regions.iter().map(RegionWire::as_region)
    }

    /// The region called `name` (its first mapping, where it is mapped more than once).
    pub fn region(&self, name: &str) -> Option<Region<'a>> {
        let found = self
            .regions
            .iter()
            .find(|region| wire::is_name(&region.name, name));
        found.map(RegionWire::as_region)
    }

    /// All channel ends of the PD.
    pub fn channels(&self) -> impl Iterator<Item = Channel<'a>> + use<'a> {
        self.channels.iter().map(ChannelWire::as_channel)
    }

    /// The first channel to the PD called `peer`.
    pub fn channel_to(&self, peer: &str) -> Option<Channel<'a>> {
        let found = self
            .channels
            .iter()
            .find(|channel| wire::is_name(&channel.peer, peer));
        found.map(ChannelWire::as_channel)
    }

    /// All child PDs.
    pub fn children(&self) -> impl Iterator<Item = Child<'a>> + use<'a> {
        self.children.iter().map(ChildWire::as_child)
    }

    /// Regions called `<client>_to_<server>_<what>`, with the client's name.
    ///
    /// A server passes its own name, so each of its clients comes out once.
    pub fn clients<'q>(
        &self,
        server: &'q str,
        what: &'q str,
    ) -> impl Iterator<Item = (&'a str, Region<'a>)> + use<'a, 'q> {
        self.regions().filter_map(move |region| {
            let rest = region.name.strip_suffix(what)?.strip_suffix('_')?;
            let client = rest.strip_suffix(server)?.strip_suffix("_to_")?;
            (!client.is_empty()).then_some((client, region))
        })
    }
}

/// Takes `count` entries off the front of `bytes`.
fn split<T>(bytes: &[u8], count: u32) -> Result<(&[T], &[u8]), TopologyError>
where
    T: FromBytes + zerocopy::KnownLayout + zerocopy::Immutable + zerocopy::Unaligned,
{
    <[T]>::ref_from_prefix_with_elems(bytes, count as usize).map_err(|_| TopologyError::Malformed)
}
