// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The functions that C calls. Each checks its pointers for null, and leaves the rest to
//! [`crate::posix`]. They return -1 and set `errno` as POSIX says, `clock_nanosleep` returns the error.
//!
//! A protection domain has one thread: the state is one static variable without a lock.
//!
//! On the host the names are Rust's, so that tests do not replace the C library's functions.

use core::cell::UnsafeCell;
use core::ffi::{c_int, c_void};
use core::ptr::NonNull;

pub use c_library::kintsugi_errno_location;

use sel4_shared_memory::{SharedMut, SharedRef};
use timer_client::{Clock, Service, Timers};

use crate::posix::{ClockId, Errno, Itimerspec, Posix, Timespec};

const TIMER_ABSTIME: c_int = 1;
const SIGEV_NONE: c_int = 1;

/// `struct kintsugi_region`
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Region {
    /// Where system.xml maps it.
    pub start: *mut c_void,
    /// Its bytes.
    pub size: usize,
}

/// `struct kintsugi_time`
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Connection {
    /// `timer_clock`, read-only.
    pub clock: Region,
    /// `NAME_to_timer_timers`, which this program alone writes.
    pub timers: Region,
    /// `timer_to_NAME_firings`, read-only.
    pub firings: Region,
    /// `NAME_to_timer_control`, or null.
    pub control: Region,
    /// Reads the counter.
    pub ticks: extern "C" fn() -> u64,
    /// Notifies the time service.
    pub notify: extern "C" fn(),
    /// Waits for a notification of the time service; may return without cause.
    pub wait: extern "C" fn(),
}

/// `struct sigevent`, as far as it is used.
#[derive(Debug)]
#[repr(C)]
pub struct Sigevent {
    /// Must be `SIGEV_NONE`.
    pub sigev_notify: c_int,
}

/// The channel, through the program's functions.
#[derive(Debug)]
pub struct Channel {
    notify: extern "C" fn(),
    wait: extern "C" fn(),
}

impl Service for Channel {
    fn notify(&mut self) {
        (self.notify)();
    }

    fn wait(&mut self) {
        (self.wait)();
    }
}

struct State {
    posix: UnsafeCell<Option<Posix<Channel>>>,
    ticks: UnsafeCell<Option<extern "C" fn() -> u64>>,
}

// SAFETY: a protection domain has one thread; host tests take a lock around all their calls.
unsafe impl Sync for State {}

static STATE: State = State {
    posix: UnsafeCell::new(None),
    ticks: UnsafeCell::new(None),
};

fn ticks() -> u64 {
    // SAFETY: one thread, and the value is copied out at once.
    let ticks = unsafe { *STATE.ticks.get() };
    ticks.map_or(0, |ticks| ticks())
}

/// Calls `work` with the state; `EINVAL` when nobody has attached it.
fn with<T>(work: impl FnOnce(&mut Posix<Channel>) -> Result<T, Errno>) -> Result<T, Errno> {
    // SAFETY: one thread. `work` calls the program's `notify` and `wait` at most, which the header
    // forbids to call back into this library.
    let posix = unsafe { &mut *STATE.posix.get() };
    posix.as_mut().map_or(Err(Errno::Einval), work)
}

/// Ends a function as POSIX's do: the value, or -1 and `errno`.
fn end(result: Result<c_int, Errno>) -> c_int {
    result.unwrap_or_else(|error| {
        c_library::set_errno(error as c_int);
        -1
    })
}

/// Reads what the program points to.
///
/// # Safety
///
/// `pointer` is null or points to a `T`.
unsafe fn read<T: Copy>(pointer: *const T) -> Result<T, Errno> {
    // SAFETY: our caller's promise.
    unsafe { pointer.as_ref() }.copied().ok_or(Errno::Efault)
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
        None => return Err(Errno::Efault),
    }
    Ok(())
}

fn memory(region: Region) -> Result<NonNull<[u8]>, Errno> {
    let start = NonNull::new(region.start.cast::<u8>()).ok_or(Errno::Efault)?;
    if region.size == 0 || !start.addr().get().is_multiple_of(8) {
        return Err(Errno::Einval);
    }
    Ok(NonNull::slice_from_raw_parts(start, region.size))
}

