// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What a restartable protection domain and its supervisor agree on, and what the PD may ask about
//! its own life: [`epoch`], [`fault_ticks`], [`ready`], and where it may be killed for a test
//! ([`fault_point!`]).
//!
//! A restartable PD NAME has three parts in its ELF file (`pd.ld` of `sel4-microkit`): the boot
//! segment, below [`CODE_BASE`], which is all that the Microkit tool loads; code and read-only data
//! from [`CODE_BASE`] in region `NAME_code`; stack, data, bss and heap from [`DATA_BASE`] in region
//! `NAME_data`. The supervisor loads the last two from the saved ELF, at boot as after a fault.

#![cfg_attr(not(test), no_std)]
#![cfg_attr(
    target_os = "none",
    expect(
        unsafe_code,
        reason = "reads StartInfo, which the supervisor writes, and the counter"
    )
)]

mod last_life;
mod start_info;

pub use last_life::LastLife;
pub use start_info::{StartInfo, StartInfoError};

/// Lowest address of code in a restartable PD.
pub const CODE_BASE: u64 = 0x1000_0000;
/// Lowest address of stack, data, bss and heap in a restartable PD.
pub const DATA_BASE: u64 = 0x2000_0000;

/// Marks a place at which a test may kill the protection domain.
///
/// On the target it is one `nop`; its address and name go to the section `.fault_points` of the
/// ELF file (`u64` address, then the name ended by a zero byte, padded to 8 bytes), which no one
/// loads. A test PD overwrites the `nop` in the running code, so that the program under test is
/// the released one. Elsewhere it is nothing.
///
/// The block reads and writes memory as far as the compiler knows, so the effects before it in
/// the program are before it in the machine code too.
#[macro_export]
macro_rules! fault_point {
    ($name:literal) => {{
        #[cfg(target_os = "none")]
        // SAFETY: a `nop`; the rest goes to a section that is not loaded. There is no inner
        // `allow` here, against our rule for such macros, because the logic of services, which
        // forbids unsafe code, is where these points belong.
        unsafe {
            ::core::arch::asm!(
                "771: nop",
                ".pushsection .fault_points,\"\",@progbits",
                ".balign 8",
                ".quad 771b",
                concat!(".asciz \"", $name, "\""),
                ".balign 8",
                ".popsection",
                options(nostack, preserves_flags)
            )
        };
    }};
}

#[cfg(target_os = "none")]
mod target;
#[cfg(target_os = "none")]
pub use target::{epoch, fault_ticks, ready, ready_since, start_info, ticks, ticks_per_second};
