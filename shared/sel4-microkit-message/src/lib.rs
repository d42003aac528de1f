// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Typed messages in message registers, for protected procedure calls.
//!
//! A message is a label and one value of a type with a fixed layout (zerocopy). Both ends name the
//! type; a message of another length is refused, not cut or padded. Calls whose server died under
//! them end with [`CallError::Restarted`]: our runtime answers them from its next life.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

use sel4_microkit::MessageLabel;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Most bytes that one message carries: 120 message registers.
pub const BYTES_MAX: usize = 120 * 8;

/// Label of the answer to a caller whose server was restarted (`microkit_abi::labels::RESTARTED`).
pub const RESTARTED: MessageLabel = (1 << 52) - 1;

/// Why a received message is not the value that was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecvError {
    /// Another number of message registers than the type fills.
    Length {
        /// Registers that the type fills.
        expected: usize,
        /// Registers that came.
        found: usize,
    },
}

/// Why a call has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallError {
    /// The server died before it answered, and has been restarted. It may or may not have done
    /// what was asked.
    Restarted,
    /// The server answered with another label than 0.
    Refused(MessageLabel),
    /// The answer is not of the expected type.
    Malformed(RecvError),
}

/// Message registers that a `T` fills.
pub const fn register_count<T>() -> usize {
    size_of::<T>().div_ceil(8)
}

/// Writes `value` to the front of the message registers; returns how many it fills.
///
/// # Panics
///
/// When a `T` has more than [`BYTES_MAX`] bytes.
pub fn encode<T: IntoBytes + Immutable>(value: &T, registers: &mut [u64]) -> usize {
    let count = register_count::<T>();
    registers[..count].fill(0);
    let bytes = value.as_bytes();
    registers[..count].as_mut_bytes()[..bytes.len()].copy_from_slice(bytes);
    count
}

/// Reads a `T` from a message of `count` registers.
pub fn decode<T: FromBytes>(registers: &[u64], count: usize) -> Result<T, RecvError> {
    let expected = register_count::<T>();
    let refused = RecvError::Length {
        expected,
        found: count,
    };
    if count != expected {
        return Err(refused);
    }
    let (value, _) = T::read_from_prefix(registers.as_bytes()).map_err(|_| refused)?;
    Ok(value)
}

#[cfg(target_os = "none")]
mod target {
    use sel4_microkit::{Channel, MessageInfo, MessageLabel, with_msg_regs, with_msg_regs_mut};
    use zerocopy::{FromBytes, Immutable, IntoBytes};

    use crate::{CallError, RESTARTED, RecvError, decode, encode};

    /// Puts `value` into the message registers, to be sent with `label`.
    pub fn send<T: IntoBytes + Immutable>(label: MessageLabel, value: &T) -> MessageInfo {
        let count = with_msg_regs_mut(|registers| encode(value, registers));
        MessageInfo::new(label, count)
    }

    /// Takes the value of a received message.
    pub fn recv<T: FromBytes>(message: &MessageInfo) -> Result<T, RecvError> {
        with_msg_regs(|registers| decode(registers, message.count()))
    }

    /// Calls `channel` and takes the answer.
    pub fn call<T: IntoBytes + Immutable, U: FromBytes>(
        channel: Channel,
        label: MessageLabel,
        value: &T,
    ) -> Result<U, CallError> {
        let answer = channel.pp_call(send(label, value));
        match answer.label() {
            0 => recv(&answer).map_err(CallError::Malformed),
            RESTARTED => Err(CallError::Restarted),
            other => Err(CallError::Refused(other)),
        }
    }
}

#[cfg(target_os = "none")]
pub use target::{call, recv, send};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_comes_back() {
        let mut registers = [u64::MAX; 120];
        let count = encode(&[1u8, 2, 3, 4, 5, 6, 7, 8, 9], &mut registers);
        assert_eq!(count, 2);
        assert_eq!(registers[..2], [0x0807_0605_0403_0201, 9]);
        assert_eq!(
            decode::<[u8; 9]>(&registers, 2),
            Ok([1, 2, 3, 4, 5, 6, 7, 8, 9])
        );
    }

    #[test]
    fn another_length_is_refused() {
        let refused = Err(RecvError::Length {
            expected: 2,
            found: 1,
        });
        assert_eq!(decode::<[u64; 2]>(&[0; 120], 1), refused);
    }

    #[test]
    fn an_empty_value_needs_no_register() {
        assert_eq!(encode(&(), &mut [0; 120]), 0);
        assert_eq!(decode::<()>(&[0; 120], 0), Ok(()));
    }
}
