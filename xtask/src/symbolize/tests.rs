// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Log lines taken apart, and this very program looked up in itself.

use std::path::Path;

use object::{Object, ObjectSymbol};

use super::program::{Program, sets_frame};
use super::{Filter, Report};

#[test]
fn reads_both_lines_of_a_report() {
    let fault =
        "[   0.28] supervisor: warning: FAULT pd=fs kind=read addr=0x8 pc=0x10006a3c epoch=1";
    assert_eq!(
        Report::parse(fault),
        Some(Report::Fault {
            pd: "fs",
            pc: 0x1000_6a3c
        })
    );
    let backtrace = "x: LASTBOOT BACKTRACE pd=fs lr=0x10 frames=0x10006a3c,0x10006a9c\r\n";
    assert_eq!(
        Report::parse(backtrace),
        Some(Report::Backtrace {
            pd: "fs",
            lr: 0x10,
            frames: vec![0x1000_6a3c, 0x1000_6a9c]
        })
    );
}

#[test]
fn other_lines_are_none() {
    for line in [
        "",
        "FAULT",
        "FAULT pd=fs",
        "FAULT pd=../../etc/x pc=0x1",
        "FAULT pc=0x1",
        "FAULT pd=fs pc=12",
        "BACKTRACE pd=fs lr=0x1",
        "BACKTRACE pd=fs frames=0x1",
    ] {
        assert_eq!(Report::parse(line), None, "{line}");
    }
}

#[test]
fn copies_bytes_as_they_come_and_says_when_there_is_no_program() {
    let mut filter = Filter::new(Path::new("/nonexistent"));
    let mut out = Vec::new();
    let log = b"one\r\nFAULT pd=fs pc=0x1\r\nBACKTRACE pd=fs lr=0x1 frames=0x1\r\n>";
    for byte in log {
        filter.push(&[*byte], &mut out).expect("memory");
    }
    filter.finish(&mut out).expect("memory");
    assert_eq!(
        String::from_utf8_lossy(&out),
        "one\r\nFAULT pd=fs pc=0x1\r\n    (there is no fs.debug.elf in the build folder)\r\n\
         BACKTRACE pd=fs lr=0x1 frames=0x1\r\n>"
    );
}

#[test]
fn recognises_the_frame_record() {
    // stp x29, x30, [sp, #-16]!; mov x29, sp
    assert!(sets_frame(&[0xa9bf_7bfd, 0x9100_03fd]));
    // sub sp, sp, #0x40; stp x29, x30, [sp, #0x30]; add x29, sp, #0x30
    assert!(sets_frame(&[0xd101_03ff, 0xa903_7bfd, 0x9100_c3fd]));
    assert!(!sets_frame(&[0xd101_03ff, 0xa903_7bfd]));
    // add x0, sp, #0x30
    assert!(!sets_frame(&[0x9100_c3e0]));
}

#[test]
fn finds_functions_and_lines_of_this_program() {
    let path = std::env::current_exe().expect("a test runs");
    let bytes = std::fs::read(&path).expect("readable");
    let file = object::File::parse(&*bytes).expect("an ELF file");
    let symbol = file
        .symbols()
        .find(|symbol| {
            let name = symbol.name().unwrap_or_default();
            name.contains("symbolize") && name.contains("sets_frame") && symbol.size() > 0
        })
        .expect("the function is there");
    let program = Program::load(&path).expect("an ELF file");
    let lines = program.places(symbol.address(), 0).join("\n");
    assert!(lines.contains("sets_frame"), "{lines}");
    assert!(lines.contains("symbolize/program.rs:"), "{lines}");
    let nowhere = program.places(0x66_0000_0000_0000, 3);
    assert_eq!(nowhere, ["#3 0x66000000000000 not in this program"]);
}
