// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Decides whether a life that sees the disk fail may end, so that the next one looks itself.
//!
//! A life whose code or memory is damaged may say that the disk fails when it does not, and the file service
//! is read-only from then on (campaign on seL4 release, seed 1, trial 8416). So the driver ends once; but
//! the life after that believes whatever it sees, as long as it lasts: a disk that fails for good costs one
//! restart, and as many more as the driver has for other reasons.

use sel4_shared_memory::SharedMut;

const MAGIC: u64 = 0x444f_5542 << 32;

/// One word of memory that outlives the driver.
pub struct Doubt {
    note: SharedMut,
    epoch: u32,
}

impl Doubt {
    /// `epoch` says how often this PD was restarted.
    ///
    /// # Panics
    ///
    /// When `note` has less than eight bytes.
    #[must_use]
    pub fn new(note: SharedMut, epoch: u32) -> Self {
        assert!(note.len() >= 8, "no room for a word");
        Self { note, epoch }
    }

    /// Whether this life may end, because the disk seems to fail. If so, it has to.
    pub fn may_end(&mut self) -> bool {
        let last = self.epoch.checked_sub(1);
        let believes = last.is_some_and(|last| self.note.load_u64(0) == ended(last));
        if !believes {
            self.note.store_u64(0, ended(self.epoch));
        }
        !believes
    }
}

/// What a life leaves that ends.
fn ended(epoch: u32) -> u64 {
    MAGIC | u64::from(epoch)
}

#[cfg(test)]
mod tests {
    use sel4_shared_memory::host::{HostRegion, Life};

    use super::*;

    #[test]
    fn one_life_doubts_and_the_next_believes() {
        let region = HostRegion::new(8);
        let may_end = |epoch| Doubt::new(region.shared_mut(&Life::endless()), epoch).may_end();
        assert!(may_end(0));
        assert!(!may_end(1) && !may_end(1), "as long as it lasts");
        // That one ended for another reason.
        assert!(may_end(2) && !may_end(3));
        // Memory of an earlier boot, or damaged.
        assert!(may_end(0));
        region.set_bytes(0, &[0xff; 8]);
        assert!(may_end(u32::MAX) && may_end(7) && !may_end(8));
    }
}
