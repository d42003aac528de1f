// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Who may name what: the capability tables that Microkit gives each PD, and its channel masks.
//!
//! Slot numbers and badges are Microkit's ABI (`libmicrokit` has them compiled in).

use std::collections::HashSet;

use crate::error::LayoutError;
use crate::spec::{CspaceCapKind, ProtectionDomain, SystemSpec, Trigger};
use crate::wire::{
    CAP_ENDPOINT, CAP_IRQ_HANDLER, CAP_NOTIFICATION, CAP_REPLY, CAP_SCHED_CONTEXT, CAP_SMC,
    CAP_TCB, CAP_VSPACE, CapWire, IrqWire, MONITOR, USER_SLOTS,
};

const SLOT_INPUT: u16 = 1;
const SLOT_FAULT: u16 = 2;
const SLOT_VSPACE: u16 = 3;
const SLOT_REPLY: u16 = 4;
const SLOT_MONITOR: u16 = 5;
const SLOT_SMC: u16 = 7;
const SLOT_NOTIFICATION: u16 = 10;
const SLOT_ENDPOINT: u16 = 74;
const SLOT_IRQ: u16 = 138;
const SLOT_TCB: u16 = 202;
/// Slots in the Microkit CNode.
const SLOTS: u16 = 512;
/// Slots in the root CNode; slot 0 holds the Microkit CNode.
const ROOT_SLOTS: u8 = 64;
const BADGE_FAULT: u64 = 1 << 62;
const BADGE_PPC: u64 = 1 << 63;
/// Largest channel id.
const ID_MAX: u8 = 61;

/// Values of the `microkit_*` bit masks.
pub(crate) struct Masks {
    pub irqs: u64,
    pub notifications: u64,
    pub pps: u64,
}

pub(crate) fn masks(system: &SystemSpec, pd: &ProtectionDomain) -> Masks {
    let mut masks = Masks {
        irqs: 0,
        notifications: 0,
        pps: 0,
    };
    for irq in &pd.irqs {
        masks.irqs |= 1 << irq.id;
    }
    for end in system.channels.iter().flat_map(|channel| &channel.ends) {
        if end.pd == pd.name {
            masks.notifications |= u64::from(end.notify) << end.id;
            masks.pps |= u64::from(end.pp) << end.id;
        }
    }
    masks
}

/// Collects capabilities and refuses two in one slot.
struct Caps {
    caps: Vec<CapWire>,
    used: HashSet<(u16, u16)>,
}

impl Caps {
    fn put(
        &mut self,
        holder: (usize, &ProtectionDomain),
        slot: u16,
        kind: u8,
        object: u16,
        badge: u64,
    ) -> Result<(), LayoutError> {
        let pd = holder.0 as u16;
        if !self.used.insert((pd, slot)) {
            return Err(LayoutError::BadSlot {
                pd: holder.1.name.clone(),
                slot,
            });
        }
        self.caps.push(CapWire {
            pd: pd.into(),
            slot: slot.into(),
            object: object.into(),
            kind,
            reserved: 0,
            badge: badge.into(),
        });
        Ok(())
    }
}

/// Every capability of every PD.
pub(crate) fn caps(system: &SystemSpec) -> Result<Vec<CapWire>, LayoutError> {
    let pds = &system.protection_domains;
    let mut caps = Caps {
        caps: Vec::new(),
        used: HashSet::new(),
    };
    for holder in pds.iter().enumerate() {
        own_caps(system, holder, &mut caps)?;
        for extra in &holder.1.cspace {
            if extra.slot == 0 || extra.slot >= ROOT_SLOTS {
                return Err(LayoutError::BadSlot {
                    pd: holder.1.name.clone(),
                    slot: extra.slot.into(),
                });
            }
            let kind = match extra.kind {
                CspaceCapKind::Tcb => CAP_TCB,
                CspaceCapKind::SchedContext => CAP_SCHED_CONTEXT,
                CspaceCapKind::Vspace => CAP_VSPACE,
            };
            let object = find(system, &extra.pd)? as u16;
            caps.put(holder, USER_SLOTS + u16::from(extra.slot), kind, object, 0)?;
        }
    }
    for child in pds.iter().enumerate() {
        if let Some(parent) = &child.1.parent {
            let slot = SLOT_TCB + parent.id;
            let holder = (parent.index, &pds[parent.index]);
            if slot >= SLOTS {
                return Err(LayoutError::BadSlot {
                    pd: holder.1.name.clone(),
                    slot,
                });
            }
            caps.put(holder, slot, CAP_TCB, child.0 as u16, 0)?;
        }
    }
    channel_caps(system, &mut caps)?;
    Ok(caps.caps)
}

