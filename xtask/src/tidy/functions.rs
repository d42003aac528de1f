// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Rules that need to know the syntax: how long functions are, and where `unsafe` is.

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use crate::tidy::Finding;

/// Most lines of a function, from its `fn` to its closing brace.
const FUNCTION_MAX: usize = 70;
/// A SAFETY comment may be so many lines above its block, when a long statement begins between them.
const COMMENT_DISTANCE: usize = 8;

/// Looks through one Rust file. `fenced` says that its crate may contain `unsafe`.
pub fn check(text: &str, fenced: bool) -> Vec<Finding> {
    let file = match syn::parse_file(text) {
        Ok(file) => file,
        Err(error) => {
            let line = error.span().start().line;
            return vec![Finding {
                line,
                message: format!("cannot be parsed: {error}"),
            }];
        }
    };
    let lines: Vec<&str> = text.lines().collect();
    let mut visitor = Visitor {
        lines: &lines,
        fenced,
        found: Vec::new(),
    };
    visitor.visit_file(&file);
    visitor.found
}

struct Visitor<'a> {
    lines: &'a [&'a str],
    fenced: bool,
    found: Vec<Finding>,
}

impl Visitor<'_> {
    fn find(&mut self, line: usize, message: impl Into<String>) {
        self.found.push(Finding {
            line,
            message: message.into(),
        });
    }

    fn function(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let first = signature.fn_token.span().start().line;
        let length = block.span().end().line - first + 1;
        if length > FUNCTION_MAX {
            let name = &signature.ident;
            let message = format!("function '{name}' has {length} lines, at most {FUNCTION_MAX}");
            self.find(first, message);
        }
    }

    fn unsafe_at(&mut self, line: usize, what: &str) {
        if !self.fenced {
            let message = format!("unsafe {what} outside the crates that may: see FENCED in tidy");
            self.find(line, message);
        }
        let start = line.saturating_sub(1 + COMMENT_DISTANCE);
        let above = &self.lines[start..line.min(self.lines.len())];
        if !above
            .iter()
            .any(|line| line.contains("SAFETY:") || line.contains("# Safety"))
        {
            self.find(
                line,
                format!("unsafe {what} without a SAFETY comment: who promised what?"),
            );
        }
    }
}

impl<'ast> Visit<'ast> for Visitor<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.function(&item.sig, block);
        }
        visit::visit_trait_item_fn(self, item);
    }

    fn visit_expr_unsafe(&mut self, block: &'ast syn::ExprUnsafe) {
        self.unsafe_at(block.unsafe_token.span.start().line, "block");
        visit::visit_expr_unsafe(self, block);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        if let Some(token) = &item.unsafety {
            self.unsafe_at(token.span.start().line, "impl");
        }
        visit::visit_item_impl(self, item);
    }
}

#[cfg(test)]
mod tests {
    use super::{FUNCTION_MAX, check};

    #[test]
    fn function_length() {
        let body = "    let _ = 0;\n".repeat(FUNCTION_MAX - 2);
        assert!(check(&format!("fn f() {{\n{body}}}\n"), false).is_empty());
        let found = check(&format!("\nfn f() {{\n{body}\n}}\n"), false);
        assert_eq!(found[0].line, 2);
    }

    #[test]
    fn fence_and_comment() {
        let bare = "fn f() {\n    unsafe { g() }\n}\n";
        assert_eq!(check(bare, false).len(), 2);
        assert_eq!(check(bare, true).len(), 1);
        let said = "fn f() {\n    // SAFETY: our caller promised it.\n    unsafe { g() }\n}\n";
        assert!(check(said, true).is_empty());
        assert_eq!(check(said, false).len(), 1);
    }
}
