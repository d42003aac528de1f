// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The interrupt controller, a GICv2: one core, all lines at one priority.
//!
//! Registers are named as in the GIC architecture specification 2.0. Written directly rather than
//! with a crate: it is five registers, and masking until acknowledged is all that is wanted.

use crate::memory::address;

const DISTRIBUTOR: u64 = 0x800_0000;
const CPU_INTERFACE: u64 = 0x801_0000;
const GICD_CTLR: u64 = 0x000;
const GICD_ISENABLER: u64 = 0x100;
const GICD_ICENABLER: u64 = 0x180;
const GICD_ICPENDR: u64 = 0x280;
const GICD_IPRIORITYR: u64 = 0x400;
const GICD_ITARGETSR: u64 = 0x800;
const GICD_ICFGR: u64 = 0xc00;
const GICC_CTLR: u64 = 0x00;
const GICC_PMR: u64 = 0x04;
const GICC_IAR: u64 = 0x0c;
const GICC_EOIR: u64 = 0x10;

/// Lines that this kernel looks after.
const LINES: u64 = kernel_core::IRQS_MAX as u64;
/// Interrupt numbers from here on mean that there is none.
const SPURIOUS: u32 = 1020;
/// One level in the middle for every line.
const PRIORITY: u32 = 0xa0a0_a0a0;
/// Lets every priority through.
const PRIORITY_MASK: u32 = 0xf8;
/// Every line to core 0.
const TARGET: u32 = 0x0101_0101;
/// The kernel's own timer, CNTV.
pub const TIMER: u32 = 27;

fn read(register: u64) -> u32 {
    // SAFETY: `entry.s` maps the controller, and only this module uses it.
    unsafe { (address(register) as *const u32).read_volatile() }
}

fn write(register: u64, value: u32) {
    // SAFETY: as for `read`; the controller does not touch memory.
    unsafe { (address(register) as *mut u32).write_volatile(value) }
}

/// Puts the controller into a known state, all lines masked except the timer's.
pub fn enable() {
    write(DISTRIBUTOR + GICD_CTLR, 0);
    for word in 0..LINES / 32 {
        write(DISTRIBUTOR + GICD_ICENABLER + word * 4, u32::MAX);
        write(DISTRIBUTOR + GICD_ICPENDR + word * 4, u32::MAX);
    }
    for word in 0..LINES / 4 {
        write(DISTRIBUTOR + GICD_IPRIORITYR + word * 4, PRIORITY);
        if word >= 8 {
            write(DISTRIBUTOR + GICD_ITARGETSR + word * 4, TARGET);
        }
    }
    write(CPU_INTERFACE + GICC_PMR, PRIORITY_MASK);
    write(CPU_INTERFACE + GICC_CTLR, 1);
    write(DISTRIBUTOR + GICD_CTLR, 1);
    unmask(TIMER);
}

/// Chooses how a line signals. Lines below 32 are what they are.
pub fn set_edge(irq: u32, edge: bool) {
    if irq < 32 {
        return;
    }
    let register = DISTRIBUTOR + GICD_ICFGR + u64::from(irq / 16) * 4;
    let bit = 0b10 << (irq % 16 * 2);
    let others = read(register) & !bit;
    write(register, if edge { others | bit } else { others });
}

/// Keeps a line from interrupting.
pub fn mask(irq: u32) {
    write(
        DISTRIBUTOR + GICD_ICENABLER + u64::from(irq / 32) * 4,
        1 << (irq % 32),
    );
}

/// Lets a line interrupt.
pub fn unmask(irq: u32) {
    write(
        DISTRIBUTOR + GICD_ISENABLER + u64::from(irq / 32) * 4,
        1 << (irq % 32),
    );
}

/// The interrupt that waits, now in service.
pub fn acknowledge() -> Option<u32> {
    let irq = read(CPU_INTERFACE + GICC_IAR) & 0x3ff;
    (irq < SPURIOUS).then_some(irq)
}

/// Ends the service.
pub fn end(irq: u32) {
    write(CPU_INTERFACE + GICC_EOIR, irq);
}
