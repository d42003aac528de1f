// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The smallest application: it writes a numbered line to a file again and again. `cargo xtask new` copies
//! it.
//!
//! The services may die at any time and it has no line of code for that. When it dies itself, its next
//! life goes on after the last line that the file has.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

use alloc::format;
use core::time::Duration;

use embedded_io::Write;
use fs_client::{Error, FileSystem, OpenOptions};
use sel4_microkit::{Handler, protection_domain};

const FILE: &str = "/app_hello.txt";
const LINES: u64 = 300;
/// "line 00000001\n"
const LINE_BYTES: u64 = 14;
const PAUSE: Duration = Duration::from_millis(10);

#[protection_domain(stack_size = 0x8000, heap_size = 0x80000)]
fn init() -> impl Handler {
    pd_setup::log();
    let topology = pd_setup::topology();
    let files = pd_clients::files(&topology);
    let mut timers = pd_clients::timers(&topology);
    // A timer of an earlier life would fire into this one.
    timers.cancel_all();
    let pause = || timers.sleep(PAUSE).expect("a timer is free");
    match write_lines(&files, pause) {
        Ok(()) => log::info!("KINTSUGI|PASS app_hello"),
        Err(error) => log::error!("KINTSUGI|FAIL app_hello: {error}"),
    }
    pd_setup::Done
}

fn write_lines(files: &FileSystem, mut pause: impl FnMut()) -> Result<(), Error> {
    let options = OpenOptions::new().append(true).create(true);
    let mut file = options.open(files, FILE)?;
    let written = file.metadata()?.len() / LINE_BYTES;
    log::info!("hello: {FILE} has {written} lines");
    for line in written + 1..=LINES {
        // Whole or not at all, and once, whoever dies meanwhile.
        file.write_all(format!("line {line:08}\n").as_bytes())?;
        recovery::fault_point!("app_hello.after_write");
        file.sync_all()?;
        pause();
    }
    Ok(())
}
