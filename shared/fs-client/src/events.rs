// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The event style, for servers: requests are made and answered separately, many at a time, and nothing
//! here waits.
//!
//! ```ignore
//! let mut files = Requests::attach(regions, 16)?;
//! let token = files.open("/index", &OpenOptions::new().read(true))?;
//! FS.notify();
//! // ... in `notified`:
//! while let Some((token, answer)) = files.next_answer() {
//!     match answer? {
//!         Answer::Opened(file) => drop(files.read(&file, 0, 4096)?),
//!         Answer::Read(bytes) => ...
//!     }
//! }
//! ```
//!
//! Each request has a strip of both data regions to itself. After a restart of the service the answers come
//! all the same, each once. Requests that an earlier life of this program has made keep their strips until
//! they are answered; their answers are dropped.

mod operations;

use alloc::vec;
use alloc::vec::Vec;

use proto::fs::{
    CompletionWire, CursorWire, Errno, Handle, Kind, Operation, Place, RequestWire, StatWire,
    StatfsWire, TRANSFER_BYTES_MAX, VERSION,
};
use request_table::{AttachError, Client, SLOTS};
use sel4_shared_memory::{SharedMut, SharedRef};

use crate::open_files::OpenFiles;
use crate::{DirEntry, Error, Metadata, OpenOptions, Regions, Space, directory};

/// Names a request until its answer has come. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(u64);

/// Why a request was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// So many are under way: take answers first.
    Busy,
    /// It does not fit into a strip, or the file is not open for that.
    Errno(Errno),
}

/// A file that was opened; [`Requests::close`] closes it. One that nobody closes stays on the disk for as
/// long as this program lives, also without a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    handle: Handle,
    entry: Option<usize>,
    kind: Kind,
    options: OpenOptions,
    size: u64,
}

impl Opened {
    /// What it is.
    pub fn file_type(&self) -> Kind {
        self.kind
    }

    /// Its bytes when it was opened.
    pub fn size(&self) -> u64 {
        self.size
    }
}

/// Where a listing goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor(CursorWire);

/// What a request has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Of `open`.
    Opened(Opened),
    /// Of `read`; fewer bytes than asked at the end of the file only.
    Read(Vec<u8>),
    /// Of `write`: how much, and where it ended.
    Written(usize, u64),
    /// Of `metadata` and its kin.
    Described(Metadata),
    /// Of `read_dir`: some entries, in no particular order and without `.` and `..`; where the rest
    /// begins, unless that was all.
    Entries(Vec<DirEntry>, Option<Cursor>),
    /// Of `read_link`.
    Target(Vec<u8>),
    /// Of `space`.
    Space(Space),
    /// Of the others.
    Done,
}

/// What an answer has to be read as.
#[derive(Clone, Copy)]
enum Expected {
    Opened(OpenOptions),
    Read(usize),
    Written(usize),
    Described,
    Entries(usize),
    Target(usize),
    Space,
    Done,
    /// A request of an earlier life.
    Nothing,
}

impl Expected {
    /// Bytes that the answer takes in the strip at most.
    fn output_bytes(self) -> usize {
        match self {
            Self::Read(length) | Self::Entries(length) | Self::Target(length) => length,
            Self::Described => size_of::<StatWire>(),
            Self::Space => size_of::<StatfsWire>(),
            Self::Opened(_) | Self::Written(_) | Self::Done | Self::Nothing => 0,
        }
    }
}

#[derive(Clone, Copy)]
struct Waiting {
    strip: usize,
    expected: Expected,
}

/// The file service, for a program that does not wait.
pub struct Requests {
    open: OpenFiles,
    table: Client<RequestWire, CompletionWire>,
    output: SharedMut,
    input: SharedRef,
    strip_bytes: usize,
    /// Bits of the strips that nobody uses.
    free: u64,
    waiting: [Option<Waiting>; SLOTS],
    /// Strips of an earlier life's requests, and how many of those are not answered yet.
    earlier: (u64, u32),
}

impl core::fmt::Debug for Requests {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Requests({} under way)", self.under_way())
    }
}

impl Requests {
    /// Takes the regions shared with the service, for up to `depth` requests at a time (1 to 64).
    ///
    /// # Errors
    ///
    /// When a region is too small.
    pub fn attach(regions: Regions, depth: usize) -> Result<Self, AttachError> {
        let depth = depth.clamp(1, SLOTS);
        let bytes = regions.output.len().min(regions.input.len()) / depth;
        let strip_bytes = bytes.min(TRANSFER_BYTES_MAX as usize) & !7;
        let (table, open) = OpenFiles::attach(regions.requests);
        let mut requests = Self {
            open,
            table: Client::attach(table, regions.completions)?,
            output: regions.output,
            input: regions.input,
            strip_bytes,
            free: u64::MAX >> (SLOTS - depth),
            waiting: [None; SLOTS],
            earlier: (0, 0),
        };
        requests.take_over();
        Ok(requests)
    }

    /// What an earlier life left may still be read from and written to: keep off those strips.
    fn take_over(&mut self) {
        let strip_bytes = self.strip_bytes.max(1) as u64;
        let all = self.free;
        for (slot, _, request) in self.table.outstanding() {
            for place in [request.input, request.output] {
                // With another depth it may lie across several.
                let start = u64::from(place.offset.get());
                let end = start + u64::from(place.length.get() + request.second_length.get());
                for strip in start / strip_bytes..=end / strip_bytes {
                    self.free &= !1_u64.checked_shl(strip as u32).unwrap_or(0);
                }
            }
            let (strip, expected) = (SLOTS, Expected::Nothing);
            self.waiting[slot.index()] = Some(Waiting { strip, expected });
            self.earlier.1 += 1;
        }
        self.earlier.0 = all & !self.free;
    }

