// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The first 64 bytes of a PD's data segment: what the linker says of the PD, and what its
//! supervisor says of this life.

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Start information. The linker puts it first in the data segment, with `magic`, `version` and the
/// stack's bounds filled in; the supervisor writes the other fields after it has loaded the
/// segment and before it restarts the PD.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
pub struct StartInfo {
    /// [`StartInfo::MAGIC`].
    pub magic: U64,
    /// [`StartInfo::VERSION`].
    pub version: U32,
    /// How often the PD has been restarted: 0 in its first life.
    pub epoch: U32,
    /// Address of the PD's IPC buffer, the same in all PDs of a board; 0 when no supervisor has
    /// started this life, then the entry code finds it.
    pub ipc_buffer: U64,
    /// Lowest address of the stack. Nothing is mapped below it.
    pub stack_bottom: U64,
    /// Address just above the stack.
    pub stack_top: U64,
    /// Counter (CNTPCT_EL0) when the supervisor received the fault that ended the last life.
    pub fault_ticks: U64,
    /// Address of the PD's [`LastLife`](crate::LastLife).
    pub last_life: U64,
    /// Must be zero.
    pub reserved: U64,
}

const _: () = assert!(size_of::<StartInfo>() == 64);

/// Why the first bytes of a data segment are no start information.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartInfoError {
    /// Fewer than 64 bytes.
    Short,
    /// Another magic: the program was not linked with `pd.ld`.
    Magic,
    /// Made by another version of the runtime.
    Version(u32),
}

impl StartInfo {
    /// "KINTSTRT", read as a little-endian number.
    pub const MAGIC: u64 = u64::from_le_bytes(*b"KINTSTRT");
    /// Version of this layout.
    pub const VERSION: u32 = 2;

    /// Reads start information from the first bytes of a data segment.
    pub fn parse(bytes: &[u8]) -> Result<Self, StartInfoError> {
        let (info, _) = Self::read_from_prefix(bytes).map_err(|_| StartInfoError::Short)?;
        if info.magic.get() != Self::MAGIC {
            return Err(StartInfoError::Magic);
        }
        if info.version.get() != Self::VERSION {
            return Err(StartInfoError::Version(info.version.get()));
        }
        Ok(info)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn golden() -> [u8; 64] {
        let mut bytes = [0; 64];
        bytes[..8].copy_from_slice(b"KINTSTRT");
        bytes[8] = 2;
        bytes[12] = 7;
        bytes[16..24].copy_from_slice(&0xff_ffff_f000u64.to_le_bytes());
        bytes[48..56].copy_from_slice(&0x2000_9000u64.to_le_bytes());
        bytes
    }

    #[test]
    fn golden_bytes_are_read() {
        let info = StartInfo::parse(&golden()).expect("valid");
        assert_eq!(
            (
                info.epoch.get(),
                info.ipc_buffer.get(),
                info.last_life.get()
            ),
            (7, 0xff_ffff_f000, 0x2000_9000)
        );
        assert_eq!(info.as_bytes(), golden());
    }

    #[test]
    fn other_bytes_are_refused() {
        assert_eq!(
            StartInfo::parse(&[0; 63]).unwrap_err(),
            StartInfoError::Short
        );
        assert_eq!(
            StartInfo::parse(&[0; 64]).unwrap_err(),
            StartInfoError::Magic
        );
        let mut newer = golden();
        newer[8] = 3;
        assert_eq!(
            StartInfo::parse(&newer).unwrap_err(),
            StartInfoError::Version(3)
        );
    }
}
