// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Disk images made, checked and read by the host's own tools.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// A file that is removed with the value.
pub struct TempFile(pub PathBuf);

impl TempFile {
    /// A name that nobody has.
    pub fn fresh() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("kintsugi-fs-{}-{number}", std::process::id());
        // The tools call fsync, which is slow on a real disk and of no use here.
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() {
            memory.to_path_buf()
        } else {
            std::env::temp_dir()
        };
        Self(folder.join(name))
    }

    /// A file of these bytes.
    pub fn with(bytes: &[u8]) -> Self {
        let file = Self::fresh();
        fs::write(&file.0, bytes).expect("the temporary folder is writable");
        file
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn tool(name: &str) -> Command {
    let mut command = Command::new(name);
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    command
}

/// Whether e2fsprogs are there; says so loudly if not.
pub fn have_tools() -> bool {
    let found = tool("mke2fs")
        .arg("-V")
        .output()
        .is_ok_and(|output| output.status.success());
    if !found {
        eprintln!("SKIPPED: mke2fs is not installed, so this test checked nothing");
    }
    found
}

fn run(command: &mut Command) -> Output {
    command
        .stdin(Stdio::null())
        .output()
        .expect("the tool runs")
}

/// An empty ext4, made by `mke2fs -t ext4` with more arguments.
pub fn make(megabytes: u64, arguments: &[&str]) -> Vec<u8> {
    let file = TempFile::fresh();
    let path = fs::File::create(&file.0).expect("the temporary folder is writable");
    path.set_len(megabytes << 20).expect("there is room");
    // A fixed UUID and hash seed, so that a failing seed fails again.
    let fixed = [
        "-q",
        "-F",
        "-t",
        "ext4",
        "-U",
        "6b696e74-7375-6769-6b69-6e7473756769",
    ];
    let seed = ["-E", "hash_seed=6b696e74-7375-6769-6b69-6e7473756770"];
    let output = run(tool("mke2fs")
        .args(fixed)
        .args(seed)
        .args(arguments)
        .arg(&file.0));
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    fs::read(&file.0).expect("it was just made")
}

/// Replays and repairs with `e2fsck -fy`, then checks that `e2fsck -fn` finds nothing. Returns the image.
///
/// With `strict`, the first run may do no more than replay the journal.
pub fn check(image: &[u8], strict: bool) -> Result<Vec<u8>, String> {
    let file = TempFile::with(image);
    let first = run(tool("e2fsck")
        .args(["-f", if strict { "-p" } else { "-y" }])
        .arg(&file.0));
    let code = first.status.code().unwrap_or(-1);
    let text = || String::from_utf8_lossy(&first.stdout).into_owned();
    if !(code == 0 || code == 1) {
        return Err(format!("first e2fsck ended with {code}: {}", text()));
    }
    if strict && text().lines().any(is_complaint) {
        return Err(format!("e2fsck -p found more than a journal: {}", text()));
    }
    let second = run(tool("e2fsck").args(["-f", "-n"]).arg(&file.0));
    if second.status.code() != Some(0) {
        let text = String::from_utf8_lossy(&second.stdout).into_owned();
        return Err(format!("second e2fsck: {text}"));
    }
    Ok(fs::read(&file.0).expect("it is still there"))
}

fn is_complaint(line: &str) -> bool {
    let harmless = line.contains("recovering journal")
        || line.contains("non-contiguous")
        || line.contains("Clearing orphaned inode")
        // A torn commit block: its transaction was never acknowledged. (Linux writes the same blocks.)
        || line.contains("was corrupt, replay was aborted")
        // A hint for defragmentation, not an error.
        || line.contains("could be narrower")
        || line.trim().is_empty();
    !harmless
}

/// Reads a file with debugfs.
pub fn read(image: &Path, path: &str) -> Vec<u8> {
    let file = TempFile::fresh();
    let request = format!("dump \"{path}\" {}", file.0.display());
    let output = run(tool("debugfs").args(["-R", &request]).arg(image));
    assert!(output.status.success());
    fs::read(&file.0).unwrap_or_default()
}

/// Writes files into an image with debugfs.
pub fn fill(image: &[u8], folders: &[&str], files: &[(&str, &[u8])]) -> Vec<u8> {
    let target = TempFile::with(image);
    let mut sources = Vec::new();
    let mut script = String::new();
    for folder in folders {
        script.push_str(&format!("mkdir \"{folder}\"\n"));
    }
    for (path, bytes) in files {
        let source = TempFile::with(bytes);
        script.push_str(&format!("write {} \"{path}\"\n", source.0.display()));
        sources.push(source);
    }
    let mut child = tool("debugfs")
        .args(["-w", "-f", "-"])
        .arg(&target.0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("debugfs runs");
    child
        .stdin
        .take()
        .expect("it is piped")
        .write_all(script.as_bytes())
        .expect("it reads");
    assert!(child.wait().expect("it ends").success());
    fs::read(&target.0).expect("it is still there")
}
