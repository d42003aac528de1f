// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Reads without the service: where a client that has the block cache and its index mapped (read-only) finds
//! a page that it has read before, and how it knows that nothing has changed.
//!
//! The completion of [`super::Operation::Read`] within one block carries a [`Lease`]: the slot of the cache
//! and two words of its entry in the index. As long as those words, the file's counter and the counter of
//! all files are what they were *before the request was made*, the slot has the page. The client checks
//! them, copies, and checks them again. The service clears the entry before the slot's contents change, and
//! counts before an operation that changes a file's size or blocks takes effect. None of this needs the
//! service to run.
//!
//! Where the read made the service read ahead, the lease also says how many pages of the file follow in the
//! next slots. Of those the client takes the words from the index itself, if [`is_behind`] agrees.

use zerocopy::little_endian::U64;

use super::{CompletionWire, Handle};

/// In the index: bytes of a block, a word.
pub const BLOCK_SIZE_AT: usize = 24;
/// In the index: words that count changes of files.
pub const COUNTERS_AT: usize = 4352;
/// How many there are; the first counts changes of which nobody knows the file.
pub const COUNTERS: usize = 480;
/// In the index: the entries, one for each slot of the cache.
pub const ENTRIES_AT: usize = 8192;
/// Bytes of an entry: three words, of which the first and the last are the lease's.
pub const ENTRY_BYTES: usize = 24;
/// Bits of the number of a block in an entry's first word.
pub const BLOCK_BITS: u32 = 48;
/// Most pages that a lease says to follow.
pub const FOLLOW_MAX: u32 = 255;

const _: () = assert!(COUNTERS_AT + COUNTERS * 8 == ENTRIES_AT);

/// Where the counter of a file is. Files may share one.
pub const fn counter_at(inode: u32) -> usize {
    COUNTERS_AT + 8 * (1 + inode as usize % (COUNTERS - 1))
}

/// Where a page is in the cache, and how to know that it still is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Slot of the cache.
    pub slot: u32,
    /// First word of its entry.
    pub first: u64,
    /// Last word of its entry; never 0.
    pub last: u64,
    /// So many more pages of the file are in the slots behind it, at most [`FOLLOW_MAX`].
    pub follow: u32,
}

/// Whether the words of an entry, `behind` slots after that of a lease, say that it is of the block as far
/// behind, and as the disk had it: one that was written may not be committed yet.
pub fn is_behind(lease: &Lease, behind: u32, words: [u64; 3]) -> bool {
    let block = |first: u64| first & ((1 << BLOCK_BITS) - 1);
    let [first, version, last] = words;
    last != 0 && version == 0 && block(first) == block(lease.first) + u64::from(behind)
}

impl Lease {
    /// Adds the lease to the completion of a read.
    pub fn add_to(&self, completion: &mut CompletionWire) {
        completion.extra = U64::new((u64::from(self.slot) + 1) | u64::from(self.follow) << 32);
        completion.handle = Handle {
            generation: self.first.into(),
            seal: self.last.into(),
            ..Handle::default()
        };
    }

    /// The lease in the completion of a read, if there is one.
    pub fn of(completion: &CompletionWire) -> Option<Self> {
        let extra = completion.extra.get();
        let lease = Self {
            slot: (extra as u32).checked_sub(1)?,
            follow: ((extra >> 32) as u32).min(FOLLOW_MAX),
            first: completion.handle.generation.get(),
            last: completion.handle.seal.get(),
        };
        (lease.last != 0).then_some(lease)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_found() {
        let lease = Lease {
            slot: 0,
            first: 7,
            last: 8,
            follow: 9,
        };
        let mut completion = CompletionWire::default();
        assert_eq!(Lease::of(&completion), None);
        lease.add_to(&mut completion);
        assert_eq!(Lease::of(&completion), Some(lease));
    }

    #[test]
    fn only_the_next_blocks_follow() {
        let lease = Lease {
            slot: 3,
            first: 100 | 5 << BLOCK_BITS,
            last: 8,
            follow: 2,
        };
        assert!(is_behind(&lease, 1, [101 | 9 << BLOCK_BITS, 0, 1]));
        assert!(!is_behind(&lease, 1, [102, 0, 1]));
        assert!(!is_behind(&lease, 1, [101, 0, 0]), "a free slot");
        assert!(
            !is_behind(&lease, 1, [101, 7, 1]),
            "written by a transaction"
        );
    }

    #[test]
    fn counters_are_before_the_entries_and_not_the_first() {
        for inode in [0, 1, 479, 480, u32::MAX] {
            assert!((COUNTERS_AT + 8..ENTRIES_AT).contains(&counter_at(inode)));
        }
    }
}
