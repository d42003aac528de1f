// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The writing side of a log ring. It never waits: when there is no room, the oldest lines go.

use proto::log::{
    BODY_WORDS, END, ENTRY_WORDS_MAX, ENTRY_WORDS_MIN, HEAD_MARK, HEADER, Head, Kind,
    REGION_WORDS_MIN, SEQUENCE_MASK, START, TEXT_BYTES_MAX, tail, tail_entry_words,
};
use recovery::fault_point;
use sel4_shared_memory::SharedMut;
use shared_words::{Header, SEALED_MAX, Words, WordsMut, seal, unseal};
use zerocopy::IntoBytes;

/// The region is smaller than two of the longest entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooSmall;

/// Writes entries into a region that it alone writes.
#[derive(Debug)]
pub struct Writer {
    memory: SharedMut,
    capacity: u64,
    /// Private copies of the sealed words of the header.
    start: u64,
    end: u64,
    /// Sequence number of the next entry.
    sequence: u64,
    epoch: u32,
}

impl Writer {
    /// Attaches to a region: goes on behind the last entry of an earlier life, or formats it.
    ///
    /// # Errors
    ///
    /// [`TooSmall`].
    pub fn attach(memory: SharedMut, epoch: u32) -> Result<Self, TooSmall> {
        if memory.word_count() < REGION_WORDS_MIN {
            return Err(TooSmall);
        }
        let capacity = (memory.word_count() - BODY_WORDS) as u64;
        let mut writer = Self {
            memory,
            capacity,
            start: 0,
            end: 0,
            sequence: 0,
            epoch,
        };
        if !writer.resume() {
            writer.format();
        }
        Header::set_epoch(&mut writer.memory, epoch);
        Ok(writer)
    }

    /// Takes over what an earlier life left; `false` when the header is not usable.
    fn resume(&mut self) -> bool {
        if HEADER.check(&self.memory).is_err() {
            return false;
        }
        let (start, end) = (
            unseal(self.memory.word(START)),
            unseal(self.memory.word(END)),
        );
        let (Some(start), Some(end)) = (start, end) else {
            return false;
        };
        if start > end || end - start > self.capacity {
            return false;
        }
        (self.start, self.end) = (start, end);
        if start == end {
            return true;
        }
        match self.newest() {
            Some(head) => self.sequence = (head.sequence + 1) & SEQUENCE_MASK,
            // A stray store hit the newest entry. The reader skips it and counts the gap wrongly.
            None => self.sequence = self.sequence_by_walking(),
        }
        true
    }

    fn format(&mut self) {
        HEADER.begin(&mut self.memory);
        (self.start, self.end, self.sequence) = (0, 0, 0);
        self.memory.set_word(START, seal(0));
        self.memory.set_word(END, seal(0));
        HEADER.finish(&mut self.memory);
    }

    fn body(&self, position: u64) -> usize {
        BODY_WORDS + (position % self.capacity) as usize
    }

    fn head_at(&self, position: u64) -> Option<Head> {
        Head::from_words([0, 1, 2].map(|word| self.memory.word(self.body(position + word))))
    }

    /// The entry that ends at `end`, if its head and tail agree.
    fn newest(&self) -> Option<Head> {
        let words = tail_entry_words(self.memory.word(self.body(self.end - 1)))? as u64;
        let first = self
            .end
            .checked_sub(words)
            .filter(|first| *first >= self.start)?;
        self.head_at(first)
            .filter(|head| head.entry_words() as u64 == words)
    }

    fn sequence_by_walking(&self) -> u64 {
        let (mut position, mut next) = (self.start, 0);
        while position + (ENTRY_WORDS_MIN as u64) <= self.end {
            match self.head_at(position) {
                Some(head) => {
                    next = (head.sequence + 1) & SEQUENCE_MASK;
                    position += head.entry_words() as u64;
                }
                None => position += 1,
            }
        }
        next
    }

    /// Appends one entry. Text beyond [`TEXT_BYTES_MAX`] is dropped: whoever formats lines splits
    /// them before.
    pub fn append(&mut self, kind: Kind, level: u8, ticks: u64, text: &[u8]) {
        let text = &text[..text.len().min(TEXT_BYTES_MAX)];
        let (sequence, epoch) = (self.sequence, self.epoch);
        let head = Head {
            kind,
            level,
            text_bytes: text.len(),
            sequence,
            epoch,
            ticks,
        };
        let words = head.entry_words();
        let mut entry = [0; ENTRY_WORDS_MAX];
        entry[..3].copy_from_slice(&head.to_words());
        // One copy for all: the target promises strict alignment, so words put together from bytes
        // cost twenty instructions each.
        let body = &mut entry[3..words - 1];
        body.as_mut_bytes()[..text.len()].copy_from_slice(text);
        body.iter_mut().for_each(|word| *word = u64::from_le(*word));
        entry[words - 1] = tail(self.end, &entry[..words - 1]);

        if self.end + words as u64 > SEALED_MAX {
            // After some 2 PiB of text; the reader sees a stream that began again.
            self.format();
        }
        self.make_room(words as u64);
        fault_point!("log.before_entry");
        // One division for the entry, not one for each word.
        let (mut index, end) = (self.body(self.end), BODY_WORDS + self.capacity as usize);
        for word in &entry[..words] {
            self.memory.set_word(index, *word);
            index = if index + 1 == end {
                BODY_WORDS
            } else {
                index + 1
            };
        }
        fault_point!("log.before_commit");
        self.end += words as u64;
        self.memory.set_word(END, seal(self.end));
        self.sequence = (self.sequence + 1) & SEQUENCE_MASK;
        fault_point!("log.after_commit");
    }

    /// Drops the oldest entries until `words` more fit.
    fn make_room(&mut self, words: u64) {
        let oldest = self.start;
        while self.end + words - self.start > self.capacity {
            let first = self.memory.word(self.body(self.start));
            let entry = (first >> 16) & 0xff;
            let plausible = first as u16 == HEAD_MARK
                && entry >= ENTRY_WORDS_MIN as u64
                && self.start + entry <= self.end;
            // A stray store hit it. The entries behind it cannot be told apart cheaply.
            self.start = if plausible {
                self.start + entry
            } else {
                self.end
            };
        }
        if self.start != oldest {
            self.memory.set_word(START, seal(self.start));
        }
    }
}
