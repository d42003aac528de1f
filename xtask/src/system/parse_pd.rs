// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! XML to [`System`]: a protection domain and all that stands inside it.

use crate::board::Board;
use crate::diagnostics::Diagnostic;
use crate::system::element::{Attribute, Element, Parsed};
use crate::system::rules::{PRIORITY_MAX, STACK_MAX, STACK_MIN};
use crate::system::{
    CapKind, CapMap, FileName, Irq, Map, Pd, SetVar, SetVarValue, System, VirtualMachine,
};

/// Budget in microseconds when none is given.
const BUDGET_DEFAULT: u64 = 1000;
/// Stack in bytes when none is given.
const STACK_DEFAULT: u64 = 0x2000;
/// Slots of the root CNode: the real tool takes up to 127, and aborts at boot from 64 on.
const CAP_SLOTS: u64 = 64;
/// Elements that may stand in a PD.
const PD_CHILDREN: &str =
    "program_image, map, irq, setvar, protection_domain, virtual_machine, cspace";

/// Reads a PD that has no parent.
pub fn root(element: &Element<'_, '_>, system: &mut System, board: &Board) -> Parsed<()> {
    pd(element, None, system, board).map(|_| ())
}

/// Reads a PD and its children, and returns its index.
fn pd(
    element: &Element<'_, '_>,
    parent: Option<usize>,
    system: &mut System,
    board: &Board,
) -> Parsed<usize> {
    let mut pd = attributes(element, parent, system, board)?;
    let mut images = Vec::new();
    let mut cspaces = 0;
    for child in element.children() {
        match child.name() {
            "program_image" => images.push(child),
            "map" => map(&child, &mut pd, board)?,
            "irq" => irq(&child, &mut pd)?,
            "setvar" => region_paddr(&child, &mut pd)?,
            "virtual_machine" => virtual_machine(&child, &mut pd, board)?,
            "cspace" => {
                cspaces += 1;
                if cspaces > 1 {
                    let message = "cspace must be given only once";
                    return Err(Box::new(Diagnostic::error(message, &child.at())));
                }
                cspace(&child, &mut pd)?;
            }
            "protection_domain" => {}
            "ioport" => {
                let message = "I/O ports exist only on x86";
                return Err(Box::new(Diagnostic::error(message, &child.at())));
            }
            _ => return Err(child.unexpected("protection_domain", PD_CHILDREN)),
        }
    }
    match images.as_slice() {
        [image] => program_image(image, &mut pd)?,
        [] => {
            let message = format!("PD '{}' has no program_image", pd.name);
            let help = format!("add <program_image path=\"{}.elf\" />", pd.name);
            return Err(Box::new(Diagnostic::error(message, &pd.at).help(help)));
        }
        [_, second, ..] => {
            let message = format!("PD '{}' has more than one program_image", pd.name);
            return Err(Box::new(Diagnostic::error(message, &second.at())));
        }
    }
    let index = system.pds.len();
    system.pds.push(pd);
    for child in element
        .children()
        .filter(|child| child.name() == "protection_domain")
    {
        let child_index = self::pd(&child, Some(index), system, board)?;
        if let Some(symbol) = child.optional("setvar_id") {
            let id = system.pds[child_index].child_id.unwrap_or_default();
            let setvar = setvar(symbol, SetVarValue::Number(id));
            add_setvar(&mut system.pds[index].setvars, setvar)?;
        }
    }
    Ok(index)
}

