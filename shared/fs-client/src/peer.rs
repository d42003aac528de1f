// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! How to tell the service that there is a request, and to wait for its answer.

/// The other end of the channel.
pub trait Peer {
    /// Tells the service to look.
    fn notify(&mut self);

    /// Returns when the service may have answered. May return too early, never too late.
    fn wait(&mut self);

    /// The same. One that can tell that it waits for long may call `look`, return when that says true,
    /// and else tell the service to look again: a notification or a completion may have been lost.
    fn wait_or(&mut self, look: &mut dyn FnMut() -> bool) {
        let _ = look;
        self.wait();
    }
}

/// The service behind a channel of this protection domain.
#[cfg(target_os = "none")]
#[derive(Clone, Copy, Debug)]
pub struct ChannelPeer {
    channel: sel4_microkit::Channel,
}

#[cfg(target_os = "none")]
impl ChannelPeer {
    /// Takes the channel to the file service.
    pub const fn new(channel: sel4_microkit::Channel) -> Self {
        Self { channel }
    }
}

#[cfg(target_os = "none")]
impl Peer for ChannelPeer {
    fn notify(&mut self) {
        self.channel.notify();
    }

    fn wait(&mut self) {
        microkit_wait::wait_for(self.channel);
    }

    fn wait_or(&mut self, look: &mut dyn FnMut() -> bool) {
        microkit_wait::wait_for_or(self.channel, look);
    }
}