/// Attaches to the time service. To be called first; `EAGAIN` when the service has not published its
/// clocks yet, which it does before it notifies for the first time.
///
/// # Safety
///
/// `connection` points to a connection whose regions are mapped as it says, and used by nobody else
/// in this program; its functions do not call back into this library.
#[cfg_attr(target_os = "none", unsafe(no_mangle))]
pub unsafe extern "C" fn kintsugi_time_attach(connection: *const Connection) -> c_int {
    // SAFETY: our caller's promise.
    let attached = unsafe { read(connection) }.and_then(|connection| {
        // SAFETY: our caller's promise.
        unsafe { attach(connection) }
    });
    end(attached.map(|()| 0))
}

/// # Safety
///
/// As for [`kintsugi_time_attach`].
unsafe fn attach(connection: Connection) -> Result<(), Errno> {
    let [clock, timers, firings] =
        [connection.clock, connection.timers, connection.firings].map(memory);
    // SAFETY: our caller promised the mappings.
    let clock = unsafe { SharedRef::new(clock?) };
    // SAFETY: as above, and that this program alone writes this one.
    let timers = unsafe { SharedMut::new(timers?) };
    // SAFETY: as the first.
    let firings = unsafe { SharedRef::new(firings?) };
    // SAFETY: one thread; a plain store.
    unsafe { *STATE.ticks.get() = Some(connection.ticks) };
    let clock = Clock::attach(clock, ticks).map_err(|_| Errno::Eagain)?;
    let Connection { notify, wait, .. } = connection;
    let channel = Channel { notify, wait };
    let attached = Timers::attach(timers, firings, clock, channel);
    let mut attached = attached.map_err(|_| Errno::Einval)?;
    if !connection.control.start.is_null() {
        // SAFETY: as for `timers`.
        attached.set_control(unsafe { SharedMut::new(memory(connection.control)?) });
    }
    // SAFETY: one thread, and no reference to the state is alive.
    unsafe { *STATE.posix.get() = Some(Posix::new(attached)) };
    Ok(())
}

/// `clock_gettime`
///
/// # Safety
///
/// `time` is null or valid for writing.
#[cfg_attr(target_os = "none", unsafe(no_mangle))]
pub unsafe extern "C" fn clock_gettime(clock: c_int, time: *mut Timespec) -> c_int {
    let now = ClockId::from_number(clock).and_then(|clock| with(|p| Ok(p.clock_gettime(clock))));
    // SAFETY: our caller's promise.
    end(now.and_then(|now| unsafe { write(time, now) }).map(|()| 0))
}

/// `clock_getres`
///
/// # Safety
///
/// `resolution` is null or valid for writing.
#[cfg_attr(target_os = "none", unsafe(no_mangle))]
pub unsafe extern "C" fn clock_getres(clock: c_int, resolution: *mut Timespec) -> c_int {
    let step = ClockId::from_number(clock).and_then(|_| with(|p| Ok(p.clock_getres())));
    if resolution.is_null() {
        return end(step.map(|_| 0));
    }
    // SAFETY: our caller's promise.
    end(step
        .and_then(|step| unsafe { write(resolution, step) })
        .map(|()| 0))
}

/// `clock_settime`
///
/// # Safety
///
/// `time` is null or points to a time.
#[cfg_attr(target_os = "none", unsafe(no_mangle))]
pub unsafe extern "C" fn clock_settime(clock: c_int, time: *const Timespec) -> c_int {
    let clock = ClockId::from_number(clock);
    // SAFETY: our caller's promise.
    let time = unsafe { read(time) };
    end(clock
        .and_then(|clock| with(|p| p.clock_settime(clock, time?)))
        .map(|()| 0))
}

/// `nanosleep`. It is never interrupted, so nothing remains.
///
/// # Safety
///
/// `time` is null or points to a time, `remaining` is null or valid for writing.
#[cfg_attr(target_os = "none", unsafe(no_mangle))]
pub unsafe extern "C" fn nanosleep(time: *const Timespec, remaining: *mut Timespec) -> c_int {
    // SAFETY: our caller's promise.
    let time = unsafe { read(time) };
    let slept = time.and_then(|time| with(|p| p.sleep(ClockId::Monotonic, false, time)));
    if slept.is_ok() && !remaining.is_null() {
        // SAFETY: our caller's promise.
        let _ = unsafe { write(remaining, Timespec::default()) };
    }
    end(slept.map(|()| 0))
}

