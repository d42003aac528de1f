// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Region `fs_state`: what a later life of ours must know, and the next boot must not.
//!
//! | offset | what |
//! |---|---|
//! | 0 | [`MAGIC`], stored last |
//! | 8 | number of this boot (see [`crate::results`]) |
//! | 16 | the same, inverted |
//! | 24 | [`KEY_MAGIC`], stored last |
//! | 32 | the key of this boot (see [`crate::seal`]), 16 bytes |
//! | 48 | CRC-32C of the key |
//! | 56 | counter when a life last ended for a second opinion; anything will do |
//! | 64 | lives in a row that could not mount; likewise |
//!
//! The region is zero when the system boots and is kept over restarts of ours.

use jbd2::checksum::{SEED, crc32c};
use sel4_shared_memory::SharedMut;

use crate::seal::Key;

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

/// "KFSKEY", version 1.
pub const KEY_MAGIC: u64 = u64::from_le_bytes(*b"KFSKEY01");

const DOUBT: usize = 56;

/// Whether this life may end for a second opinion at counter `now`: not twice within `pause`, because a disk
/// that is really broken gives every life the same answer.
pub fn may_doubt(region: &mut SharedMut, now: u64, pause: u64) -> bool {
    let rested = now.wrapping_sub(region.load_u64(DOUBT)) >= pause;
    if rested {
        region.store_u64(DOUBT, now);
    }
    rested
}

const UNMOUNTED: usize = 64;
/// So many lives in a row that cannot mount are believed.
const UNMOUNTED_MAX: u64 = 4;

/// Notes whether this life could mount; says whether it may end so that another one tries.
pub fn may_mount_again(region: &mut SharedMut, is_mounted: bool) -> bool {
    let before = region.load_u64(UNMOUNTED);
    region.store_u64(
        UNMOUNTED,
        if is_mounted {
            0
        } else {
            before.saturating_add(1)
        },
    );
    !is_mounted && before < UNMOUNTED_MAX
}

fn checksum(key: &Key) -> u64 {
    u64::from(crc32c(SEED, &key.0.map(u64::to_le_bytes).concat()))
}

/// The key of this boot, if an earlier life has stored it.
pub fn key(region: &SharedMut) -> Option<Key> {
    let key = Key([region.load_u64(32), region.load_u64(40)]);
    (region.load_u64(24) == KEY_MAGIC && region.load_u64(48) == checksum(&key)).then_some(key)
}

/// Stores the key for later lives.
pub fn set_key(region: &mut SharedMut, key: &Key) {
    region.store_u64(32, key.0[0]);
    region.store_u64(40, key.0[1]);
    region.store_u64(48, checksum(key));
    region.store_u64(24, KEY_MAGIC);
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

    #[test]
    fn only_so_many_lives_in_a_row_try_to_mount() {
        let region = HostRegion::new(72);
        let mut state = region.shared_mut(&Life::endless());
        for _ in 0..2 {
            for _ in 0..UNMOUNTED_MAX {
                assert!(may_mount_again(&mut state, false));
            }
            assert!(!may_mount_again(&mut state, false));
            assert!(!may_mount_again(&mut state, true));
        }
    }

    #[test]
    fn doubts_need_a_pause() {
        let region = HostRegion::new(64);
        let mut state = region.shared_mut(&Life::endless());
        let may = |state: &mut SharedMut, now| may_doubt(state, now, 10);
        assert!(!may(&mut state, 9) && may(&mut state, 10));
        assert!(!may(&mut state, 19) && may(&mut state, 20));
        // Damaged: not more than a pause is lost.
        state.store_u64(DOUBT, u64::MAX);
        assert!(may(&mut state, 30));
    }

    #[test]
    fn a_key_is_whole_or_not_there() {
        let region = HostRegion::new(64);
        for steps in 0..4 {
            let life = Life::of_steps(steps);
            let mut half = region.shared_mut(&life);
            assert!(life.run(|| set_key(&mut half, &Key([5, 6]))).is_err());
            assert_eq!(key(&half), None);
        }
        let mut whole = region.shared_mut(&Life::endless());
        set_key(&mut whole, &Key([5, 6]));
        assert_eq!(key(&whole), Some(Key([5, 6])));
        whole.store_u64(40, 7);
        assert_eq!(key(&whole), None);
    }
}
