// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The one kind of failure that a command ends with: what is wrong, and what to do about it.

use std::fmt;

/// What `main` prints before it ends with status 1.
#[derive(Debug)]
pub struct Error {
    /// Complete text, starting with `error:` when it was rendered already.
    message: String,
    help: Option<String>,
    rendered: bool,
}

/// Result of everything that can end a command.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A failure described in one sentence, without a full stop.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: None,
            rendered: false,
        }
    }

    /// Text that is printed as it is.
    pub fn rendered(text: String) -> Self {
        Self {
            message: text,
            help: None,
            rendered: true,
        }
    }

    /// Adds what the reader can do about it.
    pub fn help(self, help: impl Into<String>) -> Self {
        Self {
            help: Some(help.into()),
            ..self
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rendered {
            return f.write_str(self.message.trim_end());
        }
        write!(f, "error: {}", self.message)?;
        match &self.help {
            Some(help) => write!(f, "\n  help: {help}"),
            None => Ok(()),
        }
    }
}

/// Adds to a system error what was being done to which file.
pub trait Context<T> {
    /// `what` reads like "read 'system.xml'".
    ///
    /// # Errors
    ///
    /// The error itself, with `what` in front.
    fn context(self, what: impl fmt::Display) -> Result<T>;
}

impl<T, E: fmt::Display> Context<T> for std::result::Result<T, E> {
    fn context(self, what: impl fmt::Display) -> Result<T> {
        self.map_err(|error| Error::new(format!("cannot {what}: {error}")))
    }
}