fn attributes(
    element: &Element<'_, '_>,
    parent: Option<usize>,
    system: &System,
    board: &Board,
) -> Parsed<Pd> {
    let mut allowed = vec![
        "name",
        "priority",
        "budget",
        "period",
        "passive",
        "stack_size",
        "smc",
        "cpu",
        "domain",
        "fpu",
    ];
    if parent.is_some() {
        allowed.extend(["id", "setvar_id"]);
    }
    element.check_attributes(&allowed)?;
    let name = element.required("name")?.value.to_owned();
    let child_id = match parent {
        Some(_) => Some(element.required("id")?.number()?),
        None => None,
    };
    let (budget, period) = schedule(element)?;
    domain(element, system)?;
    if element.number_or("cpu", 0)? != 0 {
        let message = "this board's kernel uses one core: cpu must be 0";
        return Err(Box::new(Diagnostic::error(
            message,
            &element.at_attribute("cpu"),
        )));
    }
    Ok(Pd {
        name,
        parent,
        child_id,
        setvar_id: element.value("setvar_id"),
        priority: priority(element)?,
        budget,
        period,
        passive: element.boolean_or("passive", false)?,
        stack_size: stack_size(element, board)?,
        smc: element.boolean_or("smc", false)?,
        fpu: element.boolean_or("fpu", true)?,
        image: FileName {
            path: String::new(),
            at: element.at(),
        },
        symbols: None,
        maps: Vec::new(),
        irqs: Vec::new(),
        setvars: Vec::new(),
        cap_maps: Vec::new(),
        virtual_machine: None,
        at: element.at(),
        budget_at: element.at_attribute(budget_attribute(element)),
    })
}

/// Budget and period in microseconds.
fn schedule(element: &Element<'_, '_>) -> Parsed<(u64, u64)> {
    let budget = element.number_or("budget", BUDGET_DEFAULT)?;
    let period = element.number_or("period", budget)?;
    if budget > period {
        let message = format!("budget {budget} us is larger than period {period} us");
        let help = format!("the budget is {BUDGET_DEFAULT} us unless it is given");
        let at = element.at_attribute("period");
        return Err(Box::new(Diagnostic::error(message, &at).help(help)));
    }
    Ok((budget, period))
}

/// The attribute to point at when budget or period is wrong.
fn budget_attribute(element: &Element<'_, '_>) -> &'static str {
    if element.optional("budget").is_some() {
        "budget"
    } else {
        "period"
    }
}

fn priority(element: &Element<'_, '_>) -> Parsed<u8> {
    let priority = element.number_or("priority", 0)?;
    match u8::try_from(priority) {
        Ok(priority) if priority <= PRIORITY_MAX => Ok(priority),
        _ => {
            let message = format!("priority {priority} is out of range");
            let help = format!("priorities go from 0 to {PRIORITY_MAX}");
            let at = element.at_attribute("priority");
            Err(Box::new(Diagnostic::error(message, &at).help(help)))
        }
    }
}

fn stack_size(element: &Element<'_, '_>, board: &Board) -> Parsed<u64> {
    let size = element.number_or("stack_size", STACK_DEFAULT)?;
    if (STACK_MIN..=STACK_MAX).contains(&size) && size.is_multiple_of(board.page_sizes[0]) {
        return Ok(size);
    }
    let message = format!("stack_size {size:#x} is not possible");
    let help = format!(
        "a multiple of {:#x} from {STACK_MIN:#x} to {STACK_MAX:#x}",
        STACK_MIN
    );
    Err(Box::new(
        Diagnostic::error(message, &element.at_attribute("stack_size")).help(help),
    ))
}

/// Checks that a domain is given exactly when the system has domains, and exists.
fn domain(element: &Element<'_, '_>, system: &System) -> Parsed<()> {
    if system.domains.is_empty() {
        return match element.optional("domain") {
            None => Ok(()),
            Some(attribute) => {
                let message = format!("domain '{}' is not declared", attribute.value);
                let help = "declare it in <domains>, before this PD";
                Err(Box::new(attribute.wrong(message).help(help)))
            }
        };
    }
    let attribute = element.required("domain")?;
    if system.domains.iter().any(|known| known == attribute.value) {
        return Ok(());
    }
    let message = format!("domain '{}' is not declared", attribute.value);
    let help = format!("declared domains: {}", system.domains.join(", "));
    Err(Box::new(attribute.wrong(message).help(help)))
}

