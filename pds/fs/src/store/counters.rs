// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What the store has done.

/// Counters for the log and for tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Transactions written to the journal.
    pub commits: u64,
    /// Blocks in them.
    pub journal_blocks: u64,
    /// Checkpoints.
    pub checkpoints: u64,
    /// Blocks written home.
    pub home_blocks: u64,
    /// Blocks written home before their transaction, past the journal.
    pub fresh_blocks: u64,
    /// Blocks found in memory.
    pub hits: u64,
    /// Blocks read from the disk.
    pub misses: u64,
    /// Blocks of an earlier life whose contents were wrong.
    pub damaged: u64,
    /// Transactions of an earlier life that were written again.
    pub redone: u64,
    /// Writes that were acknowledged before they were carried out.
    pub deferred: u64,
    /// How often such writes were carried out, together.
    pub carried_out: u64,
}
