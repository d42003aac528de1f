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

    /// Where in physical memory `address` is for whoever runs now, if it is mapped there.
    ///
    /// # Errors
    ///
    /// When QEMU does not answer.
    pub fn physical_address(&mut self, address: u64) -> Result<Option<u64>> {
        let command = json!({ "command-line": format!("gva2gpa {address:#x}") });
        let answer = self.execute("human-monitor-command", &command)?;
        let text = answer.as_str().unwrap_or_default().trim();
        let number = text.strip_prefix("gpa: 0x");
        Ok(number.and_then(|number| u64::from_str_radix(number, 16).ok()))
    }

    /// Memory as whoever runs now sees it.
    ///
    /// # Errors
    ///
    /// When not all of it is mapped.
    pub fn read_virtual(&mut self, address: u64, length: u64) -> Result<Vec<u8>> {
        let arguments = json!({
            "val": address,
            "size": length,
            "filename": self.scratch.display().to_string(),
        });
        self.execute("memsave", &arguments)?;
        std::fs::read(&self.scratch).context("read what QEMU has saved")
    }

    /// The disk called `hd` carries out so many requests per second; 0 is as many as it can.
    ///
    /// # Errors
    ///
    /// When there is no such disk.
    pub fn throttle(&mut self, per_second: u64) -> Result<()> {
        let arguments = json!({
            "device": "hd", "bps": 0, "bps_rd": 0, "bps_wr": 0,
            "iops": per_second, "iops_rd": 0, "iops_wr": 0,
        });
        self.execute("block_set_io_throttle", &arguments)
            .map(|_| ())
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