/// Keeps the attribute's value as a file name.
pub fn file_name(attribute: Attribute<'_>) -> FileName {
    FileName {
        path: attribute.value.to_owned(),
        at: attribute.at,
    }
}

/// Makes a setvar from the attribute that names its symbol.
pub fn setvar(attribute: Attribute<'_>, value: SetVarValue) -> SetVar {
    SetVar {
        symbol: attribute.value.to_owned(),
        value,
        at: attribute.at,
    }
}

/// Adds `setvar`, unless its symbol is taken.
pub fn add_setvar(setvars: &mut Vec<SetVar>, setvar: SetVar) -> Parsed<()> {
    if let Some(other) = setvars.iter().find(|other| other.symbol == setvar.symbol) {
        let message = format!("symbol '{}' is set twice in one PD", setvar.symbol);
        let diagnostic = Diagnostic::error(message, &setvar.at)
            .also(&other.at, "first here")
            .help("give each setvar a symbol of its own");
        return Err(Box::new(diagnostic));
    }
    setvars.push(setvar);
    Ok(())
}

fn program_image(element: &Element<'_, '_>, pd: &mut Pd) -> Parsed<()> {
    element.check_attributes(&["path", "path_for_symbols"])?;
    pd.image = file_name(element.required("path")?);
    pd.symbols = element.optional("path_for_symbols").map(file_name);
    Ok(())
}

fn map(element: &Element<'_, '_>, pd: &mut Pd, board: &Board) -> Parsed<()> {
    let setvars = ["setvar_vaddr", "setvar_size", "setvar_prefill_size"];
    let mut allowed = vec!["mr", "vaddr", "perms", "cached"];
    allowed.extend(setvars);
    element.check_attributes(&allowed)?;
    let map = read_map(element, board.map_end(pd.stack_size))?;
    for name in setvars {
        let Some(symbol) = element.optional(name) else {
            continue;
        };
        let value = match name {
            "setvar_vaddr" => SetVarValue::Number(map.vaddr),
            "setvar_size" => SetVarValue::Size(map.region.clone()),
            _ => SetVarValue::PrefillSize(map.region.clone()),
        };
        add_setvar(&mut pd.setvars, setvar(symbol, value))?;
    }
    pd.maps.push(map);
    Ok(())
}

fn read_map(element: &Element<'_, '_>, end: u64) -> Parsed<Map> {
    let region = element.required("mr")?;
    let vaddr = element.required("vaddr")?;
    let address = vaddr.number()?;
    if address >= end {
        let message = format!("vaddr {address:#x} is beyond the PD's address space");
        let help = format!("maps must end at or below {end:#x}, where the stack begins");
        return Err(Box::new(vaddr.wrong(message).help(help)));
    }
    let perms = element
        .optional("perms")
        .map_or("rw", |attribute| attribute.value);
    let perms_at = element.at_attribute("perms");
    if perms.contains(|c| !"rwx".contains(c)) {
        let message = format!("perms '{perms}' contain something else than r, w and x");
        return Err(Box::new(Diagnostic::error(message, &perms_at)));
    }
    if !perms.contains('r') {
        let message = format!("perms '{perms}' would give no access at all");
        let help = "the kernel has no mappings without r: they boot, and every access faults";
        return Err(Box::new(Diagnostic::error(message, &perms_at).help(help)));
    }
    Ok(Map {
        region: region.value.to_owned(),
        vaddr: address,
        read: true,
        write: perms.contains('w'),
        execute: perms.contains('x'),
        cached: element.boolean_or("cached", true)?,
        setvar_vaddr: element.value("setvar_vaddr"),
        setvar_size: element.value("setvar_size"),
        setvar_prefill_size: element.value("setvar_prefill_size"),
        at: element.at(),
        region_at: region.at,
        vaddr_at: vaddr.at,
        perms_at,
    })
}

