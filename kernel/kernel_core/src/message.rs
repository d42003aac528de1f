// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The word that describes a message, and where its words travel.

/// Most words in a message.
pub const LENGTH_MAX: u64 = 120;
/// Words that travel in registers x2 to x5; the others are in the IPC buffer.
pub(crate) const REGISTER_WORDS: u64 = 4;
/// Register of message word 0.
pub(crate) const FIRST_REGISTER: usize = 2;
/// Word of the IPC buffer that holds message word 0.
pub(crate) const BUFFER_MESSAGE: usize = 1;
/// Word of the IPC buffer that names the first extra capability.
pub(crate) const BUFFER_CAPS: usize = 122;

/// Label, number of extra capabilities and length of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageInfo(u64);

impl MessageInfo {
    /// A message without capabilities.
    #[must_use]
    pub fn new(label: u64, length: u64) -> Self {
        Self((label << 12) | length.min(LENGTH_MAX))
    }

    /// As a program passed it, with the length clamped to what exists.
    #[must_use]
    pub fn from_word(word: u64) -> Self {
        let length = (word & 0x7f).min(LENGTH_MAX);
        Self((word & !0x7f) | length)
    }

    /// The word for a register.
    #[must_use]
    pub fn word(self) -> u64 {
        self.0
    }

    /// 52 bits that mean what sender and receiver agree on.
    #[must_use]
    pub fn label(self) -> u64 {
        self.0 >> 12
    }

    /// Number of message words.
    #[must_use]
    pub fn length(self) -> u64 {
        self.0 & 0x7f
    }

    /// Number of capabilities that the sender wants to pass.
    #[must_use]
    pub fn extra_caps(self) -> u64 {
        (self.0 >> 7) & 0b11
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_127_is_clamped_to_120() {
        let info = MessageInfo::from_word((5 << 12) | 127);
        assert_eq!((info.label(), info.length()), (5, 120));
    }

    #[test]
    fn label_passes_through_whole() {
        let label = (1 << 52) - 1;
        assert_eq!(MessageInfo::from_word(label << 12).label(), label);
        assert_eq!(MessageInfo::new(label, 3).word(), (label << 12) | 3);
    }
}
