// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The tests besides random steps: every fault point in every operation, and disks that do not do what they
//! should.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use chaos_service::killer::Killer;
use fs_client::{Errno, Error, File, OpenOptions};
use test_fs_service::model::{self, Node, Step};
use test_fs_service::settings::Settings;
use topology::Topology;

use crate::{Test, Wrong, pass};

/// So often each operation meets each point, at least, and at most when it is never met: a checkpoint takes a
/// log that is half full.
const ROUNDS: u8 = 2;
const ROUNDS_MAX: u8 = 100;
/// What is appended before nobody asks for anything, and at a time.
const QUIET_BYTES: usize = 4 * QUIET_PIECE_BYTES;
const QUIET_PIECE_BYTES: usize = 16_384;
/// Three times what the service takes to notice, in guest time.
const QUIET_MS: u64 = 120;
/// Points that a life passes before it serves, when nobody but `chaos` runs who could plant something there.
const BEFORE_SERVICE: [&str; 6] = [
    "fs.before_replay",
    "fs.after_replay",
    "fs.before_resume",
    "fs.before_restore",
    "fs.before_redo",
    "fs.after_journal_start",
];

fn bytes(first: u8, length: usize) -> Vec<u8> {
    let byte = |index: usize| first.wrapping_add((index / 97) as u8);
    (0..length).map(byte).collect()
}

impl Test {
    /// The steps of one round; each begins with what the one before has left.
    fn every_step(&self, round: u8) -> Vec<Step> {
        let name = |name: &str| format!("{}{name}", self.prefix);
        alloc::vec![
            Step::Mkdir(name("d0")),
            Step::CreateNew(name("d0/f0")),
            Step::CreateNew(name("d0/f0")),
            Step::Append(name("d0/f0"), bytes(round, 5000)),
            Step::Append(name("d0/f0"), bytes(round ^ 1, 200_000)),
            Step::Overwrite(name("d0/f0"), 3000, bytes(round ^ 2, 9000)),
            Step::Truncate(name("d0/f0"), 40_960),
            // Two requests, of which the first one waits until the second.
            Step::Append(name("d0/f0"), bytes(round ^ 3, 64 * 4096 + 5000)),
            Step::Sync,
            Step::Truncate(name("d0/f0"), 7001),
            Step::Truncate(name("d0/f0"), 70_000),
            Step::Link(name("d0/f0"), name("f2")),
            Step::Symlink("f2".to_string(), name("l0")),
            Step::Chmod(name("l0"), 0o600 + u32::from(round)),
            Step::Touch(name("f2"), 1_000_000_000 + i64::from(round)),
            Step::Unlink(name("l0")),
            Step::Unlink(name("f2")),
            Step::Rename(name("d0/f0"), name("f1")),
            Step::CreateNew(name("d0/f0")),
            Step::Rename(name("f1"), name("d0/f0")),
            Step::UnlinkOpen(name("d0/f0")),
            Step::Rmdir(name("d0")),
            Step::Rmdir(name("d0")),
        ]
    }

    /// Kills the service at each of its points inside each step.
    pub(crate) fn points(&mut self, topology: &Topology<'static>) -> Result<(), Wrong> {
        let mut killer = Killer::new(topology, "fs");
        let mut names: Vec<String> = killer.names();
        names.retain(|name| name.starts_with("fs."));
        names.retain(|name| !BEFORE_SERVICE.contains(&name.as_str()));
        names.sort();
        names.dedup();
        for name in &names {
            let mut kills = 0;
            for round in 0..ROUNDS_MAX {
                if round >= ROUNDS && kills > 0 {
                    break;
                }
                for step in self.every_step(round) {
                    let (epoch, _) = killer.life();
                    killer.plant(name);
                    self.step(&step)?;
                    if killer.life().0 == epoch {
                        killer.take_back(name);
                    } else {
                        kills += 1;
                    }
                    self.look()?;
                }
            }
            log::info!("POINT {name} killed={kills}");
            if kills == 0 {
                return Err(format!("nobody came along {name}"));
            }
        }
        log::info!("POINTS met={}", names.len());
        Ok(())
    }

