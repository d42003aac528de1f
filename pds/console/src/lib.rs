// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Prints what the PDs write into their log rings, in turns, each line once.
//!
//! `main.rs` finds the rings and the UART; everything else happens here, and in `cargo test`.
//!
//! Invariants:
//! - A line leaves its ring (the ring's cursor moves past it) only after its text is staged in the
//!   preserved state, so the death of the console cannot lose it.
//! - Between two characters the state says how many have gone out, so a line is never printed
//!   twice: at most the one character that was on its way when the console died.
//! - A ring gets [`LINES_PER_TURN`] lines, then the next one: whoever floods waits for the others.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod state;
mod text;

#[cfg(test)]
mod tests;

use alloc::{string::String, vec::Vec};

use log_ring::{Cursor, Next, next};
use recovery::fault_point;
use sel4_shared_memory::{SharedMut, SharedRef};

pub use state::{STATE_BYTES, StateTooSmall};

use state::{Staged, State};

/// Lines that one ring may print before the others have their turn. Enough for a backtrace to
/// stay together, few enough for a flood not to hold up an error message.
pub const LINES_PER_TURN: usize = 16;

/// Where characters go.
pub trait Uart {
    /// Sends one character; waits until there is room for it.
    fn put(&mut self, byte: u8);
}

/// One log ring.
#[derive(Debug)]
pub struct Ring {
    /// The PD that writes it.
    pub pd: String,
    /// Its region.
    pub memory: SharedRef,
}

/// The console.
#[derive(Debug)]
pub struct Console<U> {
    rings: Vec<(Ring, Cursor)>,
    state: State,
    uart: U,
    ticks_per_second: u64,
}

impl<U: Uart> Console<U> {
    /// Attaches to the preserved state, and ends what an earlier life was in the middle of.
    ///
    /// # Errors
    ///
    /// [`StateTooSmall`], also when there are more rings than it has room for.
    pub fn attach(
        state: SharedMut,
        epoch: u32,
        rings: Vec<Ring>,
        ticks_per_second: u64,
        uart: U,
    ) -> Result<Self, StateTooSmall> {
        let mut state = State::attach(state, epoch)?;
        let staged = state.staged();
        if let Some(staged) = &staged {
            state.move_cursor(staged.slot, staged.cursor);
        }
        let rings: Vec<_> = rings
            .into_iter()
            .map(|ring| (ring, Cursor::default()))
            .collect();
        let mut console = Self {
            rings,
            state,
            uart,
            ticks_per_second,
        };
        for (slot, (ring, cursor)) in console.rings.iter_mut().enumerate() {
            *cursor = console.state.cursor(slot, &ring.pd)?;
        }
        if let Some(staged) = staged {
            console.send(&staged);
        }
        Ok(console)
    }

    /// Prints all there is.
    ///
    /// This ends when the rings are empty, or never while PDs of higher priority write faster than
    /// the UART sends; the console then still serves every ring in turn.
    pub fn drain(&mut self) {
        while self.turn() {}
    }

    /// Gives each ring one turn; says whether there may be more.
    ///
    /// # Panics
    ///
    /// When what is known of a ring differs from what outlives us: one of the two is damaged.
    pub fn turn(&mut self) -> bool {
        let mut more = false;
        for slot in 0..self.rings.len() {
            for _ in 0..LINES_PER_TURN {
                let (ring, cursor) = &self.rings[slot];
                // Or the same lines would be printed for ever, and nobody below us would get on (campaign on
                // seL4 release at aac7c23, seed 1, trial 500: our own copy was stored elsewhere).
                assert!(
                    self.state.is_at(slot, *cursor),
                    "a ring is not where it was left"
                );
                match next(&ring.memory, *cursor) {
                    Next::Empty => break,
                    Next::Skip(after) => self.advance(slot, after),
                    Next::Line(line) => self.print(slot, &line),
                }
                more = true;
            }
        }
        more
    }

    fn advance(&mut self, slot: usize, cursor: Cursor) {
        self.rings[slot].1 = cursor;
        self.state.move_cursor(slot, cursor);
    }

    fn print(&mut self, slot: usize, line: &log_ring::Line) {
        let pd = &self.rings[slot].0.pd;
        let ticks_per_second = self.ticks_per_second;
        let (text, cursor) = if line.lost > 0 {
            // First the notice. It moves only the count, so that the line itself comes next.
            let text = text::lost(pd, line.lost, line.head.ticks, ticks_per_second);
            (
                text,
                Cursor {
                    sequence: line.head.sequence,
                    ..self.rings[slot].1
                },
            )
        } else {
            (text::line(pd, line, ticks_per_second), line.after)
        };
        let staged = Staged {
            slot,
            cursor,
            text,
            done: 0,
        };
        fault_point!("console.before_stage");
        self.state.stage(&staged);
        fault_point!("console.staged");
        self.advance(slot, cursor);
        fault_point!("console.moved");
        self.send(&staged);
        fault_point!("console.sent");
    }

    fn send(&mut self, staged: &Staged) {
        for (index, byte) in staged.text.bytes().enumerate().skip(staged.done) {
            self.uart.put(byte);
            fault_point!("console.character");
            self.state.set_done(index + 1);
        }
        self.state.unstage();
    }
}
