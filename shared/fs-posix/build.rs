// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Compiles the program in C that the test on the host runs.

fn main() {
    println!("cargo::rerun-if-changed=tests/program.c");
    println!("cargo::rerun-if-changed=include");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "none") {
        return;
    }
    // `#[link]` in the test asks for the library; nothing else does.
    cc::Build::new()
        .file("tests/program.c")
        .includes([
            "include",
            "../c-library/include",
            "../c-program/include",
            "../timer-posix/include",
        ])
        .cargo_metadata(false)
        .extra_warnings(true)
        .warnings_into_errors(true)
        .compile("fs_posix_test_program");
    let folder = std::env::var("OUT_DIR").expect("cargo sets it");
    println!("cargo::rustc-link-search=native={folder}");
}
