// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Decides whether the disk gets once more what it has reported as failed (docs/decisions/0075).
//!
//! The command of a tag stays in the queue's memory until another one takes its place, so it is offered
//! again as it is. What has failed is counted here, not beside the commands in progress: one that succeeds
//! costs nothing. The count goes with the life: the next one takes requests from their
//! tables and knows of no error.
//!
//! The last failure may be one of this life, and not of the disk: it asks whether it may end before it says
//! so ([`crate::Doubt`] decides).

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt::Arguments;

use recovery::fault_point;

use super::Service;
use crate::device::Device;
use crate::gpt::Place;

/// How often a command is given to the disk again, before its failure is believed.
pub const RETRIES_MAX: u8 = 2;

/// What a command is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The client with this number, and the sequence number of its request.
    Client(u32, u64),
    /// The driver's own: to find the partitions.
    Table(Place),
}

/// Asked whether this life may end, so that another one tries what has failed.
pub type SecondOpinion = Box<dyn FnMut() -> bool>;

/// See the module.
#[derive(Default)]
pub(super) struct Failures {
    /// Commands that have failed and were given to the disk again, one per tag at most.
    known: Vec<Failed>,
    /// Commands that were given to the disk again in this life.
    retries: u64,
    second_opinion: Option<SecondOpinion>,
}

#[derive(Debug)]
struct Failed {
    tag: usize,
    purpose: Purpose,
    retries: u8,
}

impl Failures {
    /// A command has failed; whether the disk is to get it again.
    fn again(&mut self, tag: usize, purpose: Purpose) -> bool {
        let begun = Failed {
            tag,
            purpose,
            retries: 0,
        };
        let index = self.known.iter().position(|known| known.tag == tag);
        let index = index.unwrap_or(self.known.len());
        // An entry with another purpose is of a command that was done in the end.
        match self.known.get_mut(index) {
            None => self.known.push(begun),
            Some(known) if known.purpose != purpose => *known = begun,
            Some(_) => {}
        }
        let retries = &mut self.known[index].retries;
        *retries += 1;
        *retries <= RETRIES_MAX
    }

    /// A failure is about to be believed.
    ///
    /// # Panics
    ///
    /// When another life is wanted to try.
    pub(super) fn ask_another(&mut self, what: Arguments<'_>) {
        if let Some(wanted) = &mut self.second_opinion {
            assert!(!wanted(), "{what}: let another life try");
        }
    }

    /// The device was reset: all that it had begins anew.
    pub(super) fn clear(&mut self) {
        self.known.clear();
    }
}

impl<D: Device> Service<D> {
    /// Gives the disk a command again that it reports as failed, with the next kick. Returns false when that
    /// is in vain, or when it has no such command.
    ///
    /// # Panics
    ///
    /// When it is in vain, and another life is wanted to try.
    #[cold]
    #[inline(never)]
    pub(super) fn try_again(&mut self, tag: usize) -> bool {
        let purpose = match (&self.in_progress[tag], self.reading) {
            (Some(known), _) => Purpose::Client(known.client, known.ticket.sequence()),
            (None, Some(reading)) if reading.is_at(tag) => Purpose::Table(reading.place()),
            _ => return false,
        };
        let Some(device) = self.device.as_mut() else {
            return false;
        };
        if !self.failures.again(tag, purpose) {
            self.failures
                .ask_another(format_args!("the disk fails {purpose:?}"));
            return false;
        }
        let client = self.in_progress[tag].as_ref().map(|known| {
            let table = &mut self.clients[known.client as usize].table;
            // A retry that kills the driver, life after life, is that request's fault.
            table.take_up(&known.ticket);
            table
        });
        fault_point!("blk.before_retry");
        device.submit_again(tag);
        if let Some(table) = client {
            table.put_down();
        }
        // The disk answers, if not as we would like: it has not stopped.
        self.completed += 1;
        self.failures.retries += 1;
        true
    }

    /// Commands that were given to the disk again in this life, because it had reported them as failed.
    pub fn retry_count(&self) -> u64 {
        self.failures.retries
    }

    /// Without one, a failure that stays is believed at once.
    pub fn set_second_opinion(&mut self, second_opinion: SecondOpinion) {
        self.failures.second_opinion = Some(second_opinion);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_has_its_own_retries() {
        let mut failures = Failures::default();
        let (one, other) = (Purpose::Client(0, 7), Purpose::Client(1, 7));
        assert!(failures.again(3, one) && failures.again(4, other));
        assert!(failures.again(3, one) && failures.again(4, other));
        assert!(!failures.again(3, one));
        // The tag has another command now, and then one of the driver's own.
        assert!(failures.again(3, other) && failures.again(3, other));
        let table = Purpose::Table(Place::Primary);
        assert!(failures.again(3, table));
        assert!(!failures.again(4, other));
        assert_eq!(failures.known.len(), 2);
        failures.clear();
        assert!(failures.again(4, other) && failures.again(4, other) && !failures.again(4, other));
    }
}
