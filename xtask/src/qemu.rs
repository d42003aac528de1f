// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Runs an image in QEMU, watches its serial line, and ends it.
//!
//! A run ends when a watched text appears, when QEMU ends by itself, or at the timeout, which only
//! guards against a system that hangs. QEMU is our child and is ended through its handle.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::board::Board;
use crate::error::{Context, Error, Result};
use crate::symbolize::Filter;

/// One instruction is one nanosecond, and waiting takes no time of the host.
const ICOUNT: [&str; 4] = [
    "-icount",
    "shift=0,sleep=off,align=off",
    // The real-time clock too: its alarm must not depend on the host.
    "-rtc",
    "clock=vm",
];
/// A failed system that has said nothing for so long has said all.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// How often the time is looked at while nothing comes.
const TICK: Duration = Duration::from_millis(50);

/// What to run.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Loader image.
    pub image: PathBuf,
    /// Disk to attach: a file, maybe [`with_options`].
    pub disk: Option<PathBuf>,
    /// Count instructions.
    pub icount: bool,
    /// Arguments besides those of the board.
    pub extra: &'static [&'static str],
}

/// When to stop.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    /// A line with one of these ends the run well.
    pub until: Vec<String>,
    /// Lines with each of these, in any order, end the run well when the last has appeared.
    pub all: Vec<String>,
    /// A line with one of these ends the run badly.
    pub fail: Vec<String>,
    /// A guard.
    pub timeout: Option<Duration>,
    /// How long the machine goes on after a good end, before it is killed.
    pub linger: Duration,
    /// Copy the serial output to standard output.
    pub echo: bool,
    /// Gets each complete line as it comes.
    pub each_line: Option<fn(&str)>,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub enum End {
    /// A line with one of the texts of [`Watch::until`], or the last of [`Watch::all`].
    Seen,
    /// A line with one of the texts of [`Watch::fail`].
    Failed(String),
    /// QEMU ended by itself.
    Exited(ExitStatus),
    /// The guard struck.
    TimedOut,
}

/// A finished run.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Why it ended.
    pub end: End,
    /// Everything from the serial line, without carriage returns.
    pub output: String,
    /// How long it took, from QEMU's start.
    pub elapsed: Duration,
}

/// The command that runs `machine`.
///
/// # Errors
///
/// When QEMU cannot be this board.
pub fn command(board: &Board, machine: &Machine) -> Result<Command> {
    let qemu = board.qemu.as_ref().ok_or_else(|| {
        Error::new(format!("QEMU cannot be the board '{}'", board.name))
            .help("make the image and load it on the hardware")
    })?;
    let text = |path: &Path| path.display().to_string();
    let disk = machine.disk.as_deref().map(text);
    let fill = |argument: &String| {
        argument
            .replace("{image}", &text(&machine.image))
            .replace("{address}", &format!("{:#x}", board.image.address))
            .replace("{disk}", disk.as_deref().unwrap_or_default())
    };
    let mut command = Command::new(&qemu.program);
    command.args(qemu.arguments.iter().map(fill));
    if disk.is_some() {
        command.args(qemu.disk.iter().map(fill));
    }
    if machine.icount {
        command.args(ICOUNT);
    }
    command.args(machine.extra);
    if let Some(path) = socket(build_dir(machine)) {
        let argument = format!("unix:{},server=on,wait=off", path.display());
        command.args(["-qmp", &argument]);
    }
    Ok(command)
}

/// A disk to attach with more of QEMU's options for drives, separated by commas.
pub fn with_options(disk: &Path, options: &str) -> PathBuf {
    let mut path = disk.as_os_str().to_owned();
    path.push(",");
    path.push(options);
    PathBuf::from(path)
}

