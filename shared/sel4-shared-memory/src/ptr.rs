// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Typed pointers into shared memory, with the names of rust-sel4 v5.0.0's crate.
//!
//! A subset: what upstream's ring buffer and its users need. Unlike upstream, a plain `read` or
//! `write` is opaque to the compiler (see `copy`), so that it cannot be repeated behind our back.

use core::fmt;
use core::marker::PhantomData;
use core::ptr::NonNull;
use core::sync::atomic::{self, Ordering};

use zerocopy::{FromBytes, IntoBytes};

use crate::access::{Access, ReadOnly, ReadWrite, Readable, RestrictAccess, Writable, WriteOnly};
use crate::copy::copy;

/// The kind of memory meant here. Only a name, for messages and for likeness with upstream.
#[derive(Debug)]
pub struct SharedMemory(());

/// Owns the access to a `T` in shared memory: cannot be copied while it allows writing.
#[must_use]
pub struct SharedMemoryRef<'a, T: ?Sized, A = ReadWrite> {
    pointer: SharedMemoryPtr<'a, T, A>,
}

/// A pointer to a `T` in shared memory.
#[must_use]
pub struct SharedMemoryPtr<'a, T: ?Sized, A = ReadWrite> {
    pointer: NonNull<T>,
    _reference: PhantomData<&'a ()>,
    _access: PhantomData<A>,
}

impl<T: ?Sized, A> Copy for SharedMemoryPtr<'_, T, A> {}

impl<T: ?Sized, A> Clone for SharedMemoryPtr<'_, T, A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ?Sized, A> fmt::Debug for SharedMemoryPtr<'_, T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Pointer::fmt(&self.pointer.as_ptr(), f)
    }
}

impl<T: ?Sized, A> fmt::Debug for SharedMemoryRef<'_, T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pointer.fmt(f)
    }
}

// SAFETY: the memory is valid from everywhere, and is accessed as if somebody else wrote to it.
unsafe impl<T: ?Sized + Sync, A> Send for SharedMemoryRef<'_, T, A> {}

impl<'a, T: ?Sized> SharedMemoryRef<'a, T> {
    /// Takes the memory at `pointer`.
    ///
    /// # Safety
    ///
    /// As for [`SharedMemoryPtr::new`].
    pub const unsafe fn new(pointer: NonNull<T>) -> Self {
        Self {
            pointer: SharedMemoryPtr::from_pointer(pointer),
        }
    }

    /// Takes the memory at `pointer`, for reading only.
    ///
    /// # Safety
    ///
    /// As for [`SharedMemoryPtr::new`], except that it need not be writable.
    pub const unsafe fn new_read_only(pointer: NonNull<T>) -> SharedMemoryRef<'a, T, ReadOnly> {
        SharedMemoryRef {
            pointer: SharedMemoryPtr::from_pointer(pointer),
        }
    }

    /// Gives up writing.
    pub fn read_only(self) -> SharedMemoryRef<'a, T, ReadOnly> {
        self.restrict()
    }

    /// Gives up reading.
    pub fn write_only(self) -> SharedMemoryRef<'a, T, WriteOnly> {
        self.restrict()
    }
}

impl<'a, T: ?Sized, A: Access> SharedMemoryRef<'a, T, A> {
    /// Borrows a pointer that does not write.
    pub fn as_ptr(&self) -> SharedMemoryPtr<'_, T, A::Restricted>
    where
        A: RestrictAccess<ReadOnly>,
    {
        SharedMemoryPtr::from_pointer(self.pointer.pointer)
    }

    /// Borrows a pointer with all that is allowed.
    pub fn as_mut_ptr(&mut self) -> SharedMemoryPtr<'_, T, A> {
        SharedMemoryPtr::from_pointer(self.pointer.pointer)
    }

    /// Turns into a pointer.
    pub fn into_ptr(self) -> SharedMemoryPtr<'a, T, A> {
        self.pointer
    }

    /// Narrows what is allowed.
    pub fn restrict<To>(self) -> SharedMemoryRef<'a, T, A::Restricted>
    where
        A: RestrictAccess<To>,
    {
        SharedMemoryRef {
            pointer: SharedMemoryPtr::from_pointer(self.pointer.pointer),
        }
    }
}

impl<'a, T: ?Sized> SharedMemoryPtr<'a, T> {
    /// Points to the memory at `pointer`.
    ///
    /// # Safety
    ///
    /// The memory must be valid for reads and writes during `'a`, aligned for `T`, Normal memory,
    /// and not be accessed by this program in any other way than through this crate.
    pub const unsafe fn new(pointer: NonNull<T>) -> Self {
        Self::from_pointer(pointer)
    }

