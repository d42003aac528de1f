// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Region `fs_state`: what a later life of ours must know, and the next boot must not.
//!
//! | offset | what |
//! |---|---|
//! | 0 | [`MAGIC`], stored last |
//! | 8 | number of this boot (see [`crate::results`]) |
//! | 16 | the same, inverted |
//!
//! The region is zero when the system boots and is kept over restarts of ours.

use sel4_shared_memory::SharedMut;

/// "KFSSTATE", version 1.
pub const MAGIC: u64 = u64::from_le_bytes(*b"KFSSTAT1");

/// The number of this boot, if an earlier life has stored it.
pub fn boot(region: &SharedMut) -> Option<u64> {
    let boot = region.load_u64(8);
    (region.load_u64(0) == MAGIC && region.load_u64(16) == !boot).then_some(boot)
}

/// Stores the number of this boot for later lives.
pub fn set_boot(region: &mut SharedMut, boot: u64) {
    region.store_u64(8, boot);
    region.store_u64(16, !boot);
    region.store_u64(0, MAGIC);
}

#[cfg(test)]
mod tests {
    use sel4_shared_memory::host::{HostRegion, Life};

    use super::*;

    #[test]
    fn what_was_stored_is_found_and_nothing_else() {
        let region = HostRegion::new(64);
        for steps in 0..3 {
            let life = Life::of_steps(steps);
            let mut half = region.shared_mut(&life);
            assert!(life.run(|| set_boot(&mut half, 7)).is_err());
            assert_eq!(boot(&half), None);
        }
        let mut whole = region.shared_mut(&Life::endless());
        set_boot(&mut whole, 7);
        assert_eq!(boot(&whole), Some(7));
    }
}
