// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Programs of a few instructions at which a victim ends: one for each kind of death.
//!
//! The attacker writes them behind the end of the victim's own code, where no restart overwrites
//! them, and sends the victim there. Each begins by reading the counter into x19, which its next
//! life finds there.

use black_box::Kind;
use microkit_abi::slots;

/// Number of the system call that receives (`microkit_abi::syscalls`, which the host does not have).
const RECV: i64 = -7;
/// Instructions of a stub, at most.
pub const WORDS: usize = 8;

/// A way to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stub {
    /// What its supervisor must call it.
    pub kind: Kind,
    /// The instructions after the counter was read.
    body: &'static [u32],
}

const ISB: u32 = 0xd503_3fdf;
const MRS_X19_CNTPCT: u32 = 0xd53b_e033;
const MRS_X0_CNTVCT: u32 = 0xd53b_e040;
const SVC_0: u32 = 0xd400_0001;
const ADR_X0_HERE: u32 = 0x1000_0000;
const LDR_X0_X0: u32 = 0xf940_0000;
const STR_X0_X0: u32 = 0xf900_0000;
const BR_X0: u32 = 0xd61f_0000;
const UDF_0: u32 = 0;
const BRK_0: u32 = 0xd420_0000;
const B_HERE: u32 = 0x1400_0000;
/// To the first instruction of a body of four.
const B_BACK_4: u32 = 0x17ff_fffc;

const fn movz(register: u32, value: u16) -> u32 {
    0xd280_0000 | (value as u32) << 5 | register
}

/// A small negative number.
const fn movn(register: u32, value: i64) -> u32 {
    0x9280_0000 | (!value as u32 & 0xffff) << 5 | register
}

/// A slot in which no PD has a capability.
const EMPTY_SLOT: u16 = 9;

/// Deaths by a fault.
pub const FAULTS: [Stub; 8] = [
    Stub::new(Kind::Read, &[movz(0, 8), LDR_X0_X0]),
    Stub::new(Kind::Write, &[ADR_X0_HERE, STR_X0_X0]),
    Stub::new(Kind::Execute, &[movz(0, 0), BR_X0]),
    Stub::new(Kind::IllegalInstruction, &[UDF_0]),
    Stub::new(Kind::Breakpoint, &[BRK_0]),
    Stub::new(
        Kind::BadCapability,
        &[movz(0, EMPTY_SLOT), movn(7, RECV), SVC_0],
    ),
    Stub::new(Kind::BadSystemCall, &[movz(7, 0), SVC_0]),
    Stub::new(Kind::Trap, &[MRS_X0_CNTVCT]),
];

/// Deaths that only silence shows.
pub const HANGS: [Stub; 2] = [
    Stub::new(Kind::BusyLoop, &[B_HERE]),
    Stub::new(
        Kind::Deadlock,
        &[
            movz(0, slots::INPUT as u16),
            movz(6, slots::REPLY as u16),
            movn(7, RECV),
            SVC_0,
            B_BACK_4,
        ],
    ),
];

impl Stub {
    const fn new(kind: Kind, body: &'static [u32]) -> Self {
        Self { kind, body }
    }

    /// The instructions.
    pub fn words(&self) -> [u32; WORDS] {
        let mut words = [B_HERE; WORDS];
        (words[0], words[1]) = (ISB, MRS_X19_CNTPCT);
        words[2..2 + self.body.len()].copy_from_slice(self.body);
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_encoded_as_the_manual_says() {
        // mov x0, #9; mov x7, #-7
        assert_eq!((movz(0, 9), movn(7, -7)), (0xd280_0120, 0x9280_00c7));
    }

    #[test]
    fn every_stub_fits_and_ends_in_itself() {
        for stub in FAULTS.iter().chain(&HANGS) {
            let words = stub.words();
            assert!(stub.body.len() <= WORDS - 2);
            assert_eq!(words[..2], [ISB, MRS_X19_CNTPCT]);
        }
    }

    #[test]
    fn kinds_differ() {
        let all: Vec<_> = FAULTS.iter().chain(&HANGS).collect();
        for (index, stub) in all.iter().enumerate() {
            assert!(all[..index].iter().all(|other| other.kind != stub.kind));
            assert_eq!(stub.kind.is_hang(), index >= FAULTS.len());
        }
    }
}
