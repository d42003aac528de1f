// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! A logger for crate `log` that formats lines straight into entries: no heap, one buffer of an
//! entry's length on the stack.

use core::fmt::{self, Write};

use proto::log::{Kind, TEXT_BYTES_MAX};
use sel4_shared_memory::SharedMut;
use spin::Mutex;

use crate::writer::{TooSmall, Writer};

/// What a logger needs besides memory.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings {
    /// Reads the counter.
    pub ticks: fn() -> u64,
    /// Tells the console that a line is there.
    pub notify: fn(),
}

struct Open {
    writer: Writer,
    surroundings: Surroundings,
}

/// A log ring behind the interface of crate `log`. Before [`RingLogger::open`] it drops its lines.
pub struct RingLogger(Mutex<Option<Open>>);

impl RingLogger {
    /// A logger without a ring.
    pub const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// Gives the logger its ring.
    ///
    /// # Errors
    ///
    /// [`TooSmall`].
    pub fn open(
        &self,
        memory: SharedMut,
        epoch: u32,
        around: Surroundings,
    ) -> Result<(), TooSmall> {
        let writer = Writer::attach(memory, epoch)?;
        *self.0.lock() = Some(Open {
            writer,
            surroundings: around,
        });
        Ok(())
    }

    /// Writes a message: one line per line, none longer than an entry.
    pub fn write(&self, kind: Kind, level: log::Level, message: fmt::Arguments<'_>) {
        let mut lines = Lines {
            logger: self,
            kind,
            level,
            buffer: [0; TEXT_BYTES_MAX],
            length: 0,
        };
        // `Lines` never fails; a `Display` that does has said what it could.
        let _ = lines.write_fmt(message);
        lines.entry(kind);
        let notify = self
            .0
            .try_lock()
            .and_then(|open| open.as_ref().map(|o| o.surroundings.notify));
        // Outside the lock: the notification switches to a console of higher priority.
        if let Some(notify) = notify {
            notify();
        }
    }
}

impl RingLogger {
    /// Writes an entry that is no text.
    pub fn write_bytes(&self, kind: Kind, level: log::Level, bytes: &[u8]) {
        let mut notify = None;
        if let Some(open) = self.0.try_lock().as_deref_mut().and_then(Option::as_mut) {
            let ticks = (open.surroundings.ticks)();
            open.writer.append(kind, level as u8, ticks, bytes);
            notify = Some(open.surroundings.notify);
        }
        if let Some(notify) = notify {
            notify();
        }
    }
}

impl Default for RingLogger {
    fn default() -> Self {
        Self::new()
    }
}

struct Lines<'a> {
    logger: &'a RingLogger,
    kind: Kind,
    level: log::Level,
    buffer: [u8; TEXT_BYTES_MAX],
    length: usize,
}

impl Lines<'_> {
    fn entry(&mut self, kind: Kind) {
        // The lock is held by no one but a panic inside `append`: then there is no more to say.
        if let Some(open) = self
            .logger
            .0
            .try_lock()
            .as_deref_mut()
            .and_then(Option::as_mut)
        {
            let ticks = (open.surroundings.ticks)();
            open.writer
                .append(kind, self.level as u8, ticks, &self.buffer[..self.length]);
        }
        self.length = 0;
    }
}

impl fmt::Write for Lines<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            match byte {
                b'\n' => self.entry(self.kind),
                _ => {
                    if self.length == TEXT_BYTES_MAX {
                        self.entry(Kind::Part);
                    }
                    self.buffer[self.length] = byte;
                    self.length += 1;
                }
            }
        }
        Ok(())
    }
}

impl log::Log for RingLogger {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            self.write(Kind::Text, record.level(), *record.args());
        }
    }

    fn flush(&self) {}
}

/// The logger of this program.
static LOGGER: RingLogger = RingLogger::new();

/// Makes crate `log` write into `memory`, from level `Debug` up. Call it first thing in a PD's `init`, with
/// `recovery::epoch()` and `recovery::ticks`.
///
/// # Errors
///
/// [`TooSmall`].
pub fn init(memory: SharedMut, epoch: u32, around: Surroundings) -> Result<(), TooSmall> {
    LOGGER.open(memory, epoch, around)?;
    // Fails only when called twice in one life; the first call's setting then stands.
    if log::set_logger(&LOGGER).is_ok() {
        log::set_max_level(log::LevelFilter::Debug);
    }
    Ok(())
}

/// Writes the report of a death. Does nothing before [`init`].
pub fn report(level: log::Level, bytes: &[u8]) {
    LOGGER.write_bytes(Kind::Report, level, bytes);
}

/// Writes last words, from a panic handler: no allocation, no lock that is waited for. Does nothing
/// before [`init`], and when the panic came from the log ring itself.
pub fn emergency(message: fmt::Arguments<'_>) {
    LOGGER.write(Kind::Emergency, log::Level::Error, message);
}
