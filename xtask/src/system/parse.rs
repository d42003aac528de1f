// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! XML to [`System`]: everything but the inside of a protection domain.

use crate::board::Board;
use crate::diagnostics::{Diagnostic, Span};
use crate::system::element::{Element, Parsed};
use crate::system::{Channel, End, Pd, Region, SetVar, SetVarValue, System, parse_pd};

/// Values that `prefill_bootinfo` takes.
const BOOTINFO: [&str; 6] = [
    "x86_vbe",
    "x86_mbmmap",
    "x86_acpi_rsdp",
    "x86_framebuffer",
    "x86_tsc_freq",
    "fdt",
];

/// Reads a system description; `text` is the whole file.
pub fn parse(text: &str, board: &Board) -> Parsed<System> {
    let document = roxmltree::Document::parse(text).map_err(|error| xml_error(text, &error))?;
    let root = Element::new(document.root_element());
    if root.name() != "system" {
        let message = format!("the root element must be 'system', not '{}'", root.name());
        return Err(Box::new(Diagnostic::error(message, &root.at())));
    }
    if let Some(at) = root.text() {
        let help = "remove it, or put it into a comment: <!-- ... -->";
        return Err(Box::new(
            Diagnostic::error("text directly in 'system'", &at).help(help),
        ));
    }
    let mut system = System {
        at: root.at(),
        ..System::default()
    };
    // A channel may come before the PDs that it names.
    let mut channels = Vec::new();
    for child in root.children() {
        match child.name() {
            "protection_domain" => parse_pd::root(&child, &mut system, board)?,
            "memory_region" => system.regions.push(region(&child, board)?),
            "channel" => channels.push(child),
            "domains" => domains(&child, &mut system)?,
            "virtual_machine" => {
                let message = "a virtual_machine must stand inside a protection_domain";
                return Err(Box::new(Diagnostic::error(message, &child.at())));
            }
            "io_address_space" => {
                let message = "this board has no io_address_space: seL4 has no IOMMU support here";
                return Err(Box::new(Diagnostic::error(message, &child.at())));
            }
            _ => {
                let allowed = "protection_domain, memory_region, channel, domains";
                return Err(child.unexpected("system", allowed));
            }
        }
    }
    for element in channels {
        let channel = channel(&element, &mut system.pds)?;
        system.channels.push(channel);
    }
    Ok(system)
}

fn xml_error(text: &str, error: &roxmltree::Error) -> Box<Diagnostic> {
    let position = error.pos();
    let line_start: usize = text
        .split_inclusive('\n')
        .take(position.row as usize - 1)
        .map(str::len)
        .sum();
    let column: usize = text[line_start..]
        .chars()
        .take((position.col as usize).saturating_sub(1))
        .map(char::len_utf8)
        .sum();
    let start = (line_start + column).min(text.len());
    let width = text[start..].chars().next().map_or(0, char::len_utf8);
    Box::new(Diagnostic::error(
        format!("not well-formed XML: {error}"),
        &(start..start + width),
    ))
}

fn region(element: &Element<'_, '_>, board: &Board) -> Parsed<Region> {
    element.check_attributes(&[
        "name",
        "size",
        "page_size",
        "phys_addr",
        "prefill_path",
        "prefill_bootinfo",
    ])?;
    let name = element.required("name")?.value.to_owned();
    let page_size = element.number_or("page_size", board.page_sizes[0])?;
    if !board.page_sizes.contains(&page_size) {
        let sizes: Vec<_> = board
            .page_sizes
            .iter()
            .map(|size| format!("{size:#x}"))
            .collect();
        let at = element.at_attribute("page_size");
        let diagnostic = Diagnostic::error(format!("page size {page_size:#x} does not exist"), &at)
            .help(format!("this board has pages of {}", sizes.join(" and ")));
        return Err(Box::new(diagnostic));
    }
    let prefill = element.optional("prefill_path").map(parse_pd::file_name);
    let bootinfo = element.optional("prefill_bootinfo");
    if let Some(kind) = &bootinfo {
        if !BOOTINFO.contains(&kind.value) {
            let message = format!("prefill_bootinfo '{}' does not exist", kind.value);
            return Err(Box::new(kind.wrong(message).help("on Arm there is 'fdt'")));
        }
        if prefill.is_some() {
            let message = "prefill_path and prefill_bootinfo exclude each other";
            return Err(Box::new(kind.wrong(message)));
        }
    }
    let size = region_size(element, page_size, prefill.is_some() || bootinfo.is_some())?;
    let phys_addr = match element.optional("phys_addr") {
        None => None,
        Some(attribute) => {
            let address = attribute.number()?;
            if !address.is_multiple_of(page_size) {
                let message = format!("phys_addr {address:#x} of '{name}' is not page aligned");
                let help = format!("make it a multiple of {page_size:#x}");
                return Err(Box::new(attribute.wrong(message).help(help)));
            }
            Some(address)
        }
    };
    Ok(Region {
        name,
        size,
        page_size,
        page_size_given: element.optional("page_size").is_some(),
        phys_addr,
        prefill,
        bootinfo: bootinfo.is_some(),
        at: element.at(),
        phys_addr_at: element.at_attribute("phys_addr"),
    })
}

