// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! As much of GDB's remote serial protocol as it takes to stop QEMU's guest, look at it, and change it.
//!
//! Sources: "Debugging with GDB", appendix E; QEMU 7.2, `gdbstub/gdbstub.c` and `gdb-xml/aarch64-core.xml`.
//! QEMU's breakpoints are addresses that its translator knows: the guest's memory stays as it is. They hold
//! in every address space, so whoever sets one has to look who was stopped.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::{Context, Error, Result};

/// A stub that does not answer for so long is gone.
const PATIENCE: Duration = Duration::from_secs(30);
/// What a stub says by itself comes within this time.
const SETTLE: Duration = Duration::from_millis(200);
/// Bytes of memory per packet: QEMU's packets have 4 KiB, and a byte takes two characters.
const PIECE_BYTES: usize = 1024;
/// Numbers of the registers.
pub const SP: usize = 31;
/// Program counter.
pub const PC: usize = 32;
/// General registers, SP and PC.
pub const REGISTERS: usize = 33;

/// A stopped or running guest.
pub struct Gdb {
    stream: UnixStream,
    received: Vec<u8>,
    watched: BTreeSet<u64>,
}

impl Gdb {
    /// Connects; the guest stops.
    ///
    /// # Errors
    ///
    /// When nobody listens there.
    pub fn connect(socket: &Path) -> Result<Self> {
        let stream = UnixStream::connect(socket).context("connect to QEMU's gdbstub")?;
        let mut gdb = Self::new(stream);
        gdb.ask("?")?;
        // The stub also says by itself that the machine has stopped, before or after that.
        while gdb.receive(SETTLE)?.is_some() {}
        // Only who has asked for their description may change single registers.
        gdb.ask("qXfer:features:read:target.xml:0,ffb")?;
        Ok(gdb)
    }

    fn new(stream: UnixStream) -> Self {
        Self {
            stream,
            received: Vec::new(),
            watched: BTreeSet::new(),
        }
    }

    fn send(&mut self, text: &str) -> Result<()> {
        let packet = format!("${text}#{:02x}", checksum(text.as_bytes()));
        self.stream
            .write_all(packet.as_bytes())
            .context("ask QEMU's gdbstub")
    }

