// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Compiles the C of a protection domain, from the `build.rs` of its crate. It decides the compiler and
//! its options; what is compiled is the crate's business.
//!
//! ```ignore
//! fn main() {
//!     if let Some(mut c) = c_build::for_pd() {
//!         c.file("src/program.c").compile("program");
//!     }
//! }
//! ```
//!
//! The objects are linked into the PD's ELF file like everything else, so they are restarted, measured
//! and found in backtraces as Rust is. Headers: those of every crate with a folder `include`, and the
//! compiler's own (freestanding: `stdint.h`, `stddef.h`, `stdarg.h` ...). There is no C library.

use std::path::{Path, PathBuf};
use std::process::Command;

use cc::Build;

/// Environment variable that names another compiler.
const CHOICE: &str = "KINTSUGI_CC";
/// Compilers that are tried, Debian's packages first. clang is told the target by crate `cc`.
const COMPILERS: [&str; 3] = ["aarch64-linux-gnu-gcc", "aarch64-none-elf-gcc", "clang"];
/// What both gcc and clang understand.
const OPTIONS: [&str; 9] = [
    "-std=gnu11",
    "-ffreestanding",
    // No relocation table, no position: pd.ld says where code lies.
    "-fno-pic",
    // Backtraces of crash reports follow frame pointers, and there are no unwind tables.
    "-fno-omit-frame-pointer",
    "-fno-asynchronous-unwind-tables",
    "-fno-unwind-tables",
    "-fno-stack-protector",
    // Atomics without a library that asks for the processor's features.
    "-mno-outline-atomics",
    "-Wall",
];

/// A compilation for the crate whose `build.rs` asks; `None` when the crate is not being built as a PD,
/// so that the host's tests need no C compiler for the target.
///
/// # Panics
///
/// Without a compiler, with the command that installs one.
#[must_use]
pub fn for_pd() -> Option<Build> {
    println!("cargo:rerun-if-changed=build.rs");
    // Where programs in C are. Without this, cargo would take an edited one for the same.
    println!("cargo:rerun-if-changed=src");
    println!("cargo:rerun-if-env-changed={CHOICE}");
    let variable = |name: &str| std::env::var(name).ok();
    let is_pd = variable("CARGO_CFG_TARGET_OS").as_deref() == Some("none")
        && variable("CARGO_FEATURE_PD").is_some();
    if !is_pd {
        return None;
    }
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
    let mut build = Build::new();
    build.compiler(compiler()).pic(false).flags(OPTIONS);
    for folder in includes(crates) {
        println!("cargo:rerun-if-changed={}", folder.display());
        build.include(folder);
    }
    // This machine's folders stay out of the ELF file.
    let root = crates.parent()?.display();
    build.flag(format!("-ffile-prefix-map={root}=/kintsugi"));
    Some(build)
}

/// The folders `include` of all crates beside this one.
fn includes(crates: &Path) -> Vec<PathBuf> {
    let folders = std::fs::read_dir(crates).into_iter().flatten().flatten();
    let mut includes: Vec<_> = folders
        .map(|folder| folder.path().join("include"))
        .filter(|include| include.is_dir())
        .collect();
    includes.sort();
    includes
}

fn compiler() -> String {
    let works = |name: &str| {
        let output = Command::new(name).arg("--version").output();
        output.is_ok_and(|output| output.status.success())
    };
    match std::env::var(CHOICE) {
        Ok(chosen) if works(&chosen) => chosen,
        Ok(chosen) => panic!("{CHOICE} is '{chosen}', which does not run"),
        Err(_) => {
            let found = COMPILERS.iter().find(|name| works(name));
            let found = found.expect(
                "no C compiler for AArch64; as root, on Debian: apt-get install --yes \
                 --no-install-recommends gcc-aarch64-linux-gnu",
            );
            (*found).to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_all_crates_are_found_and_nothing_is_built_for_the_host() {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let found = includes(crates);
        assert!(
            found
                .iter()
                .any(|folder| folder.ends_with("c-program/include"))
        );
        assert!(
            found
                .iter()
                .any(|folder| folder.ends_with("timer-posix/include"))
        );
        assert!(for_pd().is_none());
    }
}
