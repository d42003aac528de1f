// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What a badge says about where a received message came from.

/// Set in the badge of a protected procedure call.
const PROTECTED_BIT: u64 = 1 << 63;
/// Set in the badge of a child's fault.
const FAULT_BIT: u64 = 1 << 62;

/// Sender of a received message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// Notifications: one bit for each channel or interrupt id.
    Notifications(u64),
    /// A caller on this channel.
    Channel(usize),
    /// The fault of the child with this id.
    Child(usize),
}

impl Sender {
    /// Decodes a badge. As in libmicrokit, bit 62 is looked at before bit 63, and only the low
    /// bits count (channel: 6 bits, child: 8 bits).
    pub const fn from_badge(badge: u64) -> Self {
        if badge & FAULT_BIT != 0 {
            Self::Child((badge & 0xff) as usize)
        } else if badge & PROTECTED_BIT != 0 {
            Self::Channel((badge & 0x3f) as usize)
        } else {
            Self::Notifications(badge)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_word_is_a_set_of_notifications() {
        assert_eq!(Sender::from_badge(0b101), Sender::Notifications(0b101));
        assert_eq!(Sender::from_badge(0), Sender::Notifications(0));
    }

    #[test]
    fn bit_63_is_a_call_and_bit_62_a_fault() {
        assert_eq!(Sender::from_badge(1 << 63 | 61), Sender::Channel(61));
        assert_eq!(Sender::from_badge(1 << 62 | 7), Sender::Child(7));
        assert_eq!(Sender::from_badge(3 << 62 | 7), Sender::Child(7));
    }
}
