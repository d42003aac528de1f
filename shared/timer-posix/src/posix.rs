// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What each function does, and which error it has. POSIX.1-2017, System Interfaces.

use core::time::Duration;

use timer_client::{Clock, Deadline, Instant, Service, SystemTime, Timer, TimerError, Timers};

/// Timers of `timer_create` at once.
pub const TIMER_MAX: usize = 256;
/// Largest overrun count that is reported.
pub const DELAYTIMER_MAX: i32 = i32::MAX;
const NS_PER_SECOND: i64 = 1_000_000_000;

/// POSIX's error values, with the numbers of Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Errno {
    /// Not permitted: system.xml gives this PD no control region.
    Eperm = 1,
    /// No timer is free.
    Eagain = 11,
    /// A null pointer.
    Efault = 14,
    /// An argument is out of range.
    Einval = 22,
    /// The clock or kind of notification is not supported.
    Enotsup = 95,
}

impl From<TimerError> for Errno {
    fn from(error: TimerError) -> Self {
        match error {
            TimerError::Full | TimerError::Behind => Self::Eagain,
            TimerError::Stale => Self::Einval,
            TimerError::NotPermitted => Self::Eperm,
        }
    }
}

/// `struct timespec`, with 64-bit `time_t`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Timespec {
    /// Seconds.
    pub tv_sec: i64,
    /// Nanoseconds, 0 to 999,999,999.
    pub tv_nsec: i64,
}

/// `struct itimerspec`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Itimerspec {
    /// Period; zero: fires once.
    pub it_interval: Timespec,
    /// First expiration; zero: disarmed.
    pub it_value: Timespec,
}

impl Timespec {
    fn from_ns(ns: u64) -> Self {
        Self {
            tv_sec: (ns / NS_PER_SECOND as u64) as i64,
            tv_nsec: (ns % NS_PER_SECOND as u64) as i64,
        }
    }

    /// Nanoseconds; below 0 counts as 0, beyond 584 years as the end of time.
    fn to_ns(self) -> Result<u64, Errno> {
        if !(0..NS_PER_SECOND).contains(&self.tv_nsec) {
            return Err(Errno::Einval);
        }
        let ns = i128::from(self.tv_sec) * i128::from(NS_PER_SECOND) + i128::from(self.tv_nsec);
        Ok(u64::try_from(ns.max(0)).unwrap_or(u64::MAX))
    }

    fn to_duration(self) -> Result<Duration, Errno> {
        match self.to_ns() {
            Ok(_) if self.tv_sec < 0 => Err(Errno::Einval),
            Ok(ns) => Ok(Duration::from_nanos(ns)),
            Err(error) => Err(error),
        }
    }
}

/// `clockid_t`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClockId {
    /// `CLOCK_REALTIME`, 0.
    #[default]
    Realtime,
    /// `CLOCK_MONOTONIC`, 1.
    Monotonic,
}

impl ClockId {
    /// The clock with this number.
    ///
    /// # Errors
    ///
    /// `EINVAL`
    pub fn from_number(number: i32) -> Result<Self, Errno> {
        match number {
            0 => Ok(Self::Realtime),
            1 => Ok(Self::Monotonic),
            _ => Err(Errno::Einval),
        }
    }
}

/// A timer of `timer_create`.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    created: bool,
    clock: ClockId,
    armed: Option<Armed>,
    /// Expirations beyond the first at the last `kintsugi_timer_expired`.
    overrun: u64,
}

#[derive(Clone, Copy, Debug)]
struct Armed {
    timer: Timer,
    first: Deadline,
    period_ns: u64,
}

/// The functions, on the time service.
#[derive(Debug)]
pub struct Posix<S> {
    timers: Timers<S>,
    slots: [Slot; TIMER_MAX],
}

impl<S: Service> Posix<S> {
    /// Begins without timers: those of an earlier life of this program end.
    pub fn new(timers: Timers<S>) -> Self {
        let mut timers = timers;
        timers.cancel_all();
        Self {
            timers,
            slots: [Slot::default(); TIMER_MAX],
        }
    }

    fn clock(&self) -> &Clock {
        self.timers.clock()
    }

    fn now_ns(&self, clock: ClockId) -> u64 {
        match clock {
            ClockId::Realtime => self.clock().system_time().as_nanos(),
            ClockId::Monotonic => self.clock().now().as_nanos(),
        }
    }

    /// `clock_gettime`
    pub fn clock_gettime(&self, clock: ClockId) -> Timespec {
        Timespec::from_ns(self.now_ns(clock))
    }

    /// `clock_getres`
    pub fn clock_getres(&self) -> Timespec {
        Timespec::from_ns(self.clock().resolution().as_nanos() as u64)
    }

    /// `clock_settime`
    ///
    /// # Errors
    ///
    /// `EINVAL` (the monotonic clock, or a time before 1970 or with impossible nanoseconds), `EPERM`.
    pub fn clock_settime(&mut self, clock: ClockId, time: Timespec) -> Result<(), Errno> {
        if clock != ClockId::Realtime {
            return Err(Errno::Einval);
        }
        let since_1970 = time.to_duration()?;
        let time = SystemTime::from_nanos(since_1970.as_nanos() as u64);
        Ok(self.timers.set_system_time(time, false)?)
    }

