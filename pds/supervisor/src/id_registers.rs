// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Answers a child that asks the processor for its features.
//!
//! EL0 may not read the identification registers, so `mrs Xt, ID_AA64ISAR0_EL1` is an illegal
//! instruction to the kernel. Libraries ask all the same, because Linux answers for the processor
//! (its documentation: "ARM64 CPU Feature Registers"). So do we, for the same registers (op0 3, op1 0,
//! CRn 0, CRm 0 and 2..=7), and name only what every supported board has: the CRC-32 instructions of
//! the Cortex-A53 and later. All else reads as absent.

use microkit_abi::registers::{PC, Registers};

/// Indices in [`Registers`] of x0..x30.
pub const GENERAL: [usize; 31] = [
    3, 4, 5, 6, 7, 8, 9, 10, 11, 17, 18, 19, 20, 21, 22, 23, 12, 13, 14, 24, 25, 26, 27, 28, 29,
    30, 31, 32, 33, 15, 16,
];

/// `mrs Xt, S3_0_C0_Cm_op2`, without Cm, op2 and Xt (Arm ARM C6.2, MRS).
const MRS_ID: u32 = 0xd538_0000;
const MRS_ID_MASK: u32 = 0xffff_f000;

/// CRm and op2 of ID_AA64ISAR0_EL1.
const ISAR0: (u32, u32) = (6, 0);
/// Its CRC32 field, bits 19..16: the instructions are there.
const ISAR0_CRC32: u64 = 1 << 16;

/// Whether `instruction` reads an identification register.
#[must_use]
pub const fn is_read(instruction: u32) -> bool {
    let crm = instruction >> 8 & 0xf;
    instruction & MRS_ID_MASK == MRS_ID && matches!(crm, 0 | 2..=7)
}

/// If `instruction` reads an identification register, does what it asks to the child's registers and
/// steps over it.
pub fn emulate(instruction: u32, registers: &mut Registers) -> bool {
    let (crm, op2) = (instruction >> 8 & 0xf, instruction >> 5 & 7);
    if !is_read(instruction) {
        return false;
    }
    // Register 31 is xzr: the value is dropped.
    if let Some(&target) = GENERAL.get(instruction as usize & 0x1f) {
        registers[target] = if (crm, op2) == ISAR0 { ISAR0_CRC32 } else { 0 };
    }
    registers[PC] = registers[PC].wrapping_add(4);
    true
}

/// Looked at by other code than that which answers: a supervisor that does not answer such a question is
/// asked it by each life of the child, until nobody is left to restart that (campaign on seL4 release at
/// d5450e3, seed 1, trials 17277 and 18780).
///
/// # Panics
///
/// When the child stands at a question, and was not answered.
#[inline(never)]
pub fn assert_answered(answered: bool, instruction: u32) {
    assert!(
        answered || !is_read(instruction),
        "a child was not answered"
    );
}

#[cfg(test)]
mod tests {
    use microkit_abi::registers::{FP, LR, REGISTER_COUNT};

    use super::*;

    #[test]
    fn isar0_names_the_crc_instructions() {
        let mut registers = [7; REGISTER_COUNT];
        // mrs x9, id_aa64isar0_el1
        assert!(emulate(0xd538_0609, &mut registers));
        assert_eq!((registers[17], registers[PC]), (1 << 16, 11));
    }

    #[test]
    fn every_other_identification_register_reads_as_zero() {
        let mut registers = [7; REGISTER_COUNT];
        // mrs x0, id_aa64pfr0_el1; mrs x30, midr_el1
        assert!(emulate(0xd538_0400, &mut registers));
        assert!(emulate(0xd538_001e, &mut registers));
        assert_eq!((registers[3], registers[LR], registers[PC]), (0, 0, 15));
        // mrs xzr, midr_el1
        assert!(emulate(0xd538_001f, &mut registers));
        assert_eq!(registers.iter().filter(|&&value| value == 0).count(), 2);
    }

    #[test]
    fn other_instructions_are_left_alone() {
        let mut registers = [7; REGISTER_COUNT];
        // udf #0; mrs x0, sctlr_el1; msr ..., x0; CRm 1; mrs x0, cntvct_el0
        for instruction in [0, 0xd538_1000, 0xd518_0600, 0xd538_0100, 0xd53b_e040] {
            assert!(!emulate(instruction, &mut registers));
        }
        assert_eq!(registers, [7; REGISTER_COUNT]);
    }

    #[test]
    fn only_a_question_has_to_be_answered() {
        let (question, other) = (0xd538_0609, 0xd53b_e040);
        assert_answered(true, question);
        assert_answered(false, other);
        assert!(std::panic::catch_unwind(|| assert_answered(false, question)).is_err());
    }

    #[test]
    fn the_general_registers_are_where_the_kernel_puts_them() {
        assert_eq!((GENERAL[29], GENERAL[30]), (FP, LR));
        let mut all = GENERAL;
        all.sort_unstable();
        assert!(all.iter().copied().eq(3..34));
    }
}
