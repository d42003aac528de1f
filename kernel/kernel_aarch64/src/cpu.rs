// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! System registers: the values that the kernel runs with, and access to those that change.
//!
//! What a PD may do at EL0 follows from `SCTLR` and `CNTKCTL` below and is the same as on seL4: cache
//! maintenance by address yes, `dc zva` no, the physical counter and timer yes, the virtual ones no.

use core::arch::asm;

use boot_image::wire::{ATTRIBUTE_DEVICE, ATTRIBUTE_NORMAL, VADDR_BITS};

/// Bits that must be one on this architecture version; MMU and caches off.
pub const SCTLR_OFF: u64 = 0x30d0_0800;
/// As the kernel runs: MMU, caches, stack alignment check for itself, and for EL0 `ctr_el0`, `wfi`,
/// `wfe` and cache maintenance. Not for EL0: `daif` (UMA), `dc zva` (DZE), stack alignment check.
pub const SCTLR_ON: u64 =
    SCTLR_OFF | 1 | 1 << 2 | 1 << 3 | 1 << 12 | 1 << 15 | 1 << 16 | 1 << 18 | 1 << 26;
/// Device nGnRnE and normal write-back memory.
pub const MAIR: u64 = (0x00 << (8 * ATTRIBUTE_DEVICE)) | (0xff << (8 * ATTRIBUTE_NORMAL));
/// Lower half 40 bits, upper half 39 bits, both 4 KiB pages walked through the caches; 40-bit
/// physical addresses.
pub const TCR: u64 = {
    let walk = 0b01 | 0b01 << 2 | 0b11 << 4;
    (64 - VADDR_BITS as u64) | walk << 8 | (64 - 39) << 16 | walk << 24 | 0b10 << 30 | 0b010 << 32
};

macro_rules! system_register {
    ($(#[$doc:meta])* read $name:ident, $register:literal) => {
        $(#[$doc])*
        pub fn $name() -> u64 {
            let value: u64;
            // SAFETY: reading this register changes nothing.
            unsafe {
                asm!(concat!("mrs {}, ", $register), out(reg) value, options(nomem, nostack));
            }
            value
        }
    };
    ($(#[$doc:meta])* write $name:ident, $register:literal) => {
        $(#[$doc])*
        pub fn $name(value: u64) {
            // SAFETY: this register governs interrupts, timers or EL0 only, not the memory that
            // this program itself uses.
            unsafe {
                asm!(concat!("msr ", $register, ", {}"), "isb", in(reg) value, options(nostack));
            }
        }
    };
}

system_register!(
    /// Why the processor came here.
    read exception_syndrome, "esr_el1"
);
system_register!(
    /// The address that was touched.
    read fault_address, "far_el1"
);
system_register!(
    /// Where the exception came from.
    read exception_link, "elr_el1"
);
system_register!(
    /// Ticks per second of the counter.
    read counter_frequency, "cntfrq_el0"
);
system_register!(
    /// When the kernel's timer fires.
    write set_timer_deadline, "cntv_cval_el0"
);
system_register!(
    /// 1 for on, 0 for off.
    write set_timer_control, "cntv_ctl_el0"
);
system_register!(
    /// What EL0 may do with timers.
    write set_timer_access, "cntkctl_el1"
);
system_register!(
    /// Who may use floating point.
    write set_coprocessor_access, "cpacr_el1"
);
system_register!(
    /// What EL0 may do with performance counters.
    write set_performance_access, "pmuserenr_el0"
);

/// `cntkctl_el1`: EL0 may use the physical counter and timer.
pub const TIMER_ACCESS_PHYSICAL: u64 = 1 << 0 | 1 << 9;
/// `cpacr_el1`: floating point for the kernel only.
const FPU_KERNEL: u64 = 0b01 << 20;
/// `cpacr_el1`: floating point for everybody.
const FPU_ALL: u64 = 0b11 << 20;

/// Lets the PD that runs next use floating point, or not.
pub fn allow_fpu(allow: bool) {
    set_coprocessor_access(if allow { FPU_ALL } else { FPU_KERNEL });
}

/// The virtual counter, which equals the physical one (its offset is zero).
pub fn counter() -> u64 {
    let value: u64;
    // SAFETY: reading the counter changes nothing; the barrier keeps it from being read early.
    unsafe {
        asm!("isb", "mrs {}, cntvct_el0", out(reg) value, options(nomem, nostack));
    }
    value
}

/// Puts a PD's address space into the lower half.
pub fn set_address_space(root_table_paddr: u64, asid: u64) {
    let value = root_table_paddr | asid << 48;
    // SAFETY: the kernel has nothing in the lower half. The tables were made by the host tool and
    // are mapped into no PD; every PD has its own ASID, so no stale translation applies.
    unsafe {
        asm!("msr ttbr0_el1, {}", "isb", in(reg) value, options(nostack));
    }
}

/// Waits until an interrupt line is raised, whether masked at the processor or not.
pub fn wait_for_interrupt() {
    // SAFETY: only waits.
    unsafe {
        asm!("dsb sy", "wfi", options(nostack));
    }
}

/// Stops for good.
pub fn halt() -> ! {
    loop {
        wait_for_interrupt();
    }
}

/// Calls the secure monitor (PSCI on QEMU).
pub fn secure_monitor_call(arguments: [u64; 8]) -> [u64; 8] {
    let mut x = arguments;
    // SAFETY: by the calling convention the monitor changes x0 to x17 at most. What it does to the
    // machine is what the PD that has the capability asked for.
    unsafe {
        asm!(
            "smc #0",
            inout("x0") x[0], inout("x1") x[1], inout("x2") x[2], inout("x3") x[3],
            inout("x4") x[4], inout("x5") x[5], inout("x6") x[6], inout("x7") x[7],
            out("x8") _, out("x9") _, out("x10") _, out("x11") _, out("x12") _,
            out("x13") _, out("x14") _, out("x15") _, out("x16") _, out("x17") _,
            options(nostack),
        );
    }
    x
}

/// Bytes in the smallest cache line that maintenance has to step by.
const CACHE_LINE: u64 = 64;

/// One maintenance instruction per line of `start..end`, addresses in the kernel's space.
pub fn maintain_data_cache(start: u64, end: u64, line: fn(u64)) {
    let mut at = start & !(CACHE_LINE - 1);
    while at < end {
        line(at);
        at += CACHE_LINE;
    }
    // SAFETY: a barrier.
    unsafe {
        asm!("dsb ish", options(nostack));
    }
}

/// Writes a line back.
pub fn clean_line(address: u64) {
    // SAFETY: the caller passes mapped addresses; the contents of memory do not change.
    unsafe {
        asm!("dc cvac, {}", in(reg) address, options(nostack));
    }
}

/// Writes a line back and forgets it.
pub fn clean_invalidate_line(address: u64) {
    // SAFETY: as for `clean_line`.
    unsafe {
        asm!("dc civac, {}", in(reg) address, options(nostack));
    }
}

/// Forgets all cached instructions.
pub fn invalidate_instruction_cache() {
    // SAFETY: instructions are fetched again from memory, which holds the same.
    unsafe {
        asm!("ic iallu", "dsb ish", "isb", options(nostack));
    }
}
