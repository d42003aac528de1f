// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What a supervisor does about the faults of its children: `policy.toml`, compiled.
//!
//! The host tool writes one table for the whole system, which every supervisor maps read-only
//! (region `policy`). A PD without an entry is treated as [`ChildPolicy::DEFAULT`] says. This crate
//! decides the bytes and the defaults; what follows from a policy is the supervisor's business.
//!
//! The words are Erlang/OTP's (`supervisor` in stdlib): strategy, restart intensity, escalation.

#![cfg_attr(not(any(test, feature = "std")), no_std)]
#![forbid(unsafe_code)]

pub mod files;

use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// First bytes of a table.
pub const MAGIC: [u8; 4] = *b"KPOL";
/// Counts changes of the layout.
pub const VERSION: u32 = 3;
/// Bytes kept for a name, with at least one NUL behind it.
pub const NAME_BYTES: usize = 48;
/// Highest restart intensity. A supervisor remembers one restart more of each child: it notes a
/// restart's time before it counts it, and may die in between.
pub const RESTARTS_MAX_MAX: u32 = 63;

/// Which children are restarted when one of them has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Strategy {
    /// The one that failed.
    OneForOne = 1,
    /// The one that failed, and those after it in system.xml.
    RestForOne = 2,
    /// All.
    OneForAll = 3,
}

/// What is done with a child that fails more often than its restart intensity allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Beyond {
    /// The supervisor fails too, and leaves the rest to its own parent. A root supervisor resets.
    Escalate = 1,
    /// The child stays stopped.
    Stop = 2,
    /// The machine is reset, if the supervisor may do that (`smc="true"`); else as `Stop`.
    Reset = 3,
}

/// Policy for one PD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChildPolicy {
    /// Restarts granted inside the window, 1..=[`RESTARTS_MAX_MAX`].
    pub restarts_max: u32,
    /// Length of the window in milliseconds, at least 1.
    pub window_ms: u32,
    /// What follows one restart too many.
    pub beyond: Beyond,
    /// What this PD does for its own children, if it is a supervisor.
    pub strategy: Strategy,
    /// How often it is asked whether it is alive, in milliseconds; 0: never.
    pub heartbeat_ms: u32,
    /// How long an answer may take; beyond that it is a hang. 0: for ever.
    pub heartbeat_timeout_ms: u32,
    /// How long it may have work, or wait in the middle of some, and finish none of it. 0: for ever.
    pub progress_timeout_ms: u32,
    /// Pause before the second restart inside the window, doubled with each further one, in
    /// milliseconds. 0: none.
    pub backoff_ms: u32,
    /// Whether there is another program, to be loaded when this one fails too often.
    pub has_fallback: bool,
}

impl ChildPolicy {
    /// What a PD without an entry gets.
    ///
    /// A restart costs well under a millisecond, so 50 in a second leave the system at least 95 %
    /// of its time, while a child that dies in its start-up code gets there within milliseconds.
    pub const DEFAULT: Self = Self {
        restarts_max: 50,
        window_ms: 1_000,
        beyond: Beyond::Escalate,
        strategy: Strategy::OneForOne,
        heartbeat_ms: 20,
        heartbeat_timeout_ms: 60,
        progress_timeout_ms: 0,
        backoff_ms: 0,
        has_fallback: false,
    };
}

/// Start of a table.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct HeaderWire {
    /// [`MAGIC`].
    pub magic: [u8; 4],
    /// [`VERSION`].
    pub version: U32,
    /// Number of entries.
    pub count: U32,
    /// CRC-32 (ISO-HDLC) over the entries.
    pub checksum: U32,
}

/// One PD's policy.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct EntryWire {
    /// The PD: UTF-8, filled up with NUL.
    pub name: [u8; NAME_BYTES],
    /// [`ChildPolicy::restarts_max`].
    pub restarts_max: U32,
    /// [`ChildPolicy::window_ms`].
    pub window_ms: U32,
    /// [`Beyond`].
    pub beyond: u8,
    /// [`Strategy`].
    pub strategy: u8,
    /// [`ChildPolicy::has_fallback`], 0 or 1.
    pub has_fallback: u8,
    /// Zero.
    pub reserved: [u8; 5],
    /// [`ChildPolicy::heartbeat_ms`].
    pub heartbeat_ms: U32,
    /// [`ChildPolicy::heartbeat_timeout_ms`].
    pub heartbeat_timeout_ms: U32,
    /// [`ChildPolicy::progress_timeout_ms`].
    pub progress_timeout_ms: U32,
    /// [`ChildPolicy::backoff_ms`].
    pub backoff_ms: U32,
}

