// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Runs that differ in the heartbeat timeout of the policy's defaults: the policy of each, and the names
//! of its figures. PDs with a timeout of their own keep it.

use std::path::Path;

use figures::Summary;

use crate::build;
use crate::cli::SystemArgs;
use crate::error::{Context, Result};
use crate::workspace;

const KEY: &str = "heartbeat_timeout_ms";
const DEFAULTS: &str = "[defaults]";

/// Gives the system its own policy again, with this timeout.
///
/// # Errors
///
/// When a file cannot be read or written.
pub fn set_timeout(system: &mut SystemArgs, ms: u32) -> Result<()> {
    let file = build::policy_file(system);
    let text =
        std::fs::read_to_string(&file).context(format!("read policy '{}'", file.display()))?;
    let overlay = system.build_dir.join("timeout.xml");
    let policy = overlay.with_extension("policy.toml");
    workspace::write(&overlay, b"<overlay></overlay>\n")?;
    workspace::write(Path::new(&policy), with_timeout(&text, ms).as_bytes())?;
    system.overlay.push(overlay);
    Ok(())
}

/// All of the defaults go to the top, under one heading.
fn with_timeout(policy: &str, ms: u32) -> String {
    let mut in_defaults = false;
    let (mut defaults, mut rest) = (Vec::new(), Vec::new());
    for line in policy.lines() {
        if line.starts_with('[') {
            in_defaults = line.trim_end() == DEFAULTS;
        }
        match in_defaults {
            true if line.starts_with(DEFAULTS) || line.starts_with(KEY) => {}
            true => defaults.push(line),
            false => rest.push(line),
        }
    }
    let (defaults, rest) = (defaults.join("\n"), rest.join("\n"));
    format!("{DEFAULTS}\n{KEY} = {ms}\n{defaults}\n{rest}\n")
}

/// The figure with the timeout in its name.
pub fn renamed(line: &str, ms: u32) -> String {
    let Some(found) = Summary::parse(line) else {
        return line.to_owned();
    };
    let (area, rest) = found.name.split_once('.').unwrap_or(("", found.name));
    let name = &format!("{area}.timeout_{ms}ms.{rest}");
    Summary { name, ..found }.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_default_changes() {
        let policy = "# x\n[defaults]\nwindow_ms = 1\nheartbeat_timeout_ms = 60\n\
                      [pd.fs]\nheartbeat_timeout_ms = 200\n";
        let expected = "[defaults]\nheartbeat_timeout_ms = 20\nwindow_ms = 1\n# x\n\
                        [pd.fs]\nheartbeat_timeout_ms = 200\n";
        assert_eq!(with_timeout(policy, 20), expected);
    }

    #[test]
    fn the_name_says_which() {
        let line = "FIGURE name=detection.deadlock unit=ns_guest n=1 min=1 p50=1 p99=1 max=1";
        assert!(renamed(line, 40).contains("name=detection.timeout_40ms.deadlock unit=ns_guest"));
    }
}
