// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Decides whether interrupts or notifications of the device are missing.
//!
//! The supervisor's questions come every 20 ms, and at each one the driver looks at everything. So a driver
//! whose interrupt is masked still works, 50 requests a second, and nobody would ever notice. It is this
//! that counts: questions in a row before which commands were done, and no interrupt had come since the
//! last one. The same for commands that the device takes up only when it is told of them again.
//!
//! An interrupt that comes, for whatever it comes, shows that interrupts come. So a device that is slow, or
//! that has much to do, is never late here.

/// See the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lateness {
    /// Something was done since the last interrupt that no interrupt had told of.
    untold: bool,
    /// Questions in a row that found such.
    interrupts: u32,
    /// The device was told again and had not looked yet.
    told_again: bool,
    /// At the last question it knew of everything.
    fine: bool,
    /// Questions in a row at which it had to be told again.
    kicks: u32,
}

impl Lateness {
    /// An interrupt has come.
    pub fn interrupted(&mut self) {
        (self.untold, self.interrupts) = (false, 0);
    }

    /// Something was found to be done, and no interrupt had come with it.
    pub fn found(&mut self) {
        self.untold = true;
    }

    /// The supervisor asks, and everything that was done has been found.
    pub fn asked(&mut self) {
        if core::mem::take(&mut self.untold) {
            self.interrupts = self.interrupts.saturating_add(1);
        }
    }

    /// The supervisor asks, and nothing was done about it yet. `is_untold` says whether the device does not
    /// know of commands that it was told of before the last question, after telling it again if it is asked
    /// to. One that knows them at once when it is told again is proof enough, and counts twice.
    pub fn look_at_device(&mut self, mut is_untold: impl FnMut(Tell) -> bool) {
        let had_to_be_told = core::mem::take(&mut self.told_again);
        let was_fine = core::mem::take(&mut self.fine);
        if !is_untold(Tell::Nothing) {
            self.fine = !had_to_be_told;
            // What is missing now is noticed at the next question only; so one that is fine says nothing.
            self.kicks = match (had_to_be_told, was_fine) {
                (true, _) => self.kicks.saturating_add(1),
                (false, true) => 0,
                (false, false) => self.kicks,
            };
        } else if is_untold(Tell::Again) {
            // Maybe it does not answer at all; that is not for us to judge.
            self.told_again = true;
        } else {
            self.kicks = self.kicks.saturating_add(2);
        }
    }

    /// Questions in a row that found interrupts missing.
    pub fn interrupts(&self) -> u64 {
        self.interrupts.into()
    }

    /// Questions in a row that found the device not told.
    pub fn kicks(&self) -> u64 {
        self.kicks.into()
    }
}

/// What is done before the device is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tell {
    /// Nothing.
    Nothing,
    /// It is told once more that there are commands.
    Again,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupt_shows_that_interrupts_come() {
        let mut late = Lateness::default();
        for _ in 0..100 {
            // At high load much is found before its interrupt.
            late.found();
            late.interrupted();
            late.found();
            late.asked();
            assert!(late.interrupts() <= 1);
        }
        late.interrupted();
        for count in 1..10 {
            late.found();
            late.asked();
            assert_eq!(late.interrupts(), count);
            // An idle period in between says nothing.
            late.asked();
        }
        late.interrupted();
        assert_eq!(late.interrupts(), 0);
    }

    #[test]
    fn a_device_that_has_to_be_told_again() {
        let mut late = Lateness::default();
        for count in 1..10 {
            late.look_at_device(|tell| tell == Tell::Nothing);
            assert_eq!(late.kicks(), 2 * count);
        }
        (0..2).for_each(|_| late.look_at_device(|_| false));
        assert_eq!(late.kicks(), 0);
    }

    #[test]
    fn a_device_that_takes_its_time_to_look() {
        let mut late = Lateness::default();
        late.look_at_device(|_| true);
        assert_eq!(late.kicks(), 0);
        late.look_at_device(|_| false);
        assert_eq!(late.kicks(), 1);
    }

    #[test]
    fn a_device_that_never_looks_is_not_our_fault() {
        let mut late = Lateness::default();
        (0..100).for_each(|_| late.look_at_device(|_| true));
        assert_eq!(late.kicks(), 0);
    }
}
