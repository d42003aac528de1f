// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Compiles `policy.toml` into the table that the supervisors map.
//!
//! ```toml
//! [defaults]                 # for every PD; each key may be left out
//! restarts_max = 50          # restarts granted to one PD ...
//! window_ms = 1000           # ... in any window of so many milliseconds
//! beyond = "escalate"        # one restart too many: "escalate", "stop" or "reset"
//! strategy = "one_for_one"   # of a supervisor: also "rest_for_one", "one_for_all"
//! heartbeat_ms = 20          # asked so often whether it is alive; 0: never
//! heartbeat_timeout_ms = 60  # an answer that takes longer is a hang; 0: none is
//! progress_timeout_ms = 0    # so long it may have work and finish none; 0: for ever
//! backoff_ms = 0             # pause before the second restart in the window, then doubled; 0: none
//!
//! [pd.blk]                   # overrides for one PD
//! restarts_max = 10
//! fallback = "blk_safe.elf"  # loaded when blk.elf fails too often; region blk_fallback_elf has it
//! ```
//!
//! What it says of the file service's clients is in [`files`].
//!
//! Unknown keys, names that are not in the system description and impossible values are errors
//! with line and caret. Without the file everybody gets `policy::ChildPolicy::DEFAULT`.

mod files;

use std::collections::BTreeMap;
use std::path::Path;

use policy::{Beyond, ChildPolicy, RESTARTS_MAX_MAX, Strategy};
use serde::Deserialize;
use toml::Spanned;

use self::files::FilesEntry;
use crate::diagnostics::{Diagnostic, Source, render};
use crate::error::{Context, Error, Result};
use crate::system::System;
use crate::workspace;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    defaults: Entry,
    #[serde(default)]
    pd: BTreeMap<String, Spanned<Entry>>,
    #[serde(default)]
    files_defaults: FilesEntry,
    #[serde(default)]
    files: BTreeMap<String, Spanned<FilesEntry>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    restarts_max: Option<Spanned<u32>>,
    window_ms: Option<Spanned<u32>>,
    beyond: Option<BeyondName>,
    strategy: Option<StrategyName>,
    heartbeat_ms: Option<u32>,
    heartbeat_timeout_ms: Option<Spanned<u32>>,
    progress_timeout_ms: Option<u32>,
    backoff_ms: Option<u32>,
    fallback: Option<Spanned<String>>,
}

