// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The Cadence triple timer counter of ZynqMP boards (zcu102, kria_k26), as an alarm. Time itself is
//! still the Arm counter, which seL4 lets every PD read; the TTC only interrupts.
//!
//! Registers: UG1085, chapter 14, and UG1087, module TTC. A block has three counters; this uses the
//! first. Nothing here believes the board's documents about its rate and width: QEMU's TTC has 16 bits
//! and another clock than the hardware's 32. Both are found out at the start.
//!
//! The counter counts up to the interval and starts again. An alarm that is farther off than the
//! interval register can say interrupts early; the service then looks at the time and sets it again.

use crate::Alarm;

/// CLOCK_CONTROL_1
pub const CLOCK_CONTROL: usize = 0x00;
/// COUNTER_CONTROL_1
pub const COUNTER_CONTROL: usize = 0x0c;
/// COUNTER_VALUE_1
pub const COUNTER_VALUE: usize = 0x18;
/// INTERVAL_COUNTER_1
pub const INTERVAL: usize = 0x24;
/// INTERRUPT_REGISTER_1: reading it clears it.
pub const INTERRUPT: usize = 0x54;
/// INTERRUPT_ENABLE_1
pub const INTERRUPT_ENABLE: usize = 0x60;

/// CLOCK_CONTROL.PS_EN
const PRESCALE: u32 = 1 << 0;
/// CLOCK_CONTROL.PS_VAL
const PRESCALE_SHIFT: u32 = 1;
/// COUNTER_CONTROL.DIS
const DISABLE: u32 = 1 << 0;
/// COUNTER_CONTROL.INT: interval mode
const INTERVAL_MODE: u32 = 1 << 1;
/// COUNTER_CONTROL.RST: start again from 0
const RESET: u32 = 1 << 4;
/// COUNTER_CONTROL.OW: no output of the waveform
const NO_WAVEFORM: u32 = 1 << 5;
/// INTERRUPT_REGISTER.IXR_INTERVAL
const INTERVAL_INTERRUPT: u32 = 1 << 0;

/// The clock is divided by 2^(this + 1) = 32: some 3 MHz on ZynqMP, so that 16 bits last for 20 ms.
const PRESCALE_VALUE: u32 = 4;
/// Binary places of the rate.
const RATE_SHIFT: u32 = 32;

/// The registers of a TTC, by offset. On the target they are memory of the device.
pub trait Registers {
    /// Reads a register.
    fn read(&mut self, offset: usize) -> u32;
    /// Writes a register.
    fn write(&mut self, offset: usize, value: u32);
}

/// The device does not count: its clock is off, or it is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotCounting;

/// See the module.
#[derive(Debug)]
pub struct Ttc<R> {
    registers: R,
    /// Reads the Arm counter.
    counter: fn() -> u64,
    /// Largest interval.
    interval_max: u32,
    /// Counts of the TTC per count of the Arm counter, with [`RATE_SHIFT`] binary places.
    rate: u64,
}

impl<R: Registers> Ttc<R> {
    /// Finds out how wide and how fast the counter is, which takes `calibration_ticks` of the Arm
    /// counter. Those must be less than 2^16 counts of the TTC: a few milliseconds.
    ///
    /// # Errors
    ///
    /// [`NotCounting`]
    pub fn new(
        registers: R,
        counter: fn() -> u64,
        calibration_ticks: u64,
    ) -> Result<Self, NotCounting> {
        let mut registers = registers;
        registers.write(COUNTER_CONTROL, DISABLE | NO_WAVEFORM);
        registers.write(INTERRUPT_ENABLE, 0);
        registers.write(CLOCK_CONTROL, PRESCALE | PRESCALE_VALUE << PRESCALE_SHIFT);
        registers.write(INTERVAL, u32::MAX);
        let interval_max = registers.read(INTERVAL);
        registers.write(COUNTER_CONTROL, RESET | INTERVAL_MODE | NO_WAVEFORM);
        let start = counter();
        let mut passed = 0;
        while passed < calibration_ticks.max(1) {
            passed = counter().wrapping_sub(start);
        }
        let counts = u64::from(registers.read(COUNTER_VALUE));
        let passed = counter().wrapping_sub(start);
        // Rounded up: an alarm is rather late by a little than early, and so set twice.
        let rate = (counts << RATE_SHIFT).div_ceil(passed);
        if counts == 0 || interval_max == 0 {
            return Err(NotCounting);
        }
        let mut ttc = Self {
            registers,
            counter,
            interval_max,
            rate,
        };
        ttc.stop();
        Ok(ttc)
    }

    /// Counts of the TTC in which `ticks` of the Arm counter have passed, as far as it can count.
    fn counts(&self, ticks: u64) -> u32 {
        let counts = (u128::from(ticks) * u128::from(self.rate)) >> RATE_SHIFT;
        // One more: the first count comes at some point of the device's clock.
        let counts = counts.saturating_add(1);
        u32::try_from(counts)
            .unwrap_or(u32::MAX)
            .min(self.interval_max)
    }
}

impl<R: Registers> Alarm for Ttc<R> {
    fn set(&mut self, ticks: u64) {
        let wait = ticks.saturating_sub((self.counter)());
        let counts = self.counts(wait);
        self.registers.write(COUNTER_CONTROL, DISABLE | NO_WAVEFORM);
        // What the old alarm has left.
        self.registers.read(INTERRUPT);
        self.registers.write(INTERVAL, counts);
        self.registers.write(INTERRUPT_ENABLE, INTERVAL_INTERRUPT);
        self.registers
            .write(COUNTER_CONTROL, RESET | INTERVAL_MODE | NO_WAVEFORM);
    }

