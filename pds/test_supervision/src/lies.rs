// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What makes a service answer wrongly, while it runs and answers in time.

use proto::timer::clock;
use topology::Topology;

use crate::victim::Victim;

/// One way.
pub struct Lie {
    /// Who answers wrongly then.
    pub of: &'static str,
    /// Does it; says whether it could.
    pub tell: fn(&Topology<'static>, &mut Victim) -> bool,
}

/// All of them.
pub const ALL: [Lie; 3] = [
    Lie {
        of: "blk",
        tell: answers_go_astray,
    },
    Lie {
        of: "timer",
        tell: clock_runs_fast,
    },
    Lie {
        of: "fs",
        tell: root_is_a_file,
    },
];

/// The block service's answers to its supervisor are written beside their place.
fn answers_go_astray(topology: &Topology<'static>, blk: &mut Victim) -> bool {
    let place = topology.region("devices_to_blk_data");
    place.is_some_and(|place| blk.corrupt(topology, place.paddr, place.paddr + 0x800) > 0)
}

/// The clock's page says that each count takes twice its time.
fn clock_runs_fast(topology: &Topology<'static>, _: &mut Victim) -> bool {
    let Some(region) = topology.region("timer_clock") else {
        return false;
    };
    let mut page = pd_setup::writes(&region);
    let at = clock::ns_per_tick_word(&page) * size_of::<u64>();
    let ns_per_tick = page.load_u64(at);
    page.store_u64(at, 2 * ns_per_tick);
    ns_per_tick != 0
}

/// Bytes of a block, and of an inode, of the file system that the host tool makes.
const BLOCK_BYTES: usize = 4096;
const INODE_BYTES: usize = 256;
/// Inode 2 is the second one in its block.
const ROOT: usize = INODE_BYTES;
/// Inode 11, `lost+found`.
const LOST_AND_FOUND: usize = 10 * INODE_BYTES;
/// Type bits of the first half word of an inode.
const TYPE: u16 = 0xf000;
const DIRECTORY: u16 = 0x4000;
const FILE: u16 = 0x8000;

/// In the file service's own memory, what looks like the type of the root has become that of a file.
fn root_is_a_file(topology: &Topology<'static>, fs: &mut Victim) -> bool {
    let Some(cache) = topology.region("fs_to_blk_data") else {
        return false;
    };
    let cache = pd_setup::reads(&cache);
    let is_directory = |at: usize| cache.load_u64(at) as u16 & TYPE == DIRECTORY;
    let mut blocks = (0..cache.len()).step_by(BLOCK_BYTES);
    let found =
        blocks.find(|block| is_directory(block + ROOT) && is_directory(block + LOST_AND_FOUND));
    found.is_some_and(|block| {
        let mode = cache.load_u64(block + ROOT) as u16;
        fs.corrupt_u16(topology, mode, mode & !TYPE | FILE) > 0
    })
}
