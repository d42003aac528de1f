// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Rules that lines of text are enough for.

use crate::tidy::Finding;

/// Longest line, in characters. rustfmt breaks at 100 but leaves strings and comments alone.
const LINE_MAX: usize = 110;
/// Most lines of a file before its tests.
const FILE_MAX: usize = 500;
/// The licence, as every file states it.
const LICENCE: &str = "SPDX-License-Identifier: BSD-2-Clause";
/// Copyright line before it.
const OWNER: &str = "The Kintsugi authors";

fn finding(line: usize, message: impl Into<String>) -> Finding {
    Finding {
        line,
        message: message.into(),
    }
}

/// Copyright and licence near the top, in whatever comments the file has.
pub fn spdx(text: &str) -> Vec<Finding> {
    let top: Vec<_> = text.lines().take(6).collect();
    let has = |what: &str| top.iter().any(|line| line.contains(what));
    if has(LICENCE) && has(OWNER) {
        return Vec::new();
    }
    vec![finding(
        1,
        format!("needs 'Copyright YEAR, {OWNER}' and '{LICENCE}' at the top"),
    )]
}

/// Copyright and licence in the first two lines, then a header that says what the file decides.
pub fn rust_header(text: &str) -> Vec<Finding> {
    let mut lines = text.lines();
    let mut found = Vec::new();
    let copyright = lines.next().unwrap_or_default();
    if !(copyright.starts_with("// Copyright ") && copyright.ends_with(OWNER)) {
        found.push(finding(1, format!("must be '// Copyright YEAR, {OWNER}'")));
    }
    if lines.next() != Some(&format!("// {LICENCE}")) {
        found.push(finding(2, format!("must be '// {LICENCE}'")));
    }
    if !lines.take(4).any(|line| line.starts_with("//! ")) {
        found.push(finding(
            4,
            "needs a '//!' header: what the file decides, and what not",
        ));
    }
    found
}

/// Lines that are too long.
pub fn long_lines(text: &str) -> Vec<Finding> {
    let long = |(index, line): (usize, &str)| {
        let length = line.chars().count();
        let message = format!("line has {length} characters, at most {LINE_MAX}");
        (length > LINE_MAX).then(|| finding(index + 1, message))
    };
    text.lines().enumerate().filter_map(long).collect()
}

/// A file that should be two. Tests may make it longer.
pub fn long_file(text: &str) -> Vec<Finding> {
    let length = text
        .lines()
        .take_while(|line| *line != "#[cfg(test)]")
        .count();
    if length <= FILE_MAX {
        return Vec::new();
    }
    vec![finding(
        FILE_MAX + 1,
        format!("file has {length} lines, at most {FILE_MAX}: split it"),
    )]
}

/// Work that somebody meant to finish.
pub fn unfinished(text: &str) -> Vec<Finding> {
    // Put together so that this file does not find itself.
    let marks = [
        "TO".to_owned() + "DO",
        "FIX".to_owned() + "ME",
        "XX".to_owned() + "X",
    ];
    let calls = ["todo".to_owned() + "!(", "unimplemented".to_owned() + "!("];
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let marked = marks.iter().any(|mark| has_word(line, mark));
        if marked || calls.iter().any(|call| line.contains(call.as_str())) {
            found.push(finding(
                index + 1,
                "unfinished: finish it, or state it as a limit",
            ));
        }
    }
    found
}

fn has_word(line: &str, word: &str) -> bool {
    line.split(|c: char| !c.is_alphanumeric())
        .any(|part| part == word)
}

/// Absolute paths that exist on one machine only.
pub fn machine_paths(text: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for folder in ["work", "farm", "root", "home"] {
            let path = format!("/{folder}/");
            let outside = |(start, _): (usize, &str)| {
                let before = line[..start].chars().next_back();
                before.is_none_or(|c| !c.is_alphanumeric() && !"_./}-".contains(c))
            };
            if line.match_indices(&path).any(outside) {
                found.push(finding(
                    index + 1,
                    format!("'{path}' is a path of one machine"),
                ));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{long_lines, machine_paths, rust_header, spdx, unfinished};

    const GOOD: &str = "// Copyright 2026, The Kintsugi authors\n\
                        // SPDX-License-Identifier: BSD-2-Clause\n\n//! Decides.\n";

    #[test]
    fn header() {
        assert!(rust_header(GOOD).is_empty());
        assert!(spdx(GOOD).is_empty());
        assert_eq!(rust_header("fn main() {}\n").len(), 3);
        assert_eq!(spdx("[package]\n").len(), 1);
        let bare = GOOD.replace("//! Decides.", "");
        assert_eq!(rust_header(&bare)[0].line, 4);
    }

    #[test]
    fn lines() {
        assert!(long_lines(&"x".repeat(110)).is_empty());
        assert_eq!(long_lines(&format!("\n{}", "x".repeat(111)))[0].line, 2);
    }

    #[test]
    fn unfinished_work() {
        let word = "TO".to_owned() + "DO";
        assert_eq!(unfinished(&format!("// {word}: later")).len(), 1);
        assert!(unfinished("let todos = 1; // TODOS").is_empty());
    }

    #[test]
    fn paths_of_one_machine() {
        let path = "/ho".to_owned() + "me/x";
        assert_eq!(machine_paths(&format!("see \"{path}\"")).len(), 1);
        assert!(machine_paths(&format!("https://example.org{path} and ..{path}")).is_empty());
    }
}
