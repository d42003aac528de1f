// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Which kernel an image is for, and why.

use std::path::PathBuf;

use crate::cli::{Config, Kernel, KernelArgs};
use crate::error::{Error, Result};

/// Version of the SDK that this repository is made for.
pub const SDK_VERSION: &str = "2.3.0";

/// The kernel to use.
#[derive(Clone, Debug)]
pub struct Choice {
    /// With what it takes to make an image.
    pub target: Target,
    /// Why this one.
    pub reason: String,
}

/// A kernel with what it takes to make an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The development kernel.
    Dev,
    /// seL4 from an SDK.
    Sel4 {
        /// The SDK's folder.
        sdk: PathBuf,
        /// One of its configurations.
        config: Config,
    },
}

impl Target {
    /// Name for people and for test results.
    pub fn name(&self) -> String {
        match self {
            Self::Dev => "dev".to_owned(),
            Self::Sel4 { config, .. } => format!("sel4 {}", config.name()),
        }
    }
}

/// Where the SDK is looked for when nobody says.
pub fn default_sdk() -> PathBuf {
    PathBuf::from(format!("/opt/microkit-sdk-{SDK_VERSION}"))
}

/// The SDK, if one is there: the given folder, or the usual one.
///
/// # Errors
///
/// When a folder is given that is not an SDK.
pub fn find_sdk(args: &KernelArgs) -> Result<Option<PathBuf>> {
    let is_sdk = |path: &PathBuf| path.join("bin/microkit").is_file();
    match &args.sdk {
        Some(path) if is_sdk(path) => Ok(Some(path.clone())),
        Some(path) => {
            let message = format!(
                "'{}' is not a Microkit SDK: no bin/microkit",
                path.display()
            );
            Err(Error::new(message).help("correct MICROKIT_SDK or --sdk, or leave it out"))
        }
        None => Ok(Some(default_sdk()).filter(is_sdk)),
    }
}

/// Chooses.
///
/// # Errors
///
/// When seL4 is wanted and there is no SDK, or none for this board.
pub fn choose(args: &KernelArgs) -> Result<Choice> {
    let sdk = match args.kernel {
        Some(Kernel::Dev) => {
            return Ok(Choice {
                target: Target::Dev,
                reason: "as asked".to_owned(),
            });
        }
        _ => find_sdk(args)?,
    };
    match (args.kernel, sdk) {
        (Some(Kernel::Sel4), None) => Err(Error::new("there is no Microkit SDK on this machine")
            .help(format!("{}; or use --kernel dev", sdk_command()))),
        (_, Some(sdk)) => {
            let board = sdk.join("board").join(&args.board).join(args.config.name());
            if !board.is_dir() {
                let message = format!(
                    "the Microkit SDK has no board '{}' in configuration '{}'",
                    args.board,
                    args.config.name()
                );
                return Err(Error::new(message).help(format!("see '{}/board'", sdk.display())));
            }
            let reason = match args.kernel {
                Some(_) => "as asked".to_owned(),
                None => format!("Microkit SDK found in {}", sdk.display()),
            };
            Ok(Choice {
                target: Target::Sel4 {
                    sdk,
                    config: args.config,
                },
                reason,
            })
        }
        (_, None) => {
            let reason = "no Microkit SDK found".to_owned();
            Ok(Choice {
                target: Target::Dev,
                reason,
            })
        }
    }
}

/// Installs the SDK.
pub fn sdk_command() -> String {
    let release = format!("microkit-sdk-{SDK_VERSION}");
    format!(
        "curl -L https://github.com/seL4/microkit/releases/download/{SDK_VERSION}/\
         {release}-linux-x86-64.tar.gz | tar -xz -C /opt"
    )
}