/// A PD of the system description.
#[derive(Clone, Debug, Default)]
struct Name {
    name: String,
    /// What its region `NAME_fallback_elf` is filled with.
    fallback: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum BeyondName {
    Escalate,
    Stop,
    Reset,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StrategyName {
    OneForOne,
    RestForOne,
    OneForAll,
}

impl Entry {
    /// Puts what the entry says over `base`.
    fn over(&self, base: ChildPolicy, wrong: &mut Vec<Diagnostic>) -> ChildPolicy {
        let mut policy = base;
        if let Some(value) = &self.restarts_max {
            policy.restarts_max = *value.get_ref();
            if !(1..=RESTARTS_MAX_MAX).contains(value.get_ref()) {
                let message = format!("restarts_max is {}", value.get_ref());
                let help = format!("a supervisor counts 1 to {RESTARTS_MAX_MAX} restarts");
                wrong.push(Diagnostic::error(message, &value.span()).help(help));
            }
        }
        if let Some(value) = &self.window_ms {
            policy.window_ms = *value.get_ref();
            if *value.get_ref() == 0 {
                let help = "give the length of the window in milliseconds, 1 or more";
                wrong.push(Diagnostic::error("window_ms is 0", &value.span()).help(help));
            }
        }
        match self.beyond {
            Some(BeyondName::Escalate) => policy.beyond = Beyond::Escalate,
            Some(BeyondName::Stop) => policy.beyond = Beyond::Stop,
            Some(BeyondName::Reset) => policy.beyond = Beyond::Reset,
            None => {}
        }
        match self.strategy {
            Some(StrategyName::OneForOne) => policy.strategy = Strategy::OneForOne,
            Some(StrategyName::RestForOne) => policy.strategy = Strategy::RestForOne,
            Some(StrategyName::OneForAll) => policy.strategy = Strategy::OneForAll,
            None => {}
        }
        self.liveness_over(&mut policy, wrong);
        policy
    }

    /// A fallback is of use only where its supervisor finds it.
    fn check_fallback(&self, pd: &Name, wrong: &mut Vec<Diagnostic>) {
        let Some(file) = &self.fallback else { return };
        if pd.fallback.as_ref() != Some(file.get_ref()) {
            let (name, file, span) = (&pd.name, file.get_ref(), file.span());
            let message = format!("no region '{name}_fallback_elf' is filled with '{file}'");
            let help = "add it to the system description, and map it in the PD's supervisor";
            wrong.push(Diagnostic::error(message, &span).help(help));
        }
    }

    fn liveness_over(&self, policy: &mut ChildPolicy, wrong: &mut Vec<Diagnostic>) {
        policy.backoff_ms = self.backoff_ms.unwrap_or(policy.backoff_ms);
        policy.has_fallback = self.fallback.is_some();
        policy.heartbeat_ms = self.heartbeat_ms.unwrap_or(policy.heartbeat_ms);
        policy.progress_timeout_ms = self
            .progress_timeout_ms
            .unwrap_or(policy.progress_timeout_ms);
        if let Some(value) = &self.heartbeat_timeout_ms {
            policy.heartbeat_timeout_ms = *value.get_ref();
            if (1..policy.heartbeat_ms).contains(value.get_ref()) {
                let message = format!("heartbeat_timeout_ms is {}", value.get_ref());
                let help = format!(
                    "the PD is asked every {} ms; give it longer, or 0 for ever",
                    policy.heartbeat_ms
                );
                wrong.push(Diagnostic::error(message, &value.span()).help(help));
            }
        }
    }
}

/// What a policy file says of PDs, and of clients of the file service.
type Compiled = (Vec<(String, ChildPolicy)>, Vec<files::Client>);

/// Turns the text of a policy file into the policies of all PDs in `names`, and of fs's `clients`.
fn compile(
    text: &str,
    names: &[Name],
    clients: &[String],
) -> std::result::Result<Compiled, Vec<Diagnostic>> {
    let file: File = toml::from_str(text).map_err(|error| {
        let span = error.span().unwrap_or(0..0);
        vec![Diagnostic::error(error.message().trim_end(), &span)]
    })?;
    let mut wrong = Vec::new();
    let defaults = file.defaults.over(ChildPolicy::DEFAULT, &mut wrong);
    for (name, entry) in &file.pd {
        match names.iter().find(|pd| pd.name == *name) {
            Some(pd) => entry.get_ref().check_fallback(pd, &mut wrong),
            None => {
                let known: Vec<_> = names.iter().map(|pd| pd.name.as_str()).collect();
                let message = format!("no PD is called '{name}'");
                let help = format!("the system description has: {}", known.join(", "));
                wrong.push(Diagnostic::error(message, &entry.span()).help(help));
            }
        }
    }
    if let Some(fallback) = &file.defaults.fallback {
        let help = "name it where the PD is: [pd.NAME]";
        let message = "fallback is not for everybody";
        wrong.push(Diagnostic::error(message, &fallback.span()).help(help));
    }
    let policies = names
        .iter()
        .map(|pd| {
            let entry = file.pd.get(&pd.name);
            let policy = entry.map_or(defaults, |entry| entry.get_ref().over(defaults, &mut wrong));
            (pd.name.clone(), policy)
        })
        .collect();
    let clients = files::compile(&file.files_defaults, &file.files, clients, &mut wrong);
    if wrong.is_empty() {
        Ok((policies, clients))
    } else {
        Err(wrong)
    }
}

/// Writes `policy.table` and `fs_clients.table` for `system` into the build folder, from the file at
/// `path` if there is one.
///
/// # Errors
///
/// When the file says something impossible, or cannot be read.
pub fn write(path: &Path, system: &System, build_dir: &Path) -> Result<()> {
    let text = match path.exists() {
        true => std::fs::read_to_string(path).context(format!("read '{}'", path.display()))?,
        false => String::new(),
    };
    let pds = system.pds.iter().map(|pd| {
        let region = system.region(&format!("{}_fallback_elf", pd.name));
        let prefill = region.and_then(|region| region.prefill.as_ref());
        Name {
            name: pd.name.clone(),
            fallback: prefill.map(|prefill| prefill.path.clone()),
        }
    });
    let names: Vec<_> = pds.collect();
    let is_client = |pd: &&crate::system::Pd| {
        system
            .region(&format!("{}_to_fs_requests", pd.name))
            .is_some()
    };
    let clients = system.pds.iter().filter(is_client);
    let clients: Vec<_> = clients.map(|pd| pd.name.clone()).collect();
    let (policies, clients) = compile(&text, &names, &clients).map_err(|wrong| {
        let source = Source {
            path: path.display().to_string(),
            text: text.clone(),
        };
        Error::rendered(render(&source, &wrong))
    })?;
    let clients = files::table(&clients);
    workspace::write(&build_dir.join("fs_clients.table"), &clients)?;
    workspace::write(&build_dir.join("policy.table"), &policy::build(&policies))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> [Name; 2] {
        let name = |name: &str, fallback: Option<&str>| Name {
            name: name.into(),
            fallback: fallback.map(str::to_owned),
        };
        [name("blk", Some("blk_safe.elf")), name("fs", None)]
    }

    fn messages(text: &str) -> String {
        let source = Source {
            path: "policy.toml".into(),
            text: text.into(),
        };
        render(&source, &compile(text, &names(), &[]).unwrap_err())
    }

    fn policy_of(text: &str, index: usize) -> ChildPolicy {
        compile(text, &names(), &[]).expect("valid").0[index].1
    }

    #[test]
    fn an_empty_file_means_the_defaults() {
        assert_eq!(policy_of("", 1), ChildPolicy::DEFAULT);
    }

    #[test]
    fn an_entry_overrides_the_defaults_of_the_file() {
        let text = "[defaults]\nrestarts_max = 5\nbeyond = \"stop\"\n[pd.blk]\nrestarts_max = 7\n";
        let blk = policy_of(text, 0);
        assert_eq!((blk.restarts_max, blk.beyond), (7, Beyond::Stop));
        assert_eq!(policy_of(text, 1).restarts_max, 5);
    }

    #[test]
    fn a_fallback_is_for_the_pd_that_has_one() {
        let text = "[defaults]\nbackoff_ms = 4\n[pd.blk]\nfallback = \"blk_safe.elf\"\n";
        assert!(policy_of(text, 0).has_fallback && !policy_of(text, 1).has_fallback);
        assert_eq!(policy_of(text, 1).backoff_ms, 4);
    }

    #[test]
    fn mistakes_are_shown_where_they_are() {
        for (text, expected) in [
            ("[pd.blk]\nrestart_max = 3\n", "unknown field `restart_max`"),
            ("[pd.block]\nrestarts_max = 3\n", "no PD is called 'block'"),
            ("[pd.blk]\nrestarts_max = 0\n", "restarts_max is 0"),
            (
                "[pd.blk]\nrestarts_max = 64\n",
                "a supervisor counts 1 to 63 restarts",
            ),
            ("[pd.blk]\nwindow_ms = 0\n", "window_ms is 0"),
            ("[pd.blk]\nbeyond = \"panic\"\n", "unknown variant `panic`"),
            ("[pd.blk]\nstrategy = 3\n", "policy.toml:2:12"),
            (
                "[pd.blk]\nheartbeat_ms = 50\nheartbeat_timeout_ms = 40\n",
                "the PD is asked every 50 ms",
            ),
            (
                "[pd.fs]\nfallback = \"fs_safe.elf\"\n",
                "no region 'fs_fallback_elf' is filled with 'fs_safe.elf'",
            ),
            (
                "[pd.blk]\nfallback = \"blk_old.elf\"\n",
                "no region 'blk_fallback_elf'",
            ),
            (
                "[defaults]\nfallback = \"blk_safe.elf\"\n",
                "fallback is not for everybody",
            ),
            ("[pd.blk\n", "policy.toml:1:"),
        ] {
            let found = messages(text);
            assert!(found.contains(expected), "{text}\n{found}");
        }
    }
}
