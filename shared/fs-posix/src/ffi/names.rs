// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The functions on names, and on the program itself.

use alloc::string::String;
use core::ffi::{c_char, c_int};

use crate::posix::{Errno, Posix};

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
    /// `chown`: all files are the one user's.
    kintsugi_chown(owner: u32, group: u32) => |posix, path| {
        posix.stat(path).and(check_owner(owner, group))
    };
}

/// Functions that take two paths and return 0.
macro_rules! on_paths {
    ($($(#[$doc:meta])* $name:ident => $work:expr;)*) => {
        $(
            $(#[$doc])*
            ///
            /// # Safety
            ///
            /// Both are null or strings.
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn $name(first: *const c_char, second: *const c_char) -> c_int {
                // SAFETY: our caller's promise.
                let second = unsafe { with_path(second, |_, path| Ok(String::from(path))) };
                // SAFETY: our caller's promise.
                done(second.and_then(|second| unsafe {
                    with_path(first, |posix, first| $work(posix, first, &second))
                }))
            }
        )*
    };
}

on_paths! {
    /// `rename`
    kintsugi_rename => |posix: &mut Posix, from, to| posix.rename(from, to);
    /// `link`
    kintsugi_link => |posix: &mut Posix, file, name| posix.link(file, name);
    /// `symlink`
    kintsugi_symlink => |posix: &mut Posix, target, name| posix.symlink(target, name);
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

/// `lstat`
///
/// # Safety
///
/// As for [`kintsugi_stat`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kintsugi_lstat(path: *const c_char, to: *mut Stat) -> c_int {
    // SAFETY: our caller's promise.
    let found = unsafe { with_path(path, |posix, path| posix.lstat(path)) };
    // SAFETY: our caller's promise.
    done(found.and_then(|found| unsafe { write(to, found.into()) }))
}

/// `readlink`
///
/// # Safety
///
/// `path` is null or a string, `target` is null or valid for writing `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kintsugi_readlink(
    path: *const c_char,
    target: *mut c_char,
    length: usize,
) -> i64 {
    // SAFETY: our caller's promise.
    let bytes = unsafe { output(target.cast(), length) };
    // SAFETY: our caller's promise.
    let found = unsafe { with_path(path, |posix, path| posix.readlink(path)) };
    end(found.and_then(|found| {
        let bytes = bytes?;
        if bytes.is_empty() {
            return Err(Errno::EINVAL);
        }
        // What does not fit is cut off.
        let count = found.len().min(bytes.len());
        bytes[..count].copy_from_slice(&found[..count]);
        Ok(count as i64)
    }))
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
