//! Compile errors for people: where, what, and what to write instead.
//!
//! In: the compiler's diagnostics with byte spans, or Ropeway's own. Out: [`Diagnostic`]s with line,
//! column and remedy, in one line for a status condition and in full, with the source and a caret, for
//! a terminal.

use std::fmt;

use serde::{Deserialize, Serialize};
use vrl::diagnostic::{Diagnostic as EngineDiagnostic, DiagnosticList, Formatter, Label, Span};

use crate::diagnostic::remedy::remedy;
use crate::syntax;

mod remedy;

const UNDEFINED_VARIABLE: &str = "E701";

/// The source is not an acceptable expression for its purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub struct CompileError {
    /// At least one, in the order of the source.
    pub diagnostics: Vec<Diagnostic>,
}

/// One fault in the source of an expression.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// Line of the fault, from 1.
    pub line: usize,
    /// Column of the fault in characters, from 1.
    pub column: usize,
    /// A stable code: `E1xx` to `E7xx` are VRL's (errors.vrl.dev), `E10xx` are Ropeway's.
    pub code: String,
    /// What is wrong, in one line.
    pub message: String,
    /// What to write instead.
    pub remedy: Option<String>,
    /// Several lines: the source with a caret under the fault, and the explanation.
    pub rendered: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, message, remedy, .. } = self;
        write!(f, "line {line}, column {column}: {message}")?;
        match remedy {
            Some(remedy) => write!(f, "; fix: {remedy}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.diagnostics.as_slice() {
            [] => write!(f, "the expression does not compile"),
            [only] => only.fmt(f),
            [first, rest @ ..] => write!(f, "{first} (and {} more)", rest.len()),
        }
    }
}

impl CompileError {
    /// Every diagnostic in full, with source and caret, for a terminal.
    #[must_use]
    pub fn rendered(&self) -> String {
        let rendered: Vec<&str> = self.diagnostics.iter().map(|diagnostic| diagnostic.rendered.as_str()).collect();
        rendered.join("\n\n")
    }

    pub(crate) fn from_engine(source: &str, list: DiagnosticList) -> Self {
        let mut diagnostics: Vec<(usize, Diagnostic)> = list
            .into_iter()
            .filter(EngineDiagnostic::is_problem)
            .map(|mut diagnostic| {
                without_number_marks(&mut diagnostic);
                let fix = remedy(source, &diagnostic);
                (start(&diagnostic), describe(source, diagnostic, fix))
            })
            .collect();
        // Variables whose assignment is at fault are unknown further on; that is not a fault of its own.
        let follow_up = |d: &Diagnostic| d.code == UNDEFINED_VARIABLE;
        if !diagnostics.iter().all(|(_, d)| follow_up(d)) {
            diagnostics.retain(|(_, d)| !follow_up(d));
        }
        diagnostics.sort_by_key(|(start, _)| *start);
        diagnostics.dedup();
        Self { diagnostics: diagnostics.into_iter().map(|(_, d)| d).collect() }
    }

    pub(crate) fn from_fault(source: &str, fault: Fault) -> Self {
        let Fault { code, span, message, label, remedy } = fault;
        let engine = EngineDiagnostic::error(code, message).with_label(Label::primary(label, span));
        Self { diagnostics: vec![describe(source, engine, Some(remedy))] }
    }
}

/// A fault that Ropeway finds itself.
#[derive(Debug)]
pub(crate) struct Fault {
    /// From 1001 on; the compiler's own codes end at 900.
    pub(crate) code: usize,
    pub(crate) span: Span,
    pub(crate) message: String,
    /// What stands at the caret.
    pub(crate) label: String,
    pub(crate) remedy: String,
}

/// Line and column, from 1, of a byte offset. Beyond the end counts as the end.
pub(crate) fn position(source: &str, offset: usize) -> (usize, usize) {
    let mut offset = offset.min(source.len());
    while !source.is_char_boundary(offset) {
        offset -= 1;
    }
    let before = &source[..offset];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.matches('\n').count() + 1;
    (line, before[line_start..].chars().count() + 1)
}

/// The compiler shows expressions as it sees them, with what the syntax check added.
fn without_number_marks(diagnostic: &mut EngineDiagnostic) {
    for label in &mut diagnostic.labels {
        label.message = label.message.replace(syntax::NUMBER_MARK, "");
    }
}

fn is_syntax(code: usize) -> bool {
    (200..300).contains(&code)
}

fn start(diagnostic: &EngineDiagnostic) -> usize {
    span(diagnostic).map_or(0, Span::start)
}

/// Where the fault is: the first primary label.
fn span(diagnostic: &EngineDiagnostic) -> Option<Span> {
    let labels = diagnostic.labels();
    let primary = labels.iter().find(|label| label.primary);
    primary.or(labels.first()).map(|label| label.span)
}

fn describe(source: &str, engine: EngineDiagnostic, remedy: Option<String>) -> Diagnostic {
    let (line, column) = position(source, start(&engine));
    let code = format!("E{:03}", engine.code);
    let mut message = one_line(&engine.message);
    if let Some(inner) = message.strip_prefix("function compilation error: error[") {
        // The function's own words, without the number in front of them.
        message = inner.split_once("] ").map_or(inner, |(_, text)| text).to_owned();
    }
    if is_syntax(engine.code)
        && let Some(label) = engine.labels().iter().find(|label| label.primary)
    {
        message = format!("{message}: {}", one_line(&label.message));
    }
    let mut rendered = render(source, engine);
    if let Some(remedy) = &remedy {
        rendered.push_str("\n  = fix: ");
        rendered.push_str(remedy);
    }
    Diagnostic { line, column, code, message, remedy, rendered }
}

fn render(source: &str, engine: EngineDiagnostic) -> String {
    let text = Formatter::new(source, engine).to_string();
    // The compiler ends every report with the same advertisements.
    let lines = text
        .lines()
        .filter(|line| !(line.contains("see language documentation at") || line.contains("try your code in")));
    let lines: Vec<&str> = lines.collect();
    lines.join("\n").trim_matches('\n').to_owned()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
