// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What every file operation of the application goes through: it is counted, timed, and followed by a
//! look at the timers.

use alloc::format;
use alloc::string::String;
use core::fmt;

use fs_client::{Error, FileSystem};
use timer_client::{Service, TimerError};

use crate::board::{Board, Trouble};
use crate::watch::Watch;

/// Why the application gives up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure(String);

impl Failure {
    /// Says it.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<TimerError> for Failure {
    fn from(error: TimerError) -> Self {
        Self(format!("timers: {error:?}"))
    }
}

/// What the file operations came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Operations.
    pub operations: u64,
    /// Operations that failed, and contents that were wrong.
    pub errors: u64,
    /// Longest operation in nanoseconds.
    pub slowest_ns: u64,
    /// Which one that was.
    pub slowest: &'static str,
    /// Bytes read and compared or hashed.
    pub bytes_read: u64,
    /// Bytes written.
    pub bytes_written: u64,
}

/// The application's hold on the services.
pub struct Work<S> {
    files: FileSystem,
    /// The timers.
    pub watch: Watch<S>,
    /// The counts.
    pub tally: Tally,
    /// Under a campaign: where they are shown.
    pub board: Option<Board>,
}

impl<S: Service> Work<S> {
    /// Begins.
    pub fn new(files: FileSystem, watch: Watch<S>) -> Self {
        Self {
            files,
            watch,
            tally: Tally::default(),
            board: None,
        }
    }

    /// Runs one operation.
    ///
    /// # Errors
    ///
    /// As the operation, with its name and path.
    pub fn run<T>(
        &mut self,
        operation: &'static str,
        path: &str,
        work: impl FnOnce(&FileSystem) -> Result<T, Error>,
    ) -> Result<T, Failure> {
        let start = self.watch.now();
        let result = work(&self.files);
        let took_ns = self.watch.now().duration_since(start).as_nanos() as u64;
        self.tally.operations += 1;
        if took_ns > self.tally.slowest_ns {
            self.tally.slowest_ns = took_ns;
            self.tally.slowest = operation;
        }
        self.watch.poll()?;
        if let Some(board) = &mut self.board {
            board.fired(self.watch.counts().fired);
            board.operation(took_ns);
        }
        result.map_err(|error| self.trouble(Trouble::Error, operation, path, error))
    }

    /// Counts something that is wrong.
    pub fn failure(&mut self, operation: &str, path: &str, what: impl fmt::Display) -> Failure {
        self.trouble(Trouble::Wrong, operation, path, what)
    }

    /// Counts something that is missing.
    pub fn missing(&mut self, operation: &str, path: &str, what: impl fmt::Display) -> Failure {
        self.trouble(Trouble::Lost, operation, path, what)
    }

    fn trouble(
        &mut self,
        kind: Trouble,
        operation: &str,
        path: &str,
        what: impl fmt::Display,
    ) -> Failure {
        self.tally.errors += 1;
        let text = format!(
            "{operation} {}: {what}",
            crate::escape::escape(path.as_bytes())
        );
        if let Some(board) = &mut self.board {
            board.trouble(kind, &text);
        }
        Failure(text)
    }
}
