// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Disk images for tests, made and examined by the host's own ext4 tools (e2fsprogs).
//!
//! Nothing here knows the file system: what our service wrote is judged by tools that it has not
//! seen.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::error::{Context, Error, Result};
use crate::{samples, workspace};

/// Where the tools are on Debian, although a user's PATH may not say so.
const EXTRA_PATH: &str = "/usr/sbin:/sbin";

/// Makes an image of `megabytes` with an ext4 file system that contains the files of `folder`.
///
/// # Errors
///
/// When mkfs.ext4 is missing or fails.
pub fn make_ext4(image: &Path, megabytes: u64, folder: Option<&Path>) -> Result<()> {
    make_blank(image, megabytes)?;
    let mut command = tool("mkfs.ext4");
    command.args(["-q", "-F"]);
    if megabytes >= BIG_BLOCKS_MEGABYTES {
        command.args(["-b", "4096"]);
    }
    if let Some(folder) = folder {
        command.arg("-d").arg(folder);
    }
    run(command.arg(image)).map(|_| ())
}

/// From this size on, a disk of ours has blocks of 4 KiB, as mke2fs makes them on a disk of any real size.
const BIG_BLOCKS_MEGABYTES: u64 = 32;

/// Makes an image larger; what is in it stays as it is.
///
/// # Errors
///
/// When the file cannot be written.
pub fn grow(image: &Path, megabytes: u64) -> Result<()> {
    let what = format!("make disk image '{}' larger", image.display());
    let file = std::fs::File::options().write(true).open(image);
    file.and_then(|file| file.set_len(megabytes << 20))
        .context(what)
}

/// Makes an image of zeros: a disk without a file system.
///
/// # Errors
///
/// When the file cannot be written.
pub fn make_blank(image: &Path, megabytes: u64) -> Result<()> {
    let what = format!("make disk image '{}'", image.display());
    // A new file: what an earlier run left must not shine through.
    let file = std::fs::File::create(image).context(&what)?;
    file.set_len(megabytes << 20).context(&what)
}

/// The disk in `image` with a sector that cannot be read or written: what QEMU has to be told.
///
/// # Errors
///
/// When the rules cannot be written beside the image.
pub fn failing(image: &Path, sector: u64) -> Result<PathBuf> {
    let rules = image.with_extension("blkdebug");
    let rule = |event| {
        format!("[inject-error]\nevent = \"{event}\"\nsector = \"{sector}\"\nerrno = \"5\"\n")
    };
    let text = rule("read_aio") + &rule("write_aio");
    workspace::write(&rules, text.as_bytes())?;
    let (rules, image) = (rules.display(), image.display());
    Ok(PathBuf::from(format!("blkdebug:{rules}:{image}")))
}

/// The same; every write fails once the disk was flushed so many times.
///
/// # Errors
///
/// When the rules cannot be written beside the image.
pub fn failing_after(image: &Path, flushes: u32) -> Result<PathBuf> {
    let rules = image.with_extension("blkdebug");
    let count = |state| {
        let next = state + 1;
        format!(
            "[set-state]\nevent = \"flush_to_os\"\nstate = \"{state}\"\nnew_state = \"{next}\"\n"
        )
    };
    let last = flushes + 1;
    let fail =
        format!("[inject-error]\nevent = \"write_aio\"\nstate = \"{last}\"\nerrno = \"5\"\n");
    let text = (1..last).map(count).collect::<String>() + &fail;
    workspace::write(&rules, text.as_bytes())?;
    let (rules, image) = (rules.display(), image.display());
    Ok(PathBuf::from(format!("blkdebug:{rules}:{image}")))
}

/// Lets the superblock say that errors were found, as Linux does when it finds some.
///
/// # Errors
///
/// With debugfs' own words.
pub fn say_errors(image: &Path) -> Result<()> {
    let request = ["-w", "-R", "set_super_value state 2"];
    run(tool("debugfs").args(request).arg(image)).map(|_| ())
}

/// Lets fsck look at an image. The image is not changed: fsck gets a copy, replays its journal, as any
/// mount would after the power went, and then has to find nothing.
///
/// # Errors
///
/// With fsck's own words when it finds anything.
pub fn check_ext4(image: &Path) -> Result<()> {
    let copy = image.with_extension("fsck");
    copy_replayed(image, &copy)?;
    let result = run(tool("e2fsck").args(["-f", "-n"]).arg(&copy)).map(|_| ());
    std::fs::remove_file(&copy).context(format!("remove '{}'", copy.display()))?;
    result
}

