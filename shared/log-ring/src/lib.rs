// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Log rings: a PD writes lines into a region that it alone writes, and the console prints them.
//!
//! The layout, and why a line is either there or not, is in [`proto::log`]. What holds:
//! - A writer never waits and never allocates: a line of 80 characters is 15 stores.
//! - A line whose `log` call returned survives the death of its writer, and of the console.
//! - A line that was being written when its writer died is not there, whole or in part.
//! - A writer that is faster than the console loses its own oldest lines; the reader counts them.
//! - Whatever bytes are in a region, the reader neither panics nor works without bound.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod logger;
mod reader;
mod writer;

pub use logger::{RingLogger, Surroundings, emergency, init, report};
pub use reader::{Cursor, Line, Next, next};
pub use writer::{TooSmall, Writer};

#[cfg(test)]
mod tests;
