// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! A client that means harm: attacks that somebody thought of, requests without sense, and noise in every
//! byte that it can write. What the service must do is refuse; that the others notice nothing, and that the
//! service does not fault, is for them and for the case to see.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use fs_client::{Errno, Error, File, FileRecord, OpenOptions};
use pd_setup::{channel_to, region};
use proto::fs::{
    CompletionWire, Handle, OPEN_READ, Operation, Place, RequestWire, VERSION, open_files,
};
use request_table::Client;
use sel4_microkit::Channel;
use sel4_shared_memory::SharedMut;
use test_fs_service::settings::Settings;
use topology::Topology;
use zerocopy::IntoBytes;

use crate::{Test, Wrong};

/// Bytes of the data region for each raw request.
const STRIDE: usize = 4096;
/// What its share is, as `hostile.policy.toml` says.
const OPEN_MAX: usize = 16;

struct Raw {
    name: &'static str,
    topology: Topology<'static>,
    service: Channel,
    table: Client<RequestWire, CompletionWire>,
    used: usize,
}

impl Raw {
    fn new(topology: &Topology<'static>) -> Self {
        let name = topology.name();
        let requests = region(topology, &format!("{name}_to_fs_requests"));
        let requests = pd_setup::writes(&requests);
        let (requests, _) = requests.split_at(open_files::AT);
        let completions = region(topology, &format!("fs_to_{name}_completions"));
        let table = Client::attach(requests, pd_setup::reads(&completions));
        Self {
            name,
            topology: *topology,
            service: channel_to(topology, "fs"),
            table: table.expect("the regions are large enough"),
            used: 0,
        }
    }

    fn data(&self) -> SharedMut {
        let name = format!("{}_to_fs_data", self.name);
        pd_setup::writes(&region(&self.topology, &name))
    }

    fn requests(&self) -> SharedMut {
        let name = format!("{}_to_fs_requests", self.name);
        pd_setup::writes(&region(&self.topology, &name))
    }

    /// The service outranks us: it is done, or waits for the disk, when this returns.
    fn finish(&mut self) -> Vec<CompletionWire> {
        let mut found = Vec::new();
        while self.table.outstanding_count() != 0 {
            self.service.notify();
            while let Some((_, _, completion)) = self.table.next_completion() {
                found.push(completion);
            }
            if self.table.outstanding_count() != 0 {
                microkit_wait::wait_for(self.service);
            }
        }
        found
    }

    fn call(&mut self, request: &RequestWire) -> CompletionWire {
        self.finish();
        self.table.submit(request).expect("nothing is under way");
        self.finish().pop().expect("it was answered")
    }

    fn request(&mut self, operation: u16, bytes: &[u8]) -> RequestWire {
        self.used = (self.used + 1) % 64;
        let offset = self.used * STRIDE;
        self.data().write_bytes(offset, bytes);
        RequestWire {
            version: VERSION.into(),
            operation: operation.into(),
            input: Place {
                offset: (offset as u32).into(),
                length: (bytes.len() as u32).into(),
            },
            ..RequestWire::default()
        }
    }
}

impl Test {
    /// See the head of this file.
    pub(crate) fn hostile(
        &mut self,
        settings: &Settings,
        topology: &Topology<'static>,
    ) -> Result<(), Wrong> {
        self.chosen()?;
        self.greedy()?;
        let mut raw = Raw::new(topology);
        self.forged(&mut raw)?;
        self.nonsense(&mut raw, settings.steps);
        self.noise(&mut raw, settings.steps);
        Ok(())
    }

    /// Out of its folder, by every way that a path can take.
    fn chosen(&mut self) -> Result<(), Wrong> {
        let wrong = |error: Error| format!("chosen: {error}");
        let _ = self.fs.create_dir("/d");
        let links = ["/test_a", "../../test_a", "/../test_c", "d/../../../test_a"];
        for (number, target) in links.iter().enumerate() {
            let path = format!("/d/link{number}");
            let _ = self.fs.remove_file(&path);
            self.fs.symlink(target, &path).map_err(wrong)?;
        }
        let mut paths: Vec<String> = (0..links.len()).map(|n| format!("/d/link{n}")).collect();
        for path in ["/test_a", "../test_a", "/d/../../test_c", "/lost+found"] {
            paths.push(path.to_string());
        }
        paths.push("../".repeat(1000) + "test_a");
        for hidden in [
            "/.kintsugi-results",
            "/../.kintsugi-unlinked",
            "/test_a.sums",
        ] {
            paths.push(hidden.to_string());
        }
        for path in &paths {
            self.steps += 1;
            let found = [
                self.fs.read_dir(path).err(),
                File::open(&self.fs, path).err(),
                self.fs
                    .rename(path, "/d/got")
                    .err()
                    .filter(|_| !path.contains("link")),
            ];
            let refused = Some(Error::Errno(Errno::NoEntry));
            let ok = found[..2].iter().all(|error| *error == refused);
            if !ok || found[2].is_some_and(|error| Some(error) != refused) {
                return Err(format!("'{path}' leads somewhere: {found:?}"));
            }
        }
        Ok(())
    }

