// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Turns the address at which `system.xml` maps a device into a pointer to its registers.
//!
//! What the registers are and do is the driver's business, which so needs no unsafe code.

#![cfg_attr(not(test), no_std)]
#![expect(unsafe_code, reason = "makes pointers to device registers")]

use core::ptr::NonNull;

pub use safe_mmio::*;

/// Where protection domains of this project have regions mapped, and no Rust object: the same range
/// as in `sel4-shared-memory`, for the same reasons.
const WINDOW: core::ops::Range<usize> = 0x3000_0000..0x10_0000_0000;

/// The registers of type `T` at `vaddr`, or `None` where no device can be: outside of the part of
/// the address space that holds mapped regions, or misaligned. On the host that is everywhere.
///
/// Taking the same registers twice is a mistake (two drivers), but no unsoundness.
#[must_use]
pub fn from_mapped<T>(vaddr: usize) -> Option<UniqueMmioPointer<'static, T>> {
    let end = vaddr.checked_add(size_of::<T>())?;
    let inside = cfg!(target_os = "none") && vaddr >= WINDOW.start && end <= WINDOW.end;
    if !inside || !vaddr.is_multiple_of(align_of::<T>()) {
        return None;
    }
    let registers = NonNull::new(core::ptr::with_exposed_provenance_mut(vaddr))?;
    // SAFETY: no Rust object of this program lives in the window. If no device is mapped there, an
    // access faults and the supervisor restarts us; if memory is mapped there, it is a region of
    // this PD, of which any bits are valid. Both hold for any caller.
    Some(unsafe { UniqueMmioPointer::new(registers) })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_host_has_no_devices() {
        assert!(super::from_mapped::<u32>(0x4000_0000).is_none());
    }
}
