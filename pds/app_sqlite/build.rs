// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Compiles SQLite's amalgamation as crate `libsqlite3-sys` carries it, unchanged, and the program.

use std::path::{Path, PathBuf};
use std::process::Command;

/// SQLite's own unix VFS stays, on our POSIX functions. Left out is what they have not got: threads, shared
/// memory (write-ahead log), `mmap`, shared objects, time zones.
const OPTIONS: [(&str, &str); 10] = [
    ("SQLITE_THREADSAFE", "0"),
    ("SQLITE_OMIT_WAL", "1"),
    ("SQLITE_MAX_MMAP_SIZE", "0"),
    ("SQLITE_OMIT_LOAD_EXTENSION", "1"),
    ("SQLITE_OMIT_LOCALTIME", "1"),
    ("SQLITE_TEMP_STORE", "3"),
    ("SQLITE_DEFAULT_MEMSTATUS", "0"),
    ("USE_PREAD", "1"),
    ("HAVE_FDATASYNC", "1"),
    ("NDEBUG", "1"),
];

fn main() {
    let Some(mut program) = c_build::for_pd() else {
        return;
    };
    let sources = amalgamation();
    program
        .include(&sources)
        .file("src/program.c")
        .compile("program");
    let mut sqlite = c_build::for_pd().expect("it was one a moment ago");
    for (name, value) in OPTIONS {
        sqlite.define(name, value);
    }
    // This machine's folders stay out of the ELF file. SQLite's warnings are its authors' business.
    sqlite
        .flag(format!("-ffile-prefix-map={}=/sqlite", sources.display()))
        .warnings(false)
        // A quarter of the time that the compiler needs for the best.
        .opt_level(1)
        .flag("-w")
        .file(sources.join("sqlite3.c"))
        .compile("sqlite3");
}

/// The folder with `sqlite3.c` and `sqlite3.h`.
fn amalgamation() -> PathBuf {
    let cargo = std::env::var_os("CARGO").expect("cargo sets it");
    // For the host alone: crates of other platforms need not have been downloaded.
    let host = std::env::var("HOST").expect("cargo sets it");
    let output = Command::new(cargo)
        .args([
            "metadata",
            "--format-version=1",
            "--locked",
            "--filter-platform",
            &host,
        ])
        .output()
        .expect("cargo runs");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo metadata: {words}");
    let found: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let packages = found["packages"].as_array().expect("a list");
    let package = packages
        .iter()
        .find(|package| package["name"] == "libsqlite3-sys");
    let manifest = package.and_then(|package| package["manifest_path"].as_str());
    let manifest = Path::new(manifest.expect("it is in Cargo.toml"));
    manifest.with_file_name("sqlite3")
}
