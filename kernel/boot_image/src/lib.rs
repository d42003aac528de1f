// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! The image that the development kernel boots: its bytes, a reader, and on the host a builder.
//!
//! `loader.img` is the kernel's flat binary, then the *system table*, then the initial contents of
//! memory. The kernel reads it in place ([`Image`]). The host tool, with feature `std`, fills in a
//! [`SystemSpec`] and calls [`layout`]; all decisions that the Microkit tool and its initialiser
//! make for seL4 are made there, so that the kernel only copies, clears and starts.
//!
//! ```no_run
//! # #[cfg(feature = "std")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let system = boot_image::SystemSpec {
//!     kernel_elf: std::fs::read("kernel-aarch64")?,
//!     ..Default::default()
//! };
//! let built = boot_image::build(&system)?;
//! std::fs::write("loader.img", built.image)?;
//! std::fs::write("report.txt", built.report)?;
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "std"))]
//! # fn main() {}
//! ```

#![cfg_attr(not(any(test, feature = "std")), no_std)]
#![forbid(unsafe_code)]

mod reader;
pub mod wire;

#[cfg(feature = "std")]
mod address_space;
#[cfg(feature = "std")]
mod assemble;
#[cfg(feature = "std")]
mod capabilities;
#[cfg(feature = "std")]
mod error;
#[cfg(feature = "std")]
mod layout;
#[cfg(feature = "std")]
mod memory;
#[cfg(feature = "std")]
mod program;
#[cfg(feature = "std")]
pub mod spec;
#[cfg(feature = "std")]
mod tables;

pub use reader::{Image, ImageError};

#[cfg(feature = "std")]
pub use address_space::{IPC_BUFFER_VADDR, STACK_TOP};
#[cfg(feature = "std")]
pub use error::LayoutError;
#[cfg(feature = "std")]
pub use layout::{Built, build, layout};
#[cfg(feature = "std")]
pub use memory::{IMAGE_START, NORMAL_END, NORMAL_START};
#[cfg(feature = "std")]
pub use program::kernel_blob;
#[cfg(feature = "std")]
pub use spec::SystemSpec;