fn own_caps(
    system: &SystemSpec,
    holder: (usize, &ProtectionDomain),
    caps: &mut Caps,
) -> Result<(), LayoutError> {
    let (index, pd) = holder;
    let own = index as u16;
    let monitor_badge = u64::from(own) + 1;
    let kind = if has_endpoint(system, index) {
        CAP_ENDPOINT
    } else {
        CAP_NOTIFICATION
    };
    caps.put(holder, SLOT_INPUT, kind, own, 0)?;
    let (object, badge) = match &pd.parent {
        Some(parent) => (parent.index as u16, BADGE_FAULT | u64::from(parent.id)),
        None => (MONITOR, monitor_badge),
    };
    caps.put(holder, SLOT_FAULT, CAP_ENDPOINT, object, badge)?;
    caps.put(holder, SLOT_VSPACE, CAP_VSPACE, own, 0)?;
    caps.put(holder, SLOT_REPLY, CAP_REPLY, own, 0)?;
    if pd.passive {
        caps.put(holder, SLOT_MONITOR, CAP_ENDPOINT, MONITOR, monitor_badge)?;
    }
    if pd.smc {
        caps.put(holder, SLOT_SMC, CAP_SMC, 0, 0)?;
    }
    for irq in &pd.irqs {
        let slot = SLOT_IRQ + u16::from(checked_id(pd, irq.id)?);
        caps.put(holder, slot, CAP_IRQ_HANDLER, irq.irq as u16, 0)?;
    }
    Ok(())
}

fn checked_id(pd: &ProtectionDomain, id: u8) -> Result<u8, LayoutError> {
    if id > ID_MAX {
        return Err(LayoutError::BadSlot {
            pd: pd.name.clone(),
            slot: id.into(),
        });
    }
    Ok(id)
}

/// A PD receives on an endpoint if it has children or is called; else on its notification.
fn has_endpoint(system: &SystemSpec, index: usize) -> bool {
    let pd = &system.protection_domains[index];
    let is_parent = system.protection_domains.iter().any(|child| {
        child
            .parent
            .as_ref()
            .is_some_and(|parent| parent.index == index)
    });
    let is_called = system.channels.iter().any(|channel| {
        let [a, b] = &channel.ends;
        (a.pd == pd.name && b.pp) || (b.pd == pd.name && a.pp)
    });
    is_parent || is_called
}

fn channel_caps(system: &SystemSpec, caps: &mut Caps) -> Result<(), LayoutError> {
    for channel in &system.channels {
        let [a, b] = &channel.ends;
        // A channel of a PD with itself under one id gives one capability, not two.
        let both = [(a, b), (b, a)];
        let count = if a.pd == b.pd && a.id == b.id { 1 } else { 2 };
        for (end, peer) in &both[..count] {
            let index = find(system, &end.pd)?;
            let holder = (index, &system.protection_domains[index]);
            let object = find(system, &peer.pd)? as u16;
            let id = u16::from(checked_id(holder.1, end.id)?);
            checked_id(holder.1, peer.id)?;
            if end.notify {
                let slot = SLOT_NOTIFICATION + id;
                caps.put(holder, slot, CAP_NOTIFICATION, object, 1 << peer.id)?;
            }
            if end.pp {
                let badge = BADGE_PPC | u64::from(peer.id);
                caps.put(holder, SLOT_ENDPOINT + id, CAP_ENDPOINT, object, badge)?;
            }
        }
    }
    Ok(())
}

/// Every interrupt line; refuses those that no PD may have.
pub(crate) fn irqs(system: &SystemSpec) -> Result<Vec<IrqWire>, LayoutError> {
    let mut irqs: Vec<IrqWire> = Vec::new();
    for (index, pd) in system.protection_domains.iter().enumerate() {
        for irq in &pd.irqs {
            // 25 and 26 are seL4's, 27 is the tick of ours; below 16 are software interrupts.
            let exists = (16..160).contains(&irq.irq) && !(25..=27).contains(&irq.irq);
            if !exists || irqs.iter().any(|known| known.number.get() == irq.irq) {
                return Err(LayoutError::BadIrq {
                    pd: pd.name.clone(),
                    irq: irq.irq,
                });
            }
            irqs.push(IrqWire {
                number: irq.irq.into(),
                pd: (index as u16).into(),
                id: checked_id(pd, irq.id)?,
                edge: u8::from(irq.trigger == Trigger::Edge),
            });
        }
    }
    Ok(irqs)
}

fn find(system: &SystemSpec, name: &str) -> Result<usize, LayoutError> {
    system
        .protection_domains
        .iter()
        .position(|pd| pd.name == name)
        .ok_or_else(|| LayoutError::UnknownPd(name.into()))
}
