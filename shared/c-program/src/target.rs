// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The functions. Pointers are checked for null; for the rest C has to keep its promises, as always. A
//! C program that does not hurts itself, faults, and is restarted.

use core::ffi::{CStr, c_char, c_int, c_uint, c_void};

use log::info;
use sel4_microkit::{Channel, NullHandler};
use spin::Mutex;
use topology::Topology;

static TOPOLOGY: Mutex<Option<Topology<'static>>> = Mutex::new(None);
/// Longest text that is looked at, so that one without an end does not flood the log.
const TEXT_MAX: usize = 200;

unsafe extern "C" {
    /// The program.
    fn main() -> c_int;
}

/// `struct kintsugi_region`
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Region {
    start: *mut c_void,
    size: usize,
}

/// Sets the PD up (log, topology table, answers to its supervisor), then runs its C program.
pub fn run() -> NullHandler {
    pd_setup::log();
    *TOPOLOGY.lock() = Some(pd_setup::topology());
    // SAFETY: the program of this PD; it has the one thread and the one stack.
    let result = unsafe { main() };
    info!("main has returned {result}");
    NullHandler::new()
}

/// A text of C; lossy, and empty for a null pointer.
///
/// # Safety
///
/// `text` is null, or a string of C that stays as it is while the result is used.
unsafe fn text<'a>(text: *const c_char) -> &'a str {
    if text.is_null() {
        return "";
    }
    // SAFETY: our caller's promise.
    let bytes = unsafe { CStr::from_ptr(text) }.to_bytes();
    let bytes = &bytes[..bytes.len().min(TEXT_MAX)];
    match core::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => core::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
    }
}

/// `kintsugi_log`
///
/// # Safety
///
/// `line` is null or a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kintsugi_log(line: *const c_char) {
    // SAFETY: our caller's promise.
    info!("{}", unsafe { text(line) });
}

/// `kintsugi_region`
///
/// # Safety
///
/// `name` is null or a string, `region` is null or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kintsugi_region(name: *const c_char, region: *mut Region) -> c_int {
    // SAFETY: our caller's promise.
    let name = unsafe { text(name) };
    let found = TOPOLOGY.lock().and_then(|topology| topology.region(name));
    let (Some(found), false) = (found, region.is_null()) else {
        return -1;
    };
    let start = found.vaddr as *mut c_void;
    let size = found.size as usize;
    // SAFETY: our caller's promise.
    unsafe { region.write(Region { start, size }) };
    0
}

/// `kintsugi_channel`
///
/// # Safety
///
/// `peer` is null or a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kintsugi_channel(peer: *const c_char) -> c_int {
    // SAFETY: our caller's promise.
    let peer = unsafe { text(peer) };
    let found = TOPOLOGY
        .lock()
        .and_then(|topology| topology.channel_to(peer));
    found.map_or(-1, |channel| channel.id.into())
}

/// `kintsugi_notify`
#[unsafe(no_mangle)]
pub extern "C" fn kintsugi_notify(channel: c_uint) {
    Channel::new(channel as usize).notify();
}

/// `kintsugi_wait`. Ends without a signal when it takes long: a program that waits for an answer has no other
/// clock by which it could ask again for one that was lost.
#[unsafe(no_mangle)]
pub extern "C" fn kintsugi_wait(channel: c_uint) {
    microkit_wait::wait_for_or(Channel::new(channel as usize), &mut || true);
}

/// `kintsugi_ticks`
#[unsafe(no_mangle)]
pub extern "C" fn kintsugi_ticks() -> u64 {
    recovery::ticks()
}

/// `kintsugi_epoch`
#[unsafe(no_mangle)]
pub extern "C" fn kintsugi_epoch() -> u32 {
    recovery::epoch()
}
