// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! QEMU's machine protocol (QMP), as much of it as it takes to read physical memory.
//!
//! `pmemsave` writes memory to a file of the host, which is much faster than asking for words.
//! Source: QEMU 7.2, `docs/interop/qmp-spec.txt` and `qapi/machine.json`.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::memory::{PAGE, Physical};
use crate::error::{Context, Error, Result};

/// A machine that does not answer for so long is stopped in a debugger, or gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection.
pub struct Qmp {
    input: BufReader<UnixStream>,
    output: UnixStream,
    /// Where QEMU puts the memory.
    scratch: PathBuf,
}

impl Qmp {
    /// Connects to a running QEMU.
    ///
    /// # Errors
    ///
    /// When none listens there.
    pub fn connect(socket: &Path, scratch: PathBuf) -> Result<Self> {
        let output = UnixStream::connect(socket).map_err(|error| {
            Error::new(format!(
                "no machine listens at '{}': {error}",
                socket.display()
            ))
            .help("start one: cargo xtask run; with --build-dir DIR, give the same one here")
        })?;
        output
            .set_read_timeout(Some(PATIENCE))
            .context("set a timeout")?;
        let input = BufReader::new(output.try_clone().context("use the socket")?);
        let mut qmp = Self {
            input,
            output,
            scratch,
        };
        let greeting = qmp.receive()?;
        if greeting.get("QMP").is_none() {
            return Err(Error::new("what listens there is not QEMU"));
        }
        qmp.execute("qmp_capabilities", &json!({}))?;
        Ok(qmp)
    }

    fn receive(&mut self) -> Result<Value> {
        let mut line = String::new();
        let length = self
            .input
            .read_line(&mut line)
            .context("read QEMU's answer (is another `top` attached?)")?;
        if length == 0 {
            return Err(Error::new("the machine has ended"));
        }
        serde_json::from_str(&line).context("understand QEMU's answer")
    }

    fn execute(&mut self, command: &str, arguments: &Value) -> Result<Value> {
        let request = json!({ "execute": command, "arguments": arguments });
        writeln!(self.output, "{request}").context("ask QEMU")?;
        loop {
            let mut answer = self.receive()?;
            if let Some(result) = answer.get_mut("return") {
                return Ok(result.take());
            }
            if let Some(error) = answer.get("error") {
                return Err(Error::new(format!("QEMU refuses '{command}': {error}")));
            }
            // An event.
        }
    }
}

impl Physical for Qmp {
    fn read_pages(&mut self, paddr: u64, count: usize) -> Result<Vec<u8>> {
        let arguments = json!({
            "val": paddr,
            "size": count as u64 * PAGE,
            "filename": self.scratch.display().to_string(),
        });
        self.execute("pmemsave", &arguments)?;
        let bytes = std::fs::read(&self.scratch).context("read what QEMU has saved");
        // Nothing depends on whether it is gone.
        let _ = std::fs::remove_file(&self.scratch);
        bytes
    }
}