    /// Requests without an answer yet.
    pub fn under_way(&self) -> usize {
        self.table.outstanding_count()
    }

    /// Most bytes of one `read` or `write`.
    pub fn transfer_max(&self) -> usize {
        self.strip_bytes
    }

    fn submit(
        &mut self,
        operation: Operation,
        expected: Expected,
        data: &[&[u8]],
        fill: impl FnOnce(&mut RequestWire),
    ) -> Result<Token, Refused> {
        let length: usize = data.iter().map(|part| part.len()).sum();
        if length > self.strip_bytes {
            return Err(Refused::Errno(Errno::Invalid));
        }
        if self.free == 0 {
            return Err(Refused::Busy);
        }
        let strip = self.free.trailing_zeros() as usize;
        let start = strip * self.strip_bytes;
        let mut at = start;
        for part in data {
            self.output.write_bytes(at, part);
            at += part.len();
        }
        let place = |length: usize| Place {
            offset: (start as u32).into(),
            length: (length as u32).into(),
        };
        let mut request = RequestWire {
            version: VERSION.into(),
            operation: (operation as u16).into(),
            input: place(data.first().map_or(0, |first| first.len())),
            output: place(expected.output_bytes()),
            second_length: (data.get(1).map_or(0, |second| second.len()) as u32).into(),
            ..RequestWire::default()
        };
        fill(&mut request);
        let slot = self.table.submit(&request).map_err(|_| Refused::Busy)?;
        self.free &= !(1 << strip);
        self.waiting[slot.index()] = Some(Waiting { strip, expected });
        Ok(Token(self.table.sequence(slot)))
    }

    /// For a program that has waited for long: whether an answer is here of which no notification told. If
    /// not, the requests under way are announced once more; notify the service then.
    pub fn remind(&mut self) -> bool {
        self.table.remind()
    }

    /// The next answer, if there is one. To be called until there is none, whenever the service notifies.
    pub fn next_answer(&mut self) -> Option<(Token, Result<Answer, Error>)> {
        loop {
            let (slot, sequence, completion) = self.table.next_completion()?;
            let Some(waiting) = self.waiting[slot.index()].take() else {
                continue;
            };
            let answer = self.answer(&waiting, &completion);
            match waiting.expected {
                Expected::Nothing => self.earlier.1 -= 1,
                _ => self.free |= 1 << waiting.strip,
            }
            if self.earlier.1 == 0 {
                // None of them shares a strip with another one any more.
                self.free |= core::mem::take(&mut self.earlier.0);
            }
            if let Some(answer) = answer {
                return Some((Token(sequence), answer));
            }
        }
    }

    fn answer(
        &mut self,
        waiting: &Waiting,
        completion: &CompletionWire,
    ) -> Option<Result<Answer, Error>> {
        if matches!(waiting.expected, Expected::Nothing) {
            return None;
        }
        let start = waiting.strip * self.strip_bytes;
        let value = completion.value.get();
        match completion.status.get() {
            0 => {}
            status => {
                let errno = Errno::from_number(status.into());
                return Some(Err(errno.map_or(Error::BadAnswer, Error::Errno)));
            }
        }
        Some(match waiting.expected {
            Expected::Opened(options) => Kind::from_number(completion.kind.get().into())
                .map(|kind| {
                    Answer::Opened(Opened {
                        handle: completion.handle,
                        entry: self.open.set(&completion.handle),
                        kind,
                        options,
                        size: value,
                    })
                })
                .ok_or(Error::BadAnswer),
            Expected::Read(most) => self.bytes(start, value, most).map(Answer::Read),
            Expected::Target(most) => self.bytes(start, value, most).map(Answer::Target),
            Expected::Entries(most) => {
                let length = value.saturating_add(size_of::<CursorWire>() as u64);
                let bytes = self.bytes(start, length, most);
                let listed = bytes.and_then(|b| directory::entries(&b, completion.extra.get()));
                listed.map(|(entries, cursor)| {
                    let more = (cursor != CursorWire::END).then_some(Cursor(cursor));
                    Answer::Entries(entries, more)
                })
            }
            Expected::Written(length) if value == length as u64 => {
                Ok(Answer::Written(length, completion.extra.get()))
            }
            Expected::Written(_) => Err(Error::BadAnswer),
            Expected::Described => {
                let wire: StatWire = self.input.read(start);
                Ok(Answer::Described(wire.into()))
            }
            Expected::Space => {
                let wire: StatfsWire = self.input.read(start);
                Ok(Answer::Space(wire.into()))
            }
            Expected::Done | Expected::Nothing => Ok(Answer::Done),
        })
    }
    /// Copies what the service has answered.
    fn bytes(&self, start: usize, length: u64, most: usize) -> Result<Vec<u8>, Error> {
        if length > most as u64 {
            return Err(Error::BadAnswer);
        }
        let mut bytes = vec![0; length as usize];
        self.input.read_bytes(start, &mut bytes);
        Ok(bytes)
    }
}
