// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Wires `supervisor_service::probe` to the block service: reads the first sectors of the disk now and
//! then, as one of its clients, and never waits for them.
//!
//! A supervisor does so for the child with whom it shares the regions of a client of that service
//! (`<supervisor>_to_<child>_requests` and so on).

use alloc::format;

use log::error;
use proto::blk::{CompletionWire, RequestWire, Segment, Status};
use request_table::{Client, Slot};
use sel4_microkit::Channel;
use sel4_shared_memory::{Crc32c, SharedMut};
use supervisor_service::probe::{Judge, pause_ms};
use topology::Topology;

use crate::watch::SUPERVISED;

/// The boot block: nobody writes there but who makes the disk.
const BYTES: usize = 1024;
/// Where the answer goes is filled with this before the question.
const PATTERN: u8 = 0x5a;
/// Shortest pause between two questions.
const PERIOD_MS: u64 = 40;

/// See the module.
pub struct Asker {
    table: Client<RequestWire, CompletionWire>,
    memory: SharedMut,
    channel: Channel,
    judge: Judge,
    /// The question that has no answer yet, and when it was asked.
    asked: Option<(Slot, u64)>,
    next_ms: u64,
}

impl Asker {
    /// Asks `child`, if there are regions for that.
    pub fn find(topology: &Topology<'static>, child: &str) -> Option<Self> {
        let me = topology.name();
        let region = |name: &str| topology.region(name);
        let requests = region(&format!("{me}_to_{child}_requests"))?;
        let completions = region(&format!("{child}_to_{me}_completions"))?;
        let memory = region(&format!("{me}_to_{child}_data"))?;
        let mut channels = topology.channels();
        let channel = channels.find(|end| end.peer == child && end.peer_id != SUPERVISED)?;
        let (requests, completions) = (pd_setup::writes(&requests), pd_setup::reads(&completions));
        let Ok(table) = Client::attach(requests, completions) else {
            error!("the regions shared with {child} are too small");
            return None;
        };
        Some(Self {
            table,
            memory: pd_setup::writes(&memory),
            channel: Channel::new(channel.id.into()),
            judge: Judge::default(),
            asked: None,
            next_ms: 0,
        })
    }

    /// Asks, if it is time.
    pub fn ask(&mut self, now_ms: u64) {
        if self.asked.is_some() || now_ms < self.next_ms {
            return;
        }
        self.memory.fill(0, BYTES, PATTERN);
        let segment = Segment {
            offset: 0,
            bytes: BYTES as u32,
        };
        if let Ok(slot) = self.table.submit(&RequestWire::read(0, segment)) {
            self.asked = Some((slot, now_ms));
            self.channel.notify();
        }
    }

    /// Takes answers; says whether one is wrong. `epoch` is the child's.
    pub fn is_wrong(&mut self, epoch: u32, now_ms: u64) -> bool {
        let mut wrong = false;
        while let Some((slot, _, completion)) = self.table.next_completion() {
            // Others are answers to an earlier life of this supervisor.
            let Some((_, asked_ms)) = self.asked.take_if(|(asked, _)| *asked == slot) else {
                continue;
            };
            self.next_ms = now_ms + pause_ms(PERIOD_MS, now_ms.saturating_sub(asked_ms));
            if completion.check().status == Status::Done {
                let mut bytes = [0; BYTES];
                self.memory.read_bytes(0, &mut bytes);
                let answer = Crc32c::new().bytes(&bytes).finish();
                wrong |= self.judge.is_wrong(answer, epoch);
            }
        }
        wrong
    }
}
