// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The functions on descriptors.

use core::ffi::{c_char, c_int, c_void};

use crate::posix::{Errno, Whence};

use super::{Flock, IOV_MAX, Iovec, Stat, done, end, input, output, with, with_path};

const F_DUPFD: c_int = 0;
const F_GETFD: c_int = 1;
const F_SETFD: c_int = 2;
const F_GETFL: c_int = 3;
const F_SETFL: c_int = 4;
const F_GETLK: c_int = 5;
const F_SETLK: c_int = 6;
const F_SETLKW: c_int = 7;
const F_UNLCK: i16 = 2;
const SC_PAGESIZE: c_int = 30;

fn count(result: Result<usize, Errno>) -> i64 {
    end(result.map(|count| count as i64))
}

/// `open`
///
/// # Safety
///
/// `path` is null or a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kintsugi_open(path: *const c_char, flags: c_int, mode: u32) -> c_int {
    // SAFETY: our caller's promise.
    end(unsafe { with_path(path, |posix, path| posix.open(path, flags, mode)) })
}

/// `creat`
///
/// # Safety
///
/// `path` is null or a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kintsugi_creat(path: *const c_char, mode: u32) -> c_int {
    use crate::posix::flags::{O_CREAT, O_TRUNC, O_WRONLY};
    // SAFETY: our caller's promise.
    unsafe { kintsugi_open(path, O_WRONLY | O_CREAT | O_TRUNC, mode) }
}

/// `close`
#[unsafe(no_mangle)]
pub extern "C" fn kintsugi_close(descriptor: c_int) -> c_int {
    done(with(|posix| posix.close(descriptor)))
}

/// `dup`
#[unsafe(no_mangle)]
pub extern "C" fn kintsugi_dup(descriptor: c_int) -> c_int {
    end(with(|posix| posix.dup(descriptor, 0)))
}

/// `dup2`
#[unsafe(no_mangle)]
pub extern "C" fn kintsugi_dup2(descriptor: c_int, wanted: c_int) -> c_int {
    end(with(|posix| posix.dup2(descriptor, wanted)))
}

/// `read`
///
/// # Safety
///
/// `bytes` is null or valid for writing `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kintsugi_read(
    descriptor: c_int,
    bytes: *mut c_void,
    length: usize,
) -> i64 {
    // SAFETY: our caller's promise.
    let bytes = unsafe { output(bytes, length) };
    count(with(|posix| {
        posix.with(descriptor, |open| open.read(bytes?))
    }))
}

/// `pread`
///
/// # Safety
///
/// As for [`kintsugi_read`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kintsugi_pread(
    descriptor: c_int,
    bytes: *mut c_void,
    length: usize,
    offset: i64,
) -> i64 {
    // SAFETY: our caller's promise.
    let bytes = unsafe { output(bytes, length) };
    count(with(|posix| {
        posix.with(descriptor, |open| open.read_at(bytes?, offset))
    }))
}

/// `write`
///
/// # Safety
///
/// `bytes` is null or points to `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kintsugi_write(
    descriptor: c_int,
    bytes: *const c_void,
    length: usize,
) -> i64 {
    // SAFETY: our caller's promise.
    let bytes = unsafe { input(bytes, length) };
    count(with(|posix| {
        posix.with(descriptor, |open| open.write(bytes?))
    }))
}

/// `pwrite`
///
/// # Safety
///
/// As for [`kintsugi_write`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kintsugi_pwrite(
    descriptor: c_int,
    bytes: *const c_void,
    length: usize,
    offset: i64,
) -> i64 {
    // SAFETY: our caller's promise.
    let bytes = unsafe { input(bytes, length) };
    count(with(|posix| {
        posix.with(descriptor, |open| open.write_at(bytes?, offset))
    }))
}

/// Calls `part` for each part until one is not done whole.
///
/// # Safety
///
/// `parts` is null or points to `number` parts.
unsafe fn vectored(parts: *const Iovec, number: c_int, mut part: impl FnMut(&Iovec) -> i64) -> i64 {
    if !(0..=IOV_MAX).contains(&number) || parts.is_null() {
        return end(Err(Errno::EINVAL));
    }
    let mut total = 0;
    for index in 0..number as usize {
        // SAFETY: our caller's promise; the number was checked.
        let iovec = unsafe { parts.wrapping_add(index).read() };
        match part(&iovec) {
            -1 if total == 0 => return -1,
            -1 => break,
            done => total += done,
        }
        if total < iovec.iov_len as i64 {
            break;
        }
    }
    total
}

