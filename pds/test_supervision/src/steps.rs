// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Each supervisor dies at each step of a restart of one of its children, of an escalation and of its own
//! start; and everybody lives.

use alloc::{format, string::String, vec::Vec};

use log::info;
use test_supervision_service::stub::{FAULTS, HANGS};

use crate::{REST_PERIODS, Test, rest};

/// Deaths in a row of one child, one per period: one more than its policy in overlay.policy.toml grants.
const TOO_OFTEN: u32 = 5;

/// What brings a supervisor to a step.
#[derive(Clone, Copy)]
enum Way {
    /// Its child faults.
    Fault,
    /// Its child hangs.
    Hang,
    /// It dies itself.
    OwnDeath,
    /// Its child faults too often.
    TooOften,
}

impl Way {
    fn to(step: &str) -> Self {
        match step {
            "supervisor.hang" => Self::Hang,
            "supervisor.taking_up" => Self::OwnDeath,
            "supervisor.escalating" => Self::TooOften,
            _ => Self::Fault,
        }
    }
}

impl Test {
    pub fn steps(&mut self) {
        for (supervisor, child) in [("supervisor", "timer"), ("devices", "blk")] {
            let position = |name: &str| self.victims.iter().position(|v| v.name == name);
            let (Some(supervisor), Some(child)) = (position(supervisor), position(child)) else {
                self.fail("system.xml does not map the supervisors and their children");
                continue;
            };
            let points = &self.victims[supervisor].points.points;
            let names: Vec<String> = points.iter().map(|point| point.name.clone()).collect();
            // One that dies itself gets its code back, so that nothing is found planted in its start.
            let is_step = |name: &&String| {
                name.starts_with("supervisor.") && **name != "supervisor.taking_up"
            };
            for name in names.iter().filter(is_step) {
                self.step(supervisor, child, name);
            }
        }
    }

    fn step(&mut self, supervisor: usize, child: usize, name: &str) {
        let before = self.sights();
        if let Way::OwnDeath = Way::to(name) {
            // A supervisor of which its own supervisor knows nothing gets all its code back, plant included.
            self.victims[supervisor].attack(&FAULTS[0]);
            if !self.until_alive(&[supervisor], &before) {
                return self.fail("a supervisor that died does not live again");
            }
            rest(REST_PERIODS);
        }
        let before = self.sights();
        self.victims[supervisor].plant(name);
        let mut deaths = 1;
        if name == "supervisor.stopped" {
            // That is where a life comes along that finds a child half loaded.
            self.victims[supervisor].plant("supervisor.loading");
            deaths = 2;
        }
        match Way::to(name) {
            Way::Fault => self.victims[child].attack(&FAULTS[0]),
            Way::Hang => self.victims[child].attack(&HANGS[0]),
            Way::OwnDeath => {
                deaths = 2;
                self.victims[supervisor].end_with_code_intact();
            }
            Way::TooOften => {
                for _ in 0..TOO_OFTEN {
                    self.victims[child].attack(&FAULTS[0]);
                    rest(1);
                }
            }
        }
        let dead = match Way::to(name) {
            Way::OwnDeath => supervisor,
            _ => child,
        };
        let what = format!("{} at {name}", self.victims[supervisor].name);
        if !self.until_alive(&[dead], &before) {
            return self.fail(&format!("{what}: who died does not live again"));
        }
        rest(REST_PERIODS);
        let lives = self.victims[supervisor].sight().epoch - before[supervisor].epoch;
        if lives < deaths {
            self.fail(&format!("{what}: {lives} deaths, not {deaths}"));
        } else if self.until_alive(&[supervisor], &before) {
            info!("STEP {what}: both live");
        } else {
            self.fail(&format!("{what}: the supervisor does not answer"));
        }
        rest(REST_PERIODS);
    }
}