    /// Gives up writing.
    pub fn read_only(self) -> SharedMemoryPtr<'a, T, ReadOnly> {
        self.restrict()
    }

    /// Gives up reading.
    pub fn write_only(self) -> SharedMemoryPtr<'a, T, WriteOnly> {
        self.restrict()
    }
}

impl<'a, T: ?Sized, A> SharedMemoryPtr<'a, T, A> {
    const fn from_pointer(pointer: NonNull<T>) -> Self {
        Self {
            pointer,
            _reference: PhantomData,
            _access: PhantomData,
        }
    }

    /// Returns the address as a pointer.
    #[must_use]
    pub const fn as_raw_ptr(self) -> NonNull<T> {
        self.pointer
    }

    /// Narrows what is allowed.
    pub fn restrict<To>(self) -> SharedMemoryPtr<'a, T, A::Restricted>
    where
        A: RestrictAccess<To>,
    {
        SharedMemoryPtr::from_pointer(self.pointer)
    }

    /// Points to a part of what this points to. [`map_field!`](crate::map_field) does it safely.
    ///
    /// # Safety
    ///
    /// The result of `f` must lie within the memory of this pointer, and be aligned for `U`.
    pub unsafe fn map<U: ?Sized>(
        self,
        f: impl FnOnce(NonNull<T>) -> NonNull<U>,
    ) -> SharedMemoryPtr<'a, U, A> {
        SharedMemoryPtr::from_pointer(f(self.pointer))
    }
}

impl<T: FromBytes + IntoBytes, A> SharedMemoryPtr<'_, T, A> {
    /// Copies the value out.
    #[must_use]
    pub fn read(self) -> T
    where
        A: Readable,
    {
        let mut value = T::new_zeroed();
        let to: *mut T = &raw mut value;
        // SAFETY: valid for reads (promise to `new`); `T: FromBytes` takes any bytes.
        unsafe { copy(to.cast(), self.pointer.as_ptr().cast(), size_of::<T>()) };
        value
    }

    /// Copies `value` in.
    #[expect(clippy::needless_pass_by_value, reason = "upstream's signature")]
    pub fn write(self, value: T)
    where
        A: Writable,
    {
        let from: *const T = &raw const value;
        // SAFETY: valid for writes (promise to `new`); `T: IntoBytes` has no padding to leak.
        unsafe { copy(self.pointer.as_ptr().cast(), from.cast(), size_of::<T>()) };
    }

    /// Reads, changes and writes back. Not atomic.
    pub fn update(self, f: impl FnOnce(T) -> T)
    where
        A: Readable + Writable,
    {
        self.write(f(self.read()));
    }
}

impl<'a, T, A, const N: usize> SharedMemoryPtr<'a, [T; N], A> {
    /// Forgets the length in the type.
    pub fn as_slice(self) -> SharedMemoryPtr<'a, [T], A> {
        SharedMemoryPtr::from_pointer(NonNull::slice_from_raw_parts(self.pointer.cast(), N))
    }
}

impl<'a, T, A> SharedMemoryPtr<'a, [T], A> {
    /// Returns the number of elements.
    #[must_use]
    pub const fn len(self) -> usize {
        self.pointer.len()
    }

    /// Says whether there is no element.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.pointer.len() == 0
    }

    /// Points to one element.
    ///
    /// # Panics
    ///
    /// When there is no such element.
    pub fn index(self, index: usize) -> SharedMemoryPtr<'a, T, A> {
        assert!(index < self.len(), "index outside of the shared slice");
        // SAFETY: just checked.
        SharedMemoryPtr::from_pointer(unsafe { self.pointer.cast::<T>().add(index) })
    }

    /// Points to a part.
    ///
    /// # Panics
    ///
    /// When it is not all inside.
    pub fn range(self, range: core::ops::Range<usize>) -> SharedMemoryPtr<'a, [T], A> {
        assert!(
            range.start <= range.end && range.end <= self.len(),
            "range outside of the slice"
        );
        // SAFETY: just checked.
        let start = unsafe { self.pointer.cast::<T>().add(range.start) };
        SharedMemoryPtr::from_pointer(NonNull::slice_from_raw_parts(start, range.len()))
    }
}

impl<T: FromBytes + IntoBytes, A> SharedMemoryPtr<'_, [T], A> {
    /// Copies all elements out.
    ///
    /// # Panics
    ///
    /// When the lengths differ.
    pub fn copy_into_slice(self, dst: &mut [T])
    where
        A: Readable,
    {
        assert_eq!(self.len(), dst.len(), "slices of different lengths");
        // SAFETY: valid for reads (promise to `new`), and as long as `dst`.
        unsafe {
            copy(
                dst.as_mut_ptr().cast(),
                self.pointer.as_ptr().cast(),
                size_of_val(dst),
            )
        };
    }

    /// Copies all elements in.
    ///
    /// # Panics
    ///
    /// When the lengths differ.
    pub fn copy_from_slice(self, src: &[T])
    where
        A: Writable,
    {
        assert_eq!(self.len(), src.len(), "slices of different lengths");
        // SAFETY: valid for writes (promise to `new`), and as long as `src`.
        unsafe {
            copy(
                self.pointer.as_ptr().cast(),
                src.as_ptr().cast(),
                size_of_val(src),
            )
        };
    }
}

