// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Address spaces on the development kernel: its images are laid out by the host, and `report.txt`
//! says where everything is.

use std::collections::HashMap;

use super::memory::{Space, Spaces};

/// First words of such a report.
const TITLE: &str = "# Image for the Kintsugi development kernel";

/// Reads a report; `None` when it is another kernel's.
pub fn spaces(report: &str) -> Option<Spaces> {
    report.strip_prefix(TITLE)?;
    let mut of: HashMap<String, Vec<_>> = HashMap::new();
    let mut pd = None;
    for line in report.lines() {
        if let Some((name, _)) = line
            .strip_prefix("# ")
            .and_then(|rest| rest.split_once(": priority "))
        {
            pd = Some(name.to_owned());
        } else if let (Some(pd), Some(piece)) = (&pd, piece(line)) {
            of.entry(pd.clone()).or_default().push(piece);
        }
    }
    let of = of
        .into_iter()
        .map(|(pd, pieces)| (pd, Space::Pieces(pieces)))
        .collect();
    Some(Spaces {
        kernel: "development kernel".to_owned(),
        of,
    })
}

/// `vaddr -> paddr size rights kind`.
fn piece(line: &str) -> Option<(u64, u64, u64)> {
    let (vaddr, rest) = line.split_once(" -> ")?;
    let mut words = rest.split_whitespace();
    Some((
        number(vaddr)?,
        number(words.next()?)?,
        number(words.next()?)?,
    ))
}

fn number(text: &str) -> Option<u64> {
    u64::from_str_radix(text.trim().strip_prefix("0x")?, 16).ok()
}
