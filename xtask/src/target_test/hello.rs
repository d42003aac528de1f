// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! What `pds/app_hello` must have left on the disk.

use std::path::Path;

use crate::error::{Error, Result};
use crate::{disk, workspace};

const LINES: u32 = 300;

/// Its file has every line, once and in order, and the disk is sound.
///
/// # Errors
///
/// Names the first line that is not as it should be.
pub fn check(image: &Path, samples: &Path) -> Result<()> {
    disk::check_files(image, samples)?;
    let copy = image.with_extension("files");
    disk::extract(image, &copy)?;
    let text = workspace::read(&copy.join("app_hello.txt"))?;
    let text = String::from_utf8_lossy(&text);
    let mut lines = text.lines();
    for number in 1..=LINES {
        let expected = format!("line {number:08}");
        let found = lines.next();
        if found != Some(&expected) {
            return Err(Error::new(format!(
                "app_hello.txt: expected '{expected}', found {found:?}"
            )));
        }
    }
    match lines.next() {
        None => Ok(()),
        Some(more) => Err(Error::new(format!(
            "app_hello.txt: '{more}' after the last line"
        ))),
    }
}