/// Where QEMU listens for `cargo xtask top` while it runs an image from `build_dir`; `None` when the
/// path is too long for a socket.
pub fn socket(build_dir: &Path) -> Option<PathBuf> {
    let path = build_dir.join("qemu.sock");
    // sockaddr_un has 108 bytes, the last one zero; a comma would end QEMU's argument.
    let text = path.to_str()?;
    (text.len() < 108 && !text.contains(',')).then_some(path)
}

fn build_dir(machine: &Machine) -> &Path {
    machine.image.parent().unwrap_or(Path::new("."))
}

/// Runs `machine` on this terminal until QEMU ends. Crash reports are explained on the way.
///
/// # Errors
///
/// When QEMU cannot be started.
pub fn interactive(board: &Board, machine: &Machine) -> Result<ExitStatus> {
    let mut command = command(board, machine)?;
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| cannot_start(&program, &error))?;
    let mut filter = Filter::new(build_dir(machine));
    let mut buffer = [0; 4096];
    if let Some(mut output) = child.stdout.take() {
        while let Ok(length @ 1..) = output.read(&mut buffer) {
            // A closed standard output must not stop the machine.
            let _ = filter.push(&buffer[..length], &mut std::io::stdout().lock());
        }
    }
    child.wait().context("wait for QEMU")
}

/// Runs `machine` and watches it.
///
/// # Errors
///
/// When QEMU cannot be started.
pub fn watch(board: &Board, machine: &Machine, watch: &Watch) -> Result<Finished> {
    let mut command = command(board, machine)?;
    let program = command.get_program().to_string_lossy().into_owned();
    let started = Instant::now();
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .map_err(|error| cannot_start(&program, &error))?;
    let output = reader(&mut child);
    let mut serial = Serial {
        text: String::new(),
        pending: Vec::new(),
    };
    let mut filter = watch.echo.then(|| Filter::new(build_dir(machine)));
    let mut echo = |bytes: &[u8]| {
        if let Some(filter) = &mut filter {
            // A closed standard output must not keep the machine from being watched.
            let _ = filter.push(bytes, &mut std::io::stdout().lock());
        }
    };
    let end = supervise(&mut child, &output, watch, started, &mut serial, &mut echo);
    if let Ok(End::Failed(_)) = end {
        // What follows the first line of a failure often says why.
        while let Ok(bytes) = output.recv_timeout(LAST_WORDS)
            && started.elapsed() < watch.timeout.unwrap_or(Duration::MAX)
        {
            echo(&bytes);
            serial.push(&bytes);
        }
        serial.finish();
    }
    if let Ok(End::Seen) = end {
        std::thread::sleep(watch.linger);
    }
    // Ended already in most cases; an error here means just that.
    let _ = child.kill();
    child.wait().context("wait for QEMU")?;
    Ok(Finished {
        end: end?,
        output: serial.text,
        elapsed: started.elapsed(),
    })
}

fn cannot_start(program: &str, error: &std::io::Error) -> Error {
    Error::new(format!("cannot run '{program}': {error}"))
        .help("as root: apt-get install --yes qemu-system-arm; or see `cargo xtask doctor`")
}

