// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The functions on names, and on the program itself.

use core::ffi::{c_char, c_int, c_void};

use crate::posix::Errno;

use super::{Stat, done, end, output, with, with_path, write};

/// "Leave it" for `chown`.
const NOBODY: u32 = u32::MAX;

pub(super) fn check_owner(owner: u32, group: u32) -> Result<(), Errno> {
    let ours = |id| id == 0 || id == NOBODY;
    match ours(owner) && ours(group) {
        true => Ok(()),
        false => Err(Errno::EPERM),
    }
}

/// Functions that take a path and return 0.
macro_rules! on_path {
    ($($(#[$doc:meta])* $name:ident($($argument:ident: $type:ty),*) => $work:expr;)*) => {
        $(
            $(#[$doc])*
            ///
            /// # Safety
            ///
            /// `path` is null or a string.
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn $name(path: *const c_char $(, $argument: $type)*) -> c_int {
                // SAFETY: our caller's promise.
                done(unsafe { with_path(path, $work) })
            }
        )*
    };
}

on_path! {
    /// `unlink`
    kintsugi_unlink() => |posix, path| posix.unlink(path);
    /// `rmdir`
    kintsugi_rmdir() => |posix, path| posix.rmdir(path);
    /// `remove`
    kintsugi_remove() => |posix, path| posix.remove(path);
    /// `chdir`
    kintsugi_chdir() => |posix, path| posix.chdir(path);
    /// `mkdir`
    kintsugi_mkdir(mode: u32) => |posix, path| posix.mkdir(path, mode);
    /// `access`
    kintsugi_access(mode: c_int) => |posix, path| posix.access(path, mode);
    /// `truncate`
    kintsugi_truncate(size: i64) => |posix, path| posix.truncate(path, size);
    /// `chmod`: the service does not change permissions.
    kintsugi_chmod(_mode: u32) => |posix, path| posix.stat(path).and(Err(Errno::ENOSYS));
    /// `chown`: all files are the one user's.
    kintsugi_chown(owner: u32, group: u32) => |posix, path| {
        posix.stat(path).and(check_owner(owner, group))
    };
    /// `utimes`: the service does not set times.
    kintsugi_utimes(_times: *const c_void) => |posix, path| posix.stat(path).and(Err(Errno::ENOSYS));
}

/// `rename`
///
/// # Safety
///
/// Both are null or strings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kintsugi_rename(from: *const c_char, to: *const c_char) -> c_int {
    // SAFETY: our caller's promise.
    let to = unsafe { with_path(to, |_, path| Ok(alloc::string::String::from(path))) };
    // SAFETY: our caller's promise.
    done(to.and_then(|to| unsafe { with_path(from, |posix, from| posix.rename(from, &to)) }))
}

/// `stat`
///
/// # Safety
///
/// `path` is null or a string, `to` is null or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kintsugi_stat(path: *const c_char, to: *mut Stat) -> c_int {
    // SAFETY: our caller's promise.
    let found = unsafe { with_path(path, |posix, path| posix.stat(path)) };
    // SAFETY: our caller's promise.
    done(found.and_then(|found| unsafe { write(to, found.into()) }))
}

/// `lstat`: the service follows links.
///
/// # Safety
///
/// As for [`kintsugi_stat`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kintsugi_lstat(path: *const c_char, to: *mut Stat) -> c_int {
    // SAFETY: our caller's promise.
    unsafe { kintsugi_stat(path, to) }
}

/// `readlink`: as `stat` follows links, nothing is one.
///
/// # Safety
///
/// `path` is null or a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kintsugi_readlink(
    path: *const c_char,
    _target: *mut c_char,
    _length: usize,
) -> i64 {
    // SAFETY: our caller's promise.
    let found = unsafe { with_path(path, |posix, path| posix.stat(path)) };
    end(found.and(Err(Errno::EINVAL)))
}

/// `getcwd`
///
/// # Safety
///
/// `path` is null or valid for writing `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kintsugi_getcwd(path: *mut c_char, length: usize) -> *mut c_char {
    if path.is_null() || length == 0 {
        return end(Err(Errno::EINVAL));
    }
    // SAFETY: our caller's promise.
    let bytes = unsafe { output(path.cast(), length) };
    end(with(|posix| {
        let (bytes, name) = (bytes?, posix.working_directory().as_bytes());
        let place = bytes.get_mut(..=name.len()).ok_or(Errno::ERANGE)?;
        place[..name.len()].copy_from_slice(name);
        place[name.len()] = 0;
        Ok(path)
    }))
}

/// `fchdir`
#[unsafe(no_mangle)]
pub extern "C" fn kintsugi_fchdir(descriptor: c_int) -> c_int {
    done(with(|posix| posix.fchdir(descriptor)))
}

/// `umask`
#[unsafe(no_mangle)]
pub extern "C" fn kintsugi_umask(mask: u32) -> u32 {
    with(|posix| Ok(posix.umask(mask))).unwrap_or(0o022)
}

/// `getuid`: the one user, whose all files are.
#[unsafe(no_mangle)]
pub extern "C" fn kintsugi_getuid() -> u32 {
    0
}

/// `geteuid`
#[unsafe(no_mangle)]
pub extern "C" fn kintsugi_geteuid() -> u32 {
    0
}

/// `getpid`: a protection domain is one process.
#[unsafe(no_mangle)]
pub extern "C" fn kintsugi_getpid() -> c_int {
    1
}