    /// The next packet, if it comes in time.
    fn receive(&mut self, patience: Duration) -> Result<Option<String>> {
        let until = Instant::now() + patience;
        loop {
            if let Some(packet) = take_packet(&mut self.received) {
                self.stream
                    .write_all(b"+")
                    .context("answer QEMU's gdbstub")?;
                return Ok(Some(packet));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.stream
                .set_read_timeout(Some(left))
                .context("set a timeout")?;
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(Error::new("QEMU's gdbstub has gone")),
                Ok(length) => self.received.extend_from_slice(&buffer[..length]),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => return Ok(None),
                    ErrorKind::Interrupted => {}
                    _ => return Err(Error::new(format!("read from QEMU's gdbstub: {error}"))),
                },
            }
        }
    }

    fn ask(&mut self, text: &str) -> Result<String> {
        self.send(text)?;
        self.receive(PATIENCE)?
            .ok_or_else(|| Error::new(format!("QEMU's gdbstub does not answer to '{text}'")))
    }

    fn order(&mut self, text: &str) -> Result<()> {
        match self.ask(text)?.as_str() {
            "OK" => Ok(()),
            answer => Err(Error::new(format!(
                "QEMU's gdbstub says '{answer}' to '{text}'"
            ))),
        }
    }

    /// Lets the guest stop, or not, whenever anybody is about to execute what is at `address`.
    ///
    /// # Errors
    ///
    /// When QEMU does not do it.
    pub fn set_breakpoint(&mut self, address: u64, on: bool) -> Result<()> {
        let letter = if on { 'Z' } else { 'z' };
        self.order(&format!("{letter}1,{address:x},4"))
    }

    /// Lets the guest stop, or not, whenever anybody is about to write to the word at `address`.
    ///
    /// # Errors
    ///
    /// When QEMU does not do it.
    pub fn set_watchpoint(&mut self, address: u64, on: bool) -> Result<()> {
        match on {
            true => self.watched.insert(address),
            false => self.watched.remove(&address),
        };
        self.watch(address, on)
    }

    fn watch(&mut self, address: u64, on: bool) -> Result<()> {
        let letter = if on { 'Z' } else { 'z' };
        self.order(&format!("{letter}2,{address:x},8"))
    }

    /// Lets the guest run on from where it has stopped, past what it has stopped at.
    ///
    /// # Errors
    ///
    /// When QEMU does not answer.
    pub fn go_on(&mut self, from: Stop) -> Result<()> {
        match from {
            // Else the step would end where it began.
            Stop::Written(address) if self.watched.contains(&address) => {
                self.watch(address, false)?;
                self.step()?;
                self.watch(address, true)?;
            }
            _ => self.step()?,
        }
        self.send("c")
    }

    /// Executes one instruction. No interrupt comes meanwhile.
    ///
    /// # Errors
    ///
    /// When QEMU does not answer.
    pub fn step(&mut self) -> Result<()> {
        self.ask("s").map(|_| ())
    }

    /// Waits for a running guest to stop; says why it has.
    ///
    /// # Errors
    ///
    /// When QEMU has ended.
    pub fn stopped(&mut self, patience: Duration) -> Result<Option<Stop>> {
        Ok(self.receive(patience)?.map(|text| stop(&text)))
    }

    /// General registers, SP and PC of the stopped guest.
    ///
    /// # Errors
    ///
    /// When QEMU does not answer.
    pub fn registers(&mut self) -> Result<[u64; REGISTERS]> {
        let bytes = from_hex(&self.ask("g")?);
        let mut registers = [0; REGISTERS];
        let words = bytes.chunks_exact(8);
        if words.len() < REGISTERS {
            return Err(Error::new("QEMU's gdbstub tells too few registers"));
        }
        for (register, word) in registers.iter_mut().zip(words) {
            *register = word.try_into().map_or(0, u64::from_le_bytes);
        }
        Ok(registers)
    }

    /// Changes a register.
    ///
    /// # Errors
    ///
    /// When QEMU does not do it.
    pub fn set_register(&mut self, number: usize, value: u64) -> Result<()> {
        self.order(&format!("P{number:x}={}", hex(&value.to_le_bytes())))
    }

    /// Reads memory as whoever was stopped sees it; `None` when it is not mapped there.
    ///
    /// # Errors
    ///
    /// When QEMU does not answer.
    pub fn read(&mut self, address: u64, length: usize) -> Result<Option<Vec<u8>>> {
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            let count = PIECE_BYTES.min(length - bytes.len());
            let at = address.wrapping_add(bytes.len() as u64);
            let answer = self.ask(&format!("m{at:x},{count:x}"))?;
            let piece = from_hex(&answer);
            if answer.starts_with('E') || piece.len() != count {
                return Ok(None);
            }
            bytes.extend(piece);
        }
        Ok(Some(bytes))
    }

    /// Writes memory likewise, whatever its permissions.
    ///
    /// # Errors
    ///
    /// When it is not mapped.
    pub fn write(&mut self, address: u64, bytes: &[u8]) -> Result<()> {
        let mut at = address;
        for piece in bytes.chunks(PIECE_BYTES) {
            self.order(&format!("M{at:x},{:x}:{}", piece.len(), hex(piece)))?;
            at = at.wrapping_add(piece.len() as u64);
        }
        Ok(())
    }

    /// A word of memory; 0 where nothing is mapped.
    ///
    /// # Errors
    ///
    /// When QEMU does not answer.
    pub fn word(&mut self, address: u64) -> Result<u64> {
        let bytes = self.read(address, 8)?;
        let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
        Ok(bytes.map_or(0, u64::from_le_bytes))
    }

    /// Whether the stopped PD is called so: its name is where its program has `microkit_name`.
    ///
    /// # Errors
    ///
    /// When QEMU does not answer.
    pub fn is_in(&mut self, name_at: u64, name: &str) -> Result<bool> {
        let found = self.read(name_at, name.len() + 1)?;
        Ok(found.is_some_and(|found| found.strip_suffix(&[0]) == Some(name.as_bytes())))
    }

    /// Does something for which addresses of memory are physical.
    ///
    /// # Errors
    ///
    /// As `what` does, or when QEMU knows no such addresses.
    pub fn physical<T>(&mut self, what: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.order("Qqemu.PhyMemMode:1")?;
        let done = what(self);
        self.order("Qqemu.PhyMemMode:0")?;
        done
    }
}