/// `readv`
///
/// # Safety
///
/// `parts` is null or points to `number` parts, each as for [`kintsugi_read`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kintsugi_readv(
    descriptor: c_int,
    parts: *const Iovec,
    number: c_int,
) -> i64 {
    // SAFETY: our caller's promise.
    let part = |part: &Iovec| unsafe { kintsugi_read(descriptor, part.iov_base, part.iov_len) };
    // SAFETY: our caller's promise.
    unsafe { vectored(parts, number, part) }
}

/// `writev`
///
/// # Safety
///
/// `parts` is null or points to `number` parts, each as for [`kintsugi_write`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kintsugi_writev(
    descriptor: c_int,
    parts: *const Iovec,
    number: c_int,
) -> i64 {
    // SAFETY: our caller's promise.
    let part = |part: &Iovec| unsafe { kintsugi_write(descriptor, part.iov_base, part.iov_len) };
    // SAFETY: our caller's promise.
    unsafe { vectored(parts, number, part) }
}

/// `lseek`
#[unsafe(no_mangle)]
pub extern "C" fn kintsugi_lseek(descriptor: c_int, offset: i64, whence: c_int) -> i64 {
    end(Whence::from_number(whence)
        .and_then(|whence| with(|posix| posix.with(descriptor, |open| open.seek(offset, whence)))))
}

/// `ftruncate`
#[unsafe(no_mangle)]
pub extern "C" fn kintsugi_ftruncate(descriptor: c_int, size: i64) -> c_int {
    done(with(|posix| {
        posix.with(descriptor, |open| open.truncate(size))
    }))
}

/// `fsync`
#[unsafe(no_mangle)]
pub extern "C" fn kintsugi_fsync(descriptor: c_int) -> c_int {
    done(with(|posix| posix.with(descriptor, |open| open.sync())))
}

/// `fdatasync`
#[unsafe(no_mangle)]
pub extern "C" fn kintsugi_fdatasync(descriptor: c_int) -> c_int {
    kintsugi_fsync(descriptor)
}

/// `sync`, which cannot fail
#[unsafe(no_mangle)]
pub extern "C" fn kintsugi_sync() {
    let _ = with(|posix| posix.sync());
}

/// `fstat`
///
/// # Safety
///
/// `to` is null or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kintsugi_fstat(descriptor: c_int, to: *mut Stat) -> c_int {
    let found = with(|posix| posix.with(descriptor, |open| open.metadata()));
    // SAFETY: our caller's promise.
    done(found.and_then(|found| unsafe { super::write(to, found.into()) }))
}

/// `fcntl`. Locks are always granted: they are between programs, and not supported there.
///
/// # Safety
///
/// With the commands on locks, `argument` is null or points to a `struct flock`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kintsugi_fcntl(
    descriptor: c_int,
    command: c_int,
    argument: usize,
) -> c_int {
    let number = argument as c_int;
    end(with(|posix| match command {
        F_DUPFD => posix.dup(descriptor, number),
        F_GETFL => posix.with(descriptor, |open| Ok(open.flags())),
        F_SETFL => posix.with(descriptor, |open| {
            open.set_flags(number);
            Ok(0)
        }),
        // There is no other program that a descriptor could be kept from.
        F_GETFD | F_SETFD | F_SETLK | F_SETLKW => posix.with(descriptor, |_| Ok(0)),
        F_GETLK => posix.with(descriptor, |_| {
            let lock = core::ptr::with_exposed_provenance_mut::<Flock>(argument);
            // SAFETY: our caller's promise.
            let lock = unsafe { lock.as_mut() }.ok_or(Errno::EFAULT)?;
            lock.l_type = F_UNLCK;
            Ok(0)
        }),
        _ => Err(Errno::EINVAL),
    }))
}

/// `isatty`: no.
#[unsafe(no_mangle)]
pub extern "C" fn kintsugi_isatty(descriptor: c_int) -> c_int {
    let found = with(|posix| posix.with(descriptor, |_| Err(Errno::ENOTTY)));
    end::<c_int>(found).max(0)
}

/// `fchown`: all files are the one user's.
#[unsafe(no_mangle)]
pub extern "C" fn kintsugi_fchown(descriptor: c_int, owner: u32, group: u32) -> c_int {
    done(with(|posix| {
        posix.with(descriptor, |_| super::names::check_owner(owner, group))
    }))
}

/// `sysconf`, for the size of a page
#[unsafe(no_mangle)]
pub extern "C" fn kintsugi_sysconf(name: c_int) -> i64 {
    match name {
        SC_PAGESIZE => 4096,
        _ => end(Err(Errno::EINVAL)),
    }
}
