// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Wires the reports of `supervisor_service::report` to the kernel, the black box and the log.
//!
//! A report is taken before the restart, and sent to the log after it. Both are part of the time
//! that the child waits, as it runs below this PD.

use alloc::{format, vec::Vec};

use black_box::{Action, BlackBox, Event, EventWire, RecordWire};
use log::{info, warn};
use microkit_abi::{cache, slots, tcb};
use sel4_shared_memory::{SharedMut, SharedRef};
use supervisor_service::{
    fault::Fault,
    image::Image,
    report::{Death, Places, StackMark, fill, last_words},
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
    log: Option<SharedRef>,
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
        self.children.push(Child {
            name: child.name,
            tcb: slots::child_tcb(usize::from(child.id)),
            mark: StackMark::new(&places),
            places,
            data,
            log: log.map(|region| pd_setup::reads(&region)),
        });
    }

    /// Prepares the stack of a child that has not run yet.
    pub fn first_life(&self, child: usize, data: &mut SharedMut) {
        StackMark::paint(&self.children[child].places, data);
    }

    /// Takes the report of the life `epoch`, which has ended and is not restarted yet.
    pub fn take(&mut self, child: usize, fault: Fault, epoch: u32, action: Action, ticks: u64) {
        let child = &mut self.children[child];
        let death = Death {
            name: child.name,
            fault,
            epoch,
            action,
            fault_ticks: ticks,
            ticks_per_second: recovery::ticks_per_second(),
            registers: tcb::read(child.tcb).ok(),
        };
        fill(
            &mut self.wire,
            &death,
            &child.places,
            &mut child.mark,
            &child.data,
        );
        if let Some(log) = &child.log {
            last_words(&mut self.wire, log, epoch);
        }
        if let Some(black_box) = &mut self.black_box {
            let changed = black_box.push(&mut self.wire);
            cache::clean(black_box.addr() + changed.start, changed.len());
        }
    }

    /// Sends the report that was taken last to the log.
    pub fn log(&self) {
        let event = EventWire::of(&self.wire, recovery::ticks());
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