/// `clock_nanosleep`, which returns its error.
///
/// # Safety
///
/// As for [`nanosleep`].
#[cfg_attr(target_os = "none", unsafe(no_mangle))]
pub unsafe extern "C" fn clock_nanosleep(
    clock: c_int,
    flags: c_int,
    time: *const Timespec,
    _remaining: *mut Timespec,
) -> c_int {
    let clock = ClockId::from_number(clock);
    // SAFETY: our caller's promise.
    let time = unsafe { read(time) };
    let absolute = flags & TIMER_ABSTIME != 0;
    let slept = clock.and_then(|clock| with(|p| p.sleep(clock, absolute, time?)));
    slept.map_or_else(|error| error as c_int, |()| 0)
}

/// `timer_create`. A null `event` means `SIGEV_NONE` here.
///
/// # Safety
///
/// `event` is null or points to a `struct sigevent`, `timer` is null or valid for writing.
#[cfg_attr(target_os = "none", unsafe(no_mangle))]
pub unsafe extern "C" fn timer_create(
    clock: c_int,
    event: *const Sigevent,
    timer: *mut c_int,
) -> c_int {
    // SAFETY: our caller's promise.
    let event = unsafe { event.as_ref() };
    let supported = event.is_none_or(|event| event.sigev_notify == SIGEV_NONE);
    let create = |clock| with(|p| p.timer_create(clock));
    let created = match (ClockId::from_number(clock), timer.is_null()) {
        (Ok(_), _) if !supported => Err(Errno::Enotsup),
        (Ok(_), true) => Err(Errno::Efault),
        (clock, _) => clock.and_then(create),
    };
    // SAFETY: our caller's promise.
    end(created
        .and_then(|id| unsafe { write(timer, id) })
        .map(|()| 0))
}

/// `timer_delete`
#[cfg_attr(target_os = "none", unsafe(no_mangle))]
pub extern "C" fn timer_delete(timer: c_int) -> c_int {
    end(with(|p| p.timer_delete(timer)).map(|()| 0))
}

/// `timer_settime`
///
/// # Safety
///
/// `new` is null or points to a value, `old` is null or valid for writing.
#[cfg_attr(target_os = "none", unsafe(no_mangle))]
pub unsafe extern "C" fn timer_settime(
    timer: c_int,
    flags: c_int,
    new: *const Itimerspec,
    old: *mut Itimerspec,
) -> c_int {
    // SAFETY: our caller's promise.
    let new = unsafe { read(new) };
    let before = with(|p| p.timer_settime(timer, flags & TIMER_ABSTIME != 0, new?));
    if let (Ok(before), false) = (before, old.is_null()) {
        // SAFETY: our caller's promise.
        let _ = unsafe { write(old, before) };
    }
    end(before.map(|_| 0))
}

/// `timer_gettime`
///
/// # Safety
///
/// `value` is null or valid for writing.
#[cfg_attr(target_os = "none", unsafe(no_mangle))]
pub unsafe extern "C" fn timer_gettime(timer: c_int, value: *mut Itimerspec) -> c_int {
    let left = with(|p| p.timer_gettime(timer));
    // SAFETY: our caller's promise.
    end(left
        .and_then(|left| unsafe { write(value, left) })
        .map(|()| 0))
}

/// `timer_getoverrun`
#[cfg_attr(target_os = "none", unsafe(no_mangle))]
pub extern "C" fn timer_getoverrun(timer: c_int) -> c_int {
    end(with(|p| p.timer_getoverrun(timer)))
}

/// 1 when the timer has expired since the last time that this was asked, else 0.
#[cfg_attr(target_os = "none", unsafe(no_mangle))]
pub extern "C" fn kintsugi_timer_expired(timer: c_int) -> c_int {
    end(with(|p| p.timer_expired(timer)).map(c_int::from))
}