    /// More than its share of everything.
    fn greedy(&mut self) -> Result<(), Wrong> {
        let expect = |what: &str, found: Option<Error>, errno: Errno| match found {
            Some(error) if error == Error::Errno(errno) => Ok(()),
            other => Err(format!("{what}: {other:?}")),
        };
        let wrong = |error: Error| format!("greedy: {error}");
        let mut open = Vec::new();
        let refused = loop {
            match File::create(&self.fs, "/f") {
                Ok(file) if open.len() <= OPEN_MAX => open.push(file),
                other => break other.err(),
            }
        };
        expect("open", refused, Errno::TooManyOpen)?;
        drop(open);
        let (mut size, block) = (0, vec![7; 64_000]);
        let file = File::create(&self.fs, "/f").map_err(wrong)?;
        let refused = loop {
            match file.write_at(size, &block) {
                Ok(written) if size < 1 << 30 => size += written as u64,
                other => break other.err(),
            }
        };
        expect("write", refused, Errno::Quota)?;
        // Without a name, it is still its.
        self.fs.remove_file("/f").map_err(wrong)?;
        expect("unlinked", file.write_at(size, &block).err(), Errno::Quota)?;
        drop(file);
        let mut made = 0;
        let refused = loop {
            match self.fs.create_dir(&format!("/d/{made}")) {
                Ok(()) if made < 100_000 => made += 1,
                other => break other.err(),
            }
        };
        expect("mkdir", refused, Errno::Quota)?;
        for number in 0..made {
            let removed = self.fs.remove_dir(&format!("/d/{number}"));
            removed.map_err(wrong)?;
        }
        log::info!("GREEDY bytes={size} folders={made}");
        self.steps += 3;
        Ok(())
    }

    /// Handles that it was not given, or not for this.
    fn forged(&mut self, raw: &mut Raw) -> Result<(), Wrong> {
        let fs = pd_clients::files(&raw.topology);
        fs.write("/mine", b"mine")
            .map_err(|error| error.to_string())?;
        let read = OpenOptions::new().read(true);
        let file = read.open(&fs, "/mine").map_err(|error| error.to_string())?;
        let mut record = FileRecord::default();
        for bit in 0..size_of::<Handle>() * 8 {
            record.clone_from(&file.record());
            record.as_mut_bytes()[bit / 8] ^= 1 << (bit % 8);
            let forged = File::from_record(&fs, &record);
            let found = forged.and_then(|forged| forged.read_at(0, &mut [0; 4]));
            self.steps += 1;
            if found != Err(Error::Errno(Errno::BadHandle)) {
                return Err(format!("bit {bit} of a handle may be flipped: {found:?}"));
            }
        }
        let handle = file.handle();
        *raw = Raw::new(&raw.topology);
        for inode in 0..40_u32 {
            let mut request = raw.request(Operation::Write as u16, b"hostile");
            request.handle = Handle {
                inode: inode.into(),
                ..handle
            };
            self.steps += 1;
            let status = u32::from(raw.call(&request).status.get());
            if ![Errno::BadHandle as u32, Errno::Stale as u32].contains(&status) {
                return Err(format!(
                    "a made-up handle of inode {inode}: status {status}"
                ));
            }
        }
        Ok(())
    }

    /// Requests that follow the protocol's outer form and say anything.
    fn nonsense(&mut self, raw: &mut Raw, rounds: u32) {
        let mut given = Handle::default();
        for _ in 0..rounds {
            let random = &mut self.random;
            let noise: Vec<u8> = (0..48)
                .map(|_| b"/.adl0\xff"[random.below(7) as usize])
                .collect();
            let operation = random.below(21) as u16;
            let length = random.below(48) as usize;
            let mut request = raw.request(operation, &noise[..length]);
            request.flags = (random.next() as u32 >> random.below(32)).into();
            request.offset = (random.next() >> random.below(64)).into();
            request.offset_high = (random.next() >> random.below(64)).into();
            request.second_length = (random.next() as u32 >> random.below(32)).into();
            request.mode = (random.below(0o10010) as u32).into();
            request.handle = given;
            if random.below(3) == 0 {
                request.handle.inode = (random.below(40) as u32).into();
            }
            if random.below(2) == 0 {
                for place in [&mut request.input, &mut request.output] {
                    place.offset = (random.next() as u32 >> random.below(32)).into();
                    place.length = (random.next() as u32 >> random.below(32)).into();
                }
            }
            if random.below(8) == 0 {
                // One that is right, so that the next ones come further.
                request = raw.request(Operation::Open as u16, b"/");
                request.flags = OPEN_READ.into();
            }
            self.steps += 1;
            if raw.table.submit(&request).is_err() || self.random.below(8) == 0 {
                for completion in raw.finish() {
                    if completion.handle.seal.get() != 0 && completion.extra.get() == 0 {
                        given = completion.handle;
                    }
                }
            }
        }
        raw.finish();
    }

    /// Every byte that it can write.
    fn noise(&mut self, raw: &mut Raw, rounds: u32) {
        let mut requests = raw.requests();
        let mut good = vec![0; requests.len()];
        requests.read_bytes(0, &mut good);
        let mut data = raw.data();
        for round in 0..rounds {
            // All of it, or a few bytes of what was right.
            let everything = round % 16 == 0;
            if !everything {
                requests.write_bytes(0, &good);
            }
            let stores = if everything { requests.len() / 8 } else { 24 };
            for _ in 0..stores {
                let at = self.random.below(requests.len() as u64 / 8) as usize * 8;
                let value = self.random.next() >> self.random.below(64);
                requests.store_u64(at, value);
            }
            for _ in 0..16 {
                let at = self.random.below(data.len() as u64 / 8) as usize * 8;
                data.store_u64(at, self.random.next());
            }
            self.steps += 1;
            raw.service.notify();
        }
    }
}
