// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! `cargo xtask new`: a new application PD, made from `pds/app_hello`, and the overlay that adds it to the
//! system. What there is stays as it is: ids and addresses are chosen where the system has none.

use std::fmt::Write as _;

use crate::board::Board;
use crate::build::with_overlays;
use crate::check::{self, House};
use crate::cli::NewArgs;
use crate::error::{Error, Result};
use crate::system::{Pd, System};
use crate::workspace;

/// What is copied, with the name replaced.
const MODEL: &str = "app_hello";
const FILES: [(&str, &str); 3] = [
    ("Cargo.toml", include_str!("../../pds/app_hello/Cargo.toml")),
    (
        "src/main.rs",
        include_str!("../../pds/app_hello/src/main.rs"),
    ),
    ("README.md", include_str!("../../pds/app_hello/README.md")),
];

/// Below the services that it calls, as every application.
const PRIORITY: u8 = 100;
/// The longest name of a region, `fs_to_NAME_completions`, fits a topology table.
const NAME_MAX: usize = topology::wire::NAME_BYTES - 1 - "fs_to__completions".len();

/// Where PDs that have many peers keep what they share with each.
const SUPERVISOR_PROGRAMS: u64 = 0x1_0000_0000;
const SUPERVISOR_PROGRAM_BYTES: u64 = 0x1000_0000;
const SUPERVISOR_VITALS: u64 = 0x5200_0000;
const SUPERVISOR_LOGS: u64 = 0x5100_0000;
const SUPERVISOR_QUESTIONS: u64 = 20;
const CONSOLE_LOGS: u64 = 0x5000_0000;
const TIMER_TIMERS: u64 = 0x5000_0000;
const TIMER_FIRINGS: u64 = 0x5100_0000;
const FS_CLIENTS: u64 = 0x8000_0000;
const CHANNELS: u64 = 62;
const CHILDREN: u64 = 62;

/// Bytes of what is shared, as app_demo has it.
const TABLE_BYTES: u64 = 0x1_0000;
const DATA_BYTES: u64 = 0x10_0000;
const LOG_BYTES: u64 = 0x4000;
const PAGE_BYTES: u64 = 0x1000;
/// A region that is as large as a file is taken to be so large.
const PREFILLED_BYTES: u64 = 0x10_0000;

/// Runs the command.
///
/// # Errors
///
/// When the name does not do, is taken, or the system has no room or lacks a service.
pub fn run(args: &NewArgs) -> Result<()> {
    let name = &args.name;
    check_name(name)?;
    let folder = workspace::root().join("pds").join(name);
    if folder.exists() {
        return Err(Error::new(format!("there is pds/{name} already")).help("take another name"));
    }
    let board = Board::load(&workspace::root(), &args.system.kernel.board)?;
    workspace::make_folder(&args.system.build_dir)?;
    let loaded = check::load(&with_overlays(&args.system)?, &board, House::Ours)?;
    let overlay = overlay(&loaded.system, name)?;
    workspace::make_folder(&folder.join("src"))?;
    for (file, text) in FILES {
        workspace::write(&folder.join(file), text.replace(MODEL, name).as_bytes())?;
    }
    workspace::write(&folder.join("overlay.xml"), overlay.as_bytes())?;
    println!("pds/{name}/src/main.rs is yours; pds/{name}/overlay.xml adds it to the system:");
    println!("  cargo xtask run --disk my.img --overlay pds/{name}/overlay.xml");
    println!("To have it there for good, move the overlay's elements into system.xml.");
    Ok(())
}

fn check_name(name: &str) -> Result<()> {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let starts = name.starts_with(|c: char| c.is_ascii_lowercase());
    if starts && name.chars().all(is_word) && name.len() <= NAME_MAX {
        return Ok(());
    }
    let help =
        format!("small letters, digits and _, a letter first, {NAME_MAX} characters at most");
    Err(Error::new(format!("'{name}' cannot be the name of a PD")).help(help))
}

