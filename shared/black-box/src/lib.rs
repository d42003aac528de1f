// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Crash reports: what a supervisor knows of a dead protection domain, and where it keeps that.
//!
//! - A [`Record`] is the whole report: registers, backtrace, stack, last words. Supervisors push
//!   records into a [`BlackBox`], a region that outlives a reset of the machine, so that the next
//!   boot can say why the last one ended. The host reads the same bytes ([`records_in`]).
//! - An [`Event`] is what of it goes into the supervisor's log ring. It is not text: a supervisor
//!   runs above its children, so each instruction that it spends on formatting is one that the
//!   restarted child waits. The console makes lines of it ([`Event::lines`]).
//!
//! Nothing here decides what happens to a PD, and nothing here makes a system call.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod event;
mod record;
mod ring;

pub use event::{Event, EventWire, Lines};
pub use record::{
    Action, FRAMES_MAX, Head, Kind, NAME_BYTES, REGISTER_COUNT, Record, RecordWire, STACK_PAINT,
    Shown, TEXT_BYTES, name_of, to_name,
};
pub use ring::{Attached, BlackBox, REGION_BYTES_MIN, TooSmall, records_in};

#[cfg(test)]
mod tests;
