// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The bytes of the system table, as the host tool writes and the kernel reads them.
//!
//! The image is: the kernel's flat binary, padding to a page, [`HeaderWire`], then arrays of
//! [`PdWire`], [`MapWire`], [`CapWire`], [`IrqWire`] and [`RamWire`] in this order, then the payload.
//! Everything is little endian and packed. Host tool and kernel are built together, so a change of
//! any of these is a new [`VERSION`], and an image of another version is refused.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// First eight bytes of the table.
pub const MAGIC: [u8; 8] = *b"KTSGBOOT";
/// Layout number of this file.
pub const VERSION: u32 = 1;
/// Most PDs that one system may have, as in Microkit.
pub const PDS_MAX: usize = 63;
/// Object number that stands for the kernel's built-in monitor where an endpoint is meant.
pub const MONITOR: u16 = PDS_MAX as u16;
/// First slot number of the user capabilities in [`CapWire::slot`]: user slot `s` is this plus `s`.
pub const USER_SLOTS: u16 = 512;
/// Length of [`PdWire::name`].
pub const NAME_BYTES: usize = 64;
/// No parent, in [`PdWire::parent`].
pub const NO_PARENT: u8 = 0xff;

/// Bits of a PD's address.
pub const VADDR_BITS: u32 = 40;
/// Index of device memory (nGnRnE) in the kernel's MAIR.
pub const ATTRIBUTE_DEVICE: u64 = 0;
/// Index of normal write-back memory in the kernel's MAIR.
pub const ATTRIBUTE_NORMAL: u64 = 1;

/// [`PdWire::flags`]: the PD gives its scheduling context away.
pub const PD_PASSIVE: u8 = 1 << 0;
/// [`PdWire::flags`]: the PD may use floating point.
pub const PD_FPU: u8 = 1 << 1;

/// [`MapWire::flags`]: loads.
pub const MAP_READ: u16 = 1 << 0;
/// [`MapWire::flags`]: stores.
pub const MAP_WRITE: u16 = 1 << 1;
/// [`MapWire::flags`]: instruction fetches.
pub const MAP_EXECUTE: u16 = 1 << 2;
/// [`MapWire::flags`]: normal memory; otherwise device memory.
pub const MAP_CACHED: u16 = 1 << 3;
/// [`MapWire::flags`]: pages of 2 MiB; otherwise 4 KiB.
pub const MAP_LARGE: u16 = 1 << 4;

/// [`CapWire::kind`]: endpoint of PD `object`, or of the [`MONITOR`].
pub const CAP_ENDPOINT: u8 = 1;
/// [`CapWire::kind`]: notification of PD `object`.
pub const CAP_NOTIFICATION: u8 = 2;
/// [`CapWire::kind`]: reply object of PD `object`.
pub const CAP_REPLY: u8 = 3;
/// [`CapWire::kind`]: address space of PD `object`.
pub const CAP_VSPACE: u8 = 4;
/// [`CapWire::kind`]: thread of PD `object`.
pub const CAP_TCB: u8 = 5;
/// [`CapWire::kind`]: scheduling context of PD `object`.
pub const CAP_SCHED_CONTEXT: u8 = 6;
/// [`CapWire::kind`]: interrupt handler; `object` is the interrupt's number.
pub const CAP_IRQ_HANDLER: u8 = 7;
/// [`CapWire::kind`]: secure monitor calls.
pub const CAP_SMC: u8 = 8;

/// Start of the table.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct HeaderWire {
    /// [`MAGIC`].
    pub magic: [u8; 8],
    /// [`VERSION`].
    pub version: U32,
    /// CRC-32C of everything after this field, to the end of the payload.
    pub crc: U32,
    /// Bytes from the header's first to the payload's last.
    pub length: U64,
    /// Number of [`PdWire`].
    pub pd_count: U32,
    /// Number of [`MapWire`].
    pub map_count: U32,
    /// Number of [`CapWire`].
    pub cap_count: U32,
    /// Number of [`IrqWire`].
    pub irq_count: U32,
    /// Number of [`RamWire`].
    pub ram_count: U32,
    /// Zero.
    pub reserved: U32,
}

/// One protection domain; its index is the number of all its objects.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct PdWire {
    /// The name's first 64 bytes, filled up with zeros.
    pub name: [u8; NAME_BYTES],
    /// 0 to 254.
    pub priority: u8,
    /// `PD_*`.
    pub flags: u8,
    /// Index of the parent, or [`NO_PARENT`].
    pub parent: u8,
    /// Zero.
    pub reserved: u8,
    /// The child id under which the parent knows it; 0 without a parent.
    pub child_id: U16,
    /// Zero.
    pub reserved2: U16,
    /// Microseconds.
    pub budget_us: U64,
    /// Microseconds.
    pub period_us: U64,
    /// First instruction.
    pub entry: U64,
    /// Initial stack pointer.
    pub stack_top: U64,
    /// Physical address of the IPC buffer.
    pub ipc_buffer_paddr: U64,
    /// Physical address of the root page table.
    pub root_table_paddr: U64,
}

/// One mapping of physical memory into a PD.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct MapWire {
    /// Index of the PD.
    pub pd: U16,
    /// `MAP_*`.
    pub flags: U16,
    /// Zero.
    pub reserved: U32,
    /// First address that the PD sees.
    pub vaddr: U64,
    /// What lies there.
    pub paddr: U64,
    /// Bytes.
    pub size: U64,
}

/// One capability in a PD's CSpace.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct CapWire {
    /// Index of the PD that holds it.
    pub pd: U16,
    /// Slot in the Microkit CNode, or [`USER_SLOTS`] plus the slot in the root CNode.
    pub slot: U16,
    /// Object number: index of the PD that the object belongs to, [`MONITOR`], or interrupt number.
    pub object: U16,
    /// `CAP_*`.
    pub kind: u8,
    /// Zero.
    pub reserved: u8,
    /// Badge of endpoints and notifications, else 0.
    pub badge: U64,
}

/// One interrupt line.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct IrqWire {
    /// INTID.
    pub number: U32,
    /// Index of the PD whose notification it signals.
    pub pd: U16,
    /// Bit in the notification word.
    pub id: u8,
    /// 1 for edge, 0 for level.
    pub edge: u8,
}

/// One run of physical memory and what it holds at boot.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct RamWire {
    /// First address.
    pub paddr: U64,
    /// Bytes to define: `length` bytes of payload, then zeros.
    pub size: U64,
    /// Where the payload starts, from the header's first byte.
    pub offset: U64,
    /// Bytes of payload; at most `size`.
    pub length: U64,
}

const _: () = {
    assert!(size_of::<HeaderWire>() == 48);
    assert!(size_of::<PdWire>() == 120);
    assert!(size_of::<MapWire>() == 32);
    assert!(size_of::<CapWire>() == 16);
    assert!(size_of::<IrqWire>() == 8);
    assert!(size_of::<RamWire>() == 32);
};
