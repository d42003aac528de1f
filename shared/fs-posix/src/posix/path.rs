// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Paths: relative ones are made absolute here, everything else about them is the service's business.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::{Errno, PATH_MAX};

/// The path that the service is asked for.
pub fn absolute(working_directory: &str, path: &str) -> Result<String, Errno> {
    let path = match path {
        "" => return Err(Errno::ENOENT),
        _ if path.starts_with('/') => String::from(path),
        _ => format!("{}/{path}", working_directory.trim_end_matches('/')),
    };
    match path.len() < PATH_MAX {
        true => Ok(path),
        false => Err(Errno::ENAMETOOLONG),
    }
}

/// The same folder without `.` and `..`: by name, as a shell does it.
pub fn normal(path: &str) -> String {
    let mut names = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => {
                names.pop();
            }
            _ => names.push(name),
        }
    }
    format!("/{}", names.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_paths_begin_at_the_working_directory() {
        assert_eq!(absolute("/", "a/b").as_deref(), Ok("/a/b"));
        assert_eq!(absolute("/x", "../a").as_deref(), Ok("/x/../a"));
        assert_eq!(absolute("/x", "/a/").as_deref(), Ok("/a/"));
        assert_eq!(absolute("/x", ""), Err(Errno::ENOENT));
        assert_eq!(absolute("/x", &"a".repeat(4094)), Err(Errno::ENAMETOOLONG));
    }

    #[test]
    fn normal_paths_have_no_dots() {
        assert_eq!(normal("/a/./b//../c/"), "/a/c");
        assert_eq!(normal("/../.."), "/");
    }
}
