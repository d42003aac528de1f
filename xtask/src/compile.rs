// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Compiles PDs and the development kernel for the target; nothing is cut or placed here.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Context, Error, Result};
use crate::toolchain::{TARGET, Toolchain};

/// Linker script of a PD, from the repository's folder, which is where the linker runs. An absolute
/// path would make the ELF files depend on where the repository is.
const PD_SCRIPT: &str = "shared/sel4-microkit/pd.ld";

/// Compiles all of `names` in one run of cargo and returns the folder with their ELF files.
///
/// A PD called NAME is the crate `pds/NAME`; its feature `pd` brings in the runtime.
///
/// # Errors
///
/// When a crate is missing, or cargo fails.
pub fn pds(root: &Path, names: &[String]) -> Result<PathBuf> {
    for name in names {
        if !root.join("pds").join(name).join("Cargo.toml").is_file() {
            let help =
                format!("add a crate pds/{name}, or give --search-path DIR with its ELF file");
            return Err(Error::new(format!("PD '{name}' has no crate pds/{name}")).help(help));
        }
    }
    let toolchain = Toolchain::find()?;
    let mut command = toolchain.cargo_build();
    for name in names {
        command.args(["--package", name]);
    }
    let features: Vec<_> = names.iter().map(|name| format!("{name}/pd")).collect();
    command
        .arg("--bins")
        .arg("--features")
        .arg(features.join(","));
    let flags = [
        format!("-Clink-arg=-T{PD_SCRIPT}"),
        "-Clink-arg=-zmax-page-size=4096".to_owned(),
        "-Crelocation-model=static".to_owned(),
        "-Cforce-frame-pointers=yes".to_owned(),
    ];
    build(root, &toolchain, command, "pds", &flags)
}

/// Compiles the development kernel, whose build script names its own linker script, and returns the
/// folder with its ELF file.
///
/// # Errors
///
/// When cargo fails.
pub fn kernel(root: &Path, package: &str) -> Result<PathBuf> {
    let toolchain = Toolchain::find()?;
    let mut command = toolchain.cargo_build();
    command.args(["--package", package, "--bins", "--features", "kernel"]);
    let flags = [
        "-Crelocation-model=static".to_owned(),
        "-Cforce-frame-pointers=yes".to_owned(),
    ];
    build(root, &toolchain, command, "kernel", &flags)
}

fn build(
    root: &Path,
    toolchain: &Toolchain,
    mut command: Command,
    what: &str,
    flags: &[String],
) -> Result<PathBuf> {
    // A folder of its own: another toolchain than the host's would otherwise undo its work.
    let base =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let target = base.join(what);
    let mut flags = [flags, &toolchain.linker_flags()].concat();
    flags.extend(remapped(root, &toolchain.sysroot));
    // Unit separator: a path may contain spaces.
    command.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
    command
        .current_dir(root)
        .arg("--quiet")
        .arg("--target-dir")
        .arg(&target);
    let status = command.status().context("run cargo")?;
    if !status.success() {
        return Err(
            Error::new(format!("the compiler failed ({})", toolchain.version))
                .help("its messages are above; `cargo xtask doctor` checks the tools"),
        );
    }
    Ok(target.join(TARGET).join("release"))
}

/// Keeps this machine's folders out of the ELF files, so that the same sources give the same bytes.
fn remapped(root: &Path, sysroot: &Path) -> Vec<String> {
    let home = std::env::var_os("HOME")
        .map(PathBuf::from)
        .unwrap_or_default();
    let cargo_home =
        std::env::var_os("CARGO_HOME").map_or_else(|| home.join(".cargo"), PathBuf::from);
    [
        (sysroot.join("lib/rustlib/src/rust"), "/rust"),
        (cargo_home.join("registry/src"), "/registry"),
        (root.to_path_buf(), "/kintsugi"),
    ]
    .iter()
    .map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()))
    .collect()
}
