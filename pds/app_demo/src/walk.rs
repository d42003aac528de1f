// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Goes through all folders of the disk, and says the SHA-256 of every regular file.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use fs_client::{DirEntry, File, FileType};
use log::{info, warn};
use sha2::{Digest, Sha256};
use timer_client::Service;

use crate::alive;
use crate::escape::escape;
use crate::work::{Failure, Work};

/// Bytes that are read at once.
pub const CHUNK_BYTES: usize = 64 * 1024;

/// What was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Regular files.
    pub files: u64,
    /// Folders.
    pub folders: u64,
    /// Other things, which are not read.
    pub others: u64,
    /// Bytes in the files.
    pub bytes: u64,
}

/// The name of `name` in `folder`.
pub fn join(folder: &str, name: &str) -> String {
    format!("{}/{name}", folder.trim_end_matches('/'))
}

/// A hash as people write it.
pub fn hex(hash: &[u8]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Entries of a folder, ordered by name.
///
/// # Errors
///
/// As the file service.
pub fn list<S: Service>(work: &mut Work<S>, path: &str) -> Result<Vec<DirEntry>, Failure> {
    let mut entries = work.run("readdir", path, |files| {
        files.read_dir(path)?.collect::<Result<Vec<_>, _>>()
    })?;
    entries.sort_by(|a, b| a.file_name_bytes().cmp(b.file_name_bytes()));
    Ok(entries)
}

/// Goes through everything below `root` and logs a line for each file. An error with one file is
/// logged and counted, and the walk goes on.
///
/// # Errors
///
/// When the timers fail.
pub fn walk<S: Service>(work: &mut Work<S>, root: &str) -> Result<Found, Failure> {
    let mut found = Found::default();
    let mut folders = vec![String::from(root)];
    while let Some(folder) = folders.pop() {
        found.folders += 1;
        let entries = match list(work, &folder) {
            Ok(entries) => entries,
            Err(failure) => {
                warn!("{failure}");
                continue;
            }
        };
        for entry in entries {
            let Ok(name) = core::str::from_utf8(entry.file_name_bytes()) else {
                // The client library takes paths as text.
                warn!(
                    "skipped in {}: a name that is no UTF-8",
                    escape(folder.as_bytes())
                );
                found.others += 1;
                continue;
            };
            let path = join(&folder, name);
            match entry.file_type() {
                FileType::Directory => folders.push(path),
                FileType::File => match hash_file(work, &path) {
                    Ok((hash, size)) => {
                        found.files += 1;
                        found.bytes += size;
                        let path = escape(path.as_bytes());
                        info!("file sha256={hash} size={size} path={path}");
                    }
                    Err(failure) => warn!("{failure}"),
                },
                FileType::Symlink | FileType::Other => found.others += 1,
            }
        }
    }
    Ok(found)
}

/// Reads a file from its beginning to its end, a piece at a time; returns how much there was.
///
/// # Errors
///
/// As the file service, or `use_piece`.
pub fn read_file<S: Service>(
    work: &mut Work<S>,
    path: &str,
    mut use_piece: impl FnMut(&mut Work<S>, u64, &[u8]) -> Result<(), Failure>,
) -> Result<u64, Failure> {
    let file = work.run("open", path, |files| File::open(files, path))?;
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut offset = 0;
    loop {
        let count = work.run("read", path, |_| file.read_at(offset, &mut buffer))?;
        if count == 0 {
            return Ok(offset);
        }
        work.tally.bytes_read += count as u64;
        use_piece(work, offset, &buffer[..count])?;
        offset += count as u64;
    }
}

fn hash_file<S: Service>(work: &mut Work<S>, path: &str) -> Result<(String, u64), Failure> {
    let mut hash = Sha256::new();
    let size = read_file(work, path, |_, _, piece| {
        alive::update(&mut hash, piece);
        Ok(())
    })?;
    Ok((hex(&hash.finalize()), size))
}