/// Types that can be loaded and stored at once.
pub trait Atomic: sealed::Atomic {}

mod sealed {
    use super::{NonNull, Ordering};

    pub trait Atomic {
        type Value: Copy;

        /// # Safety
        ///
        /// `at` must be valid for atomic accesses.
        unsafe fn load(at: NonNull<Self>, order: Ordering) -> Self::Value;

        /// # Safety
        ///
        /// `at` must be valid for atomic accesses.
        unsafe fn store(at: NonNull<Self>, value: Self::Value, order: Ordering);
    }
}

macro_rules! impl_atomic {
    ($($Atomic:ident, $Value:ty;)*) => {
        $(
            impl_atomic!(@one atomic::$Atomic, $Atomic, $Value);
            impl_atomic!(@one $Value, $Atomic, $Value);
        )*
    };
    (@one $Type:ty, $Atomic:ident, $Value:ty) => {
        impl Atomic for $Type {}
        impl sealed::Atomic for $Type {
            type Value = $Value;

            #[inline]
            unsafe fn load(at: NonNull<Self>, order: Ordering) -> $Value {
                // SAFETY: promised by our caller; integer and atomic have one layout.
                unsafe { atomic::$Atomic::from_ptr(at.as_ptr().cast()) }.load(order)
            }

            #[inline]
            unsafe fn store(at: NonNull<Self>, value: $Value, order: Ordering) {
                // SAFETY: as above.
                unsafe { atomic::$Atomic::from_ptr(at.as_ptr().cast()) }.store(value, order);
            }
        }
    };
}

impl_atomic! {
    AtomicU8, u8;
    AtomicU16, u16;
    AtomicU32, u32;
    AtomicU64, u64;
    AtomicUsize, usize;
}

impl<T: Atomic, A> SharedMemoryPtr<'_, T, A> {
    /// Loads at once.
    #[inline]
    #[must_use]
    pub fn atomic_load(self, order: Ordering) -> T::Value
    where
        A: Readable,
    {
        // SAFETY: valid and aligned (promise to `new`), and accessed by this crate only.
        unsafe { T::load(self.pointer, order) }
    }

    /// Stores at once.
    #[inline]
    pub fn atomic_store(self, value: T::Value, order: Ordering)
    where
        A: Writable,
    {
        // SAFETY: as in `atomic_load`.
        unsafe { T::store(self.pointer, value, order) }
    }
}

/// Points to a field of what a [`SharedMemoryPtr`] points to: `map_field!(ptr.field)`.
#[macro_export]
macro_rules! map_field {
    ($ptr:ident.$($field:ident).+) => {{
        #[allow(unsafe_code, clippy::undocumented_unsafe_blocks, clippy::multiple_unsafe_ops_per_block)]
        {
            // Never runs: refuses at compile time a field that could be misaligned (packed).
            if false {
                let _ = &(unsafe { &*$ptr.as_raw_ptr().as_ptr() }).$($field).+;
            }
            unsafe {
                $ptr.map(|at| {
                    ::core::ptr::NonNull::new_unchecked(&raw mut (*at.as_ptr()).$($field).+)
                })
            }
        }
    }};
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, FromBytes, IntoBytes)]
    #[repr(C)]
    struct Pair {
        first: u32,
        rest: [u8; 12],
    }

    #[test]
    fn fields_slices_and_atomics() {
        let mut memory = Pair {
            first: 1,
            rest: [0; 12],
        };
        // SAFETY: exclusively borrowed for the rest of the test.
        let mut shared = unsafe { SharedMemoryRef::new(NonNull::from(&mut memory)) };
        let pair = shared.as_mut_ptr();
        map_field!(pair.first).atomic_store(7, Ordering::Release);
        map_field!(pair.rest)
            .as_slice()
            .range(2..5)
            .copy_from_slice(&[1, 2, 3]);
        map_field!(pair.rest).as_slice().index(11).update(|b| b + 9);
        assert_eq!(map_field!(pair.first).read(), 7);
        let pair = shared.as_ptr();
        assert_eq!(map_field!(pair.first).atomic_load(Ordering::Acquire), 7);
        let mut rest = [0; 12];
        map_field!(pair.rest).as_slice().copy_into_slice(&mut rest);
        assert_eq!(rest, [0, 0, 1, 2, 3, 0, 0, 0, 0, 0, 0, 9]);
        assert_eq!(pair.read().first, 7);
    }
}
