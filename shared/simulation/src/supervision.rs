// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The supervisor of the simulated services: its decisions and its records, with deaths of its own between
//! any two stores. What it owes is that every child that died is started again.

use policy::{ChildPolicy, RESTARTS_MAX_MAX, Strategy};
use sel4_shared_memory::host::{HostRegion, Life};
use supervisor_service::state::State;
use supervisor_service::tree::{ChildState, Decision, History, Phase, Record, Tree};

use crate::random::Random;

/// Steps that a life of the supervisor lasts at most.
const LIFE_STEPS: u64 = 400;

/// See the module.
pub struct Supervisor {
    region: HostRegion,
    tree: Option<Tree>,
    life: Life,
    random: Random,
    children: usize,
    now_ms: u64,
    /// Lives that have ended.
    pub deaths: u64,
}

impl Supervisor {
    /// Has `children` children, which have all been started.
    pub fn new(children: usize, random: &Random) -> Self {
        let supervisor = Self {
            region: HostRegion::new(0x1_0000),
            tree: None,
            life: Life::endless(),
            random: random.clone(),
            children,
            now_ms: 0,
            deaths: 0,
        };
        let (mut state, _) = State::attach(supervisor.region.shared_mut(&Life::endless()));
        for id in 0..children {
            let record = Record {
                phase: Phase::Running,
                ..Record::default()
            };
            state.store(id, &record);
        }
        supervisor
    }

    fn child(record: Record, history: History) -> ChildState {
        let policy = ChildPolicy {
            // Deaths come as fast as they can: intensity is not what is tested.
            restarts_max: RESTARTS_MAX_MAX,
            window_ms: 1,
            ..ChildPolicy::DEFAULT
        };
        let mut child = ChildState::new(policy);
        (child.record, child.history) = (record, history);
        child
    }

    /// `child` has died: deals with it, through as many lives as it takes. Returns its new epoch.
    ///
    /// # Errors
    ///
    /// Says what it did not do.
    pub fn on_death(&mut self, child: usize) -> Result<u32, String> {
        self.now_ms += 10;
        let mut started = 0;
        // The kernel keeps the fault at the supervisor's endpoint until somebody receives it: once taken, it
        // is gone with the life that took it, unless the child faults again.
        let mut fault = true;
        for _ in 0..10_000 {
            if self.tree.is_none() && !self.take_up(&mut started) {
                continue;
            }
            if started & 1 << child != 0 {
                return self.epoch(child);
            }
            if !std::mem::take(&mut fault) {
                // Its supervisor has died before it wrote anything down: the parent's restart answers the
                // fault, and the child faults anew.
                fault = true;
                continue;
            }
            if !self.handle(child, &mut started) {
                self.tree = None;
                self.deaths += 1;
            }
        }
        Err(format!("supervisor: child {child} was not started again"))
    }

    fn epoch(&self, child: usize) -> Result<u32, String> {
        let tree = self.tree.as_ref().ok_or("supervisor: no tree")?;
        Ok(tree.children[child].record.epoch)
    }

    /// A life begins; false when it ended before it could receive.
    fn take_up(&mut self, started: &mut u64) -> bool {
        self.life = Life::of_steps(self.random.life_steps(LIFE_STEPS));
        let life = self.life.clone();
        let region = self.region.shared_mut(&life);
        let count = self.children;
        let taken = life.run(|| {
            let (mut state, known) = State::attach(region);
            let loaded = (0..count).map(|id| match known {
                true => state.load(id),
                false => (
                    Record::default(),
                    ChildState::new(ChildPolicy::DEFAULT).history,
                ),
            });
            let mut tree = Tree {
                strategy: Strategy::OneForOne,
                children: loaded
                    .map(|(record, history)| Self::child(record, history))
                    .collect(),
            };
            let mask = tree.on_own_restart(state.escalated());
            restart(&mut tree, &mut state, mask, &life, started);
            tree
        });
        match taken {
            Ok(tree) => self.tree = Some(tree),
            Err(_) => self.deaths += 1,
        }
        self.tree.is_some()
    }

    /// Handles a fault; false when the supervisor died of it.
    fn handle(&mut self, child: usize, started: &mut u64) -> bool {
        let Some(tree) = self.tree.as_mut() else {
            return false;
        };
        let life = self.life.clone();
        let region = self.region.shared_mut(&life);
        let now_ms = self.now_ms;
        let handled = life.run(|| {
            let (mut state, _) = State::attach(region);
            match tree.on_fault(child, now_ms) {
                Decision::Restart(mask) => {
                    state.store_time(child, tree.children[child].latest(), now_ms);
                    restart(tree, &mut state, mask, &life, started);
                }
                Decision::Start(child) => start(tree, &mut state, child, &life, started),
                _ => {}
            }
        });
        handled.is_ok()
    }
}

/// As `Supervisor::restart` of `pds/supervisor/src/main.rs`.
fn restart(tree: &mut Tree, state: &mut State, mask: u64, life: &Life, started: &mut u64) {
    let affected = || (0..u64::BITS as usize).filter(move |child| mask & 1 << child != 0);
    for child in affected() {
        let record = &mut tree.children[child].record;
        record.epoch = record.epoch.wrapping_add(1);
        record.phase = Phase::Loading;
        state.store(child, record);
    }
    for child in affected() {
        start(tree, state, child, life, started);
    }
}

fn start(tree: &mut Tree, state: &mut State, child: usize, life: &Life, started: &mut u64) {
    let record = &mut tree.children[child].record;
    record.phase = Phase::Loading;
    state.store(child, record);
    // Loading, and the kernel's restart.
    life.step();
    *started |= 1 << child;
    life.step();
    let record = &mut tree.children[child].record;
    record.phase = Phase::Running;
    state.store(child, record);
}
