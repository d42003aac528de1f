// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Adds an XML fragment to a system description, so that a test brings only what it needs.
//!
//! The root's children go before `</system>`; children of `<extend pd="NAME">` go to the end of that
//! PD. Text is moved as it stands, so the result keeps its comments and reads like a hand-written one.

use roxmltree::{Document, Node};

use crate::error::{Context, Error, Result};

/// Returns `system` with `fragment` added.
///
/// # Errors
///
/// When one of them is not well-formed, or a PD to extend does not exist.
pub fn apply(system: &str, fragment: &str) -> Result<String> {
    let base = Document::parse(system).context("read the system description")?;
    let extra = Document::parse(fragment).context("read the overlay")?;
    let mut insertions = Vec::new();
    let mut rest = String::new();
    for node in extra.root_element().children() {
        if node.is_element() && node.tag_name().name() == "extend" {
            insertions.push(extension(&base, node, system, fragment)?);
        } else {
            rest.push_str(&fragment[node.range()]);
        }
    }
    insertions.push((end_of(base.root_element(), system)?, rest));
    // From the back, so that earlier places stay where they are.
    insertions.sort_by_key(|(place, _)| std::cmp::Reverse(*place));
    let mut result = system.to_owned();
    for (place, text) in insertions {
        result.insert_str(place, &text);
    }
    Ok(result)
}

fn extension(
    base: &Document<'_>,
    node: Node<'_, '_>,
    system: &str,
    fragment: &str,
) -> Result<(usize, String)> {
    let name = node.attribute("pd").ok_or_else(|| {
        Error::new("an 'extend' of the overlay has no attribute 'pd'")
            .help("write <extend pd=\"NAME\">")
    })?;
    let is_wanted = |node: &Node<'_, '_>| {
        node.tag_name().name() == "protection_domain" && node.attribute("name") == Some(name)
    };
    let pd = base.descendants().find(is_wanted).ok_or_else(|| {
        Error::new(format!(
            "the overlay extends PD '{name}', which does not exist"
        ))
    })?;
    let text = node
        .children()
        .map(|child| &fragment[child.range()])
        .collect();
    Ok((end_of(pd, system)?, text))
}

/// Place of the end tag.
fn end_of(node: Node<'_, '_>, text: &str) -> Result<usize> {
    let range = node.range();
    match text[range.clone()].rfind("</") {
        Some(offset) => Ok(range.start + offset),
        None => Err(Error::new("an element to be extended has no end tag")),
    }
}

#[cfg(test)]
mod tests {
    use super::apply;

    #[test]
    fn adds_to_system_and_to_a_nested_pd() {
        let system = "<system><protection_domain name=\"a\"><x/>\
                      <protection_domain name=\"b\"><y/></protection_domain>\
                      </protection_domain></system>";
        let fragment = "<overlay><memory_region name=\"m\"/>\
                        <extend pd=\"b\"><map mr=\"m\"/></extend>\
                        <extend pd=\"a\"><irq/></extend></overlay>";
        let expected = "<system><protection_domain name=\"a\"><x/>\
                        <protection_domain name=\"b\"><y/><map mr=\"m\"/></protection_domain>\
                        <irq/></protection_domain><memory_region name=\"m\"/></system>";
        assert_eq!(apply(system, fragment).unwrap(), expected);
    }

    #[test]
    fn names_the_pd_that_is_missing() {
        let error = apply("<system></system>", "<o><extend pd=\"z\"/></o>").unwrap_err();
        assert_eq!(
            error.to_string(),
            "error: the overlay extends PD 'z', which does not exist"
        );
    }
}
