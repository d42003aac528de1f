// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Wires the reports of `supervisor_service::report` to the kernel, the black box and the log.
//!
//! A death that ends in a restart is noted before it and reported at the next tick, so that the child
//! does not wait for that. Any other is reported at once.

use alloc::{format, vec::Vec};

use black_box::{Action, BlackBox, Event, EventWire, RecordWire, Shown};
use log::{info, warn};
use microkit_abi::{cache, slots, tcb};
use recovery::LastLife;
use sel4_shared_memory::{SharedMut, SharedRef};
use supervisor_service::{
    fault::Fault,
    image::Image,
    report::{Death, Places, StackMark, Traces, fill, last_words},
    state::DeathWords,
};
use topology::Topology;

/// So many records of the boot before go to the log; the black box has more.
const LAST_BOOT_MAX: usize = 4;

struct Child {
    name: &'static str,
    tcb: u64,
    places: Places,
    mark: StackMark,
    data: SharedRef,
    /// Where in the data a life leaves what it has found of the last.
    last_life: Option<usize>,
    log: Option<SharedRef>,
    vitals: Option<SharedRef>,
    /// What the vitals said when the death was noted.
    shown: [u64; vitals::SHOWN],
    noted: Option<Noted>,
}

impl Child {
    fn look_at_vitals(&mut self) {
        self.shown = self.vitals.as_ref().map_or([0; _], vitals::words);
    }
}

/// A death that is to be reported.
#[derive(Clone, Copy)]
struct Noted {
    fault: Fault,
    /// Epoch of the life that ended.
    epoch: u32,
    ticks: u64,
}

impl Noted {
    fn to_words(self) -> DeathWords {
        let [kind, pc, address] = self.fault.to_words();
        [kind, pc, address, self.epoch.into(), self.ticks]
    }

    fn from_words([kind, pc, address, epoch, ticks]: DeathWords) -> Self {
        Self {
            fault: Fault::from_words([kind, pc, address]),
            epoch: epoch as u32,
            ticks,
        }
    }
}

/// Reports the deaths of the children, by their position.
pub struct Reporter {
    black_box: Option<BlackBox>,
    children: Vec<Child>,
    /// The latest report.
    wire: RecordWire,
}

impl Reporter {
    /// Attaches to the black box, if system.xml gives this PD one, and logs how the last boot ended.
    pub fn new(topology: &Topology<'static>) -> Self {
        let region = topology.region(&format!("{}_black_box", topology.name()));
        let black_box = region.and_then(|region| {
            let attached = BlackBox::attach(pd_setup::writes(&region), recovery::epoch());
            let Ok((black_box, attached)) = attached else {
                warn!("{} is too small", region.name);
                return None;
            };
            if attached.formatted {
                info!("BLACKBOX formatted: nothing is known of an earlier boot");
            } else if recovery::epoch() == 0 {
                last_boot(&black_box);
            }
            Some(black_box)
        });
        Self {
            black_box,
            children: Vec::new(),
            wire: RecordWire::empty(),
        }
    }

    /// Adds the next child.
    pub fn add(
        &mut self,
        topology: &Topology<'static>,
        child: &topology::Child<'static>,
        image: &Image,
        data: SharedRef,
    ) {
        let windows = child
            .parts
            .map(|parts| (parts.code, parts.data.vaddr_in_child));
        let Some((code, data_base)) = windows else {
            return;
        };
        let code = code.vaddr_in_child..code.vaddr_in_child + code.size;
        let places = Places {
            stack: image.stack(),
            code,
            data_base,
        };
        let log = topology.region(&format!("{}_to_console_log", child.name));
        let vitals = topology.region(&format!("{}_vitals", child.name));
        self.children.push(Child {
            name: child.name,
            tcb: slots::child_tcb(usize::from(child.id)),
            mark: StackMark::new(&places),
            places,
            last_life: image.last_life_offset(&data),
            data,
            noted: None,
            vitals: vitals.map(|region| pd_setup::reads(&region)),
            shown: [0; vitals::SHOWN],
            log: log.map(|region| pd_setup::reads(&region)),
        });
    }

    /// From now on the child is another program.
    pub fn replace(&mut self, child: usize, image: &Image) {
        let child = &mut self.children[child];
        child.places.stack = image.stack();
        child.last_life = image.last_life_offset(&child.data);
        child.mark = StackMark::new(&child.places);
    }

