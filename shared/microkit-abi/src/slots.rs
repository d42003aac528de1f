// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Where Microkit 2.3.0 puts each capability in a PD's CSpace (`monitor` and `initialiser` sources).

/// What the PD receives from: its endpoint if it has one, else its notification.
pub const INPUT: u64 = 1;
/// Endpoint on which the PD's own faults are sent to its parent.
pub const FAULT: u64 = 2;
/// The PD's own VSpace.
pub const VSPACE: u64 = 3;
/// The PD's one reply object.
pub const REPLY: u64 = 4;
/// Endpoint of Microkit's monitor; present in passive PDs only.
pub const MONITOR: u64 = 5;
/// SMC capability; present with `smc="true"` only.
pub const SMC: u64 = 7;

/// Highest channel or interrupt id (both share one id space).
pub const CHANNEL_MAX: usize = 61;

/// Notification of the peer on channel `channel`.
pub const fn notification(channel: usize) -> u64 {
    10 + channel as u64
}

/// Endpoint of the peer that is called on channel `channel`.
pub const fn endpoint(channel: usize) -> u64 {
    74 + channel as u64
}

/// Handler of the interrupt with id `id`.
pub const fn irq_handler(id: usize) -> u64 {
    138 + id as u64
}

/// TCB of the child PD with id `child`.
pub const fn child_tcb(child: usize) -> u64 {
    202 + child as u64
}

/// Slot `slot` (1..=63) of the capabilities listed in a PD's `<cspace>` element.
pub const fn user(slot: usize) -> u64 {
    (slot as u64) << 58
}
