// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! How a folder is gone through, and how its listing and the place where that goes on are written for the
//! client.

use alloc::vec::Vec;

use proto::fs::{CompletionWire, CursorWire, EntryWire, Errno, Kind, NAME_BYTES_MAX};
use rsext4::DirectoryCursor;
use sel4_shared_memory::SharedMut;
use zerocopy::IntoBytes;

use crate::disk::Disk;
use crate::request::Output;
use crate::volume::{Volume, errno, number};

/// Entries that are asked of `rsext4` at once.
pub(crate) const ENTRIES_AT_ONCE: usize = 32;

/// Is given the volume, and an entry's name and inode.
type Visit<'a, D> = dyn FnMut(&mut Volume<D>, &[u8], u32) -> Result<(), Errno> + 'a;

impl<D: Disk> Volume<D> {
    /// Visits all that is in a folder, the two names of dots too.
    pub(crate) fn for_each_entry(
        &mut self,
        folder: u32,
        visit: &mut Visit<'_, D>,
    ) -> Result<(), Errno> {
        let mut cursor = DirectoryCursor::Start;
        while cursor != DirectoryCursor::End {
            let entries = self
                .ext4
                .read_directory(number(folder)?, cursor, ENTRIES_AT_ONCE);
            let entries = entries.map_err(errno)?;
            let last = entries.last();
            cursor = last.map_or(DirectoryCursor::End, |last| last.next_cursor);
            for entry in entries {
                visit(self, &entry.name, entry.inode.raw())?;
            }
        }
        Ok(())
    }
}

/// The answer to `readdir` while it grows.
pub(crate) struct Listing {
    bytes: Vec<u8>,
    room: usize,
    entries: u64,
}

impl Listing {
    pub(crate) fn new(output: Output) -> Result<Self, Errno> {
        // Room for one entry with the longest name, or a listing could never go on.
        let least = size_of::<CursorWire>() + size_of::<EntryWire>() + NAME_BYTES_MAX + 1;
        if output.length < least {
            return Err(Errno::Invalid);
        }
        Ok(Self {
            bytes: Vec::new(),
            room: output.length - size_of::<CursorWire>(),
            entries: 0,
        })
    }

    /// Adds an entry; false when there is no room for it.
    pub(crate) fn push(&mut self, inode: u32, kind: Kind, name: &[u8]) -> bool {
        let length = (size_of::<EntryWire>() + name.len()).next_multiple_of(8);
        if self.bytes.len() + length > self.room {
            return false;
        }
        let entry = EntryWire {
            inode: inode.into(),
            kind: kind as u8,
            name_length: name.len() as u8,
            reserved: 0.into(),
        };
        let end = self.bytes.len() + length;
        self.bytes.extend_from_slice(entry.as_bytes());
        self.bytes.extend_from_slice(name);
        self.bytes.resize(end, 0);
        self.entries += 1;
        true
    }

    pub(crate) fn write(
        self,
        cursor: CursorWire,
        output: Output,
        to: &mut SharedMut,
    ) -> CompletionWire {
        to.write_bytes(output.offset, cursor.as_bytes());
        to.write_bytes(output.offset + size_of::<CursorWire>(), &self.bytes);
        CompletionWire {
            value: (self.bytes.len() as u64).into(),
            extra: self.entries.into(),
            ..CompletionWire::default()
        }
    }
}

/// Upper half of a cursor: what the lower half is, and the collision number.
const CURSOR_LINEAR: u64 = 1 << 56;
const CURSOR_TREE: u64 = 2 << 56;

pub(crate) fn encode_cursor(cursor: DirectoryCursor) -> CursorWire {
    let (low, high) = match cursor {
        DirectoryCursor::Start => (0, 0),
        DirectoryCursor::Linear { offset } => (offset, CURSOR_LINEAR),
        DirectoryCursor::HTree {
            major,
            minor,
            collision,
        } => (
            u64::from(major) << 32 | u64::from(minor),
            CURSOR_TREE | u64::from(collision),
        ),
        DirectoryCursor::End => return CursorWire::END,
    };
    CursorWire {
        low: low.into(),
        high: high.into(),
    }
}

pub(crate) fn decode_cursor(cursor: CursorWire) -> Result<DirectoryCursor, Errno> {
    if cursor == CursorWire::END {
        return Ok(DirectoryCursor::End);
    }
    let (low, high) = (cursor.low.get(), cursor.high.get());
    match (low, high, high >> 32 << 32) {
        (0, 0, _) => Ok(DirectoryCursor::Start),
        (_, CURSOR_LINEAR, _) => Ok(DirectoryCursor::Linear { offset: low }),
        (_, _, CURSOR_TREE) => Ok(DirectoryCursor::HTree {
            major: (low >> 32) as u32,
            minor: low as u32,
            collision: high as u32,
        }),
        _ => Err(Errno::Invalid),
    }
}