    /// Prepares the stack of a child that has not run yet.
    pub fn first_life(&self, child: usize, data: &mut SharedMut) {
        StackMark::paint(&self.children[child].places, data);
    }

    /// Notes that the life `epoch` has ended and will be restarted, in words that are to be kept
    /// until [`Reporter::report_noted`] has returned true for this child.
    pub fn note(&mut self, child: usize, fault: Fault, epoch: u32, ticks: u64) -> DeathWords {
        let noted = Noted {
            fault,
            epoch,
            ticks,
        };
        let child = &mut self.children[child];
        child.noted = Some(noted);
        // The next life begins with writing there.
        child.look_at_vitals();
        noted.to_words()
    }

    /// Takes over what an earlier life of this supervisor has noted.
    pub fn take_over(&mut self, child: usize, words: DeathWords) {
        self.children[child].noted = Some(Noted::from_words(words));
    }

    /// Reports what was noted of this child; says whether it did. It waits for the new life to have
    /// found something, if that may still come.
    pub fn report_noted(&mut self, child: usize, may_wait: bool) -> bool {
        let Some(noted) = self.children[child].noted else {
            return false;
        };
        let place = &self.children[child];
        let found: Option<LastLife> = place.last_life.map(|offset| place.data.read(offset));
        let found = found.filter(|found| found.is_found_by(noted.epoch.wrapping_add(1)));
        let age = recovery::ticks().saturating_sub(noted.ticks);
        if found.is_none() && may_wait && age < recovery::ticks_per_second() {
            return false;
        }
        self.children[child].noted = None;
        let place = &self.children[child];
        let traces = found.as_ref().map_or(Traces::NONE, |found| {
            Traces::of_last_life(found, noted.fault.pc, &place.places)
        });
        let restarted = found.map_or(noted.ticks, |found| found.entry_ticks);
        self.report(child, noted, Action::Restart, traces, restarted);
        true
    }

    /// Reports a death of a child that is not restarted.
    pub fn report_now(
        &mut self,
        child: usize,
        fault: Fault,
        epoch: u32,
        action: Action,
        ticks: u64,
    ) {
        let place = &self.children[child];
        let traces = tcb::read(place.tcb).map_or(Traces::NONE, |registers| {
            Traces::of_registers(registers, &place.places, &place.data)
        });
        let noted = Noted {
            fault,
            epoch,
            ticks,
        };
        self.children[child].look_at_vitals();
        self.report(child, noted, action, traces, recovery::ticks());
    }

    fn report(&mut self, child: usize, noted: Noted, action: Action, traces: Traces, end: u64) {
        let child = &mut self.children[child];
        let death = Death {
            name: child.name,
            fault: noted.fault,
            epoch: noted.epoch,
            action,
            fault_ticks: noted.ticks,
            ticks_per_second: recovery::ticks_per_second(),
            traces,
            shown: Shown::from_words(&child.shown),
        };
        fill(
            &mut self.wire,
            &death,
            &child.places,
            &mut child.mark,
            &child.data,
        );
        if let Some(log) = &child.log {
            last_words(&mut self.wire, log, noted.epoch);
        }
        if let Some(black_box) = &mut self.black_box {
            let changed = black_box.push(&mut self.wire);
            cache::clean(black_box.addr() + changed.start, changed.len());
        }
        let event = EventWire::of(&self.wire, end);
        log_ring::report(log::Level::Warn, event.bytes());
    }
}

/// Says how the last boot that left a record ended.
fn last_boot(black_box: &BlackBox) {
    let earlier = || {
        black_box
            .records()
            .filter(|wire| wire.head.boot < black_box.boot())
    };
    let Some(boot) = earlier().map(|wire| wire.head.boot).max() else {
        info!(
            "LASTBOOT none of the {} boots before left a record",
            black_box.boot() - 1
        );
        return;
    };
    let of_boot = || earlier().filter(|wire| wire.head.boot == boot);
    let count = of_boot().count();
    info!(
        "LASTBOOT boot={boot} of={} records={count}",
        black_box.boot() - 1
    );
    for wire in of_boot().skip(count.saturating_sub(LAST_BOOT_MAX)) {
        for line in format!("{}", Event::of(&wire).lines()).lines() {
            info!("LASTBOOT {line}");
        }
        for line in wire.record().text().lines() {
            info!("LASTBOOT LOG pd={} {line}", wire.record().name());
        }
    }
}
