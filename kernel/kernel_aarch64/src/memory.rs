// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Physical memory as the kernel sees it: all of it, at a constant offset (`entry.s`).

/// Kernel address minus physical address.
pub const OFFSET: u64 = 0xffff_ff80_0000_0000;
/// RAM of QEMU `virt` with 2 GiB.
const RAM: core::ops::Range<u64> = 0x4000_0000..0xc000_0000;

unsafe extern "C" {
    static __kernel_start: u8;
    static __kernel_end: u8;
}

/// The kernel's address of `paddr`.
pub fn address(paddr: u64) -> u64 {
    paddr + OFFSET
}

/// Physical address behind the kernel's last byte, where the system table starts.
pub fn kernel_end() -> u64 {
    (&raw const __kernel_end) as u64 - OFFSET
}

fn kernel_start() -> u64 {
    (&raw const __kernel_start) as u64 - OFFSET
}

fn is_ram(paddr: u64, size: u64) -> bool {
    paddr >= RAM.start && paddr.checked_add(size).is_some_and(|end| end <= RAM.end)
}

/// The system table and its payload. `length` says how long it is once its start is known.
pub fn image(length: impl Fn(&[u8]) -> u64) -> &'static [u8] {
    let start = address(kernel_end()) as *const u8;
    // SAFETY: RAM is mapped here, and nobody writes to it after the loader did: the host tool gives
    // the image's memory to no PD, and `fill` refuses it.
    let header = unsafe { core::slice::from_raw_parts(start, 4096) };
    let length = length(header);
    assert!(is_ram(kernel_end(), length), "image leaves RAM");
    // SAFETY: as above; the length was just checked to stay within RAM.
    unsafe { core::slice::from_raw_parts(start, length as usize) }
}

/// Sets a run of physical memory: `content`, then zeros up to `size`.
pub fn fill(paddr: u64, size: u64, content: &[u8], image: &[u8]) {
    let image_end = kernel_end() + image.len() as u64;
    let outside = paddr.saturating_add(size) <= kernel_start() || paddr >= image_end;
    assert!(
        is_ram(paddr, size) && outside,
        "initial contents at {paddr:#x} hit the kernel"
    );
    assert!(
        content.len() as u64 <= size,
        "initial contents at {paddr:#x} are too long"
    );
    let to = address(paddr) as *mut u8;
    // SAFETY: RAM, mapped, outside of kernel and image (just checked), and no PD runs yet, so
    // nobody else has a pointer there. The source is the image.
    unsafe {
        core::ptr::copy_nonoverlapping(content.as_ptr(), to, content.len());
    }
    // SAFETY: as above, within `size`.
    unsafe {
        core::ptr::write_bytes(to.add(content.len()), 0, size as usize - content.len());
    }
}

/// A PD's IPC buffer, in the kernel's address space. PDs write to it, hence volatile words only.
#[derive(Clone, Copy)]
pub struct IpcBuffer(u64);

/// Words in an IPC buffer.
const IPC_WORDS: usize = 128;

impl IpcBuffer {
    /// No buffer: an address that is never used.
    pub const NONE: Self = Self(0);

    pub fn new(paddr: u64) -> Self {
        assert!(
            is_ram(paddr, 4096) && paddr.is_multiple_of(4096),
            "IPC buffer at {paddr:#x}"
        );
        assert!(
            paddr + 4096 <= kernel_start() || paddr >= kernel_end(),
            "IPC buffer in the kernel"
        );
        Self(address(paddr))
    }

    pub fn read(self, word: usize) -> u64 {
        assert!(word < IPC_WORDS && self.0 != 0);
        // SAFETY: `new` checked that the page is RAM outside of the kernel; the word is in it.
        unsafe { (self.0 as *const u64).add(word).read_volatile() }
    }

    pub fn write(self, word: usize, value: u64) {
        assert!(word < IPC_WORDS && self.0 != 0);
        // SAFETY: as for `read`.
        unsafe { (self.0 as *mut u64).add(word).write_volatile(value) }
    }
}
