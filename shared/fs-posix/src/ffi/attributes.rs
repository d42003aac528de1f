// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The functions that set permission bits and times. Both are stored; nobody is kept from anything by them.

use core::ffi::{c_char, c_int};
use core::ptr::NonNull;

use fs_client::{Attributes, Time};

use crate::posix::Errno;

use super::{Timespec, done, end, with, with_path};

/// Relative paths begin at the working directory; no other folder can be named.
const AT_FDCWD: c_int = -100;
const AT_SYMLINK_NOFOLLOW: c_int = 0x100;
const UTIME_NOW: i64 = (1 << 30) - 1;
const UTIME_OMIT: i64 = (1 << 30) - 2;
const NANOSECONDS: i64 = 1_000_000_000;

/// `struct timeval`
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[expect(missing_docs, reason = "POSIX's fields")]
pub struct Timeval {
    pub tv_sec: i64,
    pub tv_usec: i64,
}

fn mode_only(mode: u32) -> Attributes {
    Attributes {
        mode: Some(mode & 0o7777),
        ..Attributes::default()
    }
}

fn at(seconds: i64, nanoseconds: i64) -> Result<Time, Errno> {
    if !(0..NANOSECONDS).contains(&nanoseconds) {
        return Err(Errno::EINVAL);
    }
    let whole = seconds.checked_mul(NANOSECONDS);
    let time = whole.and_then(|whole| whole.checked_add(nanoseconds));
    time.map(Time::At).ok_or(Errno::EINVAL)
}

fn time(spec: &Timespec) -> Result<Time, Errno> {
    match spec.tv_nsec {
        UTIME_NOW => Ok(Time::Now),
        UTIME_OMIT => Ok(Time::Keep),
        nanoseconds => at(spec.tv_sec, nanoseconds),
    }
}

/// What the two times mean; the present, where there are none.
///
/// # Safety
///
/// `times` is null or points to two of them.
unsafe fn both<T>(
    times: *const T,
    time: impl Fn(&T) -> Result<Time, Errno>,
) -> Result<Attributes, Errno> {
    let (mut accessed, mut modified) = (Time::Now, Time::Now);
    if let Some(times) = NonNull::new(times.cast_mut()) {
        // SAFETY: our caller's promise.
        let times = unsafe { core::slice::from_raw_parts(times.as_ptr(), 2) };
        (accessed, modified) = (time(&times[0])?, time(&times[1])?);
    }
    Ok(Attributes {
        mode: None,
        accessed,
        modified,
    })
}

/// `chmod`
///
/// # Safety
///
/// `path` is null or a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kintsugi_chmod(path: *const c_char, mode: u32) -> c_int {
    // SAFETY: our caller's promise.
    done(unsafe { with_path(path, |posix, path| posix.set(path, true, &mode_only(mode))) })
}

/// `fchmod`
#[unsafe(no_mangle)]
pub extern "C" fn kintsugi_fchmod(descriptor: c_int, mode: u32) -> c_int {
    done(with(|posix| {
        posix.with(descriptor, |open| open.set(&mode_only(mode)))
    }))
}

/// `utimes`
///
/// # Safety
///
/// `path` is null or a string, `times` is null or points to two of them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kintsugi_utimes(path: *const c_char, times: *const Timeval) -> c_int {
    let time = |time: &Timeval| match time.tv_usec {
        0..1_000_000 => at(time.tv_sec, time.tv_usec * 1000),
        _ => Err(Errno::EINVAL),
    };
    // SAFETY: our caller's promise.
    let attributes = unsafe { both(times, time) };
    // SAFETY: our caller's promise.
    done(unsafe { with_path(path, |posix, path| posix.set(path, true, &attributes?)) })
}

/// `utimensat`, with `AT_FDCWD`
///
/// # Safety
///
/// As for [`kintsugi_utimes`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kintsugi_utimensat(
    folder: c_int,
    path: *const c_char,
    times: *const Timespec,
    flags: c_int,
) -> c_int {
    if flags & !AT_SYMLINK_NOFOLLOW != 0 || folder != AT_FDCWD {
        return end(Err(Errno::EINVAL));
    }
    let follow = flags & AT_SYMLINK_NOFOLLOW == 0;
    // SAFETY: our caller's promise.
    let attributes = unsafe { both(times, time) };
    // SAFETY: our caller's promise.
    done(unsafe { with_path(path, |posix, path| posix.set(path, follow, &attributes?)) })
}

/// `futimens`
///
/// # Safety
///
/// `times` is null or points to two of them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kintsugi_futimens(descriptor: c_int, times: *const Timespec) -> c_int {
    // SAFETY: our caller's promise.
    let attributes = unsafe { both(times, time) };
    done(with(|posix| {
        posix.with(descriptor, |open| open.set(&attributes?))
    }))
}
