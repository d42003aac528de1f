// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The registers of the PL031 on the machine. What they are used for is `pl031.rs`'s business.

use mmio::fields::{ReadPure, ReadPureWrite};
use mmio::{UniqueMmioPointer, field, field_shared};
use timer_service::pl031::{Pl031, Registers};
use topology::Topology;

/// PL031 (DDI 0224, section 3.3).
#[repr(C)]
pub struct Map {
    rtcdr: ReadPure<u32>,
    rtcmr: ReadPureWrite<u32>,
    rtclr: ReadPureWrite<u32>,
    rtccr: ReadPureWrite<u32>,
    rtcimsc: ReadPureWrite<u32>,
    rtcris: ReadPure<u32>,
}

/// The device.
pub struct Device(UniqueMmioPointer<'static, Map>);

impl Registers for Device {
    fn count(&mut self) -> u32 {
        field_shared!(self.0, rtcdr).read()
    }

    fn load(&mut self, count: u32) {
        field!(self.0, rtclr).write(count);
    }

    fn alarm(&mut self) -> u32 {
        field_shared!(self.0, rtcmr).read()
    }

    fn set_alarm(&mut self, count: u32) {
        field!(self.0, rtcmr).write(count);
    }

    fn waits_for_alarm(&mut self) -> bool {
        field_shared!(self.0, rtcimsc).read() & 1 != 0
            && field_shared!(self.0, rtcris).read() & 1 == 0
    }
}

/// The device in region `rtc`, to be written if system.xml maps it so.
pub fn find(topology: &Topology<'_>) -> Pl031<Device> {
    let region = pd_setup::region(topology, "rtc");
    let registers = mmio::from_mapped::<Map>(region.vaddr as usize);
    let registers = registers.expect("rtc is where devices are");
    Pl031::new(Device(registers), region.perms.write)
}
