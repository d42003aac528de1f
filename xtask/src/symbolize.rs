// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! `cargo xtask symbolize`: says which functions and lines the addresses in a log are.
//!
//! A log line with `FAULT pd=NAME .. pc=0x..` or `BACKTRACE pd=NAME lr=0x.. frames=0x..,0x..` (crate
//! `black-box`) is followed by lines that name function, file and line, from `NAME.debug.elf` in the
//! build folder. Everything else passes as it is. `run`, `demo` and `test` use the same [`Filter`].
//!
//! The link register is not in the chain of frame records. It is a caller only while a function has
//! not made its own record yet, has none (assembly), or is no function at all (a wild jump); so it
//! is shown just then. That is read off the function's own instructions.

mod program;

use std::collections::HashMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use crate::cli::SymbolizeArgs;
use crate::error::{Context, Result};
use program::Program;

/// Runs the command.
///
/// # Errors
///
/// When the log cannot be read, or the result not written.
pub fn run(args: &SymbolizeArgs) -> Result<()> {
    let mut input: Box<dyn Read> = match &args.log {
        Some(path) => {
            Box::new(std::fs::File::open(path).context(format!("read '{}'", path.display()))?)
        }
        None => Box::new(std::io::stdin()),
    };
    let mut filter = Filter::new(&args.build_dir);
    let mut out = std::io::stdout().lock();
    let mut buffer = [0; 4096];
    loop {
        let length = input.read(&mut buffer).context("read the log")?;
        if length == 0 {
            return filter.finish(&mut out).context("write");
        }
        filter
            .push(&buffer[..length], &mut out)
            .context("write the log")?;
    }
}

/// Copies a log and adds what the addresses in it are.
pub struct Filter {
    programs: Programs,
    line: Vec<u8>,
    /// What the last `FAULT` line said, so that the `BACKTRACE` after it does not say it again.
    explained: Option<(String, u64)>,
}

/// Programs by PD, read when they are first needed.
struct Programs {
    folder: PathBuf,
    known: HashMap<String, Option<Program>>,
}

impl Programs {
    fn of(&mut self, pd: &str) -> Option<&Program> {
        let Self { folder, known } = self;
        let load = || Program::load(&folder.join(format!("{pd}.debug.elf"))).ok();
        known.entry(pd.to_owned()).or_insert_with(load).as_ref()
    }
}

/// What a log line says of a death.
#[derive(Debug, PartialEq, Eq)]
enum Report<'a> {
    Fault {
        pd: &'a str,
        pc: u64,
    },
    Backtrace {
        pd: &'a str,
        lr: u64,
        frames: Vec<u64>,
    },
}

impl<'a> Report<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let after = |word: &str| line.find(word).map(|at| &line[at + word.len()..]);
        if let Some(fields) = after("BACKTRACE ") {
            let frames = field(fields, "frames")?.split(',');
            return Some(Self::Backtrace {
                pd: name(fields)?,
                lr: number(field(fields, "lr")?)?,
                frames: frames.filter_map(number).collect(),
            });
        }
        let fields = after("FAULT ")?;
        Some(Self::Fault {
            pd: name(fields)?,
            pc: number(field(fields, "pc")?)?,
        })
    }
}

fn field<'a>(fields: &'a str, key: &str) -> Option<&'a str> {
    fields
        .split_whitespace()
        .find_map(|field| field.strip_prefix(key)?.strip_prefix('='))
}

/// A PD's name becomes part of a path, so it must not be more than a name.
fn name(fields: &str) -> Option<&str> {
    field(fields, "pd").filter(|name| !name.contains(['/', '\\', '.']))
}