    /// Fills the disk; what was there stays, and there is room again after a removal.
    pub(crate) fn full(&mut self) -> Result<(), Wrong> {
        let kept = Step::CreateNew(format!("{}f0", self.prefix));
        self.step(&kept)?;
        let step = Step::Append(format!("{}f0", self.prefix), bytes(7, 50_000));
        self.step(&step)?;
        for fill in 0..3 {
            let path = format!("{}filler", self.prefix);
            let mut size = 0;
            let file = File::create(&self.fs, &path).map_err(|error| error.to_string())?;
            let block = bytes(fill, 64_000);
            let error = loop {
                match file.write_at(size, &block) {
                    Ok(written) => size += written as u64,
                    Err(error) => break error,
                }
            };
            if error != Error::Errno(Errno::NoSpace) {
                return Err(format!("a full disk says: {error}"));
            }
            let mut part = alloc::vec![0; block.len()];
            let file = File::open(&self.fs, &path).map_err(|error| error.to_string())?;
            for at in (0..size).step_by(block.len()) {
                if file.read_at(at, &mut part) != Ok(block.len()) || part != block {
                    return Err(format!("wrong bytes at {at} of {size}"));
                }
            }
            let file = OpenOptions::new().write(true).open(&self.fs, &path);
            let file = file.map_err(|error| error.to_string())?;
            // Overwriting needs no room.
            let overwritten = file.write_at(0, &block);
            overwritten.map_err(|error| format!("overwriting on a full disk: {error}"))?;
            log::info!("FULL after={size}");
            let removed = self.fs.remove_file(&path);
            removed.map_err(|error| format!("removing on a full disk: {error}"))?;
            self.look()?;
        }
        Ok(())
    }

    /// A disk that refuses writes: files can be read, and every change is refused with `EROFS`.
    pub(crate) fn read_only(&mut self) -> Result<(), Wrong> {
        let mut files = 0;
        for entry in self.fs.read_dir("/").map_err(|error| error.to_string())? {
            let name = entry.map_err(|error| error.to_string())?.file_name();
            files += u32::from(self.fs.read(&format!("/{name}")).is_ok());
        }
        if files == 0 {
            return Err("no file could be read".to_string());
        }
        let refused = [
            self.fs.create_dir("/new"),
            self.fs.write("/new", b"x"),
            self.fs.rename("/lost+found", "/new"),
            self.fs.remove_dir("/lost+found"),
        ];
        match refused
            .iter()
            .find(|result| **result != Err(Error::Errno(Errno::ReadOnly)))
        {
            None => Ok(()),
            Some(other) => Err(format!("a read-only disk says: {other:?}")),
        }
    }

    /// A disk of which a part fails: `EIO`, and what was acknowledged before can still be read.
    pub(crate) fn failing(&mut self, settings: &Settings) -> Result<(), Wrong> {
        self.begin()?;
        let mut failures = 0;
        for number in 0..settings.steps {
            let path = format!("{}f{number}", self.prefix);
            let contents = bytes(number as u8, 60_000);
            let written = self.fs.write(&path, &contents);
            match written.and_then(|()| self.fs.sync()) {
                Ok(()) => {
                    self.model.insert(path, Node::file(contents));
                }
                Err(Error::Errno(Errno::Io | Errno::ReadOnly)) => failures += 1,
                Err(error) => return Err(format!("a failing disk says: {error}")),
            }
        }
        for path in self.model.keys() {
            let found = self
                .fs
                .read(path)
                .map_err(|error| format!("{path}: {error}"))?;
            if Some(&*found) != model::contents(&self.model, path) {
                return Err(format!("{path} has wrong bytes"));
            }
        }
        if failures == 0 {
            return Err("the disk never failed".to_string());
        }
        log::info!("FAILING kept={} failures={failures}", self.model.len());
        Ok(())
    }
    /// Whole blocks that are appended and not synced are on the disk soon, although nobody asks for anything
    /// any more (docs/decisions/0079): the host looks.
    pub(crate) fn quiet(&mut self) -> Result<(), Wrong> {
        self.begin()?;
        let path = format!("{}quiet", self.prefix);
        let contents = bytes(7, QUIET_BYTES);
        let node = Node::file(contents.clone());
        self.model.insert(path.clone(), node);
        // Before the file: leaving a list is a request.
        self.leave_sums()?;
        let wrong = |error: Error| format!("quiet: {error}");
        let options = OpenOptions::new().write(true).create_new(true);
        let file = options.open(&self.fs, &path).map_err(wrong)?;
        self.fs.sync().map_err(wrong)?;
        for (number, piece) in contents.chunks(QUIET_PIECE_BYTES).enumerate() {
            let offset = (number * QUIET_PIECE_BYTES) as u64;
            file.write_all_at(offset, piece).map_err(wrong)?;
        }
        pass(QUIET_MS);
        Ok(())
    }
}
