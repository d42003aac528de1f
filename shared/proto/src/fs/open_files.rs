// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What a client has open: a table of handles in its own memory, behind its request table in
//! `<client>_to_fs_requests`.
//!
//! The service holds nothing about open files. When the last name of a file is removed, it looks into these
//! tables: a file that anybody has open is moved out of sight instead, and goes when nobody has it open any
//! more. The client's library writes an entry before it makes its next request in the slot that the handle
//! came in, and clears it when the program closes the file. A handle that was just given and is not yet in
//! the table is known from its completion, which stays until the slot is used again.
//!
//! The service checks each handle's seal, so a client can only keep what it was given. A client that writes
//! nothing here loses its own files when they are removed (`ESTALE`), as do those without room for the table.
//!
//! | offset | what |
//! |---|---|
//! | [`AT`] | entries in use |
//! | [`AT`] + 8 | no entry from this one on is in use |
//! | [`ENTRIES_AT`] | [`ENTRIES`] handles; inode 0: not in use |

use super::Handle;

/// Where the table begins in the client's request region.
pub const AT: usize = 0x6000;
/// Where its entries begin.
pub const ENTRIES_AT: usize = AT + 64;
/// Bytes of an entry.
pub const ENTRY_BYTES: usize = size_of::<Handle>();
/// How many there are.
pub const ENTRIES: usize = 512;
/// So many bytes the region must have for a table.
pub const REGION_BYTES: usize = ENTRIES_AT + ENTRIES * ENTRY_BYTES;

/// Bytes of the request table's part of a region of so many bytes.
pub const fn requests_bytes(region_bytes: usize) -> usize {
    if region_bytes < REGION_BYTES {
        region_bytes
    } else {
        AT
    }
}

/// Where an entry is.
pub const fn entry_at(index: usize) -> usize {
    ENTRIES_AT + index * ENTRY_BYTES
}

const _: () = assert!(REGION_BYTES <= 0x1_0000 && ENTRIES_AT.is_multiple_of(8));
