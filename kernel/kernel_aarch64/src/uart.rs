// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The PL011 as debug console: polled output, nothing else.
//!
//! A PD may own the same device; like seL4's debug kernel we then write between its bytes. So no
//! register other than data is written after [`enable`].

use crate::memory::address;

const BASE: u64 = 0x900_0000;
const DATA: u64 = 0x00;
const FLAGS: u64 = 0x18;
const CONTROL: u64 = 0x30;
const FLAG_TRANSMIT_FULL: u32 = 1 << 5;
/// Device, transmitter and receiver on.
const CONTROL_ON: u32 = 1 | 1 << 8 | 1 << 9;

fn read(register: u64) -> u32 {
    // SAFETY: `entry.s` maps the device; reading these registers has no effect.
    unsafe { (address(BASE + register) as *const u32).read_volatile() }
}

fn write(register: u64, value: u32) {
    // SAFETY: `entry.s` maps the device; it does not touch memory.
    unsafe { (address(BASE + register) as *mut u32).write_volatile(value) }
}

/// Switches the device on.
pub fn enable() {
    write(CONTROL, CONTROL_ON);
}

/// Writes one byte, with a carriage return before a newline.
pub fn put(byte: u8) {
    if byte == b'\n' {
        put_raw(b'\r');
    }
    put_raw(byte);
}

fn put_raw(byte: u8) {
    while read(FLAGS) & FLAG_TRANSMIT_FULL != 0 {}
    write(DATA, byte.into());
}

/// For `write!`.
pub struct Uart;

impl core::fmt::Write for Uart {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        text.bytes().for_each(put);
        Ok(())
    }
}