/// Copies an image and replays the journal in the copy: what counts is there as much as in its place.
fn copy_replayed(image: &Path, copy: &Path) -> Result<()> {
    std::fs::copy(image, copy).context(format!("copy '{}'", image.display()))?;
    // Status 1 says that the journal was replayed, which is no fault. What is no file system is found
    // out by whoever asked.
    let replay = tool("e2fsck")
        .args(["-y", "-E", "journal_only"])
        .arg(copy)
        .output();
    replay.context("run 'e2fsck'").map(|_| ())
}

/// Replays the journal of an image, as any mount would, and does nothing else to it.
///
/// # Errors
///
/// When there is no ext4 file system.
pub fn replay(image: &Path) -> Result<()> {
    let output = tool("e2fsck")
        .args(["-p", "-E", "journal_only"])
        .arg(image)
        .output();
    let output = output.map_err(|error| {
        Error::new(format!("cannot run 'e2fsck': {error}"))
            .help("as root: apt-get install --yes e2fsprogs")
    })?;
    // Status 1 says that something was replayed.
    if matches!(output.status.code(), Some(0 | 1)) {
        return Ok(());
    }
    let message = format!(
        "e2fsck cannot use '{}': it is no ext4 file system, or a damaged one",
        image.display()
    );
    let help =
        "make one: truncate -s 64M disk.img && mkfs.ext4 -q disk.img; or repair it with e2fsck -f";
    Err(Error::new(message).help(help))
}

/// Checks an image with fsck, and that it still has all files of `folder` with their contents.
///
/// # Errors
///
/// Names what differs.
pub fn check_files(image: &Path, folder: &Path) -> Result<()> {
    check_ext4(image)?;
    let copy = image.with_extension("files");
    extract(image, &copy)?;
    for path in samples::list(folder)? {
        let name = path.strip_prefix(folder).unwrap_or(&path);
        let inside = copy.join(name);
        if !inside.is_file() || workspace::read(&inside)? != workspace::read(&path)? {
            let message = format!("'{}' in the image is not as it was", name.display());
            return Err(Error::new(message));
        }
    }
    std::fs::remove_dir_all(&copy).context(format!("remove '{}'", copy.display()))
}

/// Copies all files of an image into `folder`, which is emptied first. The image is not changed.
///
/// # Errors
///
/// When debugfs is missing or cannot read the image.
pub fn extract(image: &Path, folder: &Path) -> Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder).context(format!("remove '{}'", folder.display()))?;
    }
    workspace::make_folder(folder)?;
    let request = format!("rdump / \"{}\"", folder.display());
    // Beside the folder: several may read one image at a time.
    let copy = folder.with_extension("replayed");
    copy_replayed(image, &copy)?;
    let output = run(tool("debugfs").arg("-R").arg(request).arg(&copy));
    std::fs::remove_file(&copy).context(format!("remove '{}'", copy.display()))?;
    let output = output?;
    // debugfs ends with status 0 whatever happens. It cannot give files to other users unless it is
    // root, and says so; that does not matter here.
    let message = String::from_utf8_lossy(&output.stderr);
    let harmless = |line: &str| line.starts_with("debugfs ") || line.contains("changing ownership");
    match message
        .lines()
        .find(|line| !line.is_empty() && !harmless(line))
    {
        Some(line) => Err(
            Error::new(format!("cannot read '{}': {line}", image.display()))
                .help("is it an image of an ext4 file system, made with mkfs.ext4?"),
        ),
        None => Ok(()),
    }
}

fn tool(name: &str) -> Command {
    let mut command = Command::new(name);
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:{EXTRA_PATH}"));
    command
}

fn run(command: &mut Command) -> Result<Output> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| {
        Error::new(format!("cannot run '{name}': {error}"))
            .help("as root: apt-get install --yes e2fsprogs")
    })?;
    if output.status.success() {
        return Ok(output);
    }
    let words = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    Err(Error::new(format!(
        "'{name}' failed ({}):\n{}{}",
        output.status, words[0], words[1]
    )))
}

#[cfg(test)]
mod tests {
    use super::{check_ext4, check_files, extract, make_blank, make_ext4};

    #[test]
    fn makes_images_that_the_hosts_tools_accept() {
        let folder = std::env::temp_dir().join(format!("kintsugi-disk-{}", std::process::id()));
        let files = folder.join("files/deep");
        std::fs::create_dir_all(&files).unwrap();
        std::fs::write(files.join("a file"), b"contents").unwrap();
        let image = folder.join("disk.img");
        make_ext4(&image, 8, Some(&folder.join("files"))).unwrap();
        check_files(&image, &folder.join("files")).unwrap();
        std::fs::write(files.join("a file"), b"other").unwrap();
        assert!(check_files(&image, &folder.join("files")).is_err());
        make_blank(&image, 8).unwrap();
        assert!(check_ext4(&image).is_err());
        assert!(extract(&image, &folder.join("none")).is_err());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