/// Finds what a PD has free, and takes it.
struct Room<'a> {
    system: &'a System,
    pd: &'a Pd,
    index: usize,
    taken: Vec<(u64, u64)>,
}

impl<'a> Room<'a> {
    fn of(system: &'a System, name: &str) -> Result<Self> {
        let index = system.pds.iter().position(|pd| pd.name == name);
        let index = index.ok_or_else(|| Error::new(format!("the system has no PD '{name}'")))?;
        let pd = &system.pds[index];
        let size = |region: &str| system.region(region).and_then(|region| region.size);
        let taken = pd
            .maps
            .iter()
            .map(|map| (map.vaddr, size(&map.region).unwrap_or(PREFILLED_BYTES)))
            .collect();
        Ok(Self {
            system,
            pd,
            index,
            taken,
        })
    }

    /// The first address from `start` on, in steps of `step`, with room for that many bytes.
    fn address(&mut self, start: u64, step: u64) -> u64 {
        let mut at = start;
        while self
            .taken
            .iter()
            .any(|(taken, size)| at < taken + size && *taken < at + step)
        {
            at += step;
        }
        self.taken.push((at, step));
        at
    }

    fn channel(&self, start: u64) -> Result<u64> {
        let ends = self
            .system
            .channels
            .iter()
            .flat_map(|channel| &channel.ends);
        let mut used: Vec<u64> = ends
            .filter(|end| end.pd == self.index)
            .map(|end| u64::from(end.id))
            .collect();
        used.extend(self.pd.irqs.iter().map(|irq| u64::from(irq.id)));
        let free = (start..CHANNELS).find(|id| !used.contains(id));
        free.ok_or_else(|| Error::new(format!("'{}' has no channel id left", self.pd.name)))
    }

    fn child(&self) -> Result<u64> {
        let children = self.system.children(self.index);
        let used: Vec<_> = children.filter_map(|pd| pd.child_id).collect();
        let free = (0..CHILDREN).find(|id| !used.contains(id));
        free.ok_or_else(|| Error::new(format!("'{}' has no child id left", self.pd.name)))
    }
}

/// The overlay that adds application `name`.
fn overlay(system: &System, name: &str) -> Result<String> {
    if system.pd(name).is_some() {
        return Err(Error::new(format!("the system has a PD '{name}' already")));
    }
    let mut text = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!--\n  Copyright 2026, The Kintsugi authors\n  \
         SPDX-License-Identifier: BSD-2-Clause\n\n  Adds the application to system.xml: a client of the \
         file service and of the time service.\n-->\n<overlay>\n",
    );
    regions(&mut text, name);
    supervisor(&mut text, system, name)?;
    servers(&mut text, system, name)?;
    channels(&mut text, system, name)?;
    text.push_str("</overlay>\n");
    Ok(text)
}

/// Adds a line. Writing to a string does not fail.
macro_rules! line {
    ($text:expr, $($format:tt)*) => {{ let _ = writeln!($text, $($format)*); }};
}

fn regions(text: &mut String, name: &str) {
    let sized = [
        (format!("{name}_code"), 0x20_0000),
        (format!("{name}_data"), 0x20_0000),
        (format!("{name}_vitals"), PAGE_BYTES),
        (format!("{name}_to_console_log"), LOG_BYTES),
        (format!("{name}_to_timer_timers"), TABLE_BYTES),
        (format!("timer_to_{name}_firings"), TABLE_BYTES),
        (format!("{name}_to_fs_requests"), TABLE_BYTES),
        (format!("fs_to_{name}_completions"), TABLE_BYTES),
        (format!("{name}_to_fs_data"), DATA_BYTES),
        (format!("fs_to_{name}_data"), DATA_BYTES),
    ];
    for (region, size) in sized {
        line!(
            text,
            "    <memory_region name=\"{region}\" size=\"{size:#x}\" />"
        );
    }
    for kind in ["elf", "topology"] {
        line!(
            text,
            "    <memory_region name=\"{name}_{kind}\" prefill_path=\"{name}.{kind}\" />"
        );
    }
}