/// Why the guest has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Somebody is about to write to this address.
    Written(u64),
    /// A breakpoint, or anything else.
    Elsewhere,
}

fn stop(text: &str) -> Stop {
    let written = text.split_once(";watch:").map(|(_, rest)| rest);
    let number = written.and_then(|rest| rest.split(';').next());
    let address = number.and_then(|number| u64::from_str_radix(number, 16).ok());
    address.map_or(Stop::Elsewhere, Stop::Written)
}

fn checksum(bytes: &[u8]) -> u8 {
    bytes
        .iter()
        .fold(0, |sum: u8, byte| sum.wrapping_add(*byte))
}

/// Takes the first whole packet out of what has come; acknowledgements before it are dropped, and so is a
/// packet with a wrong checksum.
fn take_packet(received: &mut Vec<u8>) -> Option<String> {
    loop {
        let start = received.iter().position(|byte| *byte == b'$')?;
        let length = received[start..].iter().position(|byte| *byte == b'#')?;
        let end = start + length;
        let sum = received.get(end + 1..end + 3)?;
        let sum = std::str::from_utf8(sum).ok();
        let sum = sum.and_then(|text| u8::from_str_radix(text, 16).ok());
        let body = received[start + 1..end].to_vec();
        received.drain(..end + 3);
        if sum == Some(checksum(&body)) {
            return String::from_utf8(body).ok();
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks_exact(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.map_while(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_found_among_acknowledgements_and_in_parts() {
        let mut received = b"++$OK#9".to_vec();
        assert_eq!(take_packet(&mut received), None);
        received.extend(b"a$T05thread:01;#07$bad#00$E01#a6+");
        assert_eq!(take_packet(&mut received).as_deref(), Some("OK"));
        assert_eq!(take_packet(&mut received).as_deref(), Some("T05thread:01;"));
        assert_eq!(take_packet(&mut received).as_deref(), Some("E01"));
        assert_eq!(
            (take_packet(&mut received), received),
            (None, b"+".to_vec())
        );
    }

    #[test]
    fn a_stop_says_why() {
        let written = stop("T05thread:01;watch:0000000035000200;");
        assert_eq!(written, Stop::Written(0x3500_0200));
        assert_eq!(stop("T05thread:01;"), Stop::Elsewhere);
    }

    #[test]
    fn memory_is_written_in_pieces_and_read_back() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let stub = std::thread::spawn(move || {
            let mut memory = vec![0; 0x1000];
            let mut received = Vec::new();
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = theirs.read(&mut buffer) {
                received.extend_from_slice(&buffer[..length]);
                while let Some(packet) = take_packet(&mut received) {
                    let (head, data) = packet.split_once(':').unwrap_or((&packet, ""));
                    let (at, count) = head[1..].split_once(',').unwrap();
                    let number = |text| usize::from_str_radix(text, 16).unwrap();
                    let range = number(at)..number(at) + number(count);
                    let answer = match head.as_bytes()[0] {
                        _ if range.end > memory.len() => "E14".to_owned(),
                        b'm' => hex(&memory[range]),
                        _ => {
                            memory[range].copy_from_slice(&from_hex(data));
                            "OK".to_owned()
                        }
                    };
                    let sum = checksum(answer.as_bytes());
                    write!(theirs, "+${answer}#{sum:02x}").unwrap();
                }
            }
        });
        let mut gdb = Gdb::new(ours);
        let bytes: Vec<u8> = (0..3000_u32).map(|index| index as u8).collect();
        gdb.write(5, &bytes).unwrap();
        assert_eq!(gdb.read(5, 3000).unwrap(), Some(bytes));
        assert_eq!(gdb.word(13).unwrap(), 0x0f0e_0d0c_0b0a_0908);
        assert_eq!(gdb.read(0x1000, 1).unwrap(), None);
        assert!(gdb.write(0xfff, &[0; 2]).is_err());
        drop(gdb);
        stub.join().unwrap();
    }
}
