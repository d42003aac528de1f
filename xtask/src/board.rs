// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Reads `boards/<name>.toml`. The format is described in `boards/qemu_virt_aarch64.toml`.

use std::path::Path;

use serde::Deserialize;

use crate::error::{Context, Error, Result};

/// One machine.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Board {
    /// Microkit's name for it.
    pub name: String,
    /// Last address that a PD can use.
    pub user_top: u64,
    /// Sizes that the kernel can map, smallest first.
    pub page_sizes: Vec<u64>,
    /// Physical memory.
    pub memory: Memory,
    /// Interrupt numbers.
    pub irq: Irqs,
    /// Limits of the scheduler.
    pub schedule: Schedule,
    /// The loader image.
    pub image: Image,
    /// How QEMU is the board, if it can be.
    pub qemu: Option<Qemu>,
}

/// Physical memory.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// What the kernel hands out as memory, as `[start, end)`.
    pub normal: Vec<[u64; 2]>,
    /// First address that cannot be mapped at all.
    pub end: u64,
    /// What the kernel keeps.
    pub reserved: Vec<[u64; 2]>,
}

/// Interrupt numbers.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Irqs {
    /// Highest number.
    pub max: u64,
    /// Numbers that the kernel keeps.
    pub reserved: Vec<u64>,
}

/// Limits of the scheduler.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Smallest budget and period, in microseconds.
    pub budget_us_min: u64,
    /// Largest budget and period, in microseconds.
    pub period_us_max: u64,
}

/// The loader image.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// Where it has to be in memory.
    pub address: u64,
}

/// How QEMU is the board.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Qemu {
    /// Program to run.
    pub program: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// More arguments when a disk is attached.
    pub disk: Vec<String>,
}

impl Board {
    /// Reads the file of the board called `name`.
    ///
    /// # Errors
    ///
    /// When there is no such board, with the list of those that exist.
    pub fn load(root: &Path, name: &str) -> Result<Self> {
        let folder = root.join("boards");
        let path = folder.join(format!("{name}.toml"));
        let text = std::fs::read_to_string(&path).map_err(|_| {
            Error::new(format!("unknown board '{name}'")).help(format!(
                "boards with a file in boards/: {}",
                names(&folder).join(", ")
            ))
        })?;
        toml::from_str(&text).context(format!("read board file '{}'", path.display()))
    }

    /// First address after the last one that a `<map>` may use, for a stack of `stack_size` bytes.
    pub fn map_end(&self, stack_size: u64) -> u64 {
        self.stack_top() - stack_size
    }

    /// Initial stack pointer: below the IPC buffer's page and the guard page under it.
    pub fn stack_top(&self) -> u64 {
        let page = self.page_sizes[0];
        (self.user_top / page) * page - page
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries
        .filter_map(|entry| {
            Some(
                entry
                    .file_name()
                    .to_str()?
                    .strip_suffix(".toml")?
                    .to_owned(),
            )
        })
        .collect();
    names.sort();
    names
}