    /// `nanosleep`, `clock_nanosleep`. Never interrupted.
    ///
    /// # Errors
    ///
    /// `EINVAL` (negative, or impossible nanoseconds), `EAGAIN` (no timer is free).
    pub fn sleep(&mut self, clock: ClockId, absolute: bool, time: Timespec) -> Result<(), Errno> {
        if absolute {
            let deadline = deadline(clock, time.to_ns()?);
            return Ok(self.timers.sleep_until(deadline)?);
        }
        Ok(self.timers.sleep(time.to_duration()?)?)
    }

    /// `timer_create`
    ///
    /// # Errors
    ///
    /// `EAGAIN`
    pub fn timer_create(&mut self, clock: ClockId) -> Result<i32, Errno> {
        let free = self.slots.iter().position(|slot| !slot.created);
        let id = free.ok_or(Errno::Eagain)?;
        self.slots[id] = Slot {
            created: true,
            clock,
            ..Slot::default()
        };
        Ok(id as i32)
    }

    fn slot(&mut self, id: i32) -> Result<&mut Slot, Errno> {
        let slot = usize::try_from(id)
            .ok()
            .and_then(|id| self.slots.get_mut(id));
        slot.filter(|slot| slot.created).ok_or(Errno::Einval)
    }

    /// `timer_delete`
    ///
    /// # Errors
    ///
    /// `EINVAL`
    pub fn timer_delete(&mut self, id: i32) -> Result<(), Errno> {
        let slot = core::mem::take(self.slot(id)?);
        match slot.armed {
            Some(armed) => Ok(self.timers.cancel(armed.timer)?),
            None => Ok(()),
        }
    }

    /// `timer_settime`; returns what `timer_gettime` would have said before.
    ///
    /// # Errors
    ///
    /// `EINVAL`, `EAGAIN` (the page of timers is full). The timer is then as it was.
    pub fn timer_settime(
        &mut self,
        id: i32,
        absolute: bool,
        new: Itimerspec,
    ) -> Result<Itimerspec, Errno> {
        let old = self.timer_gettime(id)?;
        let slot = *self.slot(id)?;
        let period = new.it_interval.to_duration()?;
        let value_ns = new.it_value.to_ns()?;
        let armed = if new.it_value == Timespec::default() {
            if let Some(armed) = slot.armed {
                self.timers.cancel(armed.timer)?;
            }
            None
        } else {
            let first = if absolute {
                deadline(slot.clock, value_ns)
            } else {
                // By the monotonic clock: setting the clock does not change what is relative.
                (self.clock().now() + new.it_value.to_duration()?).into()
            };
            let timer = match slot.armed {
                Some(armed) => self.timers.restart(armed.timer, first, period)?,
                None => self.timers.start(first, period)?,
            };
            let period_ns = period.as_nanos() as u64;
            Some(Armed {
                timer,
                first,
                period_ns,
            })
        };
        let slot = self.slot(id)?;
        (slot.armed, slot.overrun) = (armed, 0);
        Ok(old)
    }

    /// `timer_gettime`
    ///
    /// # Errors
    ///
    /// `EINVAL`
    pub fn timer_gettime(&mut self, id: i32) -> Result<Itimerspec, Errno> {
        let Some(armed) = self.slot(id)?.armed else {
            return Ok(Itimerspec::default());
        };
        let (first_ns, now_ns) = match armed.first {
            Deadline::Monotonic(first) => (first.as_nanos(), self.now_ns(ClockId::Monotonic)),
            Deadline::Wall(first) => (first.as_nanos(), self.now_ns(ClockId::Realtime)),
        };
        let left_ns = match now_ns.checked_sub(first_ns) {
            None => first_ns - now_ns,
            Some(_) if armed.period_ns == 0 => {
                // Zero means disarmed, which it is not until it has fired.
                u64::from(self.timers.fired_total(armed.timer)? == 0)
            }
            Some(late_ns) => armed.period_ns - late_ns % armed.period_ns,
        };
        Ok(Itimerspec {
            it_interval: Timespec::from_ns(armed.period_ns),
            it_value: Timespec::from_ns(left_ns),
        })
    }

    /// `kintsugi_timer_expired`: what the delivery of the signal would be. Whether the timer has
    /// expired since the last time that this was asked.
    ///
    /// # Errors
    ///
    /// `EINVAL`
    pub fn timer_expired(&mut self, id: i32) -> Result<bool, Errno> {
        let Some(armed) = self.slot(id)?.armed else {
            return Ok(false);
        };
        let count = self.timers.fired(armed.timer)?;
        if count > 0 {
            self.slot(id)?.overrun = count - 1;
        }
        Ok(count > 0)
    }

    /// `timer_getoverrun`: expirations beyond the one that `kintsugi_timer_expired` has reported last.
    ///
    /// # Errors
    ///
    /// `EINVAL`
    pub fn timer_getoverrun(&mut self, id: i32) -> Result<i32, Errno> {
        let overrun = self.slot(id)?.overrun;
        Ok(i32::try_from(overrun).unwrap_or(DELAYTIMER_MAX))
    }
}

fn deadline(clock: ClockId, ns: u64) -> Deadline {
    match clock {
        ClockId::Realtime => SystemTime::from_nanos(ns).into(),
        ClockId::Monotonic => Instant::from_nanos(ns).into(),
    }
}
