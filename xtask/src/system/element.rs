// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! XML elements and attributes with their places, read as the Microkit tool reads them.

use roxmltree::Node;

use crate::diagnostics::{Diagnostic, Span};

/// Parsing stops at the first thing that is wrong.
pub type Parsed<T> = Result<T, Box<Diagnostic>>;

/// An element.
#[derive(Clone, Copy)]
pub struct Element<'a, 'input> {
    node: Node<'a, 'input>,
}

/// An attribute that was there.
pub struct Attribute<'a> {
    name: &'a str,
    /// Its value.
    pub value: &'a str,
    /// Bytes of the value.
    pub at: Span,
}

impl<'a, 'input> Element<'a, 'input> {
    /// Wraps an element node.
    pub fn new(node: Node<'a, 'input>) -> Self {
        Self { node }
    }

    /// Its local name; prefixes are ignored, as in the real tool.
    pub fn name(&self) -> &'a str {
        self.node.tag_name().name()
    }

    /// Bytes of its start tag, up to the last attribute.
    pub fn at(&self) -> Span {
        let start = self.node.range().start;
        let name_end = start + 1 + self.name().len();
        let end = self
            .node
            .attributes()
            .map(|attribute| attribute.range().end)
            .max();
        start..end.unwrap_or(name_end)
    }

    /// Child elements.
    pub fn children(&self) -> impl Iterator<Item = Element<'a, 'input>> + use<'a, 'input> {
        self.node
            .children()
            .filter(Node::is_element)
            .map(Element::new)
    }

    /// Text directly inside, with its place, when it is more than white space.
    pub fn text(&self) -> Option<Span> {
        self.node
            .children()
            .find(|child| child.is_text() && !child.text().unwrap_or("").trim().is_empty())
            .map(|child| child.range())
    }

    /// Refuses attributes that are not in `allowed`.
    pub fn check_attributes(&self, allowed: &[&str]) -> Parsed<()> {
        match self
            .node
            .attributes()
            .find(|attribute| !allowed.contains(&attribute.name()))
        {
            None => Ok(()),
            Some(attribute) => {
                let message = format!(
                    "unknown attribute '{}' on '{}'",
                    attribute.name(),
                    self.name()
                );
                let help = match allowed {
                    [] => format!("'{}' takes no attributes", self.name()),
                    _ => format!("'{}' takes: {}", self.name(), allowed.join(", ")),
                };
                Err(Box::new(
                    Diagnostic::error(message, &attribute.range()).help(help),
                ))
            }
        }
    }

    /// The attribute called `name`, if it is there.
    pub fn optional(&self, name: &str) -> Option<Attribute<'a>> {
        let found = self
            .node
            .attributes()
            .find(|attribute| attribute.name() == name)?;
        Some(Attribute {
            name: found.name(),
            value: found.value(),
            at: found.range_value(),
        })
    }

    /// The value of the attribute called `name`, if it is there.
    pub fn value(&self, name: &str) -> Option<String> {
        Some(self.optional(name)?.value.to_owned())
    }

    /// The attribute called `name`, which has to be there.
    pub fn required(&self, name: &str) -> Parsed<Attribute<'a>> {
        self.optional(name).ok_or_else(|| {
            let message = format!("'{}' needs the attribute '{name}'", self.name());
            Box::new(Diagnostic::error(message, &self.at()).label(format!("no '{name}' here")))
        })
    }

    /// A number, or `default`.
    pub fn number_or(&self, name: &str, default: u64) -> Parsed<u64> {
        self.optional(name)
            .map_or(Ok(default), |attribute| attribute.number())
    }

    /// A truth value, or `default`.
    pub fn boolean_or(&self, name: &str, default: bool) -> Parsed<bool> {
        self.optional(name)
            .map_or(Ok(default), |attribute| attribute.boolean())
    }

    /// The place of the attribute's value, or else of the element.
    pub fn at_attribute(&self, name: &str) -> Span {
        self.optional(name)
            .map_or_else(|| self.at(), |attribute| attribute.at)
    }

    /// An error for an element that may not stand here.
    pub fn unexpected(&self, parent: &str, allowed: &str) -> Box<Diagnostic> {
        let message = format!("unknown element '{}' in '{parent}'", self.name());
        Box::new(
            Diagnostic::error(message, &self.at()).help(format!("'{parent}' takes: {allowed}")),
        )
    }
}

impl Attribute<'_> {
    /// An error about this attribute's value.
    pub fn wrong(&self, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(message, &self.at)
    }

    /// A number as most attributes take it: decimal or `0x`, `_` anywhere.
    pub fn number(&self) -> Parsed<u64> {
        let digits: String = self.value.chars().filter(|c| *c != '_').collect();
        let parsed = match digits.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16),
            None => digits.parse(),
        };
        parsed.map_err(|_| {
            let message = format!("'{}' is not a number: '{}'", self.name, self.value);
            let help = "decimal or 0x with lower-case x, below 2^64, '_' between digits";
            Box::new(self.wrong(message).help(help))
        })
    }

    /// A number as `irq` and channel ids take it: the real tool panics on any other form.
    pub fn decimal(&self) -> Parsed<u64> {
        self.value.parse().map_err(|_| {
            let message = format!("'{}' is not a decimal number: '{}'", self.name, self.value);
            let help = "only decimal digits are understood here, no 0x and no '_'";
            Box::new(self.wrong(message).help(help))
        })
    }

    /// A channel id: decimal, 0..=61.
    pub fn channel_id(&self) -> Parsed<u8> {
        let id = self.decimal()?;
        match u8::try_from(id) {
            Ok(id) if id <= super::rules::ID_MAX => Ok(id),
            _ => {
                let message = format!("channel id {id} is out of range");
                let help = "ids are bits of the notification word, two of which are taken: 0 to 61";
                Err(Box::new(self.wrong(message).help(help)))
            }
        }
    }

    /// `true` or `false`.
    pub fn boolean(&self) -> Parsed<bool> {
        match self.value {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => {
                let message = format!(
                    "'{}' must be 'true' or 'false', not '{}'",
                    self.name, self.value
                );
                Err(Box::new(self.wrong(message)))
            }
        }
    }
}
