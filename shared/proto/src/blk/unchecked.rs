// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What the bytes of a request say before anybody has checked them, for comparing with what was made of them.

use super::{Operation, RequestWire, SEGMENTS_MAX, Segment};

impl RequestWire {
    /// What is asked for, unchecked; `None` for an operation that does not exist.
    #[inline]
    #[must_use]
    pub fn operation(&self) -> Option<Operation> {
        Operation::from_number(self.operation)
    }

    /// First sector, unchecked.
    #[inline]
    #[must_use]
    pub fn sector(&self) -> u64 {
        self.sector.get()
    }

    /// Number of sectors of a request without data, unchecked.
    #[inline]
    #[must_use]
    pub fn sector_count(&self) -> u32 {
        self.sector_count.get()
    }

    /// The pieces of memory, unchecked.
    #[inline]
    pub fn segments(&self) -> impl ExactSizeIterator<Item = Segment> + '_ {
        let count = usize::from(self.segment_count).min(SEGMENTS_MAX);
        self.segments[..count].iter().map(|wire| Segment {
            offset: wire.offset.get(),
            bytes: wire.bytes.get(),
        })
    }
}