fn supervisor(text: &mut String, system: &System, name: &str) -> Result<()> {
    let mut room = Room::of(system, "supervisor")?;
    let child = room.child()?;
    let vitals = room.address(SUPERVISOR_VITALS, PAGE_BYTES);
    let log = room.address(SUPERVISOR_LOGS, TABLE_BYTES);
    let code = room.address(SUPERVISOR_PROGRAMS, SUPERVISOR_PROGRAM_BYTES);
    let (data, elf) = (code + 0x400_0000, code + 0x800_0000);
    line!(text, "\n    <extend pd=\"supervisor\">");
    let map = |text: &mut String, region: &str, vaddr: u64, perms: &str| {
        line!(
            text,
            "        <map mr=\"{name}_{region}\" vaddr=\"{vaddr:#x}\" perms=\"{perms}\" />"
        );
    };
    map(text, "vitals", vitals, "r");
    map(text, "to_console_log", log, "r");
    map(text, "code", code, "rw");
    map(text, "data", data, "rw");
    map(text, "elf", elf, "r");
    line!(text, "\n        <!-- Below the services that it calls. -->");
    line!(
        text,
        "        <protection_domain name=\"{name}\" id=\"{child}\" priority=\"{PRIORITY}\">"
    );
    line!(
        text,
        "            <program_image path=\"{name}.boot.elf\" path_for_symbols=\"{name}.elf\" />"
    );
    for (region, vaddr, perms, symbols) in own_maps(name) {
        let symbols = match symbols {
            "" => String::new(),
            symbol => format!(" setvar_vaddr=\"{symbol}_vaddr\" setvar_size=\"{symbol}_size\""),
        };
        line!(
            text,
            "            <map mr=\"{region}\" vaddr=\"{vaddr:#x}\" perms=\"{perms}\"{symbols} />"
        );
    }
    line!(text, "        </protection_domain>\n    </extend>");
    Ok(())
}

/// What the application maps, and by which symbols it is told so.
fn own_maps(name: &str) -> [(String, u64, &'static str, &'static str); 12] {
    [
        (format!("{name}_code"), 0x1000_0000, "rx", ""),
        (format!("{name}_data"), 0x2000_0000, "rw", ""),
        (format!("{name}_vitals"), 0x3600_0000, "rw", "vitals"),
        (format!("{name}_to_console_log"), 0x3000_0000, "rw", "log"),
        (format!("{name}_topology"), 0x3100_0000, "r", "topology"),
        ("timer_clock".to_owned(), 0x3200_0000, "r", ""),
        (format!("{name}_to_timer_timers"), 0x5000_0000, "rw", ""),
        (format!("timer_to_{name}_firings"), 0x5100_0000, "r", ""),
        (format!("{name}_to_fs_requests"), 0x8000_0000, "rw", ""),
        (format!("fs_to_{name}_completions"), 0x8100_0000, "r", ""),
        (format!("{name}_to_fs_data"), 0x8200_0000, "rw", ""),
        (format!("fs_to_{name}_data"), 0x8300_0000, "r", ""),
    ]
}