fn region_size(element: &Element<'_, '_>, page_size: u64, filled: bool) -> Parsed<Option<u64>> {
    let Some(attribute) = element.optional("size") else {
        if filled {
            return Ok(None);
        }
        let message = "a memory_region that is not prefilled needs the attribute 'size'";
        return Err(Box::new(Diagnostic::error(message, &element.at())));
    };
    let size = attribute.number()?;
    if size == 0 || !size.is_multiple_of(page_size) {
        let message = format!("size {size:#x} is not a whole number of pages");
        let up = size
            .max(1)
            .checked_next_multiple_of(page_size)
            .unwrap_or(page_size);
        let help = format!("make it a multiple of {page_size:#x}, for example {up:#x}");
        return Err(Box::new(attribute.wrong(message).help(help)));
    }
    Ok(Some(size))
}

fn channel(element: &Element<'_, '_>, pds: &mut [Pd]) -> Parsed<Channel> {
    element.check_attributes(&[])?;
    let mut ends = Vec::new();
    let mut setvars: Vec<(usize, SetVar)> = Vec::new();
    for child in element.children() {
        if child.name() != "end" {
            return Err(child.unexpected("channel", "exactly two 'end'"));
        }
        let end = end(&child, pds)?;
        if let Some(symbol) = child.optional("setvar_id") {
            let value = SetVarValue::Number(u64::from(end.id));
            setvars.push((end.pd, parse_pd::setvar(symbol, value)));
        }
        ends.push(end);
    }
    let count = ends.len();
    let Ok(ends) = <[End; 2]>::try_from(ends) else {
        let message = format!("a channel has exactly two ends, this one has {count}");
        return Err(Box::new(Diagnostic::error(message, &element.at())));
    };
    if ends.iter().all(|end| end.pp) {
        let help = "remove pp=\"true\" from the end of the callee";
        let diagnostic = Diagnostic::error("both ends of the channel would call", &ends[1].at)
            .also(&ends[0].at, "this end calls")
            .label("and this one too")
            .help(help);
        return Err(Box::new(diagnostic));
    }
    for (pd, setvar) in setvars {
        parse_pd::add_setvar(&mut pds[pd].setvars, setvar)?;
    }
    Ok(Channel { ends })
}

fn end(element: &Element<'_, '_>, pds: &[Pd]) -> Parsed<End> {
    element.check_attributes(&["pd", "id", "pp", "notify", "setvar_id"])?;
    let name = element.required("pd")?;
    let id = element.required("id")?;
    let Some(pd) = pds.iter().position(|pd| pd.name == name.value) else {
        let message = format!("there is no PD called '{}'", name.value);
        return Err(Box::new(name.wrong(message).help(known_pds(pds))));
    };
    Ok(End {
        pd,
        id: id.channel_id()?,
        notify: element.boolean_or("notify", true)?,
        pp: element.boolean_or("pp", false)?,
        setvar_id: element.value("setvar_id"),
        at: element.at(),
    })
}

/// Help that lists the PDs.
pub fn known_pds(pds: &[Pd]) -> String {
    let names: Vec<_> = pds.iter().map(|pd| pd.name.as_str()).collect();
    format!("PDs in this system: {}", names.join(", "))
}

/// Checks `<domains>` as far as a wrong one could reach the real tool; keeps the names.
fn domains(element: &Element<'_, '_>, system: &mut System) -> Parsed<()> {
    element.check_attributes(&[])?;
    if !system.domains.is_empty() {
        let message = "domains must be given only once";
        return Err(Box::new(Diagnostic::error(message, &element.at())));
    }
    let mut schedules: Vec<Span> = Vec::new();
    for child in element.children() {
        match child.name() {
            "domain" => {
                child.check_attributes(&["name", "id"])?;
                let name = child.required("name")?;
                if system.domains.iter().any(|known| known == name.value) {
                    let message = format!("domain '{}' is declared twice", name.value);
                    return Err(Box::new(name.wrong(message)));
                }
                child.number_or("id", 0)?;
                system.domains.push(name.value.to_owned());
            }
            "domain_schedule" => {
                child.check_attributes(&["index_shift", "start_index"])?;
                schedules.push(child.at());
            }
            _ => return Err(child.unexpected("domains", "domain, domain_schedule")),
        }
    }
    match schedules.as_slice() {
        [_] => Ok(()),
        [] => {
            let message = "domains needs one domain_schedule";
            Err(Box::new(Diagnostic::error(message, &element.at())))
        }
        [_, second, ..] => {
            let message = "domain_schedule must be given only once";
            Err(Box::new(Diagnostic::error(message, second)))
        }
    }
}
