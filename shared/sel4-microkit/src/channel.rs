// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Channels, sets of channels, and children.

use core::fmt;

use microkit_abi::slots;

/// A channel to another protection domain, or an interrupt: the two share one id space.
#[derive(Debug, Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct Channel {
    index: usize,
}

impl Channel {
    /// Names the channel with this id.
    ///
    /// # Panics
    ///
    /// When Microkit has no such id (62 and above). In a constant this is a compile-time error.
    pub const fn new(index: usize) -> Self {
        assert!(index <= slots::CHANNEL_MAX);
        Self { index }
    }

    /// The channel's id.
    pub const fn index(&self) -> usize {
        self.index
    }
}

#[cfg(target_os = "none")]
mod calls {
    use microkit_abi::{KernelConfig, message, slots, syscalls};

    use super::{Channel, IrqAckError};
    use crate::{
        MessageInfo,
        symbols::{pd_irqs, pd_notifications, pd_pps},
    };

    impl Channel {
        fn check(self, mask: usize, what: &str) {
            if mask & (1 << self.index) == 0 {
                panic!("{what}: not valid for channel {}", self.index);
            }
        }

        /// Notifies the peer.
        ///
        /// # Panics
        ///
        /// When the system description gives this PD no right to notify on this channel.
        pub fn notify(&self) {
            syscalls::signal(self.notification());
        }

        /// Acknowledges the interrupt, so that it can happen again.
        ///
        /// # Panics
        ///
        /// When this id is not an interrupt of this PD.
        pub fn irq_ack(&self) -> Result<(), IrqAckError> {
            let info = message::MessageInfo::new(KernelConfig::detect().irq_ack(), 0);
            match syscalls::call(self.irq_handler(), info).label() {
                0 => Ok(()),
                code => Err(IrqAckError(code)),
            }
        }

        /// Calls the peer and waits for its answer.
        ///
        /// # Panics
        ///
        /// When this PD is not the caller's end of a `pp="true"` channel with this id.
        pub fn pp_call(&self, msg_info: MessageInfo) -> MessageInfo {
            self.check(pd_pps(), "pp_call");
            MessageInfo::from_inner(syscalls::call(
                slots::endpoint(self.index),
                msg_info.inner(),
            ))
        }

        pub(crate) fn notification(self) -> u64 {
            self.check(pd_notifications(), "notify");
            slots::notification(self.index)
        }

        pub(crate) fn irq_handler(self) -> u64 {
            self.check(pd_irqs(), "irq_ack");
            slots::irq_handler(self.index)
        }
    }
}

/// Refusal of [`Channel::irq_ack`]: the kernel's error code.
#[derive(Debug, PartialEq, Eq)]
pub struct IrqAckError(pub(crate) u64);

impl fmt::Display for IrqAckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "interrupt acknowledgement refused with kernel error {}",
            self.0
        )
    }
}

/// A child protection domain.
#[derive(Debug, Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct Child {
    index: usize,
}

impl Child {
    /// Names the child with this id.
    pub const fn new(index: usize) -> Self {
        Self { index }
    }

    /// The child's id.
    pub const fn index(&self) -> usize {
        self.index
    }
}

/// The channels (and interrupts) that a notification came from.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelSet(pub(crate) u64);

impl ChannelSet {
    /// Whether `channel` is one of them.
    pub fn contains(&self, channel: Channel) -> bool {
        self.0 & (1 << channel.index()) != 0
    }

    /// The channels, lowest id first.
    pub fn iter(&self) -> impl Iterator<Item = Channel> + use<> {
        let bits = self.0;
        (0..=slots::CHANNEL_MAX)
            .filter(move |id| bits & (1 << id) != 0)
            .map(Channel::new)
    }

    /// Formats as `{1, 2}`.
    pub fn display(&self) -> DisplayChannelSet<'_> {
        DisplayChannelSet(self)
    }
}

/// See [`ChannelSet::display`].
pub struct DisplayChannelSet<'a>(&'a ChannelSet);

impl fmt::Display for DisplayChannelSet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (position, channel) in self.0.iter().enumerate() {
            let separator = if position == 0 { "" } else { ", " };
            write!(f, "{separator}{}", channel.index())?;
        }
        f.write_str("}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_lists_its_channels_in_order() {
        let set = ChannelSet(1 << 61 | 1 << 3 | 1);
        assert!(set.contains(Channel::new(3)));
        assert!(!set.contains(Channel::new(4)));
        assert_eq!(set.display().to_string(), "{0, 3, 61}");
        assert_eq!(ChannelSet(0).display().to_string(), "{}");
    }

    #[test]
    fn bits_that_microkit_never_sets_are_no_channels() {
        assert_eq!(ChannelSet(3 << 62).iter().count(), 0);
    }

    #[test]
    #[should_panic(expected = "index <= slots::CHANNEL_MAX")]
    fn channel_62_does_not_exist() {
        let _ = Channel::new(62);
    }
}
