// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! One round of writing: every operation that changes something, then everything is read back.
//!
//! Each file's contents are the first bytes of the stream of its seed (`content`), and each round has
//! other seeds, so that a file of another round, or a piece written twice or not at all, shows.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use embedded_io::Write;
use fs_client::{File, FileType, OpenOptions};
use log::info;
use sha2::{Digest, Sha256};
use timer_client::Service;

use crate::escape::escape;
use crate::walk::{hex, join, list, read_file};
use crate::work::{Failure, Work};
use crate::{alive, content};

/// The folder that belongs to the application.
pub const OUTPUT: &str = "/kintsugi-out";

/// How much a round writes.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Sizes of the plain files.
    pub sizes: &'static [u64],
    /// Lines of the log file.
    pub lines: u64,
}

impl Shape {
    /// Of the demo: around the block size, and over several requests.
    pub const DEMO: Self = Self {
        sizes: &[0, 1, 4095, 4096, 100 << 10, 1 << 20],
        lines: 150,
    };
    /// Of a campaign: the same operations in little time.
    pub const SMALL: Self = Self {
        sizes: &[0, 1, 4096, 20_000],
        lines: 12,
    };
}

/// Bytes per write of the plain files: no multiple of anything.
const PIECE_BYTES: usize = 50_001;
/// Size before and after the cut.
const CUT_FROM: u64 = 20_000;
const CUT_TO: u64 = 5_001;
/// Size of a file that is written over in place, and of a piece of that.
const OVER_BYTES: u64 = 24_576;
const OVER_PIECE_BYTES: u64 = 3_000;
/// Size of a file that grows by whole blocks, and of a piece of that: the file service acknowledges such a
/// piece and carries it out later (docs/decisions/0079).
const GROWN_BYTES: u64 = 65_536;
const GROWN_PIECE_BYTES: usize = 16_384;
/// Size of the files that are given other names.
const NAMED_BYTES: u64 = 9_000;

/// A file that has to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Where.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// Seed of its contents.
    pub seed: u64,
}

/// What a round leaves behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// The round's folder.
    pub folder: String,
    /// All folders below it, itself included.
    pub folders: Vec<String>,
    /// Files that are there.
    pub written: Vec<Written>,
    /// Names that are there no more.
    pub removed: Vec<String>,
}

impl Left {
    fn add(&mut self, path: &str, size: u64, seed: u64) {
        self.written.push(Written {
            path: path.to_string(),
            size,
            seed,
        });
    }
}

/// Writes a round.
///
/// # Errors
///
/// When anything fails, or is not as it has to be.
pub fn write<S: Service>(work: &mut Work<S>, round: u32, shape: &Shape) -> Result<Left, Failure> {
    let folder = format!("{OUTPUT}/round-{round:02}");
    let long = "a-name-that-is-quite-long-".repeat(8);
    let nested = format!("{folder}/one/two/{long}");
    let folders = vec![
        folder.clone(),
        format!("{folder}/one"),
        format!("{folder}/one/two"),
        nested.clone(),
    ];
    for path in &folders {
        work.run("mkdir", path, |files| files.create_dir(path))?;
    }
    let mut left = Left {
        folder: folder.clone(),
        folders,
        ..Left::default()
    };
    plain_files(work, &mut left, &nested, shape.sizes)?;
    append(work, &mut left, &join(&folder, "log"), shape.lines)?;
    grow(work, &mut left, &join(&folder, "grown"))?;
    rename(work, &mut left, &folder)?;
    cut(work, &mut left, &join(&folder, "cut"))?;
    write_over(work, &mut left, &join(&folder, "over"))?;
    unlink(work, &mut left, &join(&folder, "gone"))?;
    work.run("fsync", &folder, |files| files.sync())?;
    Ok(left)
}

/// Makes a file and writes the first `size` bytes of the stream into it.
fn make<S: Service>(work: &mut Work<S>, path: &str, size: u64) -> Result<(File, u64), Failure> {
    make_in_pieces(work, path, size, PIECE_BYTES)
}