fn servers(text: &mut String, system: &System, name: &str) -> Result<()> {
    let mut extend = |pd: &str, maps: &[(String, u64, u64, &str)]| -> Result<()> {
        let mut room = Room::of(system, pd)?;
        line!(text, "    <extend pd=\"{pd}\">");
        for (region, start, step, perms) in maps {
            let vaddr = room.address(*start, *step);
            line!(
                text,
                "        <map mr=\"{region}\" vaddr=\"{vaddr:#x}\" perms=\"{perms}\" />"
            );
        }
        line!(text, "    </extend>");
        Ok(())
    };
    let log = (
        format!("{name}_to_console_log"),
        CONSOLE_LOGS,
        TABLE_BYTES,
        "r",
    );
    extend("console", &[log])?;
    extend(
        "timer",
        &[
            (
                format!("{name}_to_timer_timers"),
                TIMER_TIMERS,
                TABLE_BYTES,
                "r",
            ),
            (
                format!("timer_to_{name}_firings"),
                TIMER_FIRINGS,
                TABLE_BYTES,
                "rw",
            ),
        ],
    )?;
    extend(
        "fs",
        &[
            (
                format!("{name}_to_fs_requests"),
                FS_CLIENTS,
                DATA_BYTES,
                "r",
            ),
            (
                format!("fs_to_{name}_completions"),
                FS_CLIENTS,
                DATA_BYTES,
                "rw",
            ),
            (format!("{name}_to_fs_data"), FS_CLIENTS, DATA_BYTES, "r"),
            (format!("fs_to_{name}_data"), FS_CLIENTS, DATA_BYTES, "rw"),
        ],
    )
}

fn channels(text: &mut String, system: &System, name: &str) -> Result<()> {
    let mut channel = |from: (&str, u64), to: (&str, u64), both: bool| {
        let notify = if both { "" } else { " notify=\"false\"" };
        line!(text, "    <channel>");
        line!(text, "        <end pd=\"{}\" id=\"{}\" />", from.0, from.1);
        line!(
            text,
            "        <end pd=\"{}\" id=\"{}\"{notify} />",
            to.0,
            to.1
        );
        line!(text, "    </channel>");
    };
    for (own, peer) in [(1, "console"), (2, "fs"), (3, "timer")] {
        let id = Room::of(system, peer)?.channel(1)?;
        channel((name, own), (peer, id), peer != "console");
    }
    let id = Room::of(system, "supervisor")?.channel(SUPERVISOR_QUESTIONS)?;
    channel(("supervisor", id), (name, 60), false);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overlay::apply;
    use crate::system::{house, parse, rules};

    fn system() -> (String, Board) {
        let root = workspace::root();
        let text = std::fs::read_to_string(root.join("system.xml")).expect("it is there");
        let board = Board::load(&root, "qemu_virt_aarch64").expect("it is there");
        (text, board)
    }

    #[test]
    fn applications_can_be_added_until_there_is_no_room() {
        let (mut text, board) = system();
        for number in 0.. {
            let system = parse::parse(&text, &board).expect("well-formed");
            let found: Vec<_> = rules::check(&system, &board)
                .into_iter()
                .chain(house::check(&system))
                .collect();
            assert!(found.is_empty(), "with {number} applications: {found:?}");
            match overlay(&system, &format!("app_{number}")) {
                Ok(extra) => text = apply(&text, &extra).expect("it fits"),
                Err(error) => {
                    assert!(number > 30, "{error}");
                    assert!(error.to_string().contains("id left"), "{error}");
                    return;
                }
            }
        }
    }

    #[test]
    fn the_overlay_of_the_model_still_fits() {
        let (text, board) = system();
        let text = apply(&text, include_str!("../../pds/app_hello/overlay.xml")).expect("it fits");
        let found = parse::parse(&text, &board).map(|system| rules::check(&system, &board));
        let help =
            "make it anew: cargo xtask new a_name, and put app_hello for a_name in its overlay.xml";
        assert!(found.is_ok_and(|found| found.is_empty()), "{help}");
    }

    #[test]
    fn names_that_do_not_do_are_refused() {
        for name in [
            "",
            "1a",
            "A",
            "a-b",
            "a b",
            "../a",
            &"a".repeat(NAME_MAX + 1),
        ] {
            assert!(check_name(name).is_err(), "{name}");
        }
        assert!(check_name("a_1").is_ok());
    }

    #[test]
    fn a_name_that_is_taken_is_refused() {
        let (text, board) = system();
        let system = parse::parse(&text, &board).expect("well-formed");
        let error = overlay(&system, "app_demo").unwrap_err();
        assert!(error.to_string().contains("already"), "{error}");
    }
}
