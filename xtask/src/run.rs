// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! `cargo xtask run`: makes the image and boots it.

use std::time::Duration;

use crate::cli::RunArgs;
use crate::error::{Error, Result};
use crate::qemu::{self, End, Machine, Watch};
use crate::{image, workspace};

/// A line with this ends a run with status 1: the system itself says that it failed.
pub const FAIL: &str = "KINTSUGI|FAIL";
/// So does this, in a system of ours: a PD without a parent has died, and nobody restarts it.
pub const ROOT_FAULT: &str = "MON|ERROR: faulting PD";
/// A line with this ends a run with status 0: the system itself says that it is done.
pub const PASS: &str = "KINTSUGI|PASS";

/// Runs the command.
///
/// # Errors
///
/// When the image cannot be made, or the run ends badly.
pub fn run(args: &RunArgs) -> Result<()> {
    workspace::check_disk(args.disk.as_deref())?;
    let (built, image) = image::make(&args.system)?;
    let machine = Machine {
        image,
        disk: args.disk.clone(),
        icount: args.icount,
        extra: &[],
    };
    if args.interactive {
        return match qemu::interactive(&built.board, &machine)? {
            status if status.success() => Ok(()),
            status => Err(Error::new(format!("QEMU ended: {status}"))),
        };
    }
    let watch = Watch {
        until: args
            .until
            .iter()
            .cloned()
            .chain([PASS.to_owned()])
            .collect(),
        all: Vec::new(),
        fail: failures(args),
        timeout: args.timeout.map(Duration::from_secs),
        echo: true,
        each_line: None,
        linger: Duration::ZERO,
    };
    match qemu::watch(&built.board, &machine, &watch)?.end {
        End::Seen => Ok(()),
        End::Exited(status) if status.success() && args.until.is_none() => Ok(()),
        End::Exited(status) => Err(Error::new(format!("QEMU ended before that: {status}"))),
        End::Failed(line) => Err(Error::new(format!("the system failed: {line}"))),
        End::TimedOut => Err(Error::new("the system did not finish in time")
            .help("the serial output is above; --timeout gives it longer")),
    }
}

/// Lines that end the run badly. In somebody else's system a PD may be meant to die.
fn failures(args: &RunArgs) -> Vec<String> {
    let mut texts = vec![FAIL.to_owned()];
    if args.system.search_path.is_empty() {
        texts.push(ROOT_FAULT.to_owned());
    }
    texts
}