const _: () = assert!(size_of::<HeaderWire>() == 16);
const _: () = assert!(size_of::<EntryWire>() == 80);

/// Why a table was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyError {
    /// Shorter than it says.
    Truncated,
    /// Not a policy table.
    BadMagic,
    /// Another layout; the payload is its version.
    BadVersion(u32),
    /// The checksum over the entries differs.
    BadChecksum,
    /// A field has a value outside of its range; the payload is the entry's index.
    BadEntry(usize),
}

/// A checked table.
#[derive(Clone, Copy, Debug)]
pub struct Policy<'a> {
    entries: &'a [EntryWire],
}

fn checksum(bytes: &[u8]) -> u32 {
    crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(bytes)
}

/// Checks a table's header and checksum; the values of its entries are still to be checked.
pub(crate) fn read<E>(bytes: &[u8], magic: [u8; 4], version: u32) -> Result<&[E], PolicyError>
where
    E: FromBytes + IntoBytes + Immutable + KnownLayout,
{
    let (header, rest) = HeaderWire::ref_from_prefix(bytes).map_err(|_| PolicyError::Truncated)?;
    if header.magic != magic {
        return Err(PolicyError::BadMagic);
    }
    if header.version.get() != version {
        return Err(PolicyError::BadVersion(header.version.get()));
    }
    let count = header.count.get() as usize;
    let (entries, _) =
        <[E]>::ref_from_prefix_with_elems(rest, count).map_err(|_| PolicyError::Truncated)?;
    if header.checksum.get() != checksum(entries.as_bytes()) {
        return Err(PolicyError::BadChecksum);
    }
    Ok(entries)
}

/// Writes what [`read`] reads.
#[cfg(any(test, feature = "std"))]
pub(crate) fn write<E>(entries: &[E], magic: [u8; 4], version: u32) -> Vec<u8>
where
    E: IntoBytes + Immutable,
{
    let header = HeaderWire {
        magic,
        version: version.into(),
        count: (entries.len() as u32).into(),
        checksum: checksum(entries.as_bytes()).into(),
    };
    [header.as_bytes(), entries.as_bytes()].concat()
}

impl EntryWire {
    fn decode(&self) -> Option<ChildPolicy> {
        let beyond = match self.beyond {
            1 => Beyond::Escalate,
            2 => Beyond::Stop,
            3 => Beyond::Reset,
            _ => return None,
        };
        let strategy = match self.strategy {
            1 => Strategy::OneForOne,
            2 => Strategy::RestForOne,
            3 => Strategy::OneForAll,
            _ => return None,
        };
        let (restarts_max, window_ms) = (self.restarts_max.get(), self.window_ms.get());
        let valid = (1..=RESTARTS_MAX_MAX).contains(&restarts_max) && window_ms > 0;
        let valid = valid && self.reserved == [0; 5] && self.has_fallback <= 1;
        valid.then_some(ChildPolicy {
            restarts_max,
            window_ms,
            beyond,
            strategy,
            heartbeat_ms: self.heartbeat_ms.get(),
            heartbeat_timeout_ms: self.heartbeat_timeout_ms.get(),
            progress_timeout_ms: self.progress_timeout_ms.get(),
            backoff_ms: self.backoff_ms.get(),
            has_fallback: self.has_fallback != 0,
        })
    }

    fn is_for(&self, name: &str) -> bool {
        self.name
            .strip_prefix(name.as_bytes())
            .is_some_and(|rest| rest.first() == Some(&0))
    }
}

impl<'a> Policy<'a> {
    /// A table without entries: everybody gets the defaults.
    pub const EMPTY: Self = Self { entries: &[] };

