// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Waiting for one channel in the middle of an event handler.
//!
//! A service that has to wait for another one takes its own requests through shared memory, so
//! that it owes nobody a reply and may block. Bits of other channels that arrive meanwhile are
//! noted, and delivered to the handler's `notified` when it has returned. Upstream's
//! `sel4-microkit` has no such wait; this crate works beside it but needs our event loop to
//! deliver what was noted.
//!
//! The supervisor's question whether the PD is alive is answered here as in the event loop, and the
//! vitals say what is waited for.
//!
//! Only for a PD without an endpoint: no child, no `pp="true"` channel on which it is called. The
//! kernel would otherwise refuse the wait with a capability fault.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

#[cfg(target_os = "none")]
mod target {
    use microkit_abi::watch::{self, Moment};
    use microkit_abi::{noted, syscalls};
    use sel4_microkit::Channel;

    /// The supervisor's questions, by default 20 ms apart and the only clock of a PD that waits, that make
    /// a wait a long one.
    const ASKED_LONG: u32 = 5;

    /// Waits until `channel` has signalled. A bit says "look", not how often, and may be older
    /// than the question.
    pub fn wait_for(channel: Channel) {
        wait(1 << channel.index(), || false);
    }

    /// The same, for a peer whose answer or whose reading of our signal may get lost. After a long wait,
    /// and again and again, calls `look`; returns when that says true, and else signals the peer.
    pub fn wait_for_or(channel: Channel, look: &mut dyn FnMut() -> bool) {
        let mut asked = 0;
        wait(1 << channel.index(), || {
            asked = (asked + 1) % ASKED_LONG;
            if asked != 0 {
                return false;
            }
            let found = look();
            if !found {
                channel.notify();
            }
            found
        });
    }

    /// Waits for any of `channels`, and says which of them have signalled (bit = channel id).
    pub fn wait_for_any(channels: &[Channel]) -> u64 {
        let mask = channels
            .iter()
            .fold(0, |mask, channel| mask | 1 << channel.index());
        wait(mask, || false)
    }

    /// Waits for a bit of `mask`, and takes what has come of it. Calls `asked` when the supervisor has asked
    /// and no such bit came; ends when that says true.
    fn wait(mask: u64, mut asked: impl FnMut() -> bool) -> u64 {
        let bits = noted::take(mask);
        if bits != 0 {
            return bits;
        }
        watch::tell(Moment::Waiting(mask));
        let bits = loop {
            let all = syscalls::wait();
            noted::note(watch::received(all));
            let taken = noted::take(mask);
            // Also where the handler hears the questions.
            if taken != 0 || (watch::is_asking(all) && asked()) {
                break taken;
            }
        };
        watch::tell(Moment::Waiting(0));
        bits
    }

    /// Takes what has arrived, without waiting; says whether `channel` has signalled.
    pub fn poll(channel: Channel) -> bool {
        noted::note(watch::received(syscalls::poll()));
        noted::take(1 << channel.index()) != 0
    }
}

#[cfg(target_os = "none")]
pub use target::{poll, wait_for, wait_for_any, wait_for_or};
