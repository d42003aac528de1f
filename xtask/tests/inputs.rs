// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Wrong files: one clear error and status 1 for each.
//!
//! The ELF files are made here, byte by byte, so that each has exactly one fault.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A symbol: name, address, size.
type Symbol = (&'static str, u64, u64);

/// Where the only segment of [`elf`] is, and its bytes.
const BASE: u64 = 0x20_0000;
const SIZE: u64 = 0x100;

const SIX: [Symbol; 6] = [
    ("microkit_name", BASE, 64),
    ("microkit_passive", BASE + 64, 1),
    ("microkit_irqs", BASE + 72, 8),
    ("microkit_notifications", BASE + 80, 8),
    ("microkit_pps", BASE + 88, 8),
    ("microkit_ioports", BASE + 96, 8),
];

/// A small ELF file: segments of [`SIZE`] bytes at the given addresses with their flags, and symbols.
fn elf(segments: &[(u64, u32)], symbols: &[Symbol]) -> Vec<u8> {
    let mut strings = vec![0];
    let mut table = vec![0; 24];
    for (name, address, size) in symbols {
        table.extend(u32::try_from(strings.len()).unwrap().to_le_bytes());
        table.extend([0x11, 0]); // Global object.
        table.extend(1_u16.to_le_bytes());
        table.extend(address.to_le_bytes());
        table.extend(size.to_le_bytes());
        strings.extend(name.as_bytes());
        strings.push(0);
    }
    let data = 64 + 56 * segments.len() as u64;
    let tables = data + SIZE * segments.len() as u64;
    let sections = tables + (table.len() + strings.len()) as u64;
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\xb7\0\x01\0\0\0".to_vec();
    for word in [BASE, 64, if symbols.is_empty() { 0 } else { sections }] {
        file.extend(word.to_le_bytes());
    }
    // The last section's strings serve as section names too.
    let (count, names) = if symbols.is_empty() { (0, 0) } else { (3, 2) };
    file.extend(0_u32.to_le_bytes());
    let segment_count = u16::try_from(segments.len()).unwrap();
    for half in [64, 56, segment_count, 64, count, names] {
        file.extend(half.to_le_bytes());
    }
    for (index, (address, flags)) in segments.iter().enumerate() {
        file.extend(1_u32.to_le_bytes());
        file.extend(flags.to_le_bytes());
        for word in [
            data + SIZE * index as u64,
            *address,
            *address,
            SIZE,
            SIZE,
            1,
        ] {
            file.extend(word.to_le_bytes());
        }
    }
    file.resize(usize::try_from(tables).unwrap(), 0);
    file.extend(&table);
    file.extend(&strings);
    file.extend([0; 64]);
    let symbol_table = (2_u32, tables, table.len() as u64, 2_u32, 24_u64);
    let string_table = (
        3_u32,
        tables + table.len() as u64,
        strings.len() as u64,
        0_u32,
        0_u64,
    );
    for (kind, offset, size, link, entry) in [symbol_table, string_table] {
        file.extend(0_u32.to_le_bytes());
        file.extend(kind.to_le_bytes());
        for word in [0, 0, offset, size] {
            file.extend(word.to_le_bytes());
        }
        file.extend(link.to_le_bytes());
        file.extend(1_u32.to_le_bytes());
        for word in [1, entry] {
            file.extend(word.to_le_bytes());
        }
    }
    file
}

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("kintsugi-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn xtask(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    for variable in [
        "MICROKIT_BOARD",
        "MICROKIT_SDK",
        "MICROKIT_CONFIG",
        "BUILD_DIR",
    ] {
        command.env_remove(variable);
    }
    command.args(arguments).output().unwrap()
}

/// The first line of the only error.
fn refused(output: &Output) -> String {
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{message}");
    let errors: Vec<_> = message
        .lines()
        .filter(|line| line.starts_with("error"))
        .collect();
    assert_eq!(errors.len(), 1, "{message}");
    errors[0].to_owned()
}

/// Checks a PD `one` with `extra` in it, whose image is `file`.
fn check(name: &str, file: &[u8], extra: &str, region: &str) -> Output {
    let scratch = Scratch::new(name);
    scratch.write("one.elf", file);
    scratch.write("thirteen.bytes", b"thirteen byte");
    scratch.write("empty", b"");
    let system = format!(
        "<system>{region}<protection_domain name=\"one\">\
         <program_image path=\"one.elf\" />{extra}</protection_domain></system>"
    );
    let system = scratch.write("s.system", system.as_bytes());
    let text = |path: &Path| path.display().to_string();
    xtask(&["check", &text(&system), "--search-path", &text(&scratch.0)])
}

fn good() -> Vec<u8> {
    elf(&[(BASE, 6)], &SIX)
}

