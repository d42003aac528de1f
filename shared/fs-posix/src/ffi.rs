// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The functions that C calls. Each checks its pointers for null, and leaves the rest to
//! [`crate::posix`]. They return -1 (or null) and set `errno` as POSIX says.
//!
//! Their names in object files begin with `kintsugi_`; the headers give them POSIX's. `open` and `fcntl`
//! are variadic there and have three arguments here: the ABIs of AArch64 (AAPCS64) and x86-64 pass an
//! `int` after `...` as they pass a named one.
//!
//! A protection domain has one thread: the state is one static variable without a lock.

mod attributes;
mod files;
mod folders;
mod names;
mod wire;

pub use attributes::*;
pub use files::*;
pub use folders::*;
pub use names::*;
pub use wire::*;

use core::cell::UnsafeCell;
use core::ffi::{CStr, c_char, c_int, c_void};
use core::ptr::NonNull;

use fs_client::{FileSystem, Peer, Regions};
use sel4_shared_memory::{SharedMut, SharedRef};

use crate::posix::{Errno, Posix};

struct State(UnsafeCell<Option<Posix>>);

// SAFETY: a protection domain has one thread; host tests run C in one thread only.
unsafe impl Sync for State {}

static STATE: State = State(UnsafeCell::new(None));

/// Calls `work` with the state; `EIO` when nobody has attached it.
fn with<T>(work: impl FnOnce(&mut Posix) -> Result<T, Errno>) -> Result<T, Errno> {
    // SAFETY: one thread. `work` calls the program's `notify` and `wait` at most, which the header
    // forbids to call back into this library.
    let posix = unsafe { &mut *STATE.0.get() };
    posix.as_mut().map_or(Err(Errno::EIO), work)
}

/// What a function returns: the value, or -1 and `errno`.
trait Returned {
    fn failed() -> Self;
}

impl Returned for c_int {
    fn failed() -> Self {
        -1
    }
}

impl Returned for i64 {
    fn failed() -> Self {
        -1
    }
}

impl<T> Returned for *mut T {
    fn failed() -> Self {
        core::ptr::null_mut()
    }
}

fn end<T: Returned>(result: Result<T, Errno>) -> T {
    result.unwrap_or_else(|error| {
        c_library::set_errno(error.0);
        T::failed()
    })
}

fn done(result: Result<(), Errno>) -> c_int {
    end(result.map(|()| 0))
}

/// Calls `work` with the state and a path of the program.
///
/// # Safety
///
/// `path` is null or a string.
unsafe fn with_path<T>(
    path: *const c_char,
    work: impl FnOnce(&mut Posix, &str) -> Result<T, Errno>,
) -> Result<T, Errno> {
    if path.is_null() {
        return Err(Errno::EFAULT);
    }
    // SAFETY: our caller's promise.
    let path = unsafe { CStr::from_ptr(path) };
    let path = path.to_str().map_err(|_| Errno::EILSEQ)?;
    with(|posix| work(posix, path))
}

/// The program's memory to write to; empty for no bytes at all.
///
/// # Safety
///
/// `bytes` is null or valid for writing `count` bytes, as long as the result lives.
unsafe fn output<'a>(bytes: *mut c_void, count: usize) -> Result<&'a mut [u8], Errno> {
    match NonNull::new(bytes.cast::<u8>()) {
        _ if count == 0 => Ok(&mut []),
        None => Err(Errno::EFAULT),
        // SAFETY: our caller's promise; bytes of any content are `u8`s to us, which we only write.
        Some(start) => Ok(unsafe { core::slice::from_raw_parts_mut(start.as_ptr(), count) }),
    }
}

/// The program's memory to read from.
///
/// # Safety
///
/// `bytes` is null or points to `count` bytes, as long as the result lives.
unsafe fn input<'a>(bytes: *const c_void, count: usize) -> Result<&'a [u8], Errno> {
    match NonNull::new(bytes.cast_mut().cast::<u8>()) {
        _ if count == 0 => Ok(&[]),
        None => Err(Errno::EFAULT),
        // SAFETY: our caller's promise.
        Some(start) => Ok(unsafe { core::slice::from_raw_parts(start.as_ptr(), count) }),
    }
}