/// Bytes of standard output and error as they come.
fn reader(child: &mut Child) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    let streams: [Option<Box<dyn Read + Send>>; 2] = [
        child
            .stdout
            .take()
            .map(|stream| Box::new(stream) as Box<dyn Read + Send>),
        child
            .stderr
            .take()
            .map(|stream| Box::new(stream) as Box<dyn Read + Send>),
    ];
    for mut stream in streams.into_iter().flatten() {
        let sender = sender.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = stream.read(&mut buffer) {
                if sender.send(buffer[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
    }
    receiver
}

/// Text so far, and the bytes of the line that is not complete.
struct Serial {
    text: String,
    pending: Vec<u8>,
}

impl Serial {
    /// Adds bytes; returns the complete lines among them.
    fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        self.pending
            .extend(bytes.iter().filter(|byte| **byte != b'\r'));
        let Some(end) = self.pending.iter().rposition(|byte| *byte == b'\n') else {
            return Vec::new();
        };
        let complete: Vec<u8> = self.pending.drain(..=end).collect();
        let complete = String::from_utf8_lossy(&complete);
        self.text.push_str(&complete);
        complete.lines().map(str::to_owned).collect()
    }

    /// Adds the last, incomplete line.
    fn finish(&mut self) -> Option<String> {
        let rest = String::from_utf8_lossy(&self.pending).into_owned();
        self.pending.clear();
        self.text.push_str(&rest);
        (!rest.is_empty()).then_some(rest)
    }
}

fn supervise(
    child: &mut Child,
    output: &Receiver<Vec<u8>>,
    watch: &Watch,
    started: Instant,
    serial: &mut Serial,
    echo: &mut dyn FnMut(&[u8]),
) -> Result<End> {
    let mut awaited = watch.all.clone();
    loop {
        let left = watch
            .timeout
            .map(|timeout| timeout.saturating_sub(started.elapsed()));
        if left == Some(Duration::ZERO) {
            serial.finish();
            return Ok(End::TimedOut);
        }
        let wait = left.unwrap_or(TICK).min(TICK);
        let lines = match output.recv_timeout(wait) {
            Ok(bytes) => {
                echo(&bytes);
                serial.push(&bytes)
            }
            Err(RecvTimeoutError::Timeout) => Vec::new(),
            Err(RecvTimeoutError::Disconnected) => {
                // Both streams are closed: QEMU has ended, and nothing more will come.
                let status = child.wait().context("wait for QEMU")?;
                let last = serial
                    .finish()
                    .and_then(|line| judge(&line, watch, &mut awaited));
                return Ok(last.unwrap_or(End::Exited(status)));
            }
        };
        for line in lines {
            if let Some(each_line) = watch.each_line {
                each_line(&line);
            }
            if let Some(end) = judge(&line, watch, &mut awaited) {
                return Ok(end);
            }
        }
    }
}

fn judge(line: &str, watch: &Watch, awaited: &mut Vec<String>) -> Option<End> {
    let has = |texts: &[String]| texts.iter().any(|text| line.contains(text.as_str()));
    if has(&watch.fail) {
        return Some(End::Failed(line.to_owned()));
    }
    awaited.retain(|text| !line.contains(text.as_str()));
    let complete = !watch.all.is_empty() && awaited.is_empty();
    (complete || has(&watch.until)).then_some(End::Seen)
}

#[cfg(test)]
mod tests {
    use super::{End, Serial, Watch, judge};

    #[test]
    fn cuts_bytes_into_lines() {
        let mut serial = Serial {
            text: String::new(),
            pending: Vec::new(),
        };
        assert!(serial.push(b"one\r").is_empty());
        assert_eq!(serial.push(b"\ntwo\r\nthr"), ["one", "two"]);
        assert_eq!(serial.finish().as_deref(), Some("thr"));
        assert_eq!(serial.text, "one\ntwo\nthr");
    }

    #[test]
    fn a_failure_outweighs_a_success() {
        let watch = Watch {
            until: vec!["done".to_owned()],
            fail: vec!["FAIL".to_owned()],
            ..Watch::default()
        };
        let judge = |line| judge(line, &watch, &mut Vec::new());
        assert!(judge("nothing").is_none());
        assert!(matches!(judge("all done"), Some(End::Seen)));
        assert!(matches!(judge("done: FAIL"), Some(End::Failed(_))));
    }

    #[test]
    fn waits_for_all_lines_in_any_order() {
        let all = vec!["one".to_owned(), "two".to_owned()];
        let watch = Watch {
            all: all.clone(),
            ..Watch::default()
        };
        let mut awaited = all;
        assert!(judge("two", &watch, &mut awaited).is_none());
        assert!(judge("two", &watch, &mut awaited).is_none());
        assert!(matches!(
            judge("one", &watch, &mut awaited),
            Some(End::Seen)
        ));
    }
}