    fn stop(&mut self) {
        self.registers.write(COUNTER_CONTROL, DISABLE | NO_WAVEFORM);
        self.registers.write(INTERRUPT_ENABLE, 0);
        self.registers.read(INTERRUPT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cell::Cell;

    thread_local! {
        /// The Arm counter, at 100 MHz; each look at it takes a while.
        static TICKS: Cell<u64> = const { Cell::new(0) };
    }

    fn counter() -> u64 {
        TICKS.set(TICKS.get() + 7);
        TICKS.get()
    }

    /// What the documents say that the device does.
    struct Fake {
        mask: u32,
        /// Arm counts per TTC count after the prescaler; 0: stopped.
        divider: u64,
        control: u32,
        interval: u32,
        enabled: u32,
        started: u64,
        /// Intervals whose interrupts have been cleared.
        cleared: u64,
    }

    impl Fake {
        fn new(mask: u32, divider: u64) -> Self {
            let (control, interval, enabled, started, cleared) = (DISABLE, 0, 0, 0, 0);
            Self {
                mask,
                divider,
                control,
                interval,
                enabled,
                started,
                cleared,
            }
        }

        fn counts(&self) -> u64 {
            let passed = TICKS.get() - self.started;
            let runs = self.control & DISABLE == 0;
            if runs {
                passed.checked_div(self.divider).unwrap_or(0)
            } else {
                0
            }
        }

        fn rounds(&self) -> u64 {
            assert!(
                self.control & (DISABLE | INTERVAL_MODE) != 0,
                "interval mode, or off"
            );
            self.counts() / (u64::from(self.interval) + 1)
        }

        fn line(&self) -> bool {
            self.enabled & INTERVAL_INTERRUPT != 0 && self.rounds() > self.cleared
        }
    }

    impl Registers for &mut Fake {
        fn read(&mut self, offset: usize) -> u32 {
            match offset {
                INTERVAL => self.interval,
                COUNTER_VALUE => (self.counts() % (u64::from(self.interval) + 1)) as u32,
                INTERRUPT => {
                    let pending = u32::from(self.rounds() > self.cleared);
                    self.cleared = self.rounds();
                    pending
                }
                _ => panic!("read of {offset:#x}"),
            }
        }

        fn write(&mut self, offset: usize, value: u32) {
            match offset {
                CLOCK_CONTROL => assert_eq!(value, 0b1001),
                COUNTER_CONTROL => {
                    if value & (RESET | DISABLE) != 0 {
                        (self.started, self.cleared) = (TICKS.get(), 0);
                    }
                    self.control = value & !RESET;
                }
                INTERVAL => {
                    assert!(self.control & DISABLE != 0, "changed while it counts");
                    self.interval = value & self.mask;
                }
                INTERRUPT_ENABLE => self.enabled = value,
                _ => panic!("write of {offset:#x}"),
            }
        }
    }

    #[test]
    fn a_device_without_a_clock_is_refused() {
        TICKS.set(0);
        assert_eq!(
            Ttc::new(&mut Fake::new(u32::MAX, 0), counter, 20_000).err(),
            Some(NotCounting)
        );
        assert_eq!(
            Ttc::new(&mut Fake::new(0, 32), counter, 20_000).err(),
            Some(NotCounting)
        );
    }

    #[test]
    fn a_stopped_alarm_is_silent() {
        TICKS.set(0);
        let mut fake = Fake::new(0xffff, 32);
        let mut ttc = Ttc::new(&mut fake, counter, 20_000).unwrap();
        ttc.set(TICKS.get() + 1000);
        TICKS.set(TICKS.get() + 5000);
        assert!(ttc.registers.line());
        ttc.stop();
        assert!(!ttc.registers.line());
        TICKS.set(TICKS.get() + 1_000_000);
        assert!(!ttc.registers.line());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Set again whenever it interrupts early, as the service does: at the deadline or soon after
        /// it interrupts, with few interrupts before.
        #[test]
        fn interrupts_at_the_time(
            wide: bool,
            divider in 5u64..200,
            wait in prop_oneof![0u64..1000, 0u64..100_000_000],
        ) {
            TICKS.set(12_345);
            let mask = if wide { u32::MAX } else { 0xffff };
            let mut fake = Fake::new(mask, divider);
            let mut ttc = Ttc::new(&mut fake, counter, 200_000).unwrap();
            let deadline = TICKS.get() + wait;
            let range = (u64::from(mask) + 1) * divider;
            let mut interrupts = 0;
            ttc.set(deadline);
            loop {
                // On to the next interrupt.
                let round = (u64::from(ttc.registers.interval) + 1) * divider;
                TICKS.set(ttc.registers.started + round);
                prop_assert!(ttc.registers.line());
                interrupts += 1;
                if TICKS.get() >= deadline {
                    break;
                }
                ttc.stop();
                ttc.set(deadline);
            }
            // Calibration is good to one count in 200,000 ticks.
            let late = TICKS.get() - deadline;
            let round = wait.min(range);
            prop_assert!(late <= 4 * divider + 20 + round * 2 * divider / 200_000, "{late}");
            prop_assert!(interrupts <= wait / range + 4, "{interrupts}");
        }

        #[test]
        fn extremes(ticks: u64) {
            TICKS.set(0);
            let mut fake = Fake::new(u32::MAX, 32);
            let mut ttc = Ttc::new(&mut fake, counter, 20_000).unwrap();
            ttc.set(ticks);
            prop_assert!(ttc.registers.interval >= 1);
        }
    }
}
