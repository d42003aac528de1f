// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Seals handles, and decides whether one that a client shows is what it was given.
//!
//! A client keeps its open files in its own memory; a handle is all that we know of one. Its seal is a
//! SipHash-2-4 over the file, what the client may do with it, which client that is, and which of the
//! client's lives. So an edited handle, one of another client, and one of an earlier boot (which had
//! another key) are refused; so is one of an earlier life of the client, which is told apart because it is
//! no attack. What a handle does not hold, its client decides: offset and append mode, which `lseek`
//! and `fcntl` change at any time.
//!
//! 64 bits of seal: whoever guesses needs 2^63 requests on average, each refused, counted and reported.

use proto::fs::{Errno, HANDLE_LIFE_SHIFT, HANDLE_RIGHTS, Handle};
use siphasher::sip::SipHasher24;
use zerocopy::IntoBytes;

/// The service's secret of this boot.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key(pub [u64; 2]);

impl core::fmt::Debug for Key {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Key(secret)")
    }
}

/// Why a handle is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The seal does not fit: edited, of another client, of another boot, or invented.
    Forged,
    /// From an earlier life of the same client.
    OlderLife,
    /// Sealed, but not for what was asked.
    Rights,
}

impl Refusal {
    /// What the client is told.
    pub fn errno(self) -> Errno {
        match self {
            Self::Forged | Self::Rights => Errno::BadHandle,
            Self::OlderLife => Errno::Stale,
        }
    }

    /// For the log.
    pub fn what(self) -> &'static str {
        match self {
            Self::Forged => "forged",
            Self::OlderLife => "of an earlier life of it",
            Self::Rights => "for something else",
        }
    }
}

/// Whose handle it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Number of the client.
    pub client: usize,
    /// How often it has begun, as its request table says.
    pub life: u32,
}

impl Owner {
    fn scope(self, rights: u32) -> u32 {
        self.life << HANDLE_LIFE_SHIFT | rights & HANDLE_RIGHTS
    }
}

/// Makes and checks seals.
#[derive(Clone, Copy, Debug)]
pub struct Seals {
    key: Key,
}

impl Seals {
    /// With this boot's secret.
    pub const fn new(key: Key) -> Self {
        Self { key }
    }

    fn seal_of(&self, client: usize, handle: &Handle) -> u64 {
        let unsealed = Handle {
            seal: 0.into(),
            ..*handle
        };
        let mut bytes = [0; size_of::<Handle>() + 8];
        let (first, rest) = bytes.split_at_mut(size_of::<Handle>());
        first.copy_from_slice(unsealed.as_bytes());
        rest.copy_from_slice(&(client as u64).to_le_bytes());
        SipHasher24::new_with_keys(self.key.0[0], self.key.0[1]).hash(&bytes)
    }

    /// Gives a handle to a client.
    pub fn seal(&self, owner: Owner, handle: &Handle, rights: u32) -> Handle {
        let mut sealed = *handle;
        sealed.scope = owner.scope(rights).into();
        sealed.seal = self.seal_of(owner.client, &sealed).into();
        sealed
    }

    /// Checks a handle that a client shows; returns it without its seal.
    ///
    /// # Errors
    ///
    /// When it may not be used for `rights`.
    pub fn check(&self, owner: Owner, handle: &Handle, rights: u32) -> Result<Handle, Refusal> {
        // Not in constant time: a client that measures us byte by byte learns nothing of a value that it
        // may as well try whole, and 64-bit words are compared at once.
        if handle.seal.get() != self.seal_of(owner.client, handle) {
            return Err(Refusal::Forged);
        }
        Self::admit(owner, handle, rights)
    }

    /// The same for a handle whose seal is known to fit.
    ///
    /// # Errors
    ///
    /// As [`Self::check`].
    pub fn admit(owner: Owner, handle: &Handle, rights: u32) -> Result<Handle, Refusal> {
        let scope = handle.scope.get();
        if scope & !HANDLE_RIGHTS != owner.scope(0) {
            return Err(Refusal::OlderLife);
        }
        if scope & rights != rights {
            return Err(Refusal::Rights);
        }
        Ok(Handle {
            scope: 0.into(),
            seal: 0.into(),
            ..*handle
        })
    }
}

