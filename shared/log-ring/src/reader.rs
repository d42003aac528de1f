// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The reading side of a log ring. The writer may be hostile: every word is copied once and then
//! checked, and the work per call is bounded, whatever the region holds.

use proto::log::{
    BODY_WORDS, END, ENTRY_WORDS_MAX, ENTRY_WORDS_MIN, HEADER, Head, REGION_WORDS_MIN,
    SEQUENCE_MASK, START, TEXT_BYTES_MAX, tail,
};
use shared_words::{Words, unseal};

/// Overruns in the middle of a copy that one call tolerates.
const ATTEMPTS: usize = 8;
/// Entries with a good head and a bad CRC that one call tolerates: a hostile writer must not make
/// its reader compute thousands of them.
const BAD_CRCS_MAX: usize = 8;

/// Where a reader is in one ring: two words to keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// Position of the next entry.
    pub position: u64,
    /// Sequence number that it should have, modulo 2^40.
    pub sequence: u64,
}

/// A line, copied out of the ring.
#[derive(Clone, Debug)]
pub struct Line {
    /// Time, level, kind, ...
    pub head: Head,
    /// Lines lost between the cursor and this one.
    pub lost: u64,
    /// Where to go on.
    pub after: Cursor,
    text: [u8; TEXT_BYTES_MAX],
}

impl Line {
    /// The text: any bytes, as a hostile writer may have put any.
    pub fn text(&self) -> &[u8] {
        &self.text[..self.head.text_bytes.min(TEXT_BYTES_MAX)]
    }
}

/// Result of [`next`].
#[derive(Clone, Debug)]
// One value at a time, on the stack, in a program without a heap.
#[expect(clippy::large_enum_variant, reason = "no heap")]
pub enum Next {
    /// Nothing new, or a ring that its writer has not formatted.
    Empty,
    /// What was there is no log. Go on from here; the next line's `lost` counts the gap.
    Skip(Cursor),
    /// A line.
    Line(Line),
}

/// The oldest line that `cursor` has not seen.
pub fn next(ring: &impl Words, cursor: Cursor) -> Next {
    if ring.word_count() < REGION_WORDS_MIN || HEADER.check(ring).is_err() {
        return Next::Empty;
    }
    let capacity = (ring.word_count() - BODY_WORDS) as u64;
    let mut position = cursor.position;
    let mut bad_crcs = 0;
    for _ in 0..ATTEMPTS {
        let Some((start, end)) = bounds(ring, capacity) else {
            return Next::Empty;
        };
        if position == end {
            let at_end = Cursor { position, ..cursor };
            return if at_end == cursor {
                Next::Empty
            } else {
                Next::Skip(at_end)
            };
        }
        if position < start || position > end {
            // Overrun, or the stream began again: go on with the oldest entry.
            position = start;
        }
        let found = find(ring, capacity, position..end, &mut bad_crcs);
        // Was what we copied still whole after we had copied it?
        let whole = |at: u64| bounds(ring, capacity).is_some_and(|(start, _)| start <= at);
        match found {
            Some((at, head, text)) if whole(at) => return Next::Line(line(cursor, at, head, text)),
            None if whole(position) => {
                return Next::Skip(Cursor {
                    position: end,
                    ..cursor
                });
            }
            _ => {}
        }
    }
    Next::Empty
}

fn line(cursor: Cursor, at: u64, head: Head, text: [u8; TEXT_BYTES_MAX]) -> Line {
    let gap = head.sequence.wrapping_sub(cursor.sequence) & SEQUENCE_MASK;
    // A gap of more than half the range is a stream that began again (or a writer that jokes).
    let lost = if gap > SEQUENCE_MASK / 2 { 0 } else { gap };
    let after = Cursor {
        position: at + head.entry_words() as u64,
        sequence: (head.sequence + 1) & SEQUENCE_MASK,
    };
    Line {
        head,
        lost,
        after,
        text,
    }
}

fn bounds(ring: &impl Words, capacity: u64) -> Option<(u64, u64)> {
    // END first: START may then be newer, hence larger, than it was when END was stored.
    let end = unseal(ring.word(END))?;
    let start = unseal(ring.word(START))?;
    let sane = start <= end && end - start <= capacity;
    // START passes a stale END only when a whole ring was written in between; look again.
    if sane {
        return Some((start, end));
    }
    let end = unseal(ring.word(END))?;
    (start <= end && end - start <= capacity).then_some((start, end))
}

type Found = (u64, Head, [u8; TEXT_BYTES_MAX]);

/// The first valid entry within `range`. Normally it is the very first one.
fn find(
    ring: &impl Words,
    capacity: u64,
    range: core::ops::Range<u64>,
    bad_crcs: &mut usize,
) -> Option<Found> {
    let word = |at: u64| ring.word(BODY_WORDS + (at % capacity) as usize);
    for at in range.clone() {
        let room = range.end - at;
        if room < ENTRY_WORDS_MIN as u64 || *bad_crcs >= BAD_CRCS_MAX {
            return None;
        }
        let head_words = [word(at), word(at + 1), word(at + 2)];
        let Some(head) = Head::from_words(head_words) else {
            continue;
        };
        let words = head.entry_words();
        if words as u64 > room {
            continue;
        }
        let mut entry = [0; ENTRY_WORDS_MAX];
        entry[..3].copy_from_slice(&head_words);
        for (index, copy) in entry[..words].iter_mut().enumerate().skip(3) {
            *copy = word(at + index as u64);
        }
        if entry[words - 1] != tail(at, &entry[..words - 1]) {
            *bad_crcs += 1;
            continue;
        }
        let mut text = [0; TEXT_BYTES_MAX];
        for (bytes, word) in text.chunks_mut(8).zip(&entry[3..words - 1]) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        return Some((at, head, text));
    }
    None
}
