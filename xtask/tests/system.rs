// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! One system description per rule, in `tests/system`, with the exact message beside it.
//!
//! The file's name says who finds the mistake:
//! - `ok_*`: nobody; the Microkit tool takes it and so do we;
//! - `boot_*`: we do; the Microkit tool takes it, and the system stops at boot or breaks at run time;
//! - `house_*`: we do, it is a rule of this project only;
//! - `late_*`: both, the Microkit tool only when it lays out memory, after it has read ELF files;
//! - all others: both, from the description alone.
//!
//! `UPDATE_EXPECTED=1 cargo test -p xtask` writes the messages anew; read the difference then.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const FOLDER: &str = "tests/system";
/// What the Microkit tool says when it has no objection to the description.
const ACCEPTED: &str = "unable to find program image";

fn fixtures() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(FOLDER)
        .expect("fixtures exist")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "xml"))
        .collect();
    files.sort();
    assert!(files.len() > 100, "only {} fixtures found", files.len());
    files
}

fn starts_with(path: &Path, prefixes: &[&str]) -> bool {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .expect("readable name");
    prefixes.iter().any(|prefix| name.starts_with(prefix))
}

fn check(path: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_xtask"))
        .arg("check")
        .arg(path)
        .env_remove("MICROKIT_BOARD")
        .output()
        .expect("xtask starts")
}

#[test]
fn every_broken_rule_has_its_exact_message() {
    let update = std::env::var_os("UPDATE_EXPECTED").is_some();
    let mut wrong = Vec::new();
    for path in fixtures() {
        let output = check(&path);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        let status = i32::from(!starts_with(&path, &["ok_"]));
        let expected_path = path.with_extension("expected");
        if update {
            std::fs::write(&expected_path, &message).expect("writable");
        }
        let expected = std::fs::read_to_string(&expected_path).unwrap_or_default();
        if output.status.code() != Some(status) || message != expected {
            let status = output.status;
            wrong.push(format!(
                "{}: {status}\n{message}\nexpected:\n{expected}",
                path.display()
            ));
        }
        let errors = message
            .lines()
            .filter(|line| line.starts_with("error"))
            .count();
        assert_eq!(
            errors,
            status as usize,
            "{}: one error each",
            path.display()
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether the Microkit tool has an objection to the description.
fn tool_refuses(tool: &Path, path: &Path) -> bool {
    let scratch = std::env::temp_dir().join(format!("kintsugi-fixtures-{}", std::process::id()));
    std::fs::create_dir_all(&scratch).expect("scratch folder");
    // Prefill files have to be there; their contents do not matter here.
    for name in ["leaf.elf", "boss.elf", "xtask_fixture.data"] {
        std::fs::write(scratch.join(name), [0; 16]).expect("scratch file");
    }
    let output = Command::new(tool)
        .arg(path)
        .args(["--board", "qemu_virt_aarch64", "--config", "debug"])
        .arg("-o")
        .arg(scratch.join("loader.img"))
        .arg("-r")
        .arg(scratch.join("report.txt"))
        .arg("--search-path")
        .arg(&scratch)
        .output()
        .expect("the Microkit tool starts");
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    let elf_reached = message.contains(ACCEPTED) || message.contains("failed to parse ELF");
    std::fs::remove_dir_all(&scratch).expect("scratch folder goes away");
    !elf_reached
}

#[test]
fn the_microkit_tool_agrees() {
    let sdk = std::env::var_os("MICROKIT_SDK")
        .map_or_else(|| PathBuf::from("/opt/microkit-sdk-2.3.0"), PathBuf::from);
    let tool = sdk.join("bin/microkit");
    if !tool.is_file() {
        eprintln!(
            "SKIPPED: no Microkit SDK in {}, verdicts not compared",
            sdk.display()
        );
        return;
    }
    let accepted = ["ok_", "boot_", "house_", "late_"];
    let differing: Vec<_> = fixtures()
        .into_iter()
        .filter(|path| tool_refuses(&tool, path) == starts_with(path, &accepted))
        .collect();
    assert!(differing.is_empty(), "verdicts differ: {differing:#?}");
}
