// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Resets a device that asks for it or has stopped answering, and runs again what it had.
//!
//! It may have failed because of one of the requests. So those that it had go to it one at a time,
//! in their old order; the one that is alone with it when it fails again, three times over, fails.
//! The clients know nothing of all this: a request is in its table until it is completed.

use proto::blk::{Completion, Status};

use super::{FLUSHING, InProgress, Service};
use crate::device::{Device, TAGS};
use crate::lateness::Tell;
use crate::watchdog::Finding;

/// Resets of the device that one request may cost when it was alone.
const RESETS_MAX: u32 = 3;

/// A request that may be the reason for a reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Suspect {
    client: u32,
    sequence: u64,
    resets: u32,
}

impl<D: Device> Service<D> {
    /// Looks whether the device still answers, and whether interrupts and notifications arrive. Returns
    /// the clients to notify, as [`Self::run`].
    ///
    /// Call it from time to time; the driver's own clock says when.
    ///
    /// # Panics
    ///
    /// When a reset was in vain, and another life is wanted to try.
    pub fn look(&mut self, now_ms: u64) -> u64 {
        if let Some(device) = &mut self.device {
            self.lateness.look_at_device(|tell| {
                if tell == Tell::Again {
                    device.kick_again();
                }
                device.is_untold()
            });
            device.mark();
        }
        // What has been completed without an interrupt is no reason for a reset.
        let clients = self.run();
        self.lateness.asked();
        self.assert_tags();
        let busy = self.in_progress_count() > 0;
        match self.watchdog.look(now_ms, busy, self.completed) {
            Finding::Fine => clients,
            Finding::Stuck => {
                if self.watchdog.was_in_vain() {
                    // One wrong store of ours, and the disk was told of no command any more (campaign on seL4
                    // release, seed 2, trial 1794).
                    self.failures
                        .ask_another(format_args!("no answer after a reset"));
                }
                self.reset_device("does not answer");
                clients | self.run()
            }
        }
    }

    /// A tag that is taken is a command's: a lost one would have the disk reset again and again, for a
    /// command that it never had (campaign on seL4 release, seed 2, trial 5369).
    fn assert_tags(&self) {
        let known = self.in_progress.iter().flatten().count() as u64;
        let (taken, own) = (self.in_progress_count(), u64::from(self.reading.is_some()));
        assert!(
            self.careful > 0 || taken == known + own,
            "{taken} tags are taken for {known} commands"
        );
    }

    /// What damaged code may do.
    #[cfg(test)]
    pub(crate) fn lose_tag(&mut self, tag: usize) {
        self.free_tags &= !(1 << tag);
    }

    #[cold]
    pub(super) fn reset_device(&mut self, why: &str) {
        let count = self.in_progress.iter().flatten().count();
        log::warn!("the disk {why}: reset, {count} requests run again");
        self.resets += 1;
        self.failures.clear();
        // Some that it had the last time may be waiting for their turn still.
        self.careful = self.careful.max(count as u32);
        let mut lost = core::mem::replace(&mut self.in_progress, [const { None }; TAGS]);
        if count == 1 {
            lost.iter_mut().for_each(|place| self.accuse(place));
        }
        for client in &mut self.clients {
            client.table.take_back();
            client.held = None;
            client.in_progress = 0;
            client.blocked &= !FLUSHING;
        }
        let hopeless = self.watchdog.reset(self.completed);
        if hopeless || !self.device.as_mut().is_some_and(Device::restart) {
            log::error!("the disk does not come back; all requests will fail");
            self.device = None;
            (self.all_tags, self.free_tags, self.careful) = (0, 0, 0);
        } else {
            self.free_tags = if self.careful > 0 { 1 } else { self.all_tags };
        }
        self.read_table_again();
    }

    /// Notes the only request that the device had. One too often, and it fails.
    fn accuse(&mut self, place: &mut Option<InProgress>) {
        let Some(only) = place.take() else { return };
        let (client, sequence) = (only.client, only.ticket.sequence());
        let resets = match self.suspect {
            Some(known) if (known.client, known.sequence) == (client, sequence) => known.resets + 1,
            _ => 1,
        };
        self.suspect = Some(Suspect {
            client,
            sequence,
            resets,
        });
        if resets >= RESETS_MAX {
            log::error!("request {sequence} failed: the disk did, {resets} times");
            self.careful -= 1;
            self.complete(
                client as usize,
                only.ticket,
                &Completion::failed(Status::Io),
            );
        }
    }

    /// One of the lost requests is completed. After the last, the device gets many at a time again.
    #[cold]
    pub(super) fn one_less_to_care_for(&mut self) {
        self.careful -= 1;
        if self.careful == 0 {
            let busy = self.reading.map_or(0, |reading| reading.bit());
            self.free_tags = self.all_tags & !busy;
        }
    }
}
