// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The functions that list folders.

use alloc::boxed::Box;
use core::ffi::{c_char, c_int};
use core::ptr::null_mut;

use crate::posix::Errno;

use super::{Dirent, done, end, with, with_path};

/// `DIR`
#[derive(Debug)]
pub struct Dir {
    number: usize,
    entry: Dirent,
}

/// `opendir`
///
/// # Safety
///
/// `path` is null or a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kintsugi_opendir(path: *const c_char) -> *mut Dir {
    // SAFETY: our caller's promise.
    let number = unsafe { with_path(path, |posix, path| posix.opendir(path)) };
    let entry = Dirent::EMPTY;
    end(number.map(|number| Box::into_raw(Box::new(Dir { number, entry }))))
}

/// `readdir`
///
/// # Safety
///
/// `folder` is null or comes from [`kintsugi_opendir`] and is not closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kintsugi_readdir(folder: *mut Dir) -> *mut Dirent {
    // SAFETY: our caller's promise.
    let Some(folder) = (unsafe { folder.as_mut() }) else {
        return end(Err(Errno::EBADF));
    };
    end(with(|posix| {
        Ok(match posix.readdir(folder.number)? {
            Some(entry) => {
                folder.entry = entry.into();
                &raw mut folder.entry
            }
            None => null_mut(),
        })
    }))
}

/// `rewinddir`
///
/// # Safety
///
/// As for [`kintsugi_readdir`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kintsugi_rewinddir(folder: *mut Dir) {
    // SAFETY: our caller's promise.
    if let Some(folder) = unsafe { folder.as_ref() } {
        let _ = with(|posix| posix.rewinddir(folder.number));
    }
}

/// `closedir`
///
/// # Safety
///
/// As for [`kintsugi_readdir`]; it is not used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kintsugi_closedir(folder: *mut Dir) -> c_int {
    if folder.is_null() {
        return end(Err(Errno::EBADF));
    }
    // SAFETY: our caller promised that `kintsugi_opendir` has made it.
    let folder = unsafe { Box::from_raw(folder) };
    done(with(|posix| posix.closedir(folder.number)))
}
