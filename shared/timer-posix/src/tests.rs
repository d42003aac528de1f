// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The functions as C calls them, on the real service, which dies and comes back while it waits.

use std::cell::{Cell, RefCell};
use std::ptr::{NonNull, null, null_mut};

use sel4_shared_memory::{SharedMut, SharedRef};
use timer_service::{Alarm, Pages, Service, World};

use crate::ffi::*;
use crate::posix::{Errno, Itimerspec, Timespec};

const FREQUENCY: u64 = 62_500_000;
const NS_PER_TICK: u64 = 16;
const WALL_S: i64 = 1_700_000_000;
const REALTIME: i32 = 0;
const MONOTONIC: i32 = 1;
const ABSTIME: i32 = 1;

thread_local! {
    static TICKS: Cell<u64> = const { Cell::new(1000) };
    static SERVICE: RefCell<Option<Service<Machine>>> = const { RefCell::new(None) };
    static MEMORY: Memory = Memory::new();
}

/// Regions, for ever.
struct Memory {
    clock: Region,
    timers: Region,
    firings: Region,
    control: Region,
}

impl Memory {
    fn new() -> Self {
        let region = |bytes: usize| Region {
            start: vec![0u64; bytes / 8].leak().as_mut_ptr().cast(),
            size: bytes,
        };
        Self {
            clock: region(0x1000),
            timers: region(0x1_0000),
            firings: region(0x1_0000),
            control: region(0x1000),
        }
    }
}

struct Machine;

impl Alarm for Machine {
    fn set(&mut self, _ticks: u64) {}
    fn stop(&mut self) {}
}

impl World for Machine {
    fn ticks(&self) -> u64 {
        TICKS.get()
    }
    fn notify(&mut self, _client: usize) {}

    fn wall_ns(&mut self) -> u64 {
        WALL_S as u64 * 1_000_000_000
    }

    fn keep_wall(&mut self, _wall_ns: u64) {}
}

fn slice(region: Region) -> NonNull<[u8]> {
    let start = NonNull::new(region.start.cast()).unwrap();
    NonNull::slice_from_raw_parts(start, region.size)
}

fn reads(region: Region) -> SharedRef {
    // SAFETY: leaked memory that is touched through `sel4-shared-memory` only.
    unsafe { SharedRef::new(slice(region)) }
}

fn writes(region: Region) -> SharedMut {
    // SAFETY: as above.
    unsafe { SharedMut::new(slice(region)) }
}

fn restart_service() {
    let service = MEMORY.with(|memory| {
        let pages = Pages {
            timers: reads(memory.timers),
            firings: writes(memory.firings),
            control: Some(reads(memory.control)),
        };
        let clock = writes(memory.clock);
        Service::attach(Machine, clock, vec![("c", pages)], FREQUENCY, 1).unwrap()
    });
    SERVICE.with(|place| *place.borrow_mut() = Some(service));
}

extern "C" fn ticks() -> u64 {
    TICKS.get()
}

extern "C" fn notify() {}

/// A millisecond passes, in which the service dies and comes back.
extern "C" fn wait() {
    TICKS.set(TICKS.get() + 1_000_000 / NS_PER_TICK);
    restart_service();
}

/// Calls a function with pointers to values that live, or null pointers.
macro_rules! c {
    ($call:expr) => {
        // SAFETY: every use in this file keeps to the line above.
        unsafe { $call }
    };
}

fn time(tv_sec: i64, tv_nsec: i64) -> Timespec {
    Timespec { tv_sec, tv_nsec }
}

fn errno() -> i32 {
    // SAFETY: the library's own variable.
    unsafe { *kintsugi_errno_location() }
}

fn refused(result: i32, error: Errno) {
    assert_eq!((result, errno()), (-1, error as i32));
}

