// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The list of files with their checksums that a test leaves on the disk for the host: one line for each,
//! `length checksum path`.

use alloc::format;
use alloc::string::String;

use sel4_shared_memory::Crc32c;

use crate::model::{self, Tree};

/// Ending of the list's name; before it, the name of the client.
pub const ENDING: &str = ".sums";

/// The line of one file.
pub fn line(path: &str, bytes: &[u8]) -> String {
    let sum = Crc32c::new().bytes(bytes).finish();
    format!("{} {sum:08x} {path}\n", bytes.len())
}

/// The whole list.
pub fn list(tree: &Tree) -> String {
    tree.keys()
        .filter_map(|path| Some(line(path, model::contents(tree, path)?)))
        .collect()
}
