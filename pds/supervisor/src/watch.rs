// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Wires `supervisor_service::liveness` to ticks, vitals pages and channels.
//!
//! The ticks themselves may stay away, when the time service hangs. Then the parent's questions,
//! which hang on another clock, are a second source: five in a row without a tick in between mean
//! that the service is dead, unless somebody above it keeps the processor from it.

use alloc::{boxed::Box, format, vec::Vec};

use log::warn;
use policy::ChildPolicy;
use sel4_microkit::{Channel, ChannelSet};
use sel4_shared_memory::SharedRef;
use supervisor_service::{
    fault::Kind,
    liveness::{Hang, Liveness},
};
use topology::Topology;
use vitals::Seen;

use crate::asker::{self, Ask};
use crate::ticks::{METRONOME, Tick, Ticks};

/// Id of the supervised end of a channel from a supervisor (`pd-setup`).
pub const SUPERVISED: u8 = 60;
/// Questions of the parent in a row without a tick in between.
const QUESTIONS_MAX: u32 = 5;
/// Time between two questions of the parent that count, at least.
const QUESTION_PERIOD_MS: u64 = 20;

struct Child {
    name: &'static str,
    vitals: Option<SharedRef>,
    channel: Option<Channel>,
    asker: Option<Box<dyn Ask>>,
}

impl Child {
    /// Asks it something, if it is one that can be asked.
    fn ask(&mut self) {
        if let Some((asker, vitals)) = self.asker.as_mut().zip(self.vitals.as_ref()) {
            let seen = vitals::read(vitals);
            // Somebody who is late shows it only while there is work.
            asker.ask(now_ms(), seen.late_interrupts + seen.late_work > 0);
        }
    }
}

/// A hang that was noticed.
pub struct Noticed {
    /// Who hangs.
    pub child: usize,
    /// How, if that is known already.
    pub kind: Option<Kind>,
    /// Whether a restart seems to be of no use.
    pub hopeless: bool,
}

/// Watches the children, by their position.
pub struct Watch {
    ticks: Ticks,
    questions: Channel,
    children: Vec<Child>,
    liveness: Liveness,
    ticked_ms: u64,
    asked_ms: u64,
    asked_without_tick: u32,
    /// Looks in this life.
    looks: u64,
    /// The timer at the time service may be lost.
    is_to_renew: bool,
    is_wanted: bool,
}

impl Watch {
    /// Watches nobody yet.
    pub fn new() -> Self {
        Self {
            ticks: Ticks::None,
            questions: pd_setup::hear_questions(),
            children: Vec::new(),
            liveness: Liveness::default(),
            ticked_ms: now_ms(),
            asked_ms: now_ms(),
            asked_without_tick: 0,
            looks: 0,
            is_to_renew: false,
            is_wanted: false,
        }
    }

    /// Adds the next child.
    pub fn add(
        &mut self,
        topology: &Topology<'static>,
        child: &topology::Child<'static>,
        policy: ChildPolicy,
    ) {
        let vitals = topology.region(&format!("{}_vitals", child.name));
        let mut channels = topology.channels();
        let channel = channels.find(|end| end.peer == child.name && end.peer_id == SUPERVISED);
        self.liveness.add(child.priority, policy);
        self.is_wanted |= policy.heartbeat_ms > 0 || policy.progress_timeout_ms > 0;
        self.children.push(Child {
            name: child.name,
            vitals: vitals.map(|region| pd_setup::reads(&region)),
            channel: channel.map(|channel| Channel::new(channel.id.into())),
            asker: asker::find(topology, child.name),
        });
    }

    /// Starts the ticks, if a policy wants anybody to be watched.
    pub fn start(&mut self, topology: &Topology<'static>) {
        if self.is_wanted {
            self.ticks = Ticks::find(topology);
        }
    }

    /// Whether this child is nothing but a clock that nobody wants.
    pub fn is_idle_clock(&self, child: usize) -> bool {
        !self.is_wanted && self.children[child].name == METRONOME
    }

    /// Whether there is anything that will wake this supervisor by and by.
    pub fn has_ticks(&self) -> bool {
        !matches!(self.ticks, Ticks::None)
    }

    /// A new life of the child begins.
    pub fn restarted(&mut self, child: usize) {
        self.liveness.restarted(child);
        if self.ticks.server() == Some(self.children[child].name) {
            self.asked_without_tick = 0;
            if core::mem::take(&mut self.is_to_renew) {
                self.ticks.renew();
            }
        }
    }

    /// Deals with notifications. `epochs` has the epoch of every child that is to be watched.
    pub fn notified(
        &mut self,
        channels: ChannelSet,
        epochs: impl Iterator<Item = Option<u32>> + Clone,
    ) -> Option<Noticed> {
        if let Some(wrong) = self.wrong_answer(epochs.clone()) {
            return Some(wrong);
        }
        match self.ticks.take(channels) {
            Tick::Period => {
                self.children.iter_mut().for_each(Child::ask);
                (self.ticked_ms, self.asked_without_tick) = (now_ms(), 0);
                let server = self.ticks.server().and_then(|name| self.position(name));
                let found = self.look(epochs, server, self.ticks.period_ms());
                return found.map(|(child, hang)| self.noticed(child, hang));
            }
            Tick::Silence => {
                let child = self.position(METRONOME)?;
                return Some(self.noticed(child, Hang::Silent));
            }
            Tick::None => {}
        }
        if channels.contains(self.questions) {
            self.on_question(epochs)
        } else {
            None
        }
    }

