// Copyright 2026, The Kintsugi authors
// SPDX-License-Identifier: BSD-2-Clause

//! Shows what is wrong with a system description: file, line, caret, and what to do.

use std::io::IsTerminal;
use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

/// Bytes of the XML file.
pub type Span = Range<usize>;

/// The file that a diagnostic points into.
#[derive(Clone, Debug)]
pub struct Source {
    /// Path as the user gave it.
    pub path: String,
    /// The whole file.
    pub text: String,
}

/// Whether the system is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The system cannot be built, or would not boot.
    Error,
    /// Probably a mistake, but the Microkit tool takes it.
    Warning,
}

/// One thing that is wrong.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    severity: Severity,
    message: String,
    primary: (Span, String),
    context: Option<(Span, String)>,
    help: Option<String>,
}

impl Diagnostic {
    /// An error at `span`.
    pub fn error(message: impl Into<String>, span: &Span) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            primary: (span.clone(), String::new()),
            context: None,
            help: None,
        }
    }

    /// A warning at `span`.
    pub fn warning(message: impl Into<String>, span: &Span) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(message, span)
        }
    }

    /// Says something beside the caret.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.primary.1 = label.into();
        self
    }

    /// Points at a second place.
    pub fn also(mut self, span: &Span, label: impl Into<String>) -> Self {
        self.context = Some((span.clone(), label.into()));
        self
    }

    /// Says what to do.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Whether the system is refused for it.
    pub fn severity(&self) -> Severity {
        self.severity
    }
}

/// Renders `diagnostics` for a terminal or, without colours, for a file.
pub fn render(source: &Source, diagnostics: &[Diagnostic]) -> String {
    let renderer = match std::io::stderr().is_terminal() {
        true => Renderer::styled(),
        false => Renderer::plain(),
    };
    let renderer = renderer.decor_style(DecorStyle::Ascii);
    let mut text = String::new();
    for diagnostic in diagnostics {
        text.push_str(&render_one(&renderer, source, diagnostic));
        text.push('\n');
    }
    text
}

fn render_one(renderer: &Renderer, source: &Source, diagnostic: &Diagnostic) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let (span, label) = &diagnostic.primary;
    let mut primary = AnnotationKind::Primary.span(span.clone());
    if !label.is_empty() {
        primary = primary.label(label.as_str());
    }
    let mut snippet = Snippet::source(source.text.as_str())
        .path(source.path.as_str())
        .annotation(primary);
    if let Some((span, label)) = &diagnostic.context {
        snippet = snippet.annotation(
            AnnotationKind::Context
                .span(span.clone())
                .label(label.as_str()),
        );
    }
    let mut group = level
        .primary_title(diagnostic.message.as_str())
        .element(snippet);
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    renderer.render(&[group])
}
