// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The time service on the Arm generic timer and the PL031 real-time clock.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

mod rtc;

use alloc::{format, vec::Vec};

use sel4_microkit::{Channel, ChannelSet, Handler, Infallible, protection_domain};
use timer_service::pl031::Pl031;
use timer_service::{Alarm, Pages, Service, World};
use topology::{Region, Topology};

/// Interrupt of the physical timer, INTID 30.
const IRQ: Channel = Channel::new(0);

struct Machine {
    clients: Vec<Channel>,
    rtc: Pl031<rtc::Device>,
}

impl Alarm for Machine {
    fn set(&mut self, ticks: u64) {
        arm_generic_timer::set_compare(ticks);
    }

    fn stop(&mut self) {
        arm_generic_timer::mask();
    }
}

impl World for Machine {
    fn ticks(&self) -> u64 {
        arm_generic_timer::counter()
    }

    fn notify(&mut self, client: usize) {
        self.clients[client].notify();
    }

    fn wall_ns(&mut self) -> u64 {
        self.rtc.wall_ns()
    }

    fn keep_wall(&mut self, wall_ns: u64) {
        self.rtc.keep(wall_ns);
    }
}

#[protection_domain(stack_size = 0x8000, heap_size = 0xe0000)]
fn init() -> impl Handler {
    pd_setup::log();
    let topology = pd_setup::topology();
    let mut machine = Machine {
        clients: Vec::new(),
        rtc: rtc::find(&topology),
    };
    let mut pages = Vec::new();
    for (client, timers) in topology.clients(topology.name(), "timers") {
        // A PD may have several pages, called NAME.0, NAME.1 and so on.
        let (name, _) = client.split_once('.').unwrap_or((client, ""));
        machine.clients.push(pd_setup::channel_to(&topology, name));
        pages.push((client, client_pages(&topology, client, &timers)));
    }
    let channels = machine.clients.clone();
    let clock = pd_setup::region(&topology, "timer_clock");
    let service = Service::attach(
        machine,
        pd_setup::writes(&clock),
        pages,
        arm_generic_timer::frequency_hz(),
        recovery::epoch(),
    );
    let service = service.unwrap_or_else(|error| panic!("system.xml: {error:?}"));
    recovery::ready();
    Timer { service, channels }
}

fn client_pages(topology: &Topology<'_>, client: &str, timers: &Region<'_>) -> Pages {
    let firings = pd_setup::region(topology, &format!("timer_to_{client}_firings"));
    let control = topology.region(&format!("{client}_to_timer_control"));
    Pages {
        timers: pd_setup::reads(timers),
        firings: pd_setup::writes(&firings),
        control: control.as_ref().map(pd_setup::reads),
    }
}

struct Timer {
    service: Service<Machine>,
    /// Of each client.
    channels: Vec<Channel>,
}

impl Handler for Timer {
    type Error = Infallible;

    fn notified(&mut self, channels: ChannelSet) -> Result<(), Infallible> {
        if channels.contains(IRQ) {
            // The line is a level: lowered before the acknowledgement, or it comes again at once.
            self.service.quieten();
            recovery::fault_point!("timer.before_ack");
            IRQ.irq_ack().expect("this is our interrupt");
            recovery::fault_point!("timer.after_ack");
        }
        self.service
            .run(|client| channels.contains(self.channels[client]));
        Ok(())
    }
}