/// Writes to where the program points.
///
/// # Safety
///
/// `pointer` is null or is valid for writing a `T`.
unsafe fn write<T>(pointer: *mut T, value: T) -> Result<(), Errno> {
    match NonNull::new(pointer) {
        // SAFETY: our caller's promise.
        Some(pointer) => unsafe { pointer.write(value) },
        None => return Err(Errno::EFAULT),
    }
    Ok(())
}

/// `struct kintsugi_region`
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Region {
    /// Where system.xml maps it.
    pub start: *mut c_void,
    /// Its bytes.
    pub size: usize,
}

/// `struct kintsugi_files`
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Connection {
    /// `NAME_to_fs_requests`, which this program alone writes.
    pub requests: Region,
    /// `fs_to_NAME_completions`, read-only.
    pub completions: Region,
    /// `NAME_to_fs_data`, which this program alone writes.
    pub output: Region,
    /// `fs_to_NAME_data`, read-only.
    pub input: Region,
    /// Notifies the file service.
    pub notify: extern "C" fn(),
    /// Waits for a notification of the file service; may return without cause, and should when it has taken
    /// long: what is waited for is then asked for again.
    pub wait: extern "C" fn(),
}

/// The functions of a [`Connection`], as the client of the service calls them.
#[derive(Debug)]
pub struct Channel {
    notify: extern "C" fn(),
    wait: extern "C" fn(),
    /// A wait has ended since we told the service.
    has_waited: bool,
}

impl Channel {
    /// Nobody has waited yet.
    pub fn new(notify: extern "C" fn(), wait: extern "C" fn()) -> Self {
        Self {
            notify,
            wait,
            has_waited: false,
        }
    }
}

impl Peer for Channel {
    fn notify(&mut self) {
        self.has_waited = false;
        (self.notify)();
    }

    fn wait(&mut self) {
        (self.wait)();
    }

    // A wait has ended and brought no answer: the answer or its notification may have been lost (campaign on
    // seL4 release at a5e7c4a, seed 1, trials 4939 and 7697: SQLite waited for ever for an answer of which a
    // bit had changed on its way into the table).
    fn wait_or(&mut self, look: &mut dyn FnMut() -> bool) {
        if core::mem::replace(&mut self.has_waited, true) {
            if look() {
                return;
            }
            (self.notify)();
        }
        (self.wait)();
    }
}

fn memory(region: Region) -> Result<NonNull<[u8]>, Errno> {
    let start = NonNull::new(region.start.cast::<u8>()).ok_or(Errno::EFAULT)?;
    if region.size == 0 || !start.addr().get().is_multiple_of(8) {
        return Err(Errno::EINVAL);
    }
    Ok(NonNull::slice_from_raw_parts(start, region.size))
}

/// Attaches to the file service. To be called first; what was open is closed.
///
/// # Safety
///
/// `connection` is null or points to a connection whose regions are mapped as it says, and used by
/// nobody else in this program; its functions do not call back into this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kintsugi_files_attach(connection: *const Connection) -> c_int {
    // SAFETY: our caller's promise.
    let connection = unsafe { connection.as_ref() }.ok_or(Errno::EFAULT);
    // SAFETY: our caller's promise.
    done(connection.and_then(|connection| unsafe { attach(connection) }))
}

/// # Safety
///
/// As for [`kintsugi_files_attach`].
unsafe fn attach(connection: &Connection) -> Result<(), Errno> {
    let (requests, completions) = (
        memory(connection.requests)?,
        memory(connection.completions)?,
    );
    let (output, input) = (memory(connection.output)?, memory(connection.input)?);
    let regions = Regions {
        // SAFETY: our caller promised the mapping, and that this program alone writes it.
        requests: unsafe { SharedMut::new(requests) },
        // SAFETY: our caller promised the mapping.
        completions: unsafe { SharedRef::new(completions) },
        // SAFETY: as for `requests`.
        output: unsafe { SharedMut::new(output) },
        // SAFETY: as for `completions`.
        input: unsafe { SharedRef::new(input) },
    };
    let Connection { notify, wait, .. } = *connection;
    let files = FileSystem::attach(regions, Channel::new(notify, wait));
    attach_to(files.map_err(|_| Errno::EINVAL)?);
    Ok(())
}

/// Attaches the functions of this module to a connection that the program's part in Rust has made.
/// What was open is closed.
pub fn attach_to(files: FileSystem) {
    // SAFETY: one thread, and no reference to the state is alive.
    unsafe { *STATE.0.get() = Some(Posix::new(files)) };
}
