// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The message information word.

/// Most message registers that one message carries (`seL4_MsgMaxLength`).
pub const LENGTH_MAX: usize = 120;

/// Bits in a label.
pub const LABEL_BITS: usize = 52;

/// `seL4_MessageInfo`: label in bits 63..12, capabilities unwrapped in 11..9, extra capabilities in
/// 8..7, length in words in 6..0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageInfo(pub u64);

impl MessageInfo {
    /// Makes a message of `length` message registers. Bits of `label` above the 52nd are lost.
    pub const fn new(label: u64, length: usize) -> Self {
        Self(label << 12 | (length as u64 & 0x7f))
    }

    /// Label of the message.
    pub const fn label(self) -> u64 {
        self.0 >> 12
    }

    /// Length in message registers; never above [`LENGTH_MAX`], whatever the word says.
    pub const fn length(self) -> usize {
        let length = (self.0 & 0x7f) as usize;
        if length > LENGTH_MAX {
            LENGTH_MAX
        } else {
            length
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_and_length_come_back() {
        let info = MessageInfo::new(0xdead, 3);
        assert_eq!((info.label(), info.length()), (0xdead, 3));
        assert_eq!(info.0, 0xdead003);
    }

    #[test]
    fn length_is_clamped_as_the_kernel_does() {
        assert_eq!(MessageInfo(127).length(), LENGTH_MAX);
    }
}
