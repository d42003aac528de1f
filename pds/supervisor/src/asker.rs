// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Wires `supervisor_service::probe` to the services: asks the block service for the first sectors of the
//! disk, the file service for its root, and reads the clock twice. It never waits for an answer.
//!
//! A supervisor asks the child with whom it shares the regions of a client of that service
//! (`<supervisor>_to_<child>_requests` and so on, for the file service also `<child>_to_<supervisor>_data`),
//! and checks the clock of the child whose `<child>_clock` it maps.

use alloc::{boxed::Box, format};

use log::error;
use proto::blk::{CompletionWire, RequestWire, Segment, Status};
use proto::{fs, timer::clock};
use request_table::{Client, Slot, Whole};
use sel4_microkit::Channel;
use sel4_shared_memory::{Crc32c, SharedMut, SharedRef};
use supervisor_service::probe::{ClockJudge, Judge, pause_ms};
use topology::Topology;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::watch::SUPERVISED;

/// The boot block: nobody writes there but who makes the disk.
const BLOCK_BYTES: usize = 1024;
/// A question that has no answer after so long is asked again.
const REMIND_MS: u64 = 1_000;
/// Where the answer goes is filled with this before the question.
const PATTERN: u8 = 0x5a;

/// Somebody who asks a child something.
pub trait Ask {
    /// Asks, if it is time, or at once if there is a suspicion.
    fn ask(&mut self, now_ms: u64, at_once: bool);

    /// Takes answers; says whether one is wrong. `epoch` is the child's.
    fn is_wrong(&mut self, epoch: u32, now_ms: u64) -> bool;
}

/// The one who asks `child`, if system.xml shares with us what that takes.
pub fn find(topology: &Topology<'static>, child: &str) -> Option<Box<dyn Ask>> {
    let me = topology.name();
    let region = |name: &str| topology.region(name);
    if let Some(page) = region(&format!("{child}_clock")) {
        return Some(Box::new(ClockReader {
            page: pd_setup::reads(&page),
            judge: ClockJudge::default(),
            read_ms: 0,
        }));
    }
    let input = region(&format!("{me}_to_{child}_data"))?;
    let mut input = pd_setup::writes(&input);
    match region(&format!("{child}_to_{me}_data")) {
        Some(_) => {
            input.write_bytes(0, &ROOT);
            conversation(topology, child, Root)
        }
        None => conversation(topology, child, BootBlock { memory: input }),
    }
}

/// A question to a service, through a request table.
trait Question: 'static {
    type Request: FromBytes + IntoBytes + Immutable + KnownLayout + Copy;
    type Completion: FromBytes + IntoBytes + Immutable + KnownLayout + Copy + Whole;
    /// Shortest pause between two.
    const PERIOD_MS: u64;

    fn request(&mut self) -> Self::Request;

    /// What makes one answer equal to another; `None` for one that says nothing.
    fn answer(&self, completion: &Self::Completion) -> Option<u32>;
}

struct Conversation<Q: Question> {
    table: Client<Q::Request, Q::Completion>,
    question: Q,
    channel: Channel,
    judge: Judge,
    /// The question that has no answer yet, and when it was asked.
    asked: Option<(Slot, u64)>,
    next_ms: u64,
}

fn conversation<Q: Question>(
    topology: &Topology<'static>,
    child: &str,
    question: Q,
) -> Option<Box<dyn Ask>> {
    let me = topology.name();
    let requests = topology.region(&format!("{me}_to_{child}_requests"))?;
    let completions = topology.region(&format!("{child}_to_{me}_completions"))?;
    let mut channels = topology.channels();
    let channel = channels.find(|end| end.peer == child && end.peer_id != SUPERVISED)?;
    let (requests, completions) = (pd_setup::writes(&requests), pd_setup::reads(&completions));
    let Ok(table) = Client::attach(requests, completions) else {
        error!("the regions shared with {child} are too small");
        return None;
    };
    Some(Box::new(Conversation {
        table,
        question,
        channel: Channel::new(channel.id.into()),
        judge: Judge::default(),
        asked: None,
        next_ms: 0,
    }))
}

