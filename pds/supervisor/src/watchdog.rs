// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Feeds a hardware watchdog, which resets the machine when nobody does: that covers a supervisor which has
//! no parent.
//!
//! It is Intel's i6300ESB (datasheet 300641, chapter 18), which QEMU has on PCI Express. There is no
//! firmware that would set it up, and little to set up: `system.xml` names two places. Region
//! `watchdog_config` is the configuration space of one PCI function, region `watchdog` a page of the
//! host bridge's window, at whose address the registers are put. If another device is there, or none (all
//! ones are read), there is no watchdog.
//!
//! The timer runs down twice: after the first time it could interrupt, after the second it resets. It is
//! locked, so nothing but a reset stops it. Each boot can see whether it was the reason.

use log::{error, info, warn};
use mmio::fields::{ReadPure, ReadPureWrite};
use mmio::{UniqueMmioPointer, field, field_shared};
use topology::Topology;

/// Device and vendor.
const ID: u32 = 0x25ab_8086;
/// In the command register: answers at its memory address.
const COMMAND_MEMORY: u16 = 1 << 1;
/// No interrupt, reset enabled, counts of 2^15 PCI clocks (33 MHz): about a millisecond.
const CONFIG_RESET: u16 = 0b11;
/// In the lock register: enabled, and cannot be disabled.
const LOCKED: u8 = 0b11;
/// Writes that unlock the next one.
const UNLOCK: [u16; 2] = [0x80, 0x86];
/// In the reload register: begin anew; it was the reason of the last reset (cleared by writing it).
const RELOAD: u16 = 1 << 8;
const HAS_RESET: u16 = 1 << 9;

/// Each of the two runs. Generous: an emulator on a busy host has its pauses.
const RUN_MS: u32 = 2_000;
const FEED_MS: u64 = 200;

/// PCI configuration space, and the two registers of the device there.
#[repr(C)]
pub struct Config {
    id: ReadPure<u32>,
    command: ReadPureWrite<u16>,
    status: ReadPure<u16>,
    class: [ReadPure<u32>; 2],
    bar: ReadPureWrite<u32>,
    others: [ReadPure<u32>; 19],
    config: ReadPureWrite<u16>,
    reserved: [ReadPure<u16>; 3],
    lock: ReadPureWrite<u8>,
}

const _: () = assert!(core::mem::offset_of!(Config, bar) == 0x10);
const _: () = assert!(core::mem::offset_of!(Config, config) == 0x60);
const _: () = assert!(core::mem::offset_of!(Config, lock) == 0x68);

/// The registers proper.
#[repr(C)]
pub struct Registers {
    first_run: ReadPureWrite<u32>,
    second_run: ReadPureWrite<u32>,
    interrupt: ReadPure<u32>,
    reload: ReadPureWrite<u16>,
}

/// A watchdog that runs.
pub struct Watchdog {
    registers: UniqueMmioPointer<'static, Registers>,
    fed_ms: u64,
}

impl Watchdog {
    /// Starts it, if this PD has one.
    pub fn start(topology: &Topology<'static>, now_ms: u64) -> Option<Self> {
        let (config, window) = topology
            .region("watchdog_config")
            .zip(topology.region("watchdog"))?;
        let mapped =
            mmio::from_mapped::<Config>(config.vaddr as usize)
                .zip(mmio::from_mapped::<Registers>(window.vaddr as usize));
        let Some((mut config, registers)) = mapped else {
            error!("the watchdog is not mapped where a device can be");
            return None;
        };
        let id = field_shared!(config, id).read();
        if id != ID {
            info!("no watchdog: PCI says {id:#010x}");
            return None;
        }
        field!(config, bar).write(window.paddr as u32);
        let command = field_shared!(config, command).read();
        field!(config, command).write(command | COMMAND_MEMORY);
        field!(config, config).write(CONFIG_RESET);
        let mut watchdog = Self {
            registers,
            fed_ms: now_ms,
        };
        if watchdog.has_reset() {
            warn!("WATCHDOG it ended the last boot: nobody fed it");
        }
        watchdog.unlock();
        field!(watchdog.registers, first_run).write(RUN_MS);
        watchdog.unlock();
        field!(watchdog.registers, second_run).write(RUN_MS);
        field!(config, lock).write(LOCKED);
        watchdog.reload(RELOAD);
        info!(
            "WATCHDOG resets the machine when this PD is silent for {} ms",
            2 * RUN_MS
        );
        Some(watchdog)
    }

    /// Whether it was the reason of the last reset. Says so once.
    fn has_reset(&mut self) -> bool {
        let has = field_shared!(self.registers, reload).read() & HAS_RESET != 0;
        self.reload(HAS_RESET);
        has
    }

    fn unlock(&mut self) {
        for key in UNLOCK {
            field!(self.registers, reload).write(key);
        }
    }

    fn reload(&mut self, bits: u16) {
        self.unlock();
        field!(self.registers, reload).write(bits);
    }

    /// This PD has done what it has to do.
    pub fn feed(&mut self, now_ms: u64) {
        if now_ms.saturating_sub(self.fed_ms) >= FEED_MS {
            self.fed_ms = now_ms;
            self.reload(RELOAD);
        }
    }
}
