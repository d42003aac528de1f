// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The PL031 real-time clock (DDI 0224): read once in the life of the system, and written when the wall
//! clock is set, so that what was set survives a reset of the machine.
//!
//! It counts seconds, in 32 bits since 1970. Its alarm compares with that count and may belong to another
//! PD (the sentinel rings once a second with it): a count that jumps would leave the alarm behind, or far
//! ahead. So after each jump, and at the start of each life that may write (the last one may have ended
//! right after its jump), the alarm is moved to the next second. Early is harmless: whoever has the
//! alarm looks, and sets it again. In between the other PD may set it itself, which is as good.

use recovery::fault_point;

use proto::timer::clock::NS_PER_SECOND;

/// The registers. On the target they are memory of the device.
pub trait Registers {
    /// RTCDR: the count.
    fn count(&mut self) -> u32;
    /// RTCLR: sets the count.
    fn load(&mut self, count: u32);
    /// RTCMR: the count at which the alarm rings.
    fn alarm(&mut self) -> u32;
    /// Sets it.
    fn set_alarm(&mut self, count: u32);
    /// Whether the alarm is in use and has not rung: RTCIMSC set, RTCRIS clear.
    fn waits_for_alarm(&mut self) -> bool;
}

/// See the module.
#[derive(Debug)]
pub struct Pl031<R> {
    registers: R,
    writable: bool,
}

impl<R: Registers> Pl031<R> {
    /// Takes the device. Without `writable` it is only read: system.xml maps it so where the sentinel's
    /// alarm is not to depend on this program.
    pub fn new(registers: R, writable: bool) -> Self {
        let mut device = Self {
            registers,
            writable,
        };
        if writable {
            device.mend_alarm();
        }
        device
    }

    /// The wall clock to the second, in nanoseconds since 1970.
    pub fn wall_ns(&mut self) -> u64 {
        u64::from(self.registers.count()) * NS_PER_SECOND
    }

    /// Keeps the second of `wall_ns`, if the device may be written and has room for it (until 2106).
    pub fn keep(&mut self, wall_ns: u64) {
        let Ok(seconds) = u32::try_from(wall_ns / NS_PER_SECOND) else {
            return;
        };
        if self.writable {
            self.registers.load(seconds);
            fault_point!("timer.rtc_loaded");
            self.mend_alarm();
        }
    }

    fn mend_alarm(&mut self) {
        if !self.registers.waits_for_alarm() {
            return;
        }
        let next = self.registers.count().wrapping_add(1);
        if self.registers.alarm() != next {
            self.registers.set_alarm(next);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The device; dies (panics, caught by the test) in place of access number `dies_at`.
    #[derive(Debug)]
    struct Fake {
        count: u32,
        alarm: u32,
        used: bool,
        rung: bool,
        accesses: u32,
        dies_at: u32,
    }

    impl Fake {
        fn new(count: u32, used: bool) -> Self {
            let alarm = count.wrapping_add(1);
            let (rung, accesses, dies_at) = (false, 0, u32::MAX);
            Self {
                count,
                alarm,
                used,
                rung,
                accesses,
                dies_at,
            }
        }

        fn access(&mut self) {
            assert!(self.accesses != self.dies_at, "killed");
            self.accesses += 1;
        }

        /// Seconds until it rings.
        fn rings_in(&self) -> u32 {
            self.alarm.wrapping_sub(self.count)
        }
    }

    impl Registers for &mut Fake {
        fn count(&mut self) -> u32 {
            self.access();
            self.count
        }

        fn load(&mut self, count: u32) {
            self.access();
            self.count = count;
        }

        fn alarm(&mut self) -> u32 {
            self.access();
            self.alarm
        }

        fn set_alarm(&mut self, count: u32) {
            self.access();
            self.alarm = count;
        }

        fn waits_for_alarm(&mut self) -> bool {
            self.access();
            self.used && !self.rung
        }
    }

    #[test]
    fn a_device_that_may_not_be_written_is_only_read() {
        let mut fake = Fake::new(1000, true);
        fake.alarm = 7;
        let mut rtc = Pl031::new(&mut fake, false);
        assert_eq!(rtc.wall_ns(), 1000 * NS_PER_SECOND);
        rtc.keep(5000 * NS_PER_SECOND);
        assert_eq!((fake.count, fake.alarm), (1000, 7));
    }

    #[test]
    fn an_alarm_that_nobody_uses_or_that_rings_is_left_alone() {
        for rung in [false, true] {
            let mut fake = Fake::new(1000, rung);
            fake.rung = rung;
            Pl031::new(&mut fake, true).keep(5000 * NS_PER_SECOND);
            assert_eq!((fake.count, fake.alarm), (5000, 1001));
        }
    }

    #[test]
    fn a_time_beyond_the_device_changes_nothing() {
        let mut fake = Fake::new(1000, true);
        Pl031::new(&mut fake, true).keep(u64::MAX);
        assert_eq!((fake.count, fake.alarm), (1000, 1001));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Wherever the life ends that sets it: once the next life has begun and carried out the same
        /// request, the count is right and the alarm rings within a second.
        #[test]
        fn set_and_heard(from: u32, to: u32, dies_at in 0u32..12) {
            let mut fake = Fake::new(from, true);
            let wall_ns = u64::from(to) * NS_PER_SECOND + 999_999_999;
            fake.dies_at = dies_at;
            let life = std::panic::AssertUnwindSafe(|| Pl031::new(&mut fake, true).keep(wall_ns));
            let _ = std::panic::catch_unwind(life);
            fake.dies_at = u32::MAX;
            let mut rtc = Pl031::new(&mut fake, true);
            prop_assert!(rtc.registers.rings_in() <= 1);
            rtc.keep(wall_ns);
            prop_assert_eq!((fake.count, fake.rings_in()), (to, 1));
        }
    }
}
