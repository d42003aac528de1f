// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Path names in log lines: printable ASCII as it is, every other byte and `\` as `\xNN`.
//!
//! So a name can hold anything without ending a line, and the host gets back the very bytes.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

/// Makes a name printable.
pub fn escape(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    for &byte in path {
        match byte {
            b'\\' | 0..=0x1f | 0x7f..=0xff => {
                // Writing to a `String` does not fail.
                let _ = write!(text, "\\x{byte:02x}");
            }
            _ => text.push(char::from(byte)),
        }
    }
    text
}

/// Gives the name back; `None` for text that [`escape`] does not make.
pub fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut path = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            path.push(byte);
            continue;
        }
        let digits = after.strip_prefix(b"x")?.get(..2)?;
        path.push(u8::from_str_radix(core::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = &after[3..];
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_comes_back() {
        let all: Vec<u8> = (0..=255).collect();
        let text = escape(&all);
        assert!(text.bytes().all(|byte| (0x20..0x7f).contains(&byte)));
        assert_eq!(unescape(&text).unwrap(), all);
        assert_eq!(escape(b"/a b/\\"), "/a b/\\x5c");
    }

    #[test]
    fn a_cut_text_is_refused() {
        for text in ["\\", "\\x", "\\x1", "\\y12", "\\xzz"] {
            assert_eq!(unescape(text), None, "{text}");
        }
    }
}
