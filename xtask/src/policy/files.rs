// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Compiles what `policy.toml` says of the file service's clients into the table that it maps (`fs_clients`).
//!
//! ```toml
//! [files_defaults]           # for every client; each key may be left out
//! root = "/"                 # the folder that it takes for the root; "{name}" is its name
//! bytes_max = 0              # that its folder may take on the disk, in whole blocks; 0: no limit
//! files_max = 0              # files and folders in it; 0: no limit
//! open_max = 0               # files that it may have open; 0: as many as there can be
//! requests_max = 0           # of it in one go, before others have their turn; 0: no limit
//!
//! [files.app_demo]           # overrides for one client
//! bytes_max = 1_000_000
//! ```

use std::collections::BTreeMap;

use policy::files::{FilesPolicy, ROOT_BYTES};
use proto::fs::open_files::ENTRIES;
use serde::Deserialize;
use toml::Spanned;

use crate::diagnostics::Diagnostic;

/// What a client without an entry, in a file without defaults, has for a root.
const ROOT_DEFAULT: &str = "/";

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilesEntry {
    root: Option<String>,
    bytes_max: Option<u64>,
    files_max: Option<u64>,
    open_max: Option<u32>,
    requests_max: Option<u32>,
}

/// The client's name and what it may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    name: String,
    root: String,
    numbers: (u64, u64, u32, u32),
}

impl Client {
    fn policy(&self) -> FilesPolicy<'_> {
        let (bytes_max, files_max, open_max, requests_max) = self.numbers;
        FilesPolicy {
            root: &self.root,
            bytes_max,
            files_max,
            open_max,
            requests_max,
        }
    }

    fn has_share(&self) -> bool {
        self.numbers.0 != 0 || self.numbers.1 != 0
    }
}

impl FilesEntry {
    fn client(&self, name: &str, defaults: &Self) -> Client {
        let root = self.root.as_ref().or(defaults.root.as_ref());
        let root = root.map_or(ROOT_DEFAULT, String::as_str);
        Client {
            name: name.to_owned(),
            root: root.replace("{name}", name),
            numbers: (
                self.bytes_max.or(defaults.bytes_max).unwrap_or(0),
                self.files_max.or(defaults.files_max).unwrap_or(0),
                self.open_max.or(defaults.open_max).unwrap_or(0),
                self.requests_max.or(defaults.requests_max).unwrap_or(0),
            ),
        }
    }
}

/// Whether one folder is, or lies in, the other.
fn overlap(left: &str, right: &str) -> bool {
    let names = |path: &str| -> Vec<String> {
        let names = path.split('/').filter(|name| !name.is_empty());
        names.map(str::to_owned).collect()
    };
    let (left, right) = (names(left), names(right));
    let shared = left.len().min(right.len());
    left[..shared] == right[..shared]
}

/// What every one of `clients` may do.
pub fn compile(
    defaults: &FilesEntry,
    entries: &BTreeMap<String, Spanned<FilesEntry>>,
    clients: &[String],
    wrong: &mut Vec<Diagnostic>,
) -> Vec<Client> {
    for (name, entry) in entries {
        if !clients.contains(name) {
            let message = format!("no client of fs is called '{name}'");
            let help = format!("the system description has: {}", clients.join(", "));
            wrong.push(Diagnostic::error(message, &entry.span()).help(help));
        }
    }
    let none = FilesEntry::default();
    let found: Vec<_> = clients
        .iter()
        .map(|name| {
            let entry = entries.get(name).map_or(&none, Spanned::get_ref);
            entry.client(name, defaults)
        })
        .collect();
    for (index, client) in found.iter().enumerate() {
        let span = entries.get(&client.name).map_or(0..0, Spanned::span);
        let mut refuse = |message: String, help: &str| {
            wrong.push(Diagnostic::error(message, &span).help(help));
        };
        let root = &client.root;
        if !root.starts_with('/') || root.contains("..") || root.len() >= ROOT_BYTES {
            let message = format!("'{root}' cannot be the root of {}", client.name);
            refuse(message, "give a short path that begins with a slash");
        }
        if client.numbers.2 as usize > ENTRIES {
            let message = format!("open_max is {}", client.numbers.2);
            refuse(message, &format!("a client can have {ENTRIES} files open"));
        }
        for other in &found[..index] {
            let counted = client.has_share() || other.has_share();
            if counted && overlap(root, &other.root) {
                let message = format!("the folders of {} and {} overlap", other.name, client.name);
                let help = "a client with bytes_max or files_max needs a folder to itself";
                refuse(message, help);
            }
        }
    }
    found
}

/// The bytes of the table.
pub fn table(clients: &[Client]) -> Vec<u8> {
    let entry = |client| -> (&str, FilesPolicy<'_>) {
        let client: &Client = client;
        (&client.name, client.policy())
    };
    policy::files::build(clients.iter().map(entry))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct File {
        #[serde(default)]
        files_defaults: FilesEntry,
        #[serde(default)]
        files: BTreeMap<String, Spanned<FilesEntry>>,
    }

    fn compiled(text: &str) -> (Vec<Client>, Vec<Diagnostic>) {
        let file: File = toml::from_str(text).unwrap();
        let clients = ["a".to_owned(), "b".to_owned()];
        let mut wrong = Vec::new();
        let found = compile(&file.files_defaults, &file.files, &clients, &mut wrong);
        (found, wrong)
    }

    #[test]
    fn defaults_are_for_everybody_and_entries_for_one() {
        let (found, wrong) = compiled("");
        assert!(wrong.is_empty());
        assert_eq!((&*found[0].root, &*found[1].root), ("/", "/"));
        let text = "[files_defaults]\nroot = \"/{name}\"\n";
        assert_eq!(compiled(text).0[1].root, "/b");
        let text =
            "[files_defaults]\nroot = \"/\"\nopen_max = 9\n[files.b]\nroot = \"/x/{name}\"\n";
        let (found, wrong) = compiled(text);
        assert!(wrong.is_empty());
        assert_eq!((&*found[0].root, &*found[1].root), ("/", "/x/b"));
        assert_eq!(found[1].numbers, (0, 0, 9, 0));
        assert!(policy::files::FilesTable::parse(&table(&found)).is_ok());
    }

    #[test]
    fn mistakes_are_found() {
        for (text, count) in [
            ("[files.c]\n", 1),
            ("[files.a]\nroot = \"x\"\n", 1),
            ("[files.a]\nroot = \"/x/../y\"\n", 1),
            ("[files.a]\nopen_max = 513\n", 1),
            (
                "[files.a]\nbytes_max = 5\nroot = \"/a\"\n[files.b]\nroot = \"/b\"\n",
                0,
            ),
            ("[files.a]\nbytes_max = 5\n", 1),
            (
                "[files_defaults]\nroot = \"/\"\n[files.b]\nfiles_max = 5\n",
                1,
            ),
            (
                "[files.a]\nroot = \"/bb\"\nbytes_max = 5\n[files.b]\nroot = \"/b\"\n",
                0,
            ),
        ] {
            assert_eq!(compiled(text).1.len(), count, "{text}");
        }
    }
}
