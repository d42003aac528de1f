// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Stack and heap: static memory that nobody loads or clears, and a constant-time allocator.

use core::{
    alloc::{GlobalAlloc, Layout},
    cell::UnsafeCell,
    mem::MaybeUninit,
    ptr::{NonNull, null_mut},
};

use rlsf::Tlsf;

/// Static memory of unknown content, for the sections `.stack` and `.heap`.
#[doc(hidden)]
#[repr(C, align(4096))]
pub struct Scratch<const BYTES: usize>(UnsafeCell<MaybeUninit<[u8; BYTES]>>);

// SAFETY: only its address is used; who uses the memory is `Heap`'s or the entry code's business.
unsafe impl<const BYTES: usize> Sync for Scratch<BYTES> {}

impl<const BYTES: usize> Scratch<BYTES> {
    /// Reserves the memory.
    #[allow(clippy::new_without_default, reason = "for macros only")]
    pub const fn new() -> Self {
        Self(UnsafeCell::new(MaybeUninit::uninit()))
    }

    /// The memory.
    pub const fn memory(&'static self) -> *mut [u8] {
        core::ptr::slice_from_raw_parts_mut(self.0.get().cast(), BYTES)
    }
}

/// Blocks up to 2^(6+24) bytes: more than any data region.
type Allocator = Tlsf<'static, u32, u32, 24, 8>;

/// The global allocator of a PD with a heap: two-level segregated fit (crate `rlsf`).
#[doc(hidden)]
pub struct Heap {
    memory: UnsafeCell<Option<NonNull<[u8]>>>,
    allocator: UnsafeCell<Allocator>,
}

// SAFETY: a PD has one thread, and the allocator's methods do not call back.
unsafe impl Sync for Heap {}

impl Heap {
    /// Makes the allocator of `memory`.
    ///
    /// # Safety
    ///
    /// `memory` must be valid for ever and used by nobody else.
    pub const unsafe fn new(memory: *mut [u8]) -> Self {
        Self {
            memory: UnsafeCell::new(NonNull::new(memory)),
            allocator: UnsafeCell::new(Tlsf::new()),
        }
    }

    fn allocator(&self) -> *mut Allocator {
        // SAFETY: one thread, and the reference ends in this function.
        let memory = unsafe { (*self.memory.get()).take() };
        if let Some(memory) = memory {
            // SAFETY: `new`'s caller promised the memory; it is given away only once.
            unsafe { (*self.allocator.get()).insert_free_block_ptr(memory) };
        }
        self.allocator.get()
    }
}

// SAFETY: `Tlsf` hands out blocks that fit their layout and do not overlap.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: one thread; the reference does not outlive the call.
        let block = unsafe { (*self.allocator()).allocate(layout) };
        block.map_or(null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: our caller promised a block that `alloc` returned for this layout.
        unsafe { (*self.allocator()).deallocate(NonNull::new_unchecked(block), layout.align()) };
    }
}
