// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The first four words of every region: magic, version, length, CRC, and the writer's epoch.
//!
//! Word 0 magic; word 1 version (low half) and length in bytes (high half); word 2 CRC-32C of words
//! 0 and 1 (low half); word 3 the writer's epoch, sealed, written at every start of the writer.
//! The magic is stored last: a region whose writer died while formatting it has no magic.

use crate::{Words, WordsMut, crc32c, seal, unseal};

/// Words that a header takes.
pub const HEADER_WORDS: usize = 4;

/// What a region is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Names the protocol: eight ASCII characters.
    pub magic: u64,
    /// Version of the protocol.
    pub version: u32,
}

/// Why a region cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// Not formatted yet, or being formatted: the magic is 0.
    NotFormatted,
    /// Formatted by a writer with another version of the protocol.
    Version(u32),
    /// It was formatted once, and its header is not right any more: magic, length or CRC.
    Damaged,
}

impl Header {
    /// Checks the header of a region; this reads at most three words.
    ///
    /// # Errors
    ///
    /// [`HeaderError`]: treat the region as empty and look again when its writer notifies; or, if it is only
    /// damaged and all behind the header is checked anyway, go on.
    pub fn check(&self, memory: &impl Words) -> Result<(), HeaderError> {
        if memory.word_count() < HEADER_WORDS {
            return Err(HeaderError::NotFormatted);
        }
        match memory.word(0) {
            0 => return Err(HeaderError::NotFormatted),
            magic if magic != self.magic => return Err(HeaderError::Damaged),
            _ => {}
        }
        let shape = memory.word(1);
        let length_bytes = (shape >> 32) as usize;
        let damaged = length_bytes != memory.word_count() * 8
            || memory.word(2) != u64::from(crc32c(&[self.magic, shape]));
        match shape as u32 {
            _ if damaged => Err(HeaderError::Damaged),
            version if version != self.version => Err(HeaderError::Version(version)),
            _ => Ok(()),
        }
    }

    /// Begins to format a region: whoever looks now finds no header. The owner writes the body
    /// next, and then calls [`Header::finish`].
    pub fn begin(&self, memory: &mut impl WordsMut) {
        memory.set_word(0, 0);
    }

    /// Ends formatting.
    pub fn finish(&self, memory: &mut impl WordsMut) {
        let shape = (memory.word_count() as u64 * 8) << 32 | u64::from(self.version);
        memory.set_word(1, shape);
        memory.set_word(2, u64::from(crc32c(&[self.magic, shape])));
        memory.set_word(0, self.magic);
    }

    /// Publishes the writer's epoch.
    pub fn set_epoch(memory: &mut impl WordsMut, epoch: u32) {
        memory.set_word(3, seal(u64::from(epoch)));
    }

    /// The writer's epoch, if it has published one.
    pub fn epoch(memory: &impl Words) -> Option<u32> {
        unseal(memory.word(3)).and_then(|epoch| u32::try_from(epoch).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sel4_shared_memory::host::{HostRegion, Life};

    const HEADER: Header = Header {
        magic: u64::from_le_bytes(*b"TESTTEST"),
        version: 3,
    };

    #[test]
    fn a_header_is_valid_only_when_whole() {
        for steps in 0..4 {
            let region = HostRegion::new(512);
            let life = Life::of_steps(steps);
            let mut writer = region.shared_mut(&life);
            let end = life.run(|| {
                HEADER.begin(&mut writer);
                HEADER.finish(&mut writer);
            });
            assert!(end.is_err());
            assert_eq!(
                HEADER.check(&region.shared_ref()),
                Err(HeaderError::NotFormatted)
            );
        }
        let region = HostRegion::new(512);
        let mut writer = region.shared_mut(&Life::endless());
        HEADER.finish(&mut writer);
        assert_eq!(HEADER.check(&region.shared_ref()), Ok(()));
        Header::set_epoch(&mut writer, 9);
        assert_eq!(Header::epoch(&region.shared_ref()), Some(9));
        let other = Header {
            version: 4,
            ..HEADER
        };
        assert_eq!(
            other.check(&region.shared_ref()),
            Err(HeaderError::Version(3))
        );
        for magic in [0, 1, HEADER.magic ^ 1 << 63] {
            writer.set_word(0, magic);
            let error = match magic {
                0 => HeaderError::NotFormatted,
                _ => HeaderError::Damaged,
            };
            assert_eq!(HEADER.check(&region.shared_ref()), Err(error));
        }
        HEADER.finish(&mut writer);
        writer.set_word(1, 77);
        assert_eq!(
            HEADER.check(&region.shared_ref()),
            Err(HeaderError::Damaged)
        );
    }
}
