// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Connects the application to the services; all its work is in the library.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

use app_demo_service::board::Board;
use log::{error, info};
use sel4_microkit::{Handler, protection_domain};
use topology::Topology;

/// Only a fault-injection campaign maps these pages.
fn board(topology: &Topology<'static>) -> Option<Board> {
    let page = topology.region("app_demo_to_injector_score")?;
    let control = topology.region("injector_to_app_demo_control")?;
    Some(Board::new(
        pd_setup::writes(&page),
        pd_setup::reads(&control),
    ))
}

#[protection_domain(stack_size = 0x10000, heap_size = 0x100000)]
fn init() -> impl Handler {
    pd_setup::log();
    info!("start");
    let topology = pd_setup::topology();
    let (files, timers) = (pd_clients::files(&topology), pd_clients::timers(&topology));
    let result = match board(&topology) {
        Some(board) => app_demo_service::endless::run(files, timers, board),
        None => app_demo_service::run(files, timers, app_demo_service::Extent::DEMO),
    };
    // Twice: a console that dies in a line sends one of its characters twice.
    for _ in 0..2 {
        match &result {
            Ok(()) => info!("KINTSUGI|PASS demo"),
            Err(failure) => error!("KINTSUGI|FAIL {failure}"),
        }
    }
    pd_setup::Done
}