/// What each client has been refused, and what of that is still to be reported: the first, and then at
/// each power of two, so that nobody floods the log.
#[derive(Debug, Default)]
pub struct Refusals {
    counts: alloc::vec::Vec<u64>,
    reports: alloc::vec::Vec<Report>,
}

/// A line for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Number of the client.
    pub client: usize,
    /// The last refusal.
    pub refusal: Refusal,
    /// How many there were by then.
    pub count: u64,
}

impl Refusals {
    pub(crate) fn add(&mut self, client: usize, refusal: Refusal) {
        if self.counts.len() <= client {
            self.counts.resize(client + 1, 0);
        }
        self.counts[client] += 1;
        let count = self.counts[client];
        if count.is_power_of_two() {
            self.reports.push(Report {
                client,
                refusal,
                count,
            });
        }
    }

    /// How many handles a client was refused in this life of ours.
    pub fn count(&self, client: usize) -> u64 {
        self.counts.get(client).copied().unwrap_or(0)
    }

    /// What was not reported yet.
    pub fn take_reports(&mut self) -> alloc::vec::Vec<Report> {
        core::mem::take(&mut self.reports)
    }
}

#[cfg(test)]
mod tests {
    use proto::fs::{OPEN_READ, OPEN_WRITE};

    use super::*;

    const ME: Owner = Owner { client: 1, life: 3 };

    fn handle() -> Handle {
        Handle {
            inode: 77.into(),
            generation: 0x1234_5678_9abc.into(),
            ..Handle::default()
        }
    }

    #[test]
    fn what_was_sealed_is_known_again_by_every_life_of_the_service() {
        let key = Key([1, 2]);
        let sealed = Seals::new(key).seal(ME, &handle(), OPEN_READ);
        assert_eq!(Seals::new(key).check(ME, &sealed, OPEN_READ), Ok(handle()));
        assert_eq!(Seals::new(key).check(ME, &sealed, 0), Ok(handle()));
    }

    #[test]
    fn any_flipped_bit_is_a_forgery() {
        let seals = Seals::new(Key([1, 2]));
        let sealed = seals.seal(ME, &handle(), OPEN_READ);
        for bit in 0..size_of::<Handle>() * 8 {
            let mut edited = sealed;
            edited.as_mut_bytes()[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                seals.check(ME, &edited, 0),
                Err(Refusal::Forged),
                "bit {bit}"
            );
        }
        assert_eq!(seals.check(ME, &handle(), 0), Err(Refusal::Forged));
    }

    #[test]
    fn it_is_for_one_client_one_boot_one_life_and_one_purpose() {
        let seals = Seals::new(Key([1, 2]));
        let sealed = seals.seal(ME, &handle(), OPEN_READ);
        let other = Owner { client: 2, ..ME };
        assert_eq!(seals.check(other, &sealed, 0), Err(Refusal::Forged));
        let boot = Seals::new(Key([1, 3]));
        assert_eq!(boot.check(ME, &sealed, 0), Err(Refusal::Forged));
        let later = Owner { life: 4, ..ME };
        assert_eq!(seals.check(later, &sealed, 0), Err(Refusal::OlderLife));
        let write = OPEN_READ | OPEN_WRITE;
        assert_eq!(seals.check(ME, &sealed, write), Err(Refusal::Rights));
    }

    #[test]
    fn refusals_are_reported_ever_more_rarely() {
        let mut refusals = Refusals::default();
        for _ in 0..1000 {
            refusals.add(2, Refusal::Forged);
        }
        let counts: Vec<_> = refusals.take_reports().iter().map(|r| r.count).collect();
        assert_eq!(counts, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]);
        assert_eq!((refusals.count(2), refusals.count(7)), (1000, 0));
        assert!(refusals.take_reports().is_empty());
    }
}
