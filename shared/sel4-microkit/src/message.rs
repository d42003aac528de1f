// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Messages: the information word and the message registers.

use microkit_abi::message;

/// Type of a message's label.
pub type MessageLabel = u64;

/// Type of a message register.
pub type MessageRegisterValue = u64;

/// Label and length of a message (`microkit_msginfo`).
#[derive(Clone, Debug)]
pub struct MessageInfo {
    inner: message::MessageInfo,
}

impl MessageInfo {
    /// Makes the description of a message with `count` message registers.
    pub fn new(label: MessageLabel, count: usize) -> Self {
        Self {
            inner: message::MessageInfo::new(label, count),
        }
    }

    #[cfg(target_os = "none")]
    pub(crate) const fn from_inner(inner: message::MessageInfo) -> Self {
        Self { inner }
    }

    #[cfg(target_os = "none")]
    pub(crate) const fn inner(&self) -> message::MessageInfo {
        self.inner
    }

    /// Label of the message.
    pub fn label(&self) -> MessageLabel {
        self.inner.label()
    }

    /// Number of meaningful bits in a label.
    pub const fn label_width() -> usize {
        message::LABEL_BITS
    }

    /// Number of message registers that the message fills.
    pub fn count(&self) -> usize {
        self.inner.length()
    }
}

impl Default for MessageInfo {
    fn default() -> Self {
        Self::new(0, 0)
    }
}

#[cfg(target_os = "none")]
mod registers {
    use microkit_abi::ipc_buffer;

    use super::MessageRegisterValue;

    /// Lets `f` read the message registers.
    pub fn with_msg_regs<T>(f: impl FnOnce(&[MessageRegisterValue]) -> T) -> T {
        ipc_buffer::with(|registers| f(registers))
    }

    /// Lets `f` write the message registers.
    pub fn with_msg_regs_mut<T>(f: impl FnOnce(&mut [MessageRegisterValue]) -> T) -> T {
        ipc_buffer::with_mut(|registers| f(registers))
    }

    /// Lets `f` read the message registers as bytes.
    pub fn with_msg_bytes<T>(f: impl FnOnce(&[u8]) -> T) -> T {
        ipc_buffer::with_bytes(f)
    }

    /// Lets `f` write the message registers as bytes.
    pub fn with_msg_bytes_mut<T>(f: impl FnOnce(&mut [u8]) -> T) -> T {
        ipc_buffer::with_bytes_mut(f)
    }

    /// Sets message register `i` (`microkit_mr_set`).
    ///
    /// # Panics
    ///
    /// When there is no such register (120 and above).
    pub fn set_mr(i: usize, value: MessageRegisterValue) {
        with_msg_regs_mut(|registers| registers[i] = value);
    }

    /// Gets message register `i` (`microkit_mr_get`).
    ///
    /// # Panics
    ///
    /// When there is no such register (120 and above).
    pub fn get_mr(i: usize) -> MessageRegisterValue {
        with_msg_regs(|registers| registers[i])
    }
}

#[cfg(target_os = "none")]
pub use registers::{
    get_mr, set_mr, with_msg_bytes, with_msg_bytes_mut, with_msg_regs, with_msg_regs_mut,
};
