// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Judges the disk at the end of a boot with the host's own tools, as the demo does.

use super::Setup;
use super::boot::{Boot, End};
use crate::demo::{judge, log, tree};
use crate::error::Result;
use crate::target_test::sqlite;
use crate::{disk, run};

/// Sound, or what is wrong.
pub type Verdict = std::result::Result<(), String>;

/// Judges.
pub fn judge(setup: &Setup, boot: &Boot) -> Verdict {
    examine(setup, boot).map_err(|error| error.to_string())
}

fn examine(setup: &Setup, boot: &Boot) -> Result<()> {
    let attached = setup.attached();
    disk::replay(&attached)?;
    disk::check_ext4(&attached)?;
    let before = tree(&setup.disk, &setup.work.join("before"))?;
    let after = tree(&attached, &setup.work.join("after"))?;
    judge::files_kept(&before, &after)?;
    // Only an application that came to its end has said what has to be there.
    if boot.end == End::Done && boot.output.contains(run::PASS) {
        let pds: Vec<_> = setup.pds.iter().map(String::as_str).collect();
        judge::files_written(&log::parse(&boot.output, &pds), &after)?;
    }
    sqlite::check_unfinished(&attached, &setup.work.join("database"))?;
    disk::check_files(&attached, &setup.files)
}
