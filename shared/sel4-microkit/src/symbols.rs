// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Variables that the Microkit tool patches into the ELF file.
//!
//! They lie in section `.patched`, which `pd.ld` puts into the boot segment: the only part of a
//! restartable PD that the tool sees, and one that nobody can write at run time.

use core::{cell::UnsafeCell, hint::black_box, str};

/// A static whose bytes in the ELF file change after linking.
#[doc(hidden)]
#[repr(transparent)]
pub struct PatchedCell<T>(UnsafeCell<T>);

// SAFETY: nobody writes the value while the program runs; it is in a read-only segment.
unsafe impl<T: Sync> Sync for PatchedCell<T> {}

impl<T> PatchedCell<T> {
    /// Sets the value for when nothing patches it.
    pub const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// The value that is there now, not the one that the compiler saw.
    pub fn get(&'static self) -> &'static T {
        // SAFETY: the tool writes a value of the type that the system description promises for
        // this symbol: integers and bytes, of which any bits are valid, and one bool, 0 or 1.
        unsafe { &*black_box(self.0.get()) }
    }
}

/// Declares a variable that the Microkit tool patches (`setvar` and its relatives), and yields a
/// `&'static` reference to it.
///
/// `var!(name: usize = 0)`: the default is the value when no attribute sets the symbol.
#[macro_export]
macro_rules! var {
    ($(#[$attribute:meta])* $symbol:ident: $type:ty = $default:expr) => {{
        $(#[$attribute])*
        #[used]
        #[allow(unsafe_code)]
        #[unsafe(no_mangle)]
        #[unsafe(link_section = ".patched")]
        #[allow(non_upper_case_globals)]
        static $symbol: $crate::_private::PatchedCell<$type> =
            $crate::_private::PatchedCell::new($default);
        $symbol.get()
    }};
}

/// Declares the symbol of a `setvar_vaddr` attribute and yields the region's address as `NonNull`.
///
/// `memory_region_symbol!(name: *mut T)` or `memory_region_symbol!(name: *mut [T], n = COUNT)`.
/// Panics when the system description does not set the symbol.
#[macro_export]
macro_rules! memory_region_symbol {
    ($(#[$attribute:meta])* $symbol:ident: *mut [$type:ty], n = $n:expr, bytes = $bytes:expr $(,)?) => {{
        assert!($bytes == $n * ::core::mem::size_of::<$type>());
        $crate::memory_region_symbol!($(#[$attribute])* $symbol: *mut [$type], n = $n)
    }};
    ($(#[$attribute:meta])* $symbol:ident: *mut $type:ty, bytes = $bytes:expr $(,)?) => {{
        assert!($bytes == ::core::mem::size_of::<$type>());
        $crate::memory_region_symbol!($(#[$attribute])* $symbol: *mut $type)
    }};
    ($(#[$attribute:meta])* $symbol:ident: *mut [$type:ty], n = $n:expr $(,)?) => {{
        ::core::ptr::NonNull::slice_from_raw_parts(
            $crate::memory_region_symbol!($(#[$attribute])* $symbol: *mut $type),
            $n,
        )
    }};
    ($(#[$attribute:meta])* $symbol:ident: *mut $type:ty $(,)?) => {{
        ::core::ptr::NonNull::new(
            *$crate::var!($(#[$attribute])* $symbol: usize = 0) as *mut $type
        )
        .unwrap_or_else(|| panic!("{} is not set in the system description", stringify!($symbol)))
    }};
}

/// Whether this protection domain is a passive server.
pub fn pd_is_passive() -> bool {
    *var!(microkit_passive: bool = false)
}

pub(crate) fn pd_irqs() -> usize {
    *var!(microkit_irqs: usize = 0)
}

pub(crate) fn pd_notifications() -> usize {
    *var!(microkit_notifications: usize = 0)
}

pub(crate) fn pd_pps() -> usize {
    // The tool wants this one too, also on Arm, where it is always 0.
    let _ = var!(microkit_ioports: usize = 0);
    *var!(microkit_pps: usize = 0)
}

/// The longest name that the tool writes; one of this length has no zero byte after it.
const NAME_BYTES_MAX: usize = 64;

/// Name of this protection domain in the system description.
pub fn pd_name() -> Result<&'static str, str::Utf8Error> {
    let bytes = var!(microkit_name: [u8; NAME_BYTES_MAX] = [0; NAME_BYTES_MAX]);
    let length = bytes
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(NAME_BYTES_MAX);
    str::from_utf8(&bytes[..length])
}