impl<Q: Question> Ask for Conversation<Q> {
    fn ask(&mut self, now_ms: u64, at_once: bool) {
        if let Some((_, asked_ms)) = &mut self.asked {
            // The question or its answer may have got lost.
            if now_ms.saturating_sub(*asked_ms) >= REMIND_MS {
                *asked_ms = now_ms;
                self.table.remind();
                self.channel.notify();
            }
            return;
        }
        // The nearest tick.
        if now_ms + Q::PERIOD_MS / 2 < self.next_ms && !at_once {
            return;
        }
        if let Ok(slot) = self.table.submit(&self.question.request()) {
            self.asked = Some((slot, now_ms));
            self.channel.notify();
        }
    }

    fn is_wrong(&mut self, epoch: u32, now_ms: u64) -> bool {
        let mut wrong = false;
        while let Some((slot, _, completion)) = self.table.next_completion() {
            // Others are answers to an earlier life of this supervisor.
            let Some((_, asked_ms)) = self.asked.take_if(|(asked, _)| *asked == slot) else {
                continue;
            };
            self.next_ms = now_ms + pause_ms(Q::PERIOD_MS, now_ms.saturating_sub(asked_ms));
            if let Some(answer) = self.question.answer(&completion) {
                wrong |= self.judge.is_wrong(answer, epoch);
            }
        }
        wrong
    }
}

/// Reads the first sectors of the disk.
struct BootBlock {
    memory: SharedMut,
}

impl Question for BootBlock {
    type Request = RequestWire;
    type Completion = CompletionWire;
    const PERIOD_MS: u64 = 20;

    fn request(&mut self) -> RequestWire {
        self.memory.fill(0, BLOCK_BYTES, PATTERN);
        let segment = Segment {
            offset: 0,
            bytes: BLOCK_BYTES as u32,
        };
        RequestWire::read(0, segment)
    }

    /// A failure is an answer too: the question was right (campaign on seL4 release, seed 1, trial 42).
    fn answer(&self, completion: &CompletionWire) -> Option<u32> {
        let status = completion.check().status;
        if status != Status::Done {
            return Some(status as u32);
        }
        let mut bytes = [0; BLOCK_BYTES];
        self.memory.read_bytes(0, &mut bytes);
        Some(Crc32c::new().bytes(&bytes).finish())
    }
}

/// Path of the root, in words.
const ROOT: [u8; 8] = *b"/\0\0\0\0\0\0\0";

/// What a file service may say at any time: that its disk has failed.
const OF_THE_DISK: [fs::Errno; 2] = [fs::Errno::Io, fs::Errno::NoDevice];

/// Asks what the root of the file system is.
struct Root;

impl Question for Root {
    type Request = fs::RequestWire;
    type Completion = fs::CompletionWire;
    const PERIOD_MS: u64 = 40;

    fn request(&mut self) -> fs::RequestWire {
        let place = |length: usize| fs::Place {
            offset: 0.into(),
            length: (length as u32).into(),
        };
        fs::RequestWire {
            version: fs::VERSION.into(),
            operation: (fs::Operation::Stat as u16).into(),
            input: place(1),
            output: place(size_of::<fs::StatWire>()),
            ..fs::RequestWire::default()
        }
    }

    /// A service without a disk may say so.
    fn answer(&self, completion: &fs::CompletionWire) -> Option<u32> {
        let mut crc = Crc32c::new();
        match completion.status.get() {
            0 => crc = crc.bytes(completion.kind.as_bytes()),
            status if OF_THE_DISK.iter().any(|errno| *errno as u16 == status) => return None,
            _ => {}
        }
        let crc = crc.bytes(completion.status.as_bytes());
        Some(crc.bytes(completion.handle.inode.as_bytes()).finish())
    }
}

/// Reads the clock, and the counter that it is made from.
struct ClockReader {
    page: SharedRef,
    judge: ClockJudge,
    read_ms: u64,
}

/// Time between two readings, at least.
const CLOCK_PERIOD_MS: u64 = 10;

impl Ask for ClockReader {
    fn ask(&mut self, _now_ms: u64, _at_once: bool) {}

    fn is_wrong(&mut self, _epoch: u32, now_ms: u64) -> bool {
        if now_ms.saturating_sub(self.read_ms) < CLOCK_PERIOD_MS {
            return false;
        }
        self.read_ms = now_ms;
        if clock::HEADER.check(&self.page).is_err() {
            // Not there yet.
            return false;
        }
        let ticks = recovery::ticks();
        let says_ns = clock::read_monotonic(&self.page).monotonic_ns(ticks);
        self.judge
            .is_wrong(ticks, says_ns, recovery::ticks_per_second())
    }
}
