// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The application's regions and channels; all its work is in the library.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

use app_demo_service::board::Board;
use fs_client::{ChannelPeer, FileSystem, Regions};
use log::{error, info};
use sel4_microkit::{Channel, ChannelSet, Handler, Infallible, protection_domain, var};
use sel4_shared_memory::{SharedMut, SharedRef};
use timer_client::{Clock, Service, Timers};

/// File service.
const FS: Channel = Channel::new(2);
/// Time service.
const TIMER: Channel = Channel::new(3);

/// Sizes in system.xml of the regions whose size it does not tell us.
const TABLE_BYTES: usize = 0x10000;
const CLOCK_BYTES: usize = 0x1000;
const PAGE_BYTES: usize = 0x1000;

struct TimerChannel;

impl Service for TimerChannel {
    fn notify(&mut self) {
        TIMER.notify();
    }

    fn wait(&mut self) {
        microkit_wait::wait_for(TIMER);
    }
}

fn writes(vaddr: usize, size: usize) -> SharedMut {
    SharedMut::from_mapped(vaddr, size).expect("system.xml maps it here")
}

fn reads(vaddr: usize, size: usize) -> SharedRef {
    SharedRef::from_mapped(vaddr, size).expect("system.xml maps it here")
}

fn files() -> FileSystem {
    let regions = Regions {
        requests: writes(*var!(app_demo_to_fs_requests_vaddr: usize = 0), TABLE_BYTES),
        completions: reads(
            *var!(fs_to_app_demo_completions_vaddr: usize = 0),
            TABLE_BYTES,
        ),
        output: writes(
            *var!(app_demo_to_fs_data_vaddr: usize = 0),
            *var!(app_demo_to_fs_data_size: usize = 0),
        ),
        input: reads(
            *var!(fs_to_app_demo_data_vaddr: usize = 0),
            *var!(fs_to_app_demo_data_size: usize = 0),
        ),
    };
    FileSystem::attach(regions, ChannelPeer::new(FS)).expect("the regions are large enough")
}

fn timers() -> Timers<TimerChannel> {
    let page = reads(*var!(timer_clock_vaddr: usize = 0), CLOCK_BYTES);
    let clock = loop {
        match Clock::attach(page.clone(), recovery::ticks) {
            Ok(clock) => break clock,
            Err(_) => microkit_wait::wait_for(TIMER),
        }
    };
    let armed = writes(
        *var!(app_demo_to_timer_timers_vaddr: usize = 0),
        TABLE_BYTES,
    );
    let firings = reads(
        *var!(timer_to_app_demo_firings_vaddr: usize = 0),
        TABLE_BYTES,
    );
    Timers::attach(armed, firings, clock, TimerChannel).expect("the regions are large enough")
}

/// Only a fault-injection campaign maps these pages.
fn board() -> Option<Board> {
    let (page, control) = (
        *var!(app_demo_to_injector_score_vaddr: usize = 0),
        *var!(injector_to_app_demo_control_vaddr: usize = 0),
    );
    (page != 0 && control != 0)
        .then(|| Board::new(writes(page, PAGE_BYTES), reads(control, PAGE_BYTES)))
}

#[protection_domain(stack_size = 0x10000, heap_size = 0x100000)]
fn init() -> impl Handler {
    pd_setup::log();
    info!("start");
    let result = match board() {
        Some(board) => app_demo_service::endless::run(files(), timers(), board),
        None => app_demo_service::run(files(), timers(), app_demo_service::Extent::DEMO),
    };
    // Twice: a console that dies in a line sends one of its characters twice.
    for _ in 0..2 {
        match &result {
            Ok(()) => info!("KINTSUGI|PASS demo"),
            Err(failure) => error!("KINTSUGI|FAIL {failure}"),
        }
    }
    Done
}

/// The work is over; what the services still have to say is nothing to us.
struct Done;

impl Handler for Done {
    type Error = Infallible;

    fn notified(&mut self, _: ChannelSet) -> Result<(), Infallible> {
        Ok(())
    }
}
