// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! As much of A64 as it takes to change an instruction in the way that a fault would, and to find the next
//! access to memory (Arm ARM, C4.1).

use crate::random::Random;

/// `udf #0`.
pub const UNDEFINED: u32 = 0;
/// `nop`.
pub const NOP: u32 = 0xd503_201f;
/// `b .`.
pub const LOOP: u32 = 0x1400_0000;
/// `svc #0`.
pub const SVC: u32 = 0xd400_0001;

/// Top-level groups by bits 28..25.
fn group(instruction: u32) -> u32 {
    instruction >> 25 & 0xf
}

/// Whether it is a load or store.
pub fn is_memory_access(instruction: u32) -> bool {
    group(instruction) & 0b0101 == 0b0100
}

/// Whether it may go elsewhere.
pub fn is_branch(instruction: u32) -> bool {
    group(instruction) & 0b1110 == 0b1010
}

fn is_data_processing(instruction: u32) -> bool {
    group(instruction) & 0b1110 == 0b1000 || group(instruction) & 0b0111 == 0b0101
}

/// Number of the base register of a load or store; 31 is the stack pointer. `None` for what has none: a
/// load relative to the program counter.
pub fn base_register(instruction: u32) -> Option<usize> {
    let is_literal = instruction >> 24 & 0b0011_1011 == 0b0001_1000;
    (is_memory_access(instruction) && !is_literal).then_some((instruction >> 5 & 31) as usize)
}

/// Puts another number into the five bits at `shift`.
fn other_register(instruction: u32, shift: u32, random: &mut Random) -> u32 {
    let old = instruction >> shift & 31;
    let new = (old + 1 + random.below(30) as u32) % 31;
    instruction & !(31 << shift) | new << shift
}

/// The same instruction with another source register; `None` when it is not known to read one there.
pub fn with_other_source(instruction: u32, random: &mut Random) -> Option<u32> {
    let is_register_form = group(instruction) & 0b0111 == 0b0101;
    let readable = is_memory_access(instruction) || is_data_processing(instruction);
    // PC-relative addresses and wide moves read none.
    let immediate_class = instruction >> 23 & 0b11_1111;
    let reads_none = group(instruction) & 0b1110 == 0b1000
        && (immediate_class & 0b11_1110 == 0b10_0000 || immediate_class == 0b10_0101);
    if !readable || reads_none {
        return None;
    }
    let shift = if is_register_form && random.one_in(2) {
        16
    } else {
        5
    };
    Some(other_register(instruction, shift, random))
}

/// The same instruction with another destination register, or `None`.
pub fn with_other_destination(instruction: u32, random: &mut Random) -> Option<u32> {
    (is_memory_access(instruction) || is_data_processing(instruction))
        .then(|| other_register(instruction, 0, random))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Encodings by the GNU assembler 2.40.
    const LDR_X1_X2: u32 = 0xf940_0041;
    const STP_X29_X30_SP: u32 = 0xa9bf_7bfd;
    const LDR_LITERAL: u32 = 0x5800_0041;
    const ADD_X0_X1_X2: u32 = 0x8b02_0020;
    const ADD_X0_X1_4: u32 = 0x9100_1020;
    const MOVZ_X0_1: u32 = 0xd280_0020;
    const ADRP_X0: u32 = 0x9000_0000;
    const BL: u32 = 0x9400_0001;
    const RET: u32 = 0xd65f_03c0;

    #[test]
    fn memory_accesses_and_their_bases_are_found() {
        assert_eq!(base_register(LDR_X1_X2), Some(2));
        assert_eq!(base_register(STP_X29_X30_SP), Some(31));
        assert_eq!(base_register(LDR_LITERAL), None);
        assert_eq!(base_register(ADD_X0_X1_X2), None);
        assert!(is_branch(BL) && is_branch(RET) && is_branch(LOOP) && !is_branch(LDR_X1_X2));
    }

    #[test]
    fn another_register_and_nothing_else() {
        let mut random = Random::of_trial(1, 1);
        for _ in 0..100 {
            let changed = with_other_source(ADD_X0_X1_4, &mut random).expect("reads x1");
            assert_ne!(changed, ADD_X0_X1_4);
            assert_eq!(changed & !(31 << 5), ADD_X0_X1_4 & !(31 << 5));
            let changed = with_other_source(ADD_X0_X1_X2, &mut random).expect("reads two");
            assert_ne!(changed, ADD_X0_X1_X2);
            assert_eq!(changed & 31, 0);
            let changed = with_other_destination(LDR_X1_X2, &mut random).expect("writes x1");
            assert_ne!(changed & 31, 1);
        }
        for none in [MOVZ_X0_1, ADRP_X0, BL] {
            assert_eq!(with_other_source(none, &mut random), None);
        }
        assert_eq!(with_other_destination(RET, &mut random), None);
    }
}