fn number(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

impl Filter {
    /// Programs are looked for in `build_dir`.
    pub fn new(build_dir: &Path) -> Self {
        Self {
            programs: Programs {
                folder: build_dir.to_path_buf(),
                known: HashMap::new(),
            },
            line: Vec::new(),
            explained: None,
        }
    }

    /// Copies `bytes` to `out` at once; behind each line of a report come its explanations.
    ///
    /// # Errors
    ///
    /// When `out` cannot be written.
    pub fn push(&mut self, bytes: &[u8], out: &mut impl Write) -> std::io::Result<()> {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            out.write_all(part)?;
            self.line.extend_from_slice(part);
            if part.ends_with(b"\n") {
                self.explain(out)?;
            }
        }
        out.flush()
    }

    /// Explains the last line, when it has no end.
    ///
    /// # Errors
    ///
    /// When `out` cannot be written.
    pub fn finish(&mut self, out: &mut impl Write) -> std::io::Result<()> {
        if Report::parse(&String::from_utf8_lossy(&self.line)).is_some() {
            out.write_all(b"\n")?;
            self.line.push(b'\n');
            self.explain(out)?;
        }
        out.flush()
    }

    fn explain(&mut self, out: &mut impl Write) -> std::io::Result<()> {
        let line = std::mem::take(&mut self.line);
        // A terminal in raw mode needs the carriage return that the line itself had.
        let end = if line.ends_with(b"\r\n") {
            "\r\n"
        } else {
            "\n"
        };
        for text in self.explanations(&String::from_utf8_lossy(&line)) {
            write!(out, "    {text}{end}")?;
        }
        Ok(())
    }

    /// Function and line of a death: the innermost one that is in the PD's program and not in the
    /// compiler's library. `lr` stands in for a program counter that is nowhere.
    pub fn place(&mut self, pd: &str, pc: u64, lr: u64) -> Option<String> {
        let program = self.programs.of(pd)?;
        let (address, depth) = if program.contains(pc) {
            (pc, 0)
        } else {
            (lr, 1)
        };
        if !program.contains(address) {
            return None;
        }
        let lines = program.places(address, depth);
        let ours = lines.iter().find(|line| !line.contains(" at library/"));
        let (_, place) = ours.or(lines.first())?.split_once(' ')?;
        let place = place.strip_prefix("inlined in ").unwrap_or(place);
        let place = place
            .strip_prefix(&format!("{address:#x} "))
            .unwrap_or(place);
        Some(match depth {
            0 => place.to_owned(),
            _ => format!("{pc:#x}, called by {place}"),
        })
    }

    /// What the addresses in `line` are, one line each.
    pub fn explanations(&mut self, line: &str) -> Vec<String> {
        match Report::parse(line) {
            None => Vec::new(),
            Some(Report::Fault { pd, pc }) => {
                self.explained = Some((pd.to_owned(), pc));
                match self.programs.of(pd) {
                    None => vec![format!("(there is no {pd}.debug.elf in the build folder)")],
                    Some(program) => program.places(pc, 0),
                }
            }
            Some(Report::Backtrace { pd, lr, frames }) => {
                let explained = self.explained.take();
                let Some(program) = self.programs.of(pd) else {
                    return Vec::new();
                };
                let mut all = chain(program, lr, &frames).into_iter().enumerate();
                if explained.is_some_and(|(name, pc)| name == pd && frames.first() == Some(&pc)) {
                    all.next();
                }
                let (mut lines, mut last, mut repeated) = (Vec::new(), None, 0);
                for (depth, address) in all {
                    if last == Some(address) {
                        repeated += 1;
                        continue;
                    }
                    lines.extend(again(repeated));
                    lines.extend(program.places(address, depth));
                    (last, repeated) = (Some(address), 0);
                }
                lines.extend(again(repeated));
                lines
            }
        }
    }
}

/// A recursion is not worth a line for each step.
fn again(times: usize) -> Option<String> {
    (times > 0).then(|| format!("   and {times} times again"))
}

/// The frames with the link register where it belongs.
fn chain(program: &Program, lr: u64, frames: &[u64]) -> Vec<u64> {
    let mut all = frames.to_vec();
    let lr_is_caller = frames.first().is_some_and(|pc| !program.has_frame(*pc));
    if lr_is_caller && lr != 0 && frames.get(1) != Some(&lr) {
        all.insert(1, lr);
    }
    all
}

#[cfg(test)]
mod tests;
