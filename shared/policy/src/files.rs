// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What each client of the file service sees and may use: the parts `files_defaults` and `files` of
//! `policy.toml`, compiled.
//!
//! The host tool writes one table, which the file service maps read-only (region `fs_clients`). It has an
//! entry for every client. This module decides the bytes; what follows is the file service's business.

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::{NAME_BYTES, PolicyError, read};

/// First bytes of a table.
pub const MAGIC: [u8; 4] = *b"KFCL";
/// Counts changes of the layout.
pub const VERSION: u32 = 1;
/// Bytes kept for the path of a root folder, with at least one NUL behind it.
pub const ROOT_BYTES: usize = 128;

/// One client of the file service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilesPolicy<'a> {
    /// The folder that it takes for the root; begins with a slash.
    pub root: &'a str,
    /// Bytes that its folder may take on the disk, in whole blocks; 0: no limit.
    pub bytes_max: u64,
    /// Files and folders in it; 0: no limit.
    pub files_max: u64,
    /// Files that it may have open at once; 0: no limit but that of the protocol.
    pub open_max: u32,
    /// Requests of it that the service takes before others have their turn; 0: no limit.
    pub requests_max: u32,
}

/// One client's entry.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct EntryWire {
    /// The PD: UTF-8, filled up with NUL.
    pub name: [u8; NAME_BYTES],
    /// [`FilesPolicy::root`], filled up with NUL.
    pub root: [u8; ROOT_BYTES],
    /// [`FilesPolicy::bytes_max`].
    pub bytes_max: U64,
    /// [`FilesPolicy::files_max`].
    pub files_max: U64,
    /// [`FilesPolicy::open_max`].
    pub open_max: U32,
    /// [`FilesPolicy::requests_max`].
    pub requests_max: U32,
}

const _: () = assert!(size_of::<EntryWire>() == 200);

fn text(bytes: &[u8]) -> Option<&str> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    core::str::from_utf8(&bytes[..end]).ok()
}

/// A checked table.
#[derive(Clone, Copy, Debug)]
pub struct FilesTable<'a> {
    entries: &'a [EntryWire],
}

impl<'a> FilesTable<'a> {
    /// Checks a table; there may be more bytes behind it.
    ///
    /// # Errors
    ///
    /// Says what is wrong with it.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, PolicyError> {
        let entries = read::<EntryWire>(bytes, MAGIC, VERSION)?;
        let is_bad = |entry: &EntryWire| {
            text(&entry.name).is_none()
                || !text(&entry.root).is_some_and(|root| root.starts_with('/'))
        };
        match entries.iter().position(is_bad) {
            Some(index) => Err(PolicyError::BadEntry(index)),
            None => Ok(Self { entries }),
        }
    }

    /// What a client may do.
    pub fn of(&self, name: &str) -> Option<FilesPolicy<'a>> {
        let found = |entry: &&EntryWire| text(&entry.name) == Some(name);
        let entry = self.entries.iter().find(found)?;
        Some(FilesPolicy {
            root: text(&entry.root)?,
            bytes_max: entry.bytes_max.get(),
            files_max: entry.files_max.get(),
            open_max: entry.open_max.get(),
            requests_max: entry.requests_max.get(),
        })
    }
}

/// Builds the table.
///
/// # Panics
///
/// When a name or a path is too long: the host tool has checked them.
#[cfg(any(test, feature = "std"))]
pub fn build<'a>(clients: impl IntoIterator<Item = (&'a str, FilesPolicy<'a>)>) -> Vec<u8> {
    fn fill<const N: usize>(text: &str) -> [u8; N] {
        assert!(text.len() < N, "'{text}' is too long");
        let mut bytes = [0; N];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        bytes
    }
    let entry = |(name, policy): (&str, FilesPolicy<'_>)| EntryWire {
        name: fill(name),
        root: fill(policy.root),
        bytes_max: policy.bytes_max.into(),
        files_max: policy.files_max.into(),
        open_max: policy.open_max.into(),
        requests_max: policy.requests_max.into(),
    };
    let entries: Vec<EntryWire> = clients.into_iter().map(entry).collect();
    crate::write(&entries, MAGIC, VERSION)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: FilesPolicy<'_> = FilesPolicy {
        root: "/a",
        bytes_max: 1 << 33,
        files_max: 7,
        open_max: 8,
        requests_max: 9,
    };

    #[test]
    fn what_was_built_is_found_by_name() {
        let mut bytes = build([
            ("a", POLICY),
            (
                "ab",
                FilesPolicy {
                    root: "/",
                    ..POLICY
                },
            ),
        ]);
        bytes.extend([0; 100]);
        let table = FilesTable::parse(&bytes).unwrap();
        assert_eq!(table.of("a"), Some(POLICY));
        assert_eq!(table.of("ab").unwrap().root, "/");
        assert_eq!(table.of("b"), None);
    }

    #[test]
    fn any_flipped_bit_is_found() {
        let good = build([("a", POLICY)]);
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(FilesTable::parse(&bad).is_err(), "bit {bit}");
        }
        assert!(FilesTable::parse(&good[..good.len() - 1]).is_err());
    }

    #[test]
    fn golden_entry() {
        let bytes = build([("a", POLICY)]);
        assert_eq!(&bytes[..12], b"KFCL\x01\0\0\0\x01\0\0\0");
        assert_eq!((bytes[16], &bytes[64..66]), (b'a', &b"/a"[..]));
        assert_eq!(
            (bytes[192 + 4], bytes[200], bytes[208], bytes[212]),
            (2, 7, 8, 9)
        );
    }
}