#[test]
fn a_right_elf_file_is_taken() {
    let output = check("right", &good(), "", "");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn elf_files_that_cannot_be_used() {
    let whole = good();
    let cases: [(&str, Vec<u8>, &str); 9] = [
        (
            "empty",
            Vec::new(),
            "error: 'one.elf' is not a usable ELF file: ",
        ),
        (
            "cut",
            whole[..130].to_vec(),
            "error: 'one.elf' is not a usable ELF file: ",
        ),
        (
            "header",
            whole[..50].to_vec(),
            "error: 'one.elf' is not a usable ELF file: ",
        ),
        (
            "stripped",
            elf(&[(BASE, 6)], &[]),
            "error: 'one.elf' has no symbol table",
        ),
        (
            "five",
            elf(&[(BASE, 6)], &SIX[..5]),
            "error: 'one.elf' has no symbol 'microkit_ioports'",
        ),
        (
            "twice",
            elf(&[(BASE, 6)], &[SIX.as_slice(), &SIX[..1]].concat()),
            "error: 'one.elf' has more than one symbol 'microkit_name'",
        ),
        (
            "page",
            elf(&[(BASE, 6), (BASE + 0x800, 5)], &SIX),
            "error: segment [0x200800..0x200900) of 'one.elf' shares a page with \
             [0x200000..0x201000)",
        ),
        (
            "write_only",
            elf(&[(BASE, 2)], &SIX),
            "error: segment [0x200000..0x200100) of 'one.elf' cannot be read",
        ),
        (
            "stack",
            elf(&[(BASE, 6), (0xff_ffff_c000, 6)], &SIX),
            "error: segment [0xffffffc000..0xffffffc100) of 'one.elf' reaches into the stack",
        ),
    ];
    for (name, file, expected) in cases {
        let message = refused(&check(name, &file, "", ""));
        assert!(message.starts_with(expected), "{name}: {message}");
    }
}

#[test]
fn symbols_that_cannot_be_set() {
    let region = "<memory_region name=\"m\" size=\"0x1000\" />";
    let map = "<map mr=\"m\" vaddr=\"0x400000\" setvar_vaddr=\"where\" />";
    let message = refused(&check("nowhere", &good(), map, region));
    assert_eq!(message, "error: 'one.elf' has no symbol 'where'");
    for (name, symbol) in [
        ("short", ("where", BASE, 4)),
        ("outside", ("where", BASE + SIZE, 8)),
    ] {
        let file = elf(&[(BASE, 6)], &[SIX.as_slice(), &[symbol]].concat());
        let message = refused(&check(name, &file, map, region));
        assert_eq!(
            message,
            "error: symbol 'where' in 'one.elf' cannot take a number"
        );
    }
    let mut small = SIX;
    small[2].2 = 4;
    let message = refused(&check("small", &elf(&[(BASE, 6)], &small), "", ""));
    assert_eq!(
        message,
        "error: symbol 'microkit_irqs' in 'one.elf' cannot be patched"
    );
}

#[test]
fn maps_over_the_image() {
    let region = "<memory_region name=\"m\" size=\"0x1000\" />";
    let message = refused(&check(
        "over",
        &good(),
        "<map mr=\"m\" vaddr=\"0x200000\" />",
        region,
    ));
    let expected =
        "error: map of 'm' at 0x200000 overlaps segment [0x200000..0x200100) of 'one.elf'";
    assert_eq!(message, expected);
}

#[test]
fn prefills_of_the_wrong_size() {
    let map = "<map mr=\"m\" vaddr=\"0x400000\" />";
    let cases = [
        (
            "prefill_path=\"missing\"",
            "error: cannot find the file 'missing'",
        ),
        (
            "prefill_path=\"empty\"",
            "error: prefill file 'empty' is empty",
        ),
        (
            "size=\"0x2000\" prefill_path=\"thirteen.bytes\"",
            "error: region 'm' has 0x2000 bytes, whole pages more than its prefill's 0xd",
        ),
    ];
    for (index, (attributes, expected)) in cases.iter().enumerate() {
        let region = format!("<memory_region name=\"m\" {attributes} />");
        let message = refused(&check(&format!("prefill{index}"), &good(), map, &region));
        assert_eq!(message, *expected);
    }
}

#[test]
fn things_that_are_not_there() {
    let none = "does/not/exist";
    for command in ["run", "demo"] {
        let message = refused(&xtask(&[command, "--disk", none]));
        assert_eq!(message, format!("error: there is no disk image '{none}'"));
    }
    let message = refused(&xtask(&["check", none]));
    assert!(message.starts_with(&format!("error: cannot read system description '{none}'")));
    let message = refused(&xtask(&["check", "--board", "toaster"]));
    assert_eq!(message, "error: unknown board 'toaster'");
    let message = refused(&xtask(&["image", "--kernel", "sel4", "--sdk", none]));
    assert_eq!(
        message,
        format!("error: '{none}' is not a Microkit SDK: no bin/microkit")
    );
}
