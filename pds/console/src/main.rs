// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The console: owns the UART and prints every PD's log ring.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

use alloc::{borrow::ToOwned, vec::Vec};

use arm_pl011_uart::{DataBits, LineConfig, PL011Registers, Parity, StopBits};
use console_service::{Console, Ring, STATE_BYTES, Uart};
use log_ring::Surroundings;
use sel4_microkit::{ChannelSet, Handler, Infallible, panicking, protection_domain, var};
use sel4_shared_memory::SharedMut;

/// Input clock of the UART on QEMU virt, and what a terminal expects.
const UART_CLOCK_HZ: u32 = 24_000_000;
const BAUD_RATE: u32 = 115_200;

struct Pl011(arm_pl011_uart::Uart<'static>);

impl Pl011 {
    fn new(vaddr: usize) -> Self {
        let registers = mmio::from_mapped::<PL011Registers>(vaddr).expect("uart_vaddr is set");
        let mut uart = arm_pl011_uart::Uart::new(registers);
        // An earlier life, or the kernel, may have characters in the FIFO; enabling drops them.
        while uart.is_busy() {}
        let line = LineConfig {
            data_bits: DataBits::Bits8,
            parity: Parity::None,
            stop_bits: StopBits::One,
        };
        uart.enable(line, BAUD_RATE, UART_CLOCK_HZ)
            .expect("115200 baud can be had from 24 MHz");
        Self(uart)
    }
}

impl Uart for Pl011 {
    fn put(&mut self, byte: u8) {
        while self.0.is_tx_fifo_full() {}
        self.0.write_word(byte);
        if byte == b'\n' {
            // Whoever writes log lines faster than the UART takes them keeps us from our event loop.
            pd_setup::pulse();
        }
    }
}

#[protection_domain(stack_size = 0x8000, heap_size = 0x20000)]
fn init() -> impl Handler {
    pd_setup::vitals();
    // Bytes beyond STATE_BYTES are the console's own log ring: it has no other one.
    let (state_vaddr, state_size) = (
        *var!(console_state_vaddr: usize = 0),
        *var!(console_state_size: usize = 0),
    );
    let region = SharedMut::from_mapped(state_vaddr, state_size).expect("console_state is mapped");
    let (state, own_log) = region.split_at(STATE_BYTES);
    let own_ring = Ring {
        pd: "console".to_owned(),
        memory: own_log.as_shared_ref(),
    };
    // No one to notify: the event loop looks after each event.
    let around = Surroundings {
        ticks: recovery::ticks,
        notify: || {},
    };
    log_ring::init(own_log, recovery::epoch(), around).expect("console_state has room for a log");
    panicking::set_hook(&|info| log_ring::emergency(format_args!("{info}")));

    let rings = find_rings(own_ring);
    let uart = Pl011::new(*var!(uart_vaddr: usize = 0));
    let epoch = recovery::epoch();
    let console = Console::attach(state, epoch, rings, recovery::ticks_per_second(), uart);
    let mut console = console.expect("console_state has room for all rings");
    recovery::ready();
    console.drain();
    Service(console)
}

/// The console's own ring first, then those of the PDs, as system.xml lists them.
fn find_rings(own: Ring) -> Vec<Ring> {
    let topology = pd_setup::topology();
    let rings = topology.clients(topology.name(), "log");
    let rings = rings.map(|(pd, region)| Ring {
        pd: pd.to_owned(),
        memory: pd_setup::reads(&region),
    });
    [own].into_iter().chain(rings).collect()
}

struct Service(Console<Pl011>);

impl Handler for Service {
    type Error = Infallible;

    fn notified(&mut self, _channels: ChannelSet) -> Result<(), Infallible> {
        self.0.drain();
        Ok(())
    }
}
