// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! A thread's general registers, and the order in which a supervisor sees them.

/// Registers of a thread that is not on the processor.
///
/// `fault_ip` is where the thread goes when it is *restarted* (the `svc` itself if it was blocked in
/// a system call), `next_ip` where it goes when its system call *returns*. The machine part sets
/// both when the thread enters the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Registers {
    /// x0 to x30.
    pub x: [u64; 31],
    /// Stack pointer.
    pub sp: u64,
    /// Address of the next instruction.
    pub next_ip: u64,
    /// Processor state.
    pub spsr: u64,
    /// Thread pointer that the PD may write.
    pub tpidr: u64,
    /// Thread pointer that the PD may only read.
    pub tpidrro: u64,
    /// Address of the instruction that entered the kernel.
    pub fault_ip: u64,
}

/// Processor state of a PD as the debug kernel sets it: EL0, fast interrupts masked.
pub const SPSR_USER: u64 = 0x40;
/// The part of the state that a PD may choose: the condition flags.
const SPSR_CONDITIONS: u64 = 0xf000_0000;

/// Number of words in `TCBReadRegisters` and `TCBWriteRegisters`.
pub const REGISTER_COUNT: u64 = 36;

/// General registers in the order of seL4's `seL4_UserContext`, after pc, sp and spsr.
const ORDER: [u8; 31] = [
    0, 1, 2, 3, 4, 5, 6, 7, 8, 16, 17, 18, 29, 30, 9, 10, 11, 12, 13, 14, 15, 19, 20, 21, 22, 23,
    24, 25, 26, 27, 28,
];

/// Condition flags from `value`, everything else as the kernel wants it.
pub(crate) fn sanitised_spsr(value: u64) -> u64 {
    (value & SPSR_CONDITIONS) | SPSR_USER
}

impl Registers {
    /// Everything zero, as at boot before entry and stack are set.
    pub const ZERO: Self = Self {
        x: [0; 31],
        sp: 0,
        next_ip: 0,
        spsr: SPSR_USER,
        tpidr: 0,
        tpidrro: 0,
        fault_ip: 0,
    };

    /// Word `index` of the user context.
    pub(crate) fn get(&self, index: u64) -> u64 {
        match index {
            0 => self.fault_ip,
            1 => self.sp,
            2 => self.spsr,
            34 => self.tpidr,
            35 => self.tpidrro,
            _ => self.x[usize::from(ORDER[index as usize - 3])],
        }
    }

    /// Sets word `index` of the user context.
    pub(crate) fn set(&mut self, index: u64, value: u64) {
        match index {
            0 => self.fault_ip = value,
            1 => self.sp = value,
            2 => self.spsr = sanitised_spsr(value),
            34 => self.tpidr = value,
            35 => self.tpidrro = value,
            _ => self.x[usize::from(ORDER[index as usize - 3])] = value,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_pc_sp_spsr_frame_then_the_rest() {
        let mut registers = Registers::ZERO;
        for index in 0..31 {
            registers.x[index] = 100 + index as u64;
        }
        registers.fault_ip = 1;
        registers.sp = 2;
        registers.tpidr = 3;
        registers.tpidrro = 4;
        let words: Vec<u64> = (0..REGISTER_COUNT)
            .map(|index| registers.get(index))
            .collect();
        assert_eq!(words[..3], [1, 2, SPSR_USER]);
        assert_eq!(
            words[3..17],
            [
                100, 101, 102, 103, 104, 105, 106, 107, 108, 116, 117, 118, 129, 130
            ]
        );
        assert_eq!(words[17..24], [109, 110, 111, 112, 113, 114, 115]);
        assert_eq!(
            words[24..34],
            [119, 120, 121, 122, 123, 124, 125, 126, 127, 128]
        );
        assert_eq!(words[34..], [3, 4]);
        let mut copy = Registers::ZERO;
        for (index, word) in words.iter().enumerate() {
            copy.set(index as u64, *word);
        }
        copy.next_ip = registers.next_ip;
        assert_eq!(copy, registers);
    }

    #[test]
    fn spsr_is_sanitised_on_write() {
        let mut registers = Registers::ZERO;
        registers.set(2, 0xffff_ffff);
        assert_eq!(registers.spsr, 0xf000_0040);
    }
}