fn make_in_pieces<S: Service>(
    work: &mut Work<S>,
    path: &str,
    size: u64,
    piece_bytes: usize,
) -> Result<(File, u64), Failure> {
    let seed = content::seed(path);
    let options = OpenOptions::new().write(true).create_new(true);
    let mut file = work.run("create", path, |files| options.open(files, path))?;
    let mut buffer = vec![0; piece_bytes];
    let mut offset = 0;
    while offset < size {
        let piece = &mut buffer[..piece_bytes.min((size - offset) as usize)];
        content::fill(seed, offset, piece);
        work.run("write", path, |_| file.write_all(piece))?;
        offset += piece.len() as u64;
    }
    work.tally.bytes_written += size;
    Ok((file, seed))
}

fn plain_files<S: Service>(
    work: &mut Work<S>,
    left: &mut Left,
    folder: &str,
    sizes: &[u64],
) -> Result<(), Failure> {
    for &size in sizes {
        let path = format!("{folder}/size-{size}");
        let (file, seed) = make(work, &path, size)?;
        work.run("fsync", &path, |_| file.sync_all())?;
        left.add(&path, size, seed);
    }
    Ok(())
}

/// Writes a log, a line at a time; a line that is appended twice or not at all moves all others.
fn append<S: Service>(
    work: &mut Work<S>,
    left: &mut Left,
    path: &str,
    lines: u64,
) -> Result<(), Failure> {
    let (_, seed) = make(work, path, 0)?;
    let options = OpenOptions::new().append(true);
    let mut file = work.run("open", path, |files| options.open(files, path))?;
    let mut size = 0;
    let mut line = [0; 128];
    for number in 0..lines {
        let line = &mut line[..40 + (number * 37 % 80) as usize];
        content::fill(seed, size, line);
        work.run("append", path, |_| file.write_all(line))?;
        size += line.len() as u64;
        if number % 50 == 49 {
            work.run("fsync", path, |_| file.sync_all())?;
        }
    }
    work.tally.bytes_written += size;
    left.add(path, size, seed);
    Ok(())
}

fn grow<S: Service>(work: &mut Work<S>, left: &mut Left, path: &str) -> Result<(), Failure> {
    let (_, seed) = make_in_pieces(work, path, GROWN_BYTES, GROWN_PIECE_BYTES)?;
    left.add(path, GROWN_BYTES, seed);
    Ok(())
}

/// To a new name, and over a file that is there.
fn rename<S: Service>(work: &mut Work<S>, left: &mut Left, folder: &str) -> Result<(), Failure> {
    let [first, second] = ["first", "second"].map(|name| join(folder, name));
    let [moved, kept] = ["one/moved", "kept"].map(|name| join(folder, name));
    let (_, first_seed) = make(work, &first, NAMED_BYTES)?;
    let (_, second_seed) = make(work, &second, NAMED_BYTES + 1)?;
    make(work, &kept, NAMED_BYTES + 2)?;
    work.run("rename", &first, |files| files.rename(&first, &moved))?;
    work.run("rename", &second, |files| files.rename(&second, &kept))?;
    left.add(&moved, NAMED_BYTES, first_seed);
    left.add(&kept, NAMED_BYTES + 1, second_seed);
    left.removed.extend([first, second]);
    Ok(())
}

fn cut<S: Service>(work: &mut Work<S>, left: &mut Left, path: &str) -> Result<(), Failure> {
    let (file, seed) = make(work, path, CUT_FROM)?;
    work.run("truncate", path, |_| file.set_len(CUT_TO))?;
    left.add(path, CUT_TO, seed);
    Ok(())
}

/// Writes pieces in place over other contents, the last one first.
fn write_over<S: Service>(work: &mut Work<S>, left: &mut Left, path: &str) -> Result<(), Failure> {
    let (file, _) = make(work, path, OVER_BYTES)?;
    let seed = content::seed(&format!("{path} (again)"));
    let mut buffer = [0; OVER_PIECE_BYTES as usize];
    let pieces = OVER_BYTES.div_ceil(OVER_PIECE_BYTES);
    for offset in (0..pieces).rev().map(|piece| piece * OVER_PIECE_BYTES) {
        let piece = &mut buffer[..OVER_PIECE_BYTES.min(OVER_BYTES - offset) as usize];
        content::fill(seed, offset, piece);
        work.run("write", path, |_| file.write_all_at(offset, piece))?;
    }
    work.tally.bytes_written += OVER_BYTES;
    left.add(path, OVER_BYTES, seed);
    Ok(())
}