    /// Checks `bytes` once.
    ///
    /// # Errors
    ///
    /// Says which check failed.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, PolicyError> {
        let entries = read::<EntryWire>(bytes, MAGIC, VERSION)?;
        match entries.iter().position(|entry| entry.decode().is_none()) {
            Some(index) => Err(PolicyError::BadEntry(index)),
            None => Ok(Self { entries }),
        }
    }

    /// Policy of the PD called `name`.
    pub fn of(&self, name: &str) -> ChildPolicy {
        let entry = self.entries.iter().find(|entry| entry.is_for(name));
        entry
            .and_then(EntryWire::decode)
            .unwrap_or(ChildPolicy::DEFAULT)
    }
}

/// Writes a table; a name is cut at 47 bytes, which the host tool has checked before.
#[cfg(any(test, feature = "std"))]
pub fn build(policies: &[(String, ChildPolicy)]) -> Vec<u8> {
    let entries: Vec<EntryWire> = policies
        .iter()
        .map(|(name, policy)| {
            let mut padded = [0; NAME_BYTES];
            let length = name.len().min(NAME_BYTES - 1);
            padded[..length].copy_from_slice(&name.as_bytes()[..length]);
            EntryWire {
                name: padded,
                restarts_max: U32::new(policy.restarts_max),
                window_ms: U32::new(policy.window_ms),
                beyond: policy.beyond as u8,
                strategy: policy.strategy as u8,
                has_fallback: policy.has_fallback.into(),
                reserved: [0; 5],
                heartbeat_ms: U32::new(policy.heartbeat_ms),
                heartbeat_timeout_ms: U32::new(policy.heartbeat_timeout_ms),
                progress_timeout_ms: U32::new(policy.progress_timeout_ms),
                backoff_ms: U32::new(policy.backoff_ms),
            }
        })
        .collect();
    write(&entries, MAGIC, VERSION)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRICT: ChildPolicy = ChildPolicy {
        restarts_max: 3,
        window_ms: 500,
        beyond: Beyond::Stop,
        strategy: Strategy::OneForAll,
        heartbeat_ms: 7,
        heartbeat_timeout_ms: 8,
        progress_timeout_ms: 9,
        backoff_ms: 10,
        has_fallback: true,
    };

    fn table() -> Vec<u8> {
        build(&[("blk".into(), STRICT), ("fs".into(), ChildPolicy::DEFAULT)])
    }

    #[test]
    fn an_entry_is_found_by_its_whole_name() {
        let bytes = table();
        let policy = Policy::parse(&bytes).expect("valid");
        assert_eq!(policy.of("blk"), STRICT);
        assert_eq!(policy.of("bl"), ChildPolicy::DEFAULT);
        assert_eq!(policy.of("blk2"), ChildPolicy::DEFAULT);
    }

    #[test]
    fn golden_bytes() {
        let bytes = table();
        assert_eq!(&bytes[..12], b"KPOL\x03\0\0\0\x02\0\0\0");
        assert_eq!(&bytes[16..20], b"blk\0");
        assert_eq!(bytes[64..75], [3, 0, 0, 0, 0xf4, 1, 0, 0, 2, 3, 1]);
        assert_eq!(
            bytes[80..96],
            [7, 0, 0, 0, 8, 0, 0, 0, 9, 0, 0, 0, 10, 0, 0, 0]
        );
    }

    #[test]
    fn every_changed_byte_of_the_entries_is_noticed() {
        for index in 0..table().len() {
            let mut bytes = table();
            bytes[index] ^= 0x40;
            assert!(Policy::parse(&bytes).is_err(), "byte {index}");
        }
    }

    #[test]
    fn impossible_values_are_refused_even_with_a_right_checksum() {
        let wrong = ChildPolicy {
            restarts_max: 0,
            ..STRICT
        };
        let bytes = build(&[("blk".into(), wrong)]);
        assert_eq!(Policy::parse(&bytes).unwrap_err(), PolicyError::BadEntry(0));
        assert_eq!(
            Policy::parse(&bytes[..40]).unwrap_err(),
            PolicyError::Truncated
        );
    }
}
