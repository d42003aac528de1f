// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Finds a compiler for `aarch64-unknown-none`.
//!
//! rustup's is used where it has the target's `core`. Where it has not (its server cannot always be
//! reached), Debian's `rustc-web` builds `core` and `alloc` from `rust-web-src`.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Context, Error, Result};

/// What PDs are compiled for.
pub const TARGET: &str = "aarch64-unknown-none";

/// Environment variable that chooses between them, so that both can be tested on one machine.
const CHOICE: &str = "KINTSUGI_TOOLCHAIN";

/// Set for us by `cargo xtask`'s own cargo; another toolchain must not see them.
const INHERITED: [&str; 13] = [
    "CARGO",
    "CARGO_BUILD_TARGET",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_MANIFEST_DIR",
    "CARGO_MANIFEST_PATH",
    "CARGO_TARGET_DIR",
    "LD_LIBRARY_PATH",
    "RUSTC",
    "RUSTC_BOOTSTRAP",
    "RUSTDOC",
    "RUSTFLAGS",
    "RUSTUP_TOOLCHAIN",
    "RUST_RECURSION_COUNT",
];

/// A compiler that can make PDs.
#[derive(Debug)]
pub struct Toolchain {
    /// Whose it is, for messages.
    pub name: &'static str,
    /// `rustc --version`.
    pub version: String,
    /// Its library and sources.
    pub sysroot: PathBuf,
    cargo: PathBuf,
    rustc: PathBuf,
    /// Whether `core` has to be built too.
    build_std: bool,
    /// Linker, when the compiler does not bring one.
    linker: Option<PathBuf>,
}

impl Toolchain {
    /// Finds one.
    ///
    /// # Errors
    ///
    /// When there is none, with the commands that install one.
    pub fn find() -> Result<Self> {
        let wanted = std::env::var(CHOICE).unwrap_or_default();
        let found = match wanted.as_str() {
            "" => Self::rustup().or_else(Self::debian),
            "rustup" => Self::rustup(),
            "debian" => Self::debian(),
            _ => {
                let message = format!("{CHOICE} is '{wanted}'");
                return Err(Error::new(message).help("set it to rustup or debian, or not at all"));
            }
        };
        found.ok_or_else(|| {
            Error::new(format!("no Rust compiler here can build for {TARGET}")).help(format!(
                "{}, or as root: {}",
                rustup_command(),
                debian_command()
            ))
        })
    }

    fn rustup() -> Option<Self> {
        let rustc = PathBuf::from("rustc");
        let sysroot = sysroot(&rustc)?;
        let library = sysroot.join("lib/rustlib").join(TARGET).join("lib");
        let version = version(&rustc)?;
        let found = library.is_dir();
        let cargo = PathBuf::from("cargo");
        let (name, build_std, linker) = ("rustup", false, None);
        found.then_some(Self {
            name,
            version,
            sysroot,
            cargo,
            rustc,
            build_std,
            linker,
        })
    }

    fn debian() -> Option<Self> {
        let rustc = PathBuf::from("/usr/bin/rustc");
        let sysroot = sysroot(&rustc)?;
        let sources = sysroot.join("lib/rustlib/src/rust/library/core");
        let version = version(&rustc)?;
        let cargo = PathBuf::from("/usr/bin/cargo");
        let found = cargo.is_file() && sources.is_dir();
        let (name, build_std, linker) = ("Debian", true, Some(lld()?));
        found.then_some(Self {
            name,
            version,
            sysroot,
            cargo,
            rustc,
            build_std,
            linker,
        })
    }

    /// Compiler options that name the linker, when one has to be named.
    pub fn linker_flags(&self) -> Vec<String> {
        let named = |linker: &PathBuf| vec![format!("-Clinker={}", linker.display())];
        self.linker.as_ref().map(named).unwrap_or_default()
    }

    /// A `cargo build` for the target, without packages yet.
    pub fn cargo_build(&self) -> Command {
        let mut command = clean(&self.cargo);
        command.args(["build", "--release", "--target", TARGET]);
        if self.build_std {
            // Debian's cargo must not find rustup's programs under the usual names.
            let path = std::env::var_os("PATH").unwrap_or_default();
            let path = std::env::join_paths(
                [PathBuf::from("/usr/bin")]
                    .into_iter()
                    .chain(std::env::split_paths(&path)),
            );
            command.env("PATH", path.unwrap_or_default());
            command
                .env("RUSTC", &self.rustc)
                .env("RUSTC_BOOTSTRAP", "1");
            command.arg("-Zbuild-std=core,alloc,compiler_builtins");
            command.arg("-Zbuild-std-features=compiler-builtins-mem");
        }
        command
    }
}

/// Finds a linker for Debian's compiler, whose `rust-lld` is a link to a program that Debian 12 does
/// not have: that of the rustup toolchain which runs us, or Debian's own.
fn lld() -> Option<PathBuf> {
    let libraries = sysroot(Path::new("rustc")).map(|sysroot| sysroot.join("lib/rustlib"));
    let hosts = libraries.and_then(|path| std::fs::read_dir(path).ok());
    hosts
        .into_iter()
        .flatten()
        .flatten()
        .map(|host| host.path().join("bin/rust-lld"))
        .chain([PathBuf::from("/usr/bin/ld.lld")])
        .find(|linker| linker.is_file())
}

/// Installs rustup's library for the target.
pub fn rustup_command() -> String {
    format!("rustup target add {TARGET}")
}

/// Installs Debian's compiler and the library's sources.
pub fn debian_command() -> &'static str {
    "apt-get install --yes rustc-web cargo-web rust-web-src"
}

/// A command that does not see what our own cargo has set.
fn clean(program: &Path) -> Command {
    let mut command = Command::new(program);
    for variable in INHERITED {
        command.env_remove(variable);
    }
    command
}

fn sysroot(rustc: &Path) -> Option<PathBuf> {
    Some(PathBuf::from(
        output(clean(rustc).args(["--print", "sysroot"])).ok()?,
    ))
}

fn version(rustc: &Path) -> Option<String> {
    output(clean(rustc).arg("--version")).ok()
}

/// Standard output of a command that ends with status 0.
///
/// # Errors
///
/// When it cannot be started, or fails.
pub fn output(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().context(format!("run '{name}'"))?;
    if !output.status.success() {
        return Err(Error::new(format!("'{name}' failed: {}", output.status)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
