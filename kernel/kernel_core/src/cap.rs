// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Capabilities and the CSpace that Microkit gives every PD.
//!
//! A root CNode of 64 slots, whose slot 0 holds the Microkit CNode of 512 slots behind a guard of 49
//! zero bits. So addresses below 512 name Microkit slots, and `slot << 58` names a root slot.

use crate::ids::{EndpointId, NotificationId, PDS_MAX, ReplyId, SchedContextId, ThreadId};

/// The right to do something with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cap {
    /// An empty slot.
    Null,
    /// Send, call and receive; the receiver sees the badge.
    Endpoint {
        /// Which one.
        endpoint: EndpointId,
        /// Who holds this capability, in the receiver's terms.
        badge: u64,
    },
    /// Signal and wait.
    Notification {
        /// Which one.
        notification: NotificationId,
        /// Bits that a signal sets.
        badge: u64,
    },
    /// Answer the caller held by this reply object.
    Reply(ReplyId),
    /// Control a thread.
    Tcb(ThreadId),
    /// Give a scheduling context to a thread or notification.
    SchedContext(SchedContextId),
    /// Maintain caches for an address space.
    Vspace(ThreadId),
    /// Acknowledge an interrupt.
    IrqHandler(u32),
    /// Make secure monitor calls.
    Smc,
}

/// Why an address names no slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupFailure {
    /// Nothing usable in the slot.
    MissingCapability {
        /// Bits not yet looked at.
        bits_left: u64,
    },
    /// The address has other bits where the CNode's guard is.
    GuardMismatch {
        /// Bits not yet looked at.
        bits_left: u64,
        /// The guard.
        guard: u64,
        /// Its length.
        guard_bits: u64,
    },
}

/// Slots of the Microkit CNode.
const MICROKIT_SLOTS: usize = 512;
/// Slots of the root CNode.
const ROOT_SLOTS: usize = 64;
const ROOT_SHIFT: u32 = 58;
const MICROKIT_BITS: u32 = 9;
/// Capabilities in the whole system.
const CAPS_MAX: usize = 4096;

/// The CSpaces of all PDs.
pub(crate) struct Cspaces {
    /// Index into `caps`: Microkit slots, then root slots. 0 is the empty slot.
    slots: [[u16; MICROKIT_SLOTS + ROOT_SLOTS]; PDS_MAX],
    caps: [Cap; CAPS_MAX],
    count: usize,
}

impl Cspaces {
    pub(crate) const EMPTY: Self = Self {
        slots: [[0; MICROKIT_SLOTS + ROOT_SLOTS]; PDS_MAX],
        caps: [Cap::Null; CAPS_MAX],
        count: 1,
    };

    /// Puts a capability into `slot`; user slot `s` is 512 plus `s`. False if there is no room.
    #[must_use]
    pub(crate) fn install(&mut self, holder: ThreadId, slot: usize, cap: Cap) -> bool {
        let free = self.slots[holder.index()].get(slot) == Some(&0);
        if !free || self.count == CAPS_MAX {
            return false;
        }
        self.caps[self.count] = cap;
        self.slots[holder.index()][slot] = self.count as u16;
        self.count += 1;
        true
    }

    /// What `address` names in the CSpace of `holder`.
    pub(crate) fn lookup(&self, holder: ThreadId, address: u64) -> Result<Cap, LookupFailure> {
        let root = (address >> ROOT_SHIFT) as usize;
        let slot = if root == 0 {
            let guard = address >> MICROKIT_BITS;
            if guard != 0 {
                return Err(LookupFailure::GuardMismatch {
                    bits_left: u64::from(ROOT_SHIFT),
                    guard: 0,
                    guard_bits: u64::from(ROOT_SHIFT - MICROKIT_BITS),
                });
            }
            address as usize
        } else {
            MICROKIT_SLOTS + root
        };
        Ok(self.caps[usize::from(self.slots[holder.index()][slot])])
    }
}
