// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Everything that the injector holds of the machine, and how it looks at it.

use alloc::vec::Vec;

use app_demo_service::board::{self, word};
use injector_service::outcome::Evidence;
use injector_service::plan::VICTIMS;
use injector_service::queue::Queue;
use injector_service::settings::{Made, Settings};
use sel4_shared_memory::{SharedMut, SharedRef};
use topology::{Region, Topology};

use crate::victim::Victim;

/// A region that a victim shares with others.
pub struct Shared {
    /// Its name in system.xml.
    pub name: &'static str,
    /// Index of the victim that it belongs to: who writes it, or who reads what the application writes.
    pub victim: usize,
    /// Its bytes.
    pub memory: SharedMut,
}

/// See the module.
pub struct Machine {
    /// What to do.
    pub settings: Settings,
    /// In the order of [`VICTIMS`].
    pub victims: Vec<Victim>,
    /// What can be corrupted besides the victims' own memory.
    pub shared: Vec<Shared>,
    /// The block driver's memory for the disk, and the queue in it.
    pub dma: SharedMut,
    /// See [`Self::dma`].
    pub queue: Queue,
    board: SharedRef,
    /// Of the applications beside app_demo.
    other_boards: Vec<SharedRef>,
    control: SharedMut,
    from_host: SharedRef,
}

/// What is seen at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Counter.
    pub ticks: u64,
    /// Epoch of each victim.
    pub epochs: [u32; VICTIMS.len()],
    /// Answers of each victim.
    pub beats: [u64; VICTIMS.len()],
    /// app_demo's words, with the troubles of all applications.
    pub board: [u64; board::WORDS],
    /// Rounds of each of the others.
    pub others: Vec<u64>,
}

/// Region `NAME_to_injector_score` is the board of NAME.
const SCORE: &str = "_to_injector_score";
const FIRST_SCORE: &str = "app_demo_to_injector_score";
/// What counts whoever it happens to. No application dies of anything but wrong answers.
const TROUBLES: [usize; 4] = [word::ERRORS, word::WRONG, word::LOST, word::LIVES];

/// Names of regions that are not shared state: code and the like, our own, bulk data without structure, and
/// what a device reads: with a wrong address there it may write over anything, and nobody could keep it
/// from that.
fn is_state(region: &Region<'_>) -> bool {
    let ends = ["_code", "_data", "_elf", "_topology", "_dma"];
    region.perms.write
        && !region.name.contains("injector")
        && !ends.iter().any(|end| region.name.ends_with(end))
}

/// Whose region that is.
fn owner(name: &str) -> Option<usize> {
    let index = |pd: &str| VICTIMS.iter().position(|(victim, _)| *victim == pd);
    if let Some((writer, rest)) = name.split_once("_to_") {
        let reader = VICTIMS
            .iter()
            .position(|(victim, _)| rest.starts_with(&alloc::format!("{victim}_")));
        return index(writer).or(reader);
    }
    index(name.rsplit_once('_')?.0)
}

impl Machine {
    /// Finds everything in the topology.
    pub fn new(topology: &Topology<'static>, settings: Settings) -> Self {
        let needed = |name: &str| {
            topology
                .region(name)
                .unwrap_or_else(|| panic!("overlay.xml does not map {name}"))
        };
        let victims = VICTIMS
            .iter()
            .enumerate()
            .map(|(index, (name, _))| Victim::new(topology, name, index + 1));
        let shared = topology.regions().filter(is_state).filter_map(|region| {
            Some(Shared {
                name: region.name,
                victim: owner(region.name)?,
                memory: pd_setup::writes(&region),
            })
        });
        let dma = needed("blk_dma");
        let dma_paddr = dma.paddr;
        let dma = pd_setup::writes(&dma);
        Self {
            settings,
            queue: Queue::new(dma.as_shared_ref(), dma_paddr),
            dma,
            victims: victims.collect(),
            shared: shared.collect(),
            board: pd_setup::reads(&needed(FIRST_SCORE)),
            other_boards: topology
                .regions()
                .filter(|region| region.name.ends_with(SCORE) && region.name != FIRST_SCORE)
                .map(|region| pd_setup::reads(&region))
                .collect(),
            control: pd_setup::writes(&needed("injector_to_app_demo_control")),
            from_host: pd_setup::reads(&needed("injector_settings")),
        }
    }

