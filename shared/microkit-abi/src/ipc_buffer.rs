// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The IPC buffer of the running PD.
//!
//! Microkit 2.3.0 maps it at the last page below the top of the user address space, and tells its
//! address to nobody. The entry code finds it ([`locate`]) or is told it by the supervisor
//! (`StartInfo`), and says it here once.

use core::sync::atomic::{AtomicUsize, Ordering};

use crate::message::LENGTH_MAX;

static ADDRESS: AtomicUsize = AtomicUsize::new(0);

/// Derives the address from the stack pointer that Microkit starts a PD with.
///
/// The stack lies in the top 16 MiB + 8 KiB of the user address space, whose size is a power of
/// two; the buffer is its last 4 KiB page.
pub const fn locate(initial_sp: usize) -> usize {
    initial_sp.next_power_of_two() - 0x1000
}

/// Records where the buffer is.
///
/// # Safety
///
/// `address` must be the address of this PD's IPC buffer, as mapped by the system's initialiser.
pub unsafe fn set_address(address: usize) {
    ADDRESS.store(address, Ordering::Relaxed);
}

/// Address of the buffer, 0 before the entry code has said it.
pub fn address() -> usize {
    ADDRESS.load(Ordering::Relaxed)
}

fn registers() -> *mut [u64; LENGTH_MAX] {
    // Word 0 is the tag, which the kernel never writes.
    (address() + size_of::<u64>()) as *mut [u64; LENGTH_MAX]
}

/// Lets `f` read the message registers.
pub fn with<T>(f: impl FnOnce(&[u64; LENGTH_MAX]) -> T) -> T {
    // SAFETY: `set_address`'s caller promised the mapped buffer. A PD has one thread, and the
    // kernel writes it only inside a system call, which `f` cannot make while it holds the
    // reference without calling back into this crate; see `with_mut`.
    f(unsafe { &*registers() })
}

/// Lets `f` write the message registers. `f` must not make a system call.
pub fn with_mut<T>(f: impl FnOnce(&mut [u64; LENGTH_MAX]) -> T) -> T {
    // SAFETY: as in `with`; the reference ends with `f`.
    f(unsafe { &mut *registers() })
}

/// The message registers that travel in x2..x5.
pub fn first_registers() -> [u64; 4] {
    if address() == 0 {
        return [0; 4];
    }
    with(|registers| [registers[0], registers[1], registers[2], registers[3]])
}

/// Puts back what came in x2..x5.
pub fn set_first_registers(values: [u64; 4]) {
    if address() != 0 {
        with_mut(|registers| registers[..4].copy_from_slice(&values));
    }
}

const BYTES: usize = LENGTH_MAX * size_of::<u64>();

/// Lets `f` read the message registers as bytes.
pub fn with_bytes<T>(f: impl FnOnce(&[u8]) -> T) -> T {
    // SAFETY: as in `with`; words are readable as bytes.
    f(unsafe { &*registers().cast::<[u8; BYTES]>() })
}

/// Lets `f` write the message registers as bytes. `f` must not make a system call.
pub fn with_bytes_mut<T>(f: impl FnOnce(&mut [u8]) -> T) -> T {
    // SAFETY: as in `with_mut`; any bytes are valid words.
    f(unsafe { &mut *registers().cast::<[u8; BYTES]>() })
}
