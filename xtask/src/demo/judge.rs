// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Decides whether a demo did what it has to: compares what the application says with what the host's
//! own tools read from the disk. No file is touched here.

use std::collections::BTreeMap;

use app_demo_service::content;

use super::log::{FileSeen, Readings, Report};
use crate::build::sha256;
use crate::error::{Error, Result};

/// Services that have to die, and come back, in every demo.
const VICTIMS: [&str; 3] = ["timer", "blk", "fs"];
/// How often each of them at least.
const KILLS_MIN: u64 = 3;
/// The file service's own file. Its clients do not see it.
const RESULTS_FILE: &[u8] = b"/.kintsugi-results";
/// The application's own folder.
const OUTPUT: &[u8] = b"/kintsugi-out/";

/// A file as the host's tools see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileOnDisk {
    /// Bytes.
    pub size: u64,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
}

/// Everything on a disk; a folder has no contents.
pub type Tree = BTreeMap<Vec<u8>, Option<FileOnDisk>>;

fn name(path: &[u8]) -> String {
    app_demo_service::escape::escape(path)
}

/// A path on one line: as it is, unless it has what a terminal should not get.
pub fn printable(path: &[u8]) -> String {
    match std::str::from_utf8(path) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        _ => name(path),
    }
}

/// Whether this very file is on the disk.
fn is_there(seen: &FileSeen, disk: &Tree) -> bool {
    let file = disk.get(&seen.path).and_then(Option::as_ref);
    file.is_some_and(|file| file.size == seen.size && file.sha256 == seen.sha256)
}

/// The reading of a line that agrees with the disk, or else what stands there.
fn settle<'a>(readings: &'a Readings<FileSeen>, disk: &Tree) -> &'a FileSeen {
    let found = readings.iter().find(|seen| is_there(seen, disk));
    found.unwrap_or(&readings[0])
}

/// Every victim was killed and restarted often enough.
///
/// # Errors
///
/// Names the first one that was not.
pub fn kills(report: &Report) -> Result<()> {
    for victim in VICTIMS {
        let service = report.services.get(victim).cloned().unwrap_or_default();
        let (kills, restarts) = (service.kill_count(), service.restarts);
        if kills < KILLS_MIN || restarts < KILLS_MIN {
            let message = format!(
                "'{victim}' was killed {kills} times under the application, and restarted {restarts} times"
            );
            return Err(Error::new(message).help(format!("a demo needs {KILLS_MIN} of each")));
        }
    }
    Ok(())
}

/// The application has read every file that was on the disk `before`, and each as the host reads it.
/// Returns the files that count.
///
/// # Errors
///
/// Names the first difference.
pub fn files_read(report: &Report, before: &Tree) -> Result<Vec<FileSeen>> {
    let seen: BTreeMap<_, _> = report
        .read
        .iter()
        .map(|readings| settle(readings, before))
        .map(|file| (&file.path, file))
        .collect();
    for (path, file) in before {
        let Some(file) = file else { continue };
        // The client library takes paths as text.
        if path == RESULTS_FILE || std::str::from_utf8(path).is_err() {
            continue;
        }
        let Some(read) = seen.get(path) else {
            let message = format!("the application has not read '{}'", name(path));
            return Err(Error::new(message));
        };
        if (read.size, &read.sha256) != (file.size, &file.sha256) {
            return Err(Error::new(format!(
                "'{}' was read as {} ({} bytes), the host reads {} ({} bytes)",
                name(path),
                read.sha256,
                read.size,
                file.sha256,
                file.size
            )));
        }
    }
    if let Some(path) = seen
        .keys()
        .find(|path| !matches!(before.get(**path), Some(Some(_))))
    {
        let message = format!(
            "the application has read '{}', which the host does not find",
            name(path)
        );
        return Err(Error::new(message));
    }
    Ok(seen.into_values().cloned().collect())
}

/// What the application says to have written is on the disk `after`, with the contents that follow
/// from the seed, and what it says to have removed is not.
///
/// # Errors
///
/// Names the first difference.
pub fn files_written(report: &Report, after: &Tree) -> Result<usize> {
    for readings in &report.written {
        if readings
            .iter()
            .any(|wrote| is_there(wrote, after) && expected(wrote).as_ref() == Some(&wrote.sha256))
        {
            continue;
        }
        let wrote = settle(readings, after);
        let path = name(&wrote.path);
        let Some(Some(file)) = after.get(&wrote.path) else {
            return Err(Error::new(format!("the host does not find '{path}'")));
        };
        if (wrote.size, &wrote.sha256) != (file.size, &file.sha256) {
            return Err(Error::new(format!(
                "'{path}' was written as {}, the host reads {}",
                wrote.sha256, file.sha256
            )));
        }
        let message = format!("'{path}' does not have the contents that it should have");
        return Err(Error::new(message));
    }
    for path in &report.removed {
        if after.contains_key(path) {
            let message = format!("'{}' was removed, but the host still finds it", name(path));
            return Err(Error::new(message));
        }
    }
    if report.written.is_empty() || report.removed.is_empty() {
        return Err(Error::new("the application has written or removed nothing"));
    }
    Ok(report.written.len())
}

