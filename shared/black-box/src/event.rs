// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What of a record goes into the supervisor's log ring, and the lines that the console makes of it.
//!
//! ```text
//! FAULT pd=fs kind=read addr=0x0 pc=0x10004a30 epoch=1 action=restart after_us=37 stack=2016/16384
//! BACKTRACE pd=fs lr=0x10004a2c frames=0x10004a30,0x1000132c,0x10000164
//! ```
//! A hang also has what the PD showed its supervisor last (so has every record of an earlier boot):
//! ```text
//! VITALS pd=fs beats=812 beat_age_ms=61 busy_ms=62 progress=951 waiting=0x0 outstanding=1 done=7 own=0 ...
//! ```
//! `epoch` is the epoch of the life that begins, as everywhere in the log; a record has the epoch
//! of the life that ended. `after_us` is from the reception of the fault until the child can run.

use core::fmt;
use core::mem::size_of;

use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use crate::record::{Action, FRAMES_MAX, Head, RecordWire, Shown, name_of};

/// An event as it lies in a log ring. The ring has its own CRC, so the head's is not looked at.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct EventWire {
    /// Who, what, when, where.
    pub head: Head,
    /// Counter when the child was able to run again.
    pub restart_ticks: u64,
    /// Link register.
    pub lr: u64,
    /// Its vitals.
    pub shown: Shown,
    /// Return addresses, innermost first; as many as there are.
    pub frames: [u64; FRAMES_MAX],
}

const FRAMES_AT: usize = size_of::<EventWire>() - FRAMES_MAX * size_of::<u64>();

impl EventWire {
    /// What `record` has to say to the log.
    #[must_use]
    pub fn of(record: &RecordWire, restart_ticks: u64) -> Self {
        Self {
            head: record.head,
            restart_ticks,
            lr: record.lr(),
            shown: record.shown,
            frames: record.frames,
        }
    }

    /// The bytes to log: without the frames that are not there.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        let count = usize::from(self.head.frame_count).min(FRAMES_MAX);
        &self.as_bytes()[..FRAMES_AT + count * size_of::<u64>()]
    }
}

/// An event, read back. Everything in it is somebody's allegation.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    wire: EventWire,
}

impl Event {
    /// Reads the bytes of a log entry; `None` when they are no event.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut wire = EventWire::new_zeroed();
        let frames = bytes.len().checked_sub(FRAMES_AT)? / size_of::<u64>();
        let whole = FRAMES_AT + frames * size_of::<u64>() == bytes.len();
        if !whole || frames > FRAMES_MAX {
            return None;
        }
        wire.as_mut_bytes()[..bytes.len()].copy_from_slice(bytes);
        (usize::from(wire.head.frame_count) == frames).then_some(Self { wire })
    }

    /// The event of a record in a black box; it does not say how long the restart took.
    #[must_use]
    pub fn of(record: &RecordWire) -> Self {
        Self {
            wire: EventWire::of(record, 0),
        }
    }

    /// The lines, each without its end.
    #[must_use]
    pub fn lines(&self) -> Lines<'_> {
        let has_vitals = self.wire.shown.beats != 0;
        let is_old = self.wire.restart_ticks == 0;
        Lines {
            wire: &self.wire,
            with_vitals: has_vitals && (is_old || self.wire.head.kind().is_hang()),
        }
    }
}

/// The two or three lines of an event, as `Display` with `\n` between them.
#[derive(Clone, Copy, Debug)]
pub struct Lines<'a> {
    wire: &'a EventWire,
    with_vitals: bool,
}

impl Lines<'_> {
    fn after_us(&self) -> Option<u64> {
        let head = &self.wire.head;
        let ticks = self.wire.restart_ticks.checked_sub(head.fault_ticks)?;
        let us = u128::from(ticks) * 1_000_000 / u128::from(head.ticks_per_second.max(1));
        Some(us as u64)
    }

    fn fault(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = &self.wire.head;
        let name = name_of(&head.name);
        let restarted = matches!(head.action(), Action::Restart | Action::Fallback);
        let epoch = head.epoch.wrapping_add(u32::from(restarted));
        // A hang has no address: its PD did nothing wrong that the processor saw.
        match head.kind().is_hang() {
            true => write!(f, "HANG pd={name} kind={head}")?,
            false => write!(f, "FAULT pd={name} kind={head} addr={:#x}", head.address)?,
        }
        write!(
            f,
            " pc={:#x} epoch={epoch} action={}",
            head.pc,
            head.action().name()
        )?;
        if let Some(after_us) = self.after_us() {
            write!(f, " after_us={after_us}")?;
        }
        if let Some(used) = head.stack_used() {
            write!(f, " stack={used}/{}", head.stack_top - head.stack_bottom)?;
        }
        Ok(())
    }

    fn vitals(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (head, shown) = (&self.wire.head, &self.wire.shown);
        let ticks_per_ms = (head.ticks_per_second / 1_000).max(1);
        let age_ms = |since: u64| match since {
            0 => 0,
            since => head.fault_ticks.saturating_sub(since) / ticks_per_ms,
        };
        write!(
            f,
            "VITALS pd={} beats={} beat_age_ms={} busy_ms={} progress={} waiting={:#x}",
            name_of(&head.name),
            shown.beats,
            age_ms(shown.beat_ticks),
            age_ms(shown.busy_since),
            shown.progress,
            shown.waiting,
        )?;
        write!(
            f,
            " outstanding={} done={} own={} late={},{}",
            shown.outstanding, shown.done, shown.own, shown.late_interrupts, shown.late_work
        )
    }

    fn backtrace(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = &self.wire.head;
        let name = name_of(&head.name);
        write!(f, "BACKTRACE pd={name} lr={:#x} frames=", self.wire.lr)?;
        let count = usize::from(head.frame_count).min(FRAMES_MAX);
        for (index, frame) in self.wire.frames[..count].iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{:#x}", frame)?;
        }
        Ok(())
    }
}

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fault(f)?;
        if self.with_vitals {
            f.write_str("\n")?;
            self.vitals(f)?;
        }
        f.write_str("\n")?;
        self.backtrace(f)
    }
}

const _: () = assert!(size_of::<EventWire>() == 144 + 16 + 88 + FRAMES_MAX * 8);
