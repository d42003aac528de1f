// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Older names for the same clocks, which programs still use: `time`, `gettimeofday`, `sleep`, `usleep`.

use core::ffi::{c_int, c_uint, c_void};
use core::ptr::{NonNull, null_mut};

use crate::ffi::{clock_gettime, nanosleep};
use crate::posix::Timespec;

const REALTIME: c_int = 0;
const NS_PER_US: i64 = 1_000;
const US_PER_SECOND: u32 = 1_000_000;

/// `struct timeval`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Timeval {
    /// Seconds.
    pub tv_sec: i64,
    /// Microseconds.
    pub tv_usec: i64,
}

fn now() -> Option<Timespec> {
    let mut now = Timespec::default();
    // SAFETY: a variable of ours.
    (unsafe { clock_gettime(REALTIME, &raw mut now) } == 0).then_some(now)
}

/// `time`
///
/// # Safety
///
/// `to` is null or valid for writing.
#[cfg_attr(target_os = "none", unsafe(no_mangle))]
pub unsafe extern "C" fn time(to: *mut i64) -> i64 {
    let seconds = now().map_or(-1, |now| now.tv_sec);
    if let Some(to) = NonNull::new(to) {
        // SAFETY: our caller's promise.
        unsafe { to.write(seconds) };
    }
    seconds
}

/// `gettimeofday`
///
/// # Safety
///
/// `to` is null or valid for writing.
#[cfg_attr(target_os = "none", unsafe(no_mangle))]
pub unsafe extern "C" fn gettimeofday(to: *mut Timeval, _unused: *mut c_void) -> c_int {
    let (Some(to), Some(now)) = (NonNull::new(to), now()) else {
        return -1;
    };
    let value = Timeval {
        tv_sec: now.tv_sec,
        tv_usec: now.tv_nsec / NS_PER_US,
    };
    // SAFETY: our caller's promise.
    unsafe { to.write(value) };
    0
}

fn wait(tv_sec: u32, microseconds: u32) -> c_int {
    let time = Timespec {
        tv_sec: i64::from(tv_sec),
        tv_nsec: i64::from(microseconds) * NS_PER_US,
    };
    // SAFETY: a variable of ours, and nowhere for what remains.
    unsafe { nanosleep(&raw const time, null_mut()) }
}

/// `usleep`
#[cfg_attr(target_os = "none", unsafe(no_mangle))]
pub extern "C" fn usleep(microseconds: c_uint) -> c_int {
    wait(microseconds / US_PER_SECOND, microseconds % US_PER_SECOND)
}

/// `sleep`; nothing wakes a program early, so nothing remains unless the clock is missing.
#[cfg_attr(target_os = "none", unsafe(no_mangle))]
pub extern "C" fn sleep(seconds: c_uint) -> c_uint {
    match wait(seconds, 0) {
        0 => 0,
        _ => seconds,
    }
}