/// The hash of what has to be in the file.
fn expected(file: &FileSeen) -> Option<String> {
    let mut bytes = vec![0; usize::try_from(file.size).ok()?];
    content::fill(file.seed?, 0, &mut bytes);
    Some(sha256(&bytes))
}

/// What was on the disk `before` is there `after`, unchanged.
///
/// # Errors
///
/// Names the first difference.
pub fn files_kept(before: &Tree, after: &Tree) -> Result<()> {
    let ours = |path: &[u8]| path == RESULTS_FILE || path.starts_with(OUTPUT);
    for (path, file) in before {
        if !ours(path) && after.get(path) != Some(file) {
            let message = format!("'{}' is not any more what it was", name(path));
            return Err(Error::new(message));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{FileOnDisk, Tree, content, files_kept, files_read, files_written, kills};
    use crate::build::sha256;
    use crate::demo::log::{FileSeen, Report, Service};

    fn seen(path: &str, bytes: &[u8], seed: Option<u64>) -> FileSeen {
        let (path, size) = (path.as_bytes().to_vec(), bytes.len() as u64);
        FileSeen {
            path,
            sha256: sha256(bytes),
            size,
            seed,
        }
    }

    fn tree(files: &[(&str, &[u8])]) -> Tree {
        let on_disk = |bytes: &[u8]| FileOnDisk {
            size: bytes.len() as u64,
            sha256: sha256(bytes),
        };
        let entry =
            |(path, bytes): &(&str, &[u8])| (path.as_bytes().to_vec(), Some(on_disk(bytes)));
        files.iter().map(entry).collect()
    }

    fn stream(seed: u64, size: usize) -> Vec<u8> {
        let mut bytes = vec![0; size];
        content::fill(seed, 0, &mut bytes);
        bytes
    }

    fn message<T: std::fmt::Debug>(result: crate::error::Result<T>) -> String {
        result.expect_err("it is wrong").to_string()
    }

    #[test]
    fn three_kills_each() {
        let mut report = Report::default();
        for victim in ["timer", "blk", "fs"] {
            let count = [("p".to_owned(), 3)].into();
            let service = Service {
                kills: count,
                restarts: 3,
                ..Service::default()
            };
            report.services.insert(victim.to_owned(), service);
        }
        kills(&report).unwrap();
        report
            .services
            .get_mut("fs")
            .unwrap()
            .kills
            .insert("p".to_owned(), 2);
        assert!(message(kills(&report)).starts_with("error: 'fs' was killed 2 times"));
        report.services.remove("timer");
        assert!(message(kills(&report)).starts_with("error: 'timer' was killed 0 times"));
    }

    #[test]
    fn what_was_read_is_what_the_host_reads() {
        let before = tree(&[("/a", b"one"), ("/b", b"two"), ("/.kintsugi-results", b"x")]);
        let a = vec![seen("/aa", b"one", None), seen("/a", b"one", None)];
        let b = vec![seen("/b", b"two", None)];
        let report = |read: &[&Vec<FileSeen>]| Report {
            read: read.iter().map(|file| (*file).clone()).collect(),
            ..Report::default()
        };
        assert_eq!(files_read(&report(&[&a, &b]), &before).unwrap().len(), 2);
        assert!(message(files_read(&report(&[&a]), &before)).contains("has not read '/b'"));
        let wrong = vec![seen("/b", b"owt", None)];
        assert!(message(files_read(&report(&[&a, &wrong]), &before)).contains("'/b' was read as"));
        let ghost = vec![seen("/ghost", b"", None)];
        let with_ghost = report(&[&a, &b, &ghost]);
        assert!(message(files_read(&with_ghost, &before)).contains("has read '/ghost'"));
    }

    #[test]
    fn what_was_written_is_there_and_right() {
        let bytes = stream(5, 100);
        let report = |file: FileSeen| Report {
            written: vec![vec![file]],
            removed: vec![b"/kintsugi-out/gone".to_vec()],
            ..Report::default()
        };
        let path = "/kintsugi-out/x";
        let after = tree(&[(path, &bytes)]);
        let good = report(seen(path, &bytes, Some(5)));
        assert_eq!(files_written(&good, &after).unwrap(), 1);
        let found = tree(&[(path, &bytes), ("/kintsugi-out/gone", b"")]);
        assert!(message(files_written(&good, &found)).contains("was removed, but"));
        assert!(message(files_written(&good, &tree(&[]))).contains("does not find"));
        let stale = tree(&[(path, &stream(4, 100))]);
        assert!(message(files_written(&good, &stale)).contains("was written as"));
        let both_wrong = report(seen(path, &stream(4, 100), Some(5)));
        assert!(message(files_written(&both_wrong, &stale)).contains("contents that it should"));
        assert!(message(files_written(&Report::default(), &after)).contains("nothing"));
    }

    #[test]
    fn other_files_stay_as_they_are() {
        let before = tree(&[("/a", b"one"), ("/kintsugi-out/old", b"two")]);
        files_kept(&before, &tree(&[("/a", b"one")])).unwrap();
        assert!(message(files_kept(&before, &tree(&[("/a", b"two")]))).contains("'/a' is not any"));
        assert!(message(files_kept(&before, &tree(&[]))).contains("'/a' is not any"));
    }
}
