// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What makes a service answer wrongly, while it runs and answers in time.
//!
//! There is none for the file service: what it knows of its root is in no place that a test could find.

use black_box::Kind;
use proto::timer::clock;
use topology::Topology;

use crate::victim::Victim;

/// One way.
pub struct Lie {
    /// Who answers wrongly then.
    pub of: &'static str,
    /// What its death may be called: also that it has found out by itself, before it was asked.
    pub kinds: &'static [Kind],
    /// Does it; says whether it could.
    pub tell: fn(&Topology<'static>, &mut Victim) -> bool,
}

/// All of them.
pub const ALL: [Lie; 2] = [
    Lie {
        of: "blk",
        kinds: &[Kind::WrongAnswer],
        tell: answers_go_astray,
    },
    Lie {
        of: "timer",
        kinds: &[Kind::WrongAnswer, Kind::Panic],
        tell: clock_runs_fast,
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