fn now(clock: i32) -> i64 {
    let mut now = Timespec::default();
    assert_eq!(c!(clock_gettime(clock, &raw mut now)), 0);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

fn sleep(tv_sec: i64, tv_nsec: i64) -> i32 {
    c!(nanosleep(&time(tv_sec, tv_nsec), null_mut()))
}

fn set(timer: i32, flags: i32, value: Timespec, interval: Timespec) -> i32 {
    let new = Itimerspec {
        it_interval: interval,
        it_value: value,
    };
    c!(timer_settime(timer, flags, &raw const new, null_mut()))
}

fn left(timer: i32) -> Timespec {
    let mut value = Itimerspec::default();
    assert_eq!(c!(timer_gettime(timer, &raw mut value)), 0);
    value.it_value
}

/// The state of the library is one for the process, so this is one test.
#[test]
fn as_a_c_program_sees_it() {
    refused(timer_delete(0), Errno::Einval);
    let connection = MEMORY.with(|memory| Connection {
        clock: memory.clock,
        timers: memory.timers,
        firings: memory.firings,
        control: memory.control,
        ticks,
        notify,
        wait,
    });
    // SAFETY: the regions live for ever; the functions do not call back.
    let attach = || unsafe { kintsugi_time_attach(&raw const connection) };
    refused(attach(), Errno::Eagain);
    restart_service();
    assert_eq!(attach(), 0);
    clocks();
    sleeping();
    timers();
    creation();
}

fn clocks() {
    assert_eq!(now(MONOTONIC), 16_000);
    assert_eq!(now(REALTIME), WALL_S * 1_000_000_000);
    let mut step = Timespec::default();
    assert_eq!(c!(clock_getres(MONOTONIC, &raw mut step)), 0);
    assert_eq!(step, time(0, 16));
    assert_eq!(c!(clock_getres(REALTIME, null_mut())), 0);
    refused(c!(clock_gettime(7, &raw mut step)), Errno::Einval);
    refused(c!(clock_gettime(REALTIME, null_mut())), Errno::Efault);
    for (clock, to) in [
        (MONOTONIC, time(5, 0)),
        (REALTIME, time(-1, 0)),
        (REALTIME, time(5, 1_000_000_000)),
    ] {
        refused(c!(clock_settime(clock, &raw const to)), Errno::Einval);
    }
    refused(c!(clock_settime(REALTIME, null())), Errno::Efault);
    assert_eq!(c!(clock_settime(REALTIME, &time(2_000_000_000, 5))), 0);
    // The millisecond of the wait has passed, and the service has been restarted.
    assert_eq!(now(REALTIME), 2_000_000_000_001_000_005);
}

fn sleeping() {
    let start = now(MONOTONIC);
    assert_eq!(sleep(0, 3_500_000), 0);
    assert_eq!(
        now(MONOTONIC) - start,
        4_000_000,
        "the waits take 1 ms each"
    );
    refused(sleep(0, 1_000_000_000), Errno::Einval);
    refused(sleep(0, -1), Errno::Einval);
    refused(sleep(-1, 0), Errno::Einval);
    refused(c!(nanosleep(null(), null_mut())), Errno::Efault);
    let until = time(2_000_000_000, 10_000_000);
    assert_eq!(
        c!(clock_nanosleep(
            REALTIME,
            ABSTIME,
            &raw const until,
            null_mut()
        )),
        0
    );
    assert!(now(REALTIME) >= 2_000_000_000_010_000_000);
    let wrong = c!(clock_nanosleep(9, 0, &raw const until, null_mut()));
    assert_eq!(wrong, Errno::Einval as i32);
}

fn timers() {
    let mut timer = -1;
    assert_eq!(c!(timer_create(MONOTONIC, null(), &raw mut timer)), 0);
    assert_eq!(
        (left(timer), kintsugi_timer_expired(timer)),
        (time(0, 0), 0)
    );
    assert_eq!(set(timer, 0, time(0, 2_000_000), time(0, 1_000_000)), 0);
    assert_eq!(left(timer), time(0, 2_000_000));
    wait();
    assert_eq!(
        (kintsugi_timer_expired(timer), left(timer)),
        (0, time(0, 1_000_000))
    );
    for _ in 0..4 {
        wait();
    }
    // 2, 3, 4 and 5 ms have passed.
    assert_eq!(
        (kintsugi_timer_expired(timer), timer_getoverrun(timer)),
        (1, 3)
    );
    assert_eq!(
        (kintsugi_timer_expired(timer), timer_getoverrun(timer)),
        (0, 3)
    );
    assert_eq!(left(timer), time(0, 1_000_000));

    let mut old = Itimerspec::default();
    let none = Itimerspec::default();
    assert_eq!(
        c!(timer_settime(timer, 0, &raw const none, &raw mut old)),
        0
    );
    assert_eq!(old.it_interval, time(0, 1_000_000));
    wait();
    assert_eq!(
        (kintsugi_timer_expired(timer), left(timer)),
        (0, time(0, 0))
    );

    // What has passed already fires at once; a time before the clock's first too.
    for past in [time(0, 1), time(-5, 0)] {
        assert_eq!(set(timer, ABSTIME, past, time(0, 0)), 0);
        wait();
        assert_eq!(
            (kintsugi_timer_expired(timer), left(timer)),
            (1, time(0, 0))
        );
    }
    refused(set(timer, 0, time(1, -1), time(0, 0)), Errno::Einval);
    refused(
        set(timer, 0, time(1, 0), time(0, 1_000_000_000)),
        Errno::Einval,
    );
    refused(set(timer + 1, 0, time(1, 0), time(0, 0)), Errno::Einval);
    refused(
        c!(timer_settime(timer, 0, null(), null_mut())),
        Errno::Efault,
    );
    assert_eq!(set(timer, 0, time(i64::MAX, 0), time(i64::MAX, 0)), 0);
    assert_eq!(
        (timer_delete(timer), kintsugi_timer_expired(timer)),
        (0, -1)
    );
    refused(timer_delete(timer), Errno::Einval);
}

fn creation() {
    let mut timer = -1;
    let event = Sigevent { sigev_notify: 0 };
    refused(
        c!(timer_create(REALTIME, &raw const event, &raw mut timer)),
        Errno::Enotsup,
    );
    refused(c!(timer_create(2, null(), &raw mut timer)), Errno::Einval);
    refused(
        c!(timer_create(REALTIME, null(), null_mut())),
        Errno::Efault,
    );
    for number in 0..crate::posix::TIMER_MAX {
        assert_eq!(c!(timer_create(REALTIME, null(), &raw mut timer)), 0);
        assert_eq!(timer, number as i32);
    }
    refused(
        c!(timer_create(REALTIME, null(), &raw mut timer)),
        Errno::Eagain,
    );
}
