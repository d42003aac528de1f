// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The table's bytes. Another layout is another [`VERSION`].
//!
//! From `cargo xtask build` to every PD that maps its `<pd>_topology`; written once, before boot. A
//! restart of the reader means that it reads the same bytes again.

use sel4_shared_memory::Crc32c;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::{Channel, Child, Parts, Perms, Region, SavedElf, Window};

/// First bytes of a table.
pub const MAGIC: [u8; 4] = *b"KTOP";
/// Counts changes of the layout.
pub const VERSION: u32 = 2;
/// Offset of the first byte under the checksum: all that comes after the checksum field itself.
pub const CHECKSUM_START: usize = 16;
/// Offset of length and checksum, two words of 32 bits.
pub const KEY: usize = 8;
/// Bytes kept for a name, with at least one NUL behind it.
pub const NAME_BYTES: usize = 48;
/// Channel and child ids end here (Microkit's limit).
pub const ID_MAX: u8 = 61;

/// `r` in [`RegionWire::perms`].
pub const PERM_READ: u8 = 1;
/// `w` in [`RegionWire::perms`].
pub const PERM_WRITE: u8 = 2;
/// `x` in [`RegionWire::perms`].
pub const PERM_EXECUTE: u8 = 4;

/// This end may notify, in [`ChannelWire::flags`].
pub const FLAG_NOTIFY: u8 = 1;
/// This end may call.
pub const FLAG_PP: u8 = 2;
/// The peer may notify.
pub const FLAG_PEER_NOTIFY: u8 = 4;
/// The peer may call.
pub const FLAG_PEER_PP: u8 = 8;

/// A name: UTF-8, filled up with NUL.
pub type NameWire = [u8; NAME_BYTES];

/// Start of a table.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct HeaderWire {
    /// [`MAGIC`].
    pub magic: [u8; 4],
    /// [`VERSION`].
    pub version: U32,
    /// Bytes of header and entries together.
    pub length: U32,
    /// CRC-32C over `length` bytes from [`CHECKSUM_START`].
    pub checksum: U32,
    /// Number of [`RegionWire`].
    pub region_count: U32,
    /// Number of [`ChannelWire`].
    pub channel_count: U32,
    /// Number of [`ChildWire`].
    pub child_count: U32,
    /// Zero.
    pub reserved: U32,
    /// The PD that the table is for.
    pub name: NameWire,
}

/// A mapped region.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct RegionWire {
    /// Name of the memory region.
    pub name: NameWire,
    /// Address in the PD.
    pub vaddr: U64,
    /// Bytes.
    pub size: U64,
    /// Physical address, or 0.
    pub paddr: U64,
    /// `PERM_*`.
    pub perms: u8,
    /// Zero.
    pub reserved: [u8; 7],
}

/// A channel end.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct ChannelWire {
    /// PD at the other end.
    pub peer: NameWire,
    /// Id at this end.
    pub id: u8,
    /// Id at the peer's end.
    pub peer_id: u8,
    /// `FLAG_*`.
    pub flags: u8,
    /// Zero.
    pub reserved: [u8; 5],
}

/// A child PD. All sizes and addresses are 0 when it is not restartable.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct ChildWire {
    /// The child's name.
    pub name: NameWire,
    /// Child id.
    pub id: u8,
    /// Priority.
    pub priority: u8,
    /// 1 when the parts below are filled in, else 0.
    pub restartable: u8,
    /// Zero.
    pub reserved: [u8; 5],
    /// `NAME_code` in the parent.
    pub code_vaddr: U64,
    /// `NAME_code` in the child.
    pub code_vaddr_in_child: U64,
    /// Bytes of `NAME_code`.
    pub code_size: U64,
    /// `NAME_data` in the parent.
    pub data_vaddr: U64,
    /// `NAME_data` in the child.
    pub data_vaddr_in_child: U64,
    /// Bytes of `NAME_data`.
    pub data_size: U64,
    /// `NAME_elf` in the parent.
    pub elf_vaddr: U64,
    /// Bytes of `NAME_elf`.
    pub elf_size: U64,
    /// Bytes of the file in it.
    pub elf_file_len: U64,
}

