// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! This project's own rules: what makes a PD restartable, and code that nobody writes while it runs.
//!
//! They do not hold for other people's systems, so they are skipped when PDs are not built here.

use crate::diagnostics::{Diagnostic, Span};
use crate::system::{BOOT_SUFFIX, Map, Pd, System};

/// Checks the rules for restartable PDs and for writable code.
pub fn check(system: &System) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for pd in &system.pds {
        writable_code(pd, &mut found);
        if pd.is_restartable() {
            restartable(system, pd, &mut found);
        }
    }
    found
}

/// Finds regions that one PD could write and execute, by one map or by two.
fn writable_code(pd: &Pd, found: &mut Vec<Diagnostic>) {
    for map in pd.maps.iter().filter(|map| map.execute) {
        let writable = pd
            .maps
            .iter()
            .find(|other| other.region == map.region && other.write);
        let Some(other) = writable else { continue };
        let message = format!("'{}' could write its own code in '{}'", pd.name, map.region);
        let help = "code is rx in the PD that runs it, and rw only in its supervisor";
        let mut diagnostic = Diagnostic::error(message, &map.perms_at).help(help);
        if other.at != map.at {
            diagnostic = diagnostic.also(&other.at, "writable here");
        }
        found.push(diagnostic);
    }
}

fn restartable(system: &System, pd: &Pd, found: &mut Vec<Diagnostic>) {
    let name = &pd.name;
    if pd.passive {
        let help = "a passive PD loses its scheduling context when it is restarted: remove passive";
        let message = format!("restartable PD '{name}' is passive");
        found.push(Diagnostic::error(message, &pd.at).help(help));
    }
    let program = whole_program(pd);
    let symbols = pd.symbols.as_ref().map(|file| file.path.as_str());
    if symbols != Some(program.as_str()) {
        let message = format!("restartable PD '{name}' has the wrong image");
        let help = format!(
            "write <program_image path=\"{}\" path_for_symbols=\"{program}\" />",
            pd.image.path
        );
        found.push(Diagnostic::error(message, &pd.image.at).help(help));
    }
    let Some(parent) = pd.parent.map(|index| &system.pds[index]) else {
        let message = format!("restartable PD '{name}' has no supervisor");
        let help = "its boot stub faults so that its parent loads it: put it inside another PD";
        found.push(Diagnostic::error(message, &pd.at).help(help));
        return;
    };
    for (region, owner, perms) in [
        (format!("{name}_code"), pd, "rx"),
        (format!("{name}_data"), pd, "rw"),
        (format!("{name}_code"), parent, "rw"),
        (format!("{name}_data"), parent, "rw"),
        (format!("{name}_elf"), parent, "r"),
    ] {
        found.extend(wrong_map(owner, &region, perms, &pd.at));
    }
    saved_elf(system, pd, found);
}

fn wrong_map(owner: &Pd, region: &str, perms: &str, pd_at: &Span) -> Option<Diagnostic> {
    let Some(map) = owner.map(region) else {
        let message = format!("'{}' does not map '{region}'", owner.name);
        let help = format!(
            "add <map mr=\"{region}\" vaddr=\"...\" perms=\"{perms}\" /> to '{}'",
            owner.name
        );
        return Some(
            Diagnostic::error(message, pd_at)
                .label("restartable because of its image")
                .help(help),
        );
    };
    let actual = perms_of(map);
    if actual == perms {
        return None;
    }
    let message = format!(
        "'{}' maps '{region}' {actual}, it must be {perms}",
        owner.name
    );
    Some(Diagnostic::error(message, &map.perms_at).help(format!("write perms=\"{perms}\"")))
}

/// The permissions in their usual order.
pub fn perms_of(map: &Map) -> String {
    let letters = [(map.read, 'r'), (map.write, 'w'), (map.execute, 'x')];
    letters
        .iter()
        .filter(|(set, _)| *set)
        .map(|(_, letter)| letter)
        .collect()
}

/// The file that a boot stub was cut from. Two PDs may run the same program.
fn whole_program(pd: &Pd) -> String {
    let stem = pd.image.path.strip_suffix(BOOT_SUFFIX);
    format!("{}.elf", stem.unwrap_or(&pd.image.path))
}

fn saved_elf(system: &System, pd: &Pd, found: &mut Vec<Diagnostic>) {
    let name = &pd.name;
    let Some(region) = system.region(&format!("{name}_elf")) else {
        return;
    };
    let file = whole_program(pd);
    if region
        .prefill
        .as_ref()
        .is_none_or(|prefill| prefill.path != file)
    {
        let message = format!("'{name}_elf' is not filled with '{file}'");
        let help = format!("write prefill_path=\"{file}\"");
        found.push(Diagnostic::error(message, &region.at).help(help));
    }
}