    /// Looks at all children, and asks those that are due.
    fn look(
        &mut self,
        epochs: impl Iterator<Item = Option<u32>>,
        caller: Option<usize>,
        period_ms: u64,
    ) -> Option<(usize, Hang)> {
        let seen: Vec<_> = self
            .children
            .iter()
            .zip(epochs)
            .map(|(child, epoch)| {
                let (vitals, epoch) = (child.vitals.as_ref()?, epoch?);
                child.channel?;
                let seen = vitals::read(vitals);
                // Until this life has reached its vitals page, it is busy getting there.
                let this_life = seen.epoch == Some(epoch);
                Some(if this_life {
                    seen
                } else {
                    Seen {
                        runs: true,
                        ..Seen::default()
                    }
                })
            })
            .collect();
        let findings = self.liveness.look(&seen, caller, now_ms(), period_ms);
        pd_setup::occupied(findings.occupied);
        // The runtime answers for us, also when we look at nobody any more (campaign on seL4 release, seed 1,
        // trial 575, and through gdbstub 78): it is the looks that our parent has to see.
        self.looks += 1;
        pd_setup::work(1, self.looks);
        for (index, child) in self.children.iter().enumerate() {
            if let Some(channel) = child.channel.filter(|_| findings.ask & 1 << index != 0) {
                channel.notify();
            }
        }
        findings.hung
    }

    fn noticed(&mut self, child: usize, hang: Hang) -> Noticed {
        let kind = match hang {
            Hang::Silent => None,
            Hang::Deadlock => Some(Kind::Deadlock),
            Hang::StuckQueue => Some(Kind::StuckQueue),
            Hang::LostInterrupt => Some(Kind::LostIrq),
        };
        Noticed {
            child,
            kind,
            hopeless: self.liveness.is_hopeless(child),
        }
    }

    /// A child that has answered wrongly.
    fn wrong_answer(&mut self, epochs: impl Iterator<Item = Option<u32>>) -> Option<Noticed> {
        let now = now_ms();
        let mut children = self.children.iter_mut().zip(epochs);
        let child = children.position(|(child, epoch)| {
            let asker = child.asker.as_mut().zip(epoch);
            asker.is_some_and(|(asker, epoch)| asker.is_wrong(epoch, now))
        })?;
        Some(Noticed {
            child,
            kind: Some(Kind::WrongAnswer),
            hopeless: false,
        })
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.children.iter().position(|child| child.name == name)
    }

    /// The parent asks. It lives by another clock than the time service's.
    fn on_question(&mut self, epochs: impl Iterator<Item = Option<u32>>) -> Option<Noticed> {
        let (now, asked) = (now_ms(), self.asked_ms);
        let server = self.ticks.server()?;
        if now.saturating_sub(asked.max(self.ticked_ms)) < QUESTION_PERIOD_MS {
            return None;
        }
        self.asked_ms = now;
        self.asked_without_tick += 1;
        let server = self.position(server);
        // The service is somebody else's child, and its ticks may just be late: a look at another moment than
        // its tick's would catch children at the work that the tick has caused, and call them occupied.
        if server.is_none() && self.asked_without_tick < 2 * QUESTIONS_MAX {
            return None;
        }
        let found = self.look(epochs, None, now.saturating_sub(asked));
        let Some(server) = server else {
            // Another supervisor watches the service, but our timer may be lost (campaign on seL4 release,
            // seed 1, trials 376 and 700: its entry in the shared page was damaged).
            if self.asked_without_tick.is_multiple_of(QUESTIONS_MAX) {
                warn!("no tick for {} ms", now.saturating_sub(self.ticked_ms));
                self.ticks.renew();
            }
            return found.map(|(child, hang)| self.noticed(child, hang));
        };
        if let Some((child, hang)) = found.filter(|(child, _)| *child != server) {
            return Some(self.noticed(child, hang));
        }
        if self.asked_without_tick < QUESTIONS_MAX || self.liveness.is_shadowed(server) {
            return None;
        }
        warn!("no tick for {} ms", now.saturating_sub(self.ticked_ms));
        // When it lives again: a notification now would move one that is in a deadlock.
        self.is_to_renew = true;
        // Alive, but its interrupt does not come; else it is as silent as any.
        let kind = (!self.liveness.is_silent(server)).then_some(Kind::LostIrq);
        Some(Noticed {
            child: server,
            kind,
            hopeless: self.liveness.is_hopeless(server),
        })
    }
}

/// The counter in milliseconds.
pub fn now_ms() -> u64 {
    recovery::ticks() / (recovery::ticks_per_second() / 1_000)
}
