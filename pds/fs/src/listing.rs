// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! How a folder's listing and the place where it goes on are written for the client.

use alloc::vec::Vec;

use proto::fs::{CompletionWire, CursorWire, EntryWire, Errno, Kind, NAME_BYTES_MAX};
use rsext4::DirectoryCursor;
use sel4_shared_memory::SharedMut;
use zerocopy::IntoBytes;

use crate::request::Output;

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
