// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Power State Coordination Interface calls (Arm DEN 0022), for a PD with `smc="true"`.

use crate::{KernelConfig, ipc_buffer, message::MessageInfo, slots, syscalls};

const SYSTEM_RESET: u64 = 0x8400_0009;

/// Resets the machine. Returns only when this PD may not, or the firmware does not.
pub fn system_reset() {
    ipc_buffer::with_mut(|registers| {
        registers[..8].fill(0);
        registers[0] = SYSTEM_RESET;
    });
    syscalls::call(
        slots::SMC,
        MessageInfo::new(KernelConfig::detect().smc_call(), 8),
    );
}