    /// Looks.
    pub fn look(&self) -> Snapshot {
        let mut words = [0; board::WORDS];
        for (index, word) in words.iter_mut().enumerate() {
            *word = self.board.load_u64(index * 8);
        }
        let mut snapshot = Snapshot {
            ticks: recovery::ticks(),
            epochs: [0; VICTIMS.len()],
            beats: [0; VICTIMS.len()],
            board: words,
            others: Vec::with_capacity(self.other_boards.len()),
        };
        for board in &self.other_boards {
            snapshot.others.push(board.load_u64(word::ROUNDS * 8));
            for word in TROUBLES {
                snapshot.board[word] = snapshot.board[word].wrapping_add(board.load_u64(word * 8));
            }
        }
        for (index, victim) in self.victims.iter().enumerate() {
            snapshot.epochs[index] = victim.epoch();
            snapshot.beats[index] = victim.beats();
        }
        snapshot
    }

    /// Tells the host that a trial begins, or that a period has passed: it watches these words.
    pub fn tell_host(&mut self, word: usize, value: u64) {
        self.control.store_u64(word * 8, value);
    }

    /// What the host has done, if it makes the faults.
    pub fn made(&self) -> Option<Made> {
        let mut words = [0; Made::WORDS];
        for (index, word) in words.iter_mut().enumerate() {
            *word = self.from_host.load_u64((Made::AT + index) * 8);
        }
        Made::parse(&words)
    }

    /// Tells the application which trial it is in.
    pub fn tell_trial(&mut self, trial: u64) {
        self.control
            .store_u64(word::CONTROL_TRIAL * 8, trial.wrapping_add(1));
    }

    /// Tells the application to end.
    pub fn tell_end(&mut self) {
        self.control.store_u64(word::CONTROL_END * 8, 1);
    }
}

impl Snapshot {
    /// Rounds that the application has finished.
    pub fn rounds(&self) -> u64 {
        self.board[word::ROUNDS]
    }

    /// Whether every other application has finished a round since `earlier`.
    pub fn others_work(&self, earlier: &Self) -> bool {
        let mut pairs = self.others.iter().zip(&earlier.others);
        pairs.all(|(now, then)| now != then)
    }

    /// Firings that the application has seen.
    pub fn fired(&self) -> u64 {
        self.board[word::FIRED]
    }

    /// Bytes that the application has compared.
    pub fn bytes(&self) -> u64 {
        self.board[word::BYTES]
    }

    /// Longest operation of this trial.
    pub fn slowest_ns(&self) -> u64 {
        self.board[word::SLOWEST_NS]
    }

    /// Operations that were answered.
    pub fn operations(&self) -> u64 {
        self.board[word::OPERATIONS]
    }

    /// Nanoseconds since `earlier`.
    pub fn since(&self, earlier: &Self) -> u64 {
        let ticks = self.ticks.wrapping_sub(earlier.ticks);
        let ns =
            u128::from(ticks) * 1_000_000_000 / u128::from(recovery::ticks_per_second().max(1));
        ns as u64
    }

    /// Guest time in microseconds.
    pub fn now_us(&self) -> u64 {
        (u128::from(self.ticks) * 1_000_000 / u128::from(recovery::ticks_per_second().max(1)))
            as u64
    }

    /// Restarts of each victim since `earlier`.
    pub fn restarts(&self, earlier: &Self) -> [u32; VICTIMS.len()] {
        core::array::from_fn(|index| self.epochs[index].wrapping_sub(earlier.epochs[index]))
    }

    /// What has happened since `earlier`.
    pub fn evidence(&self, earlier: &Self) -> Evidence {
        let grown = |word: usize| self.board[word].wrapping_sub(earlier.board[word]);
        let deaths = grown(word::LIVES);
        Evidence {
            restarts: self.restarts(earlier).into_iter().map(u64::from).sum(),
            handled: false,
            troubles: [
                grown(word::ERRORS) + deaths,
                grown(word::WRONG),
                grown(word::LOST),
            ],
            timers: [
                grown(word::EARLY),
                grown(word::TIMERS_LOST),
                grown(word::EXTRA),
                grown(word::BACKWARDS),
            ],
            reset: false,
            stuck: false,
        }
    }
}