const _: () = assert!(size_of::<HeaderWire>() == 80);
const _: () = assert!(size_of::<RegionWire>() == 80);
const _: () = assert!(size_of::<ChannelWire>() == 56);
const _: () = assert!(size_of::<ChildWire>() == 128);
const _: () = assert!(core::mem::offset_of!(HeaderWire, length) == KEY);
const _: () = assert!(core::mem::offset_of!(HeaderWire, region_count) == CHECKSUM_START);

/// Returns the table's checksum.
pub fn checksum(bytes: &[u8]) -> u32 {
    Crc32c::new().bytes(bytes).finish()
}

/// Says whether this is the name. Every start of a PD asks this many times, so nothing is decoded.
pub(crate) fn is_name(wire: &NameWire, name: &str) -> bool {
    wire.starts_with(name.as_bytes()) && wire.get(name.len()) == Some(&0)
}

/// Reads a name; `None` when it is not UTF-8, or not padded with NUL to the end.
pub fn name_of(wire: &NameWire) -> Option<&str> {
    let length = wire.iter().position(|byte| *byte == 0)?;
    let (name, padding) = wire.split_at(length);
    if padding.iter().any(|byte| *byte != 0) {
        return None;
    }
    core::str::from_utf8(name).ok()
}

/// `parse` has checked every name, so that the empty string stands for nothing here.
fn checked_name(wire: &NameWire) -> &str {
    name_of(wire).unwrap_or("")
}

impl RegionWire {
    pub(crate) fn is_valid(&self) -> bool {
        name_of(&self.name).is_some()
            && self.perms & !(PERM_READ | PERM_WRITE | PERM_EXECUTE) == 0
            && self.reserved == [0; 7]
            && self.vaddr.get().checked_add(self.size.get()).is_some()
    }

    pub(crate) fn as_region(&self) -> Region<'_> {
        Region {
            name: checked_name(&self.name),
            vaddr: self.vaddr.get(),
            size: self.size.get(),
            paddr: self.paddr.get(),
            perms: Perms {
                read: self.perms & PERM_READ != 0,
                write: self.perms & PERM_WRITE != 0,
                execute: self.perms & PERM_EXECUTE != 0,
            },
        }
    }
}

impl ChannelWire {
    pub(crate) fn is_valid(&self) -> bool {
        name_of(&self.peer).is_some()
            && self.id <= ID_MAX
            && self.peer_id <= ID_MAX
            && self.flags & !(FLAG_NOTIFY | FLAG_PP | FLAG_PEER_NOTIFY | FLAG_PEER_PP) == 0
            && self.reserved == [0; 5]
    }

    pub(crate) fn as_channel(&self) -> Channel<'_> {
        Channel {
            peer: checked_name(&self.peer),
            id: self.id,
            peer_id: self.peer_id,
            notify: self.flags & FLAG_NOTIFY != 0,
            pp: self.flags & FLAG_PP != 0,
            peer_notify: self.flags & FLAG_PEER_NOTIFY != 0,
            peer_pp: self.flags & FLAG_PEER_PP != 0,
        }
    }
}

impl ChildWire {
    pub(crate) fn is_valid(&self) -> bool {
        let ends_fit = |start: U64, size: U64| start.get().checked_add(size.get()).is_some();
        name_of(&self.name).is_some()
            && self.id <= ID_MAX
            && self.restartable <= 1
            && self.reserved == [0; 5]
            && ends_fit(self.code_vaddr, self.code_size)
            && ends_fit(self.code_vaddr_in_child, self.code_size)
            && ends_fit(self.data_vaddr, self.data_size)
            && ends_fit(self.data_vaddr_in_child, self.data_size)
            && ends_fit(self.elf_vaddr, self.elf_size)
            && self.elf_file_len.get() <= self.elf_size.get()
    }

    pub(crate) fn as_child(&self) -> Child<'_> {
        let parts = Parts {
            code: Window {
                vaddr: self.code_vaddr.get(),
                vaddr_in_child: self.code_vaddr_in_child.get(),
                size: self.code_size.get(),
            },
            data: Window {
                vaddr: self.data_vaddr.get(),
                vaddr_in_child: self.data_vaddr_in_child.get(),
                size: self.data_size.get(),
            },
            elf: SavedElf {
                vaddr: self.elf_vaddr.get(),
                size: self.elf_size.get(),
                file_len: self.elf_file_len.get(),
            },
        };
        Child {
            name: checked_name(&self.name),
            id: self.id,
            priority: self.priority,
            parts: (self.restartable == 1).then_some(parts),
        }
    }
}