fn unlink<S: Service>(work: &mut Work<S>, left: &mut Left, path: &str) -> Result<(), Failure> {
    make(work, path, NAMED_BYTES)?;
    work.run("unlink", path, |files| files.remove_file(path))?;
    left.removed.push(path.to_string());
    Ok(())
}

/// Compares everything with what has to be there.
///
/// # Errors
///
/// When anything is not as it has to be.
pub fn check<S: Service>(work: &mut Work<S>, left: &Left) -> Result<(), Failure> {
    for folder in &left.folders {
        check_names(work, left, folder)?;
    }
    for file in &left.written {
        let path = &file.path;
        let metadata = work.run("stat", path, |files| files.metadata(path))?;
        if !metadata.is_file() || metadata.len() != file.size {
            let what = format!("{} bytes where {} were written", metadata.len(), file.size);
            return Err(work.missing("stat", path, what));
        }
        read_back(work, file)?;
    }
    for path in &left.removed {
        if work.run("stat", path, |files| files.exists(path))? {
            return Err(work.failure("stat", path, "it is there, but was removed"));
        }
    }
    Ok(())
}

/// The folder holds what was put there, and nothing else.
fn check_names<S: Service>(work: &mut Work<S>, left: &Left, folder: &str) -> Result<(), Failure> {
    let below = |path: &String| {
        let name = path.strip_prefix(folder)?.strip_prefix('/')?;
        (!name.contains('/')).then(|| name.to_string())
    };
    let files = left.written.iter().filter_map(|file| below(&file.path));
    let folders = left.folders.iter().filter_map(below);
    let mut expected: Vec<(String, FileType)> = files
        .map(|name| (name, FileType::File))
        .chain(folders.map(|name| (name, FileType::Directory)))
        .collect();
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    let entries = list(work, folder)?;
    let found: Vec<_> = entries
        .iter()
        .map(|entry| (entry.file_name(), entry.file_type()))
        .collect();
    if found == expected {
        return Ok(());
    }
    let what = format!(
        "{} entries, not the {} made there",
        found.len(),
        expected.len()
    );
    Err(work.missing("readdir", folder, what))
}

/// Compares a file with its stream; returns its SHA-256.
fn read_back<S: Service>(work: &mut Work<S>, file: &Written) -> Result<String, Failure> {
    let mut hash = Sha256::new();
    let size = read_file(work, &file.path, |work, offset, piece| {
        alive::update(&mut hash, piece);
        match content::first_difference(file.seed, offset, piece) {
            None => Ok(()),
            Some(at) => {
                let what = format!("byte {} is not what was written", offset + at as u64);
                Err(work.failure("read", &file.path, what))
            }
        }
    })?;
    if size != file.size {
        let what = format!("{size} bytes where {} were written", file.size);
        return Err(work.missing("read", &file.path, what));
    }
    Ok(hex(&hash.finalize()))
}

/// Says what the host has to find on the disk, and what not.
///
/// # Errors
///
/// When a file cannot be read.
pub fn announce<S: Service>(work: &mut Work<S>, left: &Left) -> Result<(), Failure> {
    for file in &left.written {
        let hash = read_back(work, file)?;
        let (size, seed, path) = (file.size, file.seed, escape(file.path.as_bytes()));
        info!("wrote sha256={hash} size={size} seed={seed:016x} path={path}");
    }
    for path in &left.removed {
        info!("removed path={}", escape(path.as_bytes()));
    }
    Ok(())
}

/// Removes a folder and everything in it.
///
/// # Errors
///
/// As the file service.
pub fn remove_tree<S: Service>(work: &mut Work<S>, root: &str) -> Result<(), Failure> {
    let mut folders = vec![String::from(root)];
    // Each folder comes before those in it, so that they are removed from the end.
    let mut next = 0;
    while next < folders.len() {
        let folder = folders[next].clone();
        next += 1;
        for entry in list(work, &folder)? {
            let path = join(&folder, &entry.file_name());
            if entry.file_type() == FileType::Directory {
                folders.push(path);
            } else {
                work.run("unlink", &path, |files| files.remove_file(&path))?;
            }
        }
    }
    for folder in folders.iter().rev() {
        work.run("rmdir", folder, |files| files.remove_dir(folder))?;
    }
    Ok(())
}