fn irq(element: &Element<'_, '_>, pd: &mut Pd) -> Parsed<()> {
    element.check_attributes(&["irq", "id", "setvar_id", "trigger"])?;
    let id = element.required("id")?.channel_id()?;
    let number = element.required("irq")?;
    let irq = number.decimal()?;
    let edge = match element.optional("trigger") {
        None => false,
        Some(attribute) => match attribute.value {
            "level" => false,
            "edge" => true,
            other => {
                let message = format!("trigger must be 'level' or 'edge', not '{other}'");
                return Err(Box::new(attribute.wrong(message)));
            }
        },
    };
    if let Some(symbol) = element.optional("setvar_id") {
        add_setvar(
            &mut pd.setvars,
            setvar(symbol, SetVarValue::Number(u64::from(id))),
        )?;
    }
    let setvar_id = element.value("setvar_id");
    pd.irqs.push(Irq {
        irq,
        id,
        edge,
        setvar_id,
        at: element.at(),
        irq_at: number.at,
    });
    Ok(())
}

fn region_paddr(element: &Element<'_, '_>, pd: &mut Pd) -> Parsed<()> {
    element.check_attributes(&["symbol", "region_paddr"])?;
    let symbol = element.required("symbol")?;
    let region = element.required("region_paddr")?;
    let value = SetVarValue::Paddr(region.value.to_owned());
    add_setvar(&mut pd.setvars, setvar(symbol, value))
}

fn cspace(element: &Element<'_, '_>, pd: &mut Pd) -> Parsed<()> {
    element.check_attributes(&[])?;
    for child in element.children() {
        let kind = match child.name() {
            "cap_tcb" => CapKind::Tcb,
            "cap_sc" => CapKind::Sc,
            "cap_vspace" => CapKind::VSpace,
            _ => return Err(child.unexpected("cspace", "cap_tcb, cap_sc, cap_vspace")),
        };
        child.check_attributes(&["slot", "pd"])?;
        let other = child.required("pd")?.value.to_owned();
        let slot = child.required("slot")?;
        let number = slot.number()?;
        if number == 0 || number >= CAP_SLOTS {
            let message = format!("slot {number} is out of range");
            let help = "slots go from 1 to 63: slot 0 is Microkit's, and there are 64 in all";
            return Err(Box::new(slot.wrong(message).help(help)));
        }
        pd.cap_maps.push(CapMap {
            kind,
            pd: other,
            slot: number,
            at: child.at(),
        });
    }
    Ok(())
}

fn virtual_machine(element: &Element<'_, '_>, pd: &mut Pd, board: &Board) -> Parsed<()> {
    if pd.virtual_machine.is_some() {
        let message = "virtual_machine must be given only once";
        return Err(Box::new(Diagnostic::error(message, &element.at())));
    }
    element.check_attributes(&["name", "budget", "period", "priority"])?;
    let name = element.required("name")?.value.to_owned();
    let (mut vcpu_ids, mut maps) = (Vec::new(), Vec::new());
    for child in element.children() {
        match child.name() {
            "vcpu" => {
                child.check_attributes(&["id", "setvar_id", "cpu"])?;
                let attribute = child.required("id")?;
                let id = u64::from(attribute.channel_id()?);
                if vcpu_ids.contains(&id) {
                    let message = format!("vcpu id {id} is used twice");
                    return Err(Box::new(attribute.wrong(message)));
                }
                vcpu_ids.push(id);
            }
            "map" => {
                child.check_attributes(&["mr", "vaddr", "perms", "cached"])?;
                maps.push(read_map(&child, board.user_top)?);
            }
            _ => return Err(child.unexpected("virtual_machine", "vcpu, map")),
        }
    }
    if vcpu_ids.is_empty() {
        let message = format!("virtual machine '{name}' has no vcpu");
        return Err(Box::new(Diagnostic::error(message, &element.at())));
    }
    pd.virtual_machine = Some(VirtualMachine {
        name,
        vcpu_ids,
        maps,
        at: element.at(),
    });
    Ok(())
}
