// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What programs in C find in a protection domain besides files (`fs-posix`) and clocks (`timer-posix`):
//! `errno`, memory from the domain's heap, strings. The headers in `include/` list it all; what they do
//! not list is not there, and the linker says so.
//!
//! Strings, sorting and memory are those of crate `tinyrlibc`, memory functions those of `sel4-microkit`.
//! There are no streams, no environment, no locale.

#![no_std]
#![expect(unsafe_code, reason = "functions that C calls, with C's pointers")]

use core::cell::UnsafeCell;
use core::ffi::{c_char, c_int};

#[cfg(target_os = "none")]
use tinyrlibc as _;

struct Errno(UnsafeCell<c_int>);

// SAFETY: a protection domain has one thread; host tests take a lock around all their calls.
unsafe impl Sync for Errno {}

static ERRNO: Errno = Errno(UnsafeCell::new(0));

/// The address of `errno`.
#[unsafe(no_mangle)]
pub extern "C" fn kintsugi_errno_location() -> *mut c_int {
    ERRNO.0.get()
}

/// Sets `errno`.
pub fn set_errno(errno: c_int) {
    // SAFETY: one thread; a plain store.
    unsafe { *ERRNO.0.get() = errno }
}

/// There is no environment.
#[cfg_attr(target_os = "none", unsafe(no_mangle))]
pub extern "C" fn getenv(_name: *const c_char) -> *mut c_char {
    core::ptr::null_mut()
}

/// `strerror`, without the words: the header <errno.h> has them.
#[cfg_attr(target_os = "none", unsafe(no_mangle))]
pub extern "C" fn strerror(_errno: c_int) -> *const c_char {
    c"see errno.h".as_ptr()
}

/// `abort`: a fault, after which the supervisor restarts the program.
#[cfg(target_os = "none")]
#[unsafe(no_mangle)]
pub extern "C" fn abort() -> ! {
    panic!("abort")
}

/// `fabs`
#[cfg_attr(target_os = "none", unsafe(no_mangle))]
pub extern "C" fn fabs(number: f64) -> f64 {
    number.abs()
}
