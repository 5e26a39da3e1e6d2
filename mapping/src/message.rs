//! Texts of run errors: bounded, positioned, and as free of payload as they can be.
//!
//! In: what the engine reports. Out: one line of at most 256 characters that may go into a status,
//! a log or a header.

use vrl::diagnostic::Span;

use crate::diagnostic::position;
use crate::functions::GROWTH;

/// Longest text of a run error, in characters.
pub(crate) const MAX_CHARACTERS: usize = 256;

/// Engine messages that name types and syntax only. All others may quote the value they failed on.
const SAFE_BEGINNINGS: [&str; 8] = [
    "expected ",
    "unable to parse json",
    "could not parse integer",
    "can't ",
    "unable to coerce",
    "`*` and `-` need",
    GROWTH,
    "assertion failed",
];

/// An `abort`, with the message that the author of the expression gave it.
pub(crate) fn aborted(source: &str, span: Span, message: Option<&str>) -> String {
    let (line, column) = position(source, span.start());
    match message {
        Some(message) => bounded(&format!("line {line}, column {column}: aborted: {message}")),
        None => format!("line {line}, column {column}: aborted"),
    }
}

/// Any other error. `engine` looks like
/// `function call error for "to_int" at (2:12): could not parse …`, several times nested.
pub(crate) fn failed(source: &str, engine: &str) -> String {
    let (mut place, mut rest) = (None, engine);
    while let Some(call) = FunctionCall::parse(rest) {
        (place, rest) = (Some((call.name, call.start)), call.message);
    }
    if rest.starts_with("can't subtract") {
        // `*` is checked by a subtraction, which the user did not write.
        rest = "`*` and `-` need numbers on both sides";
    }
    let Some((name, start)) = place else {
        return bounded(&harmless(rest).unwrap_or_else(|| "the expression failed".to_owned()));
    };
    let (line, column) = position(source, start);
    let place = format!("line {line}, column {column}: `{name}` failed");
    // The author of the expression wrote the message of an `assert`.
    let detail = if name == "assert" { Some(rest.to_owned()) } else { harmless(rest) };
    match detail {
        Some(detail) => bounded(&format!("{place}: {detail}")),
        None => place,
    }
}

struct FunctionCall<'a> {
    name: &'a str,
    start: usize,
    message: &'a str,
}

impl<'a> FunctionCall<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let rest = text.strip_prefix("function call error for \"")?;
        let (name, rest) = rest.split_once("\" at (")?;
        let (span, message) = rest.split_once("): ")?;
        let start = span.split_once(':')?.0.parse().ok()?;
        Some(Self { name, start, message })
    }
}

fn harmless(message: &str) -> Option<String> {
    SAFE_BEGINNINGS.iter().any(|safe| message.starts_with(safe)).then(|| without_quotations(message))
}

/// Empties whatever stands between quotation marks.
fn without_quotations(message: &str) -> String {
    let mut out = String::with_capacity(message.len());
    let mut quoted_by = None;
    for character in message.chars() {
        match quoted_by {
            Some(mark) if character == mark => {
                quoted_by = None;
                out.push('…');
                out.push(character);
            }
            Some(_) => {}
            None => {
                out.push(character);
                if matches!(character, '"' | '`') {
                    quoted_by = Some(character);
                }
            }
        }
    }
    out
}

/// Cuts to the longest allowed text and puts it on one line.
pub(crate) fn bounded(message: &str) -> String {
    let mut characters = message.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut text: String = characters.by_ref().take(MAX_CHARACTERS).collect();
    if characters.next().is_some() {
        text.pop();
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_bounded_single_lines() {
        let text = bounded(&"é\n".repeat(300));
        assert_eq!(text.chars().count(), MAX_CHARACTERS);
        assert!(text.ends_with('…') && !text.contains('\n'));
    }

    #[test]
    fn positions_come_from_the_innermost_call_and_quotations_are_emptied() {
        let source = "a = 1\nb = push(x, to_int(.secret))";
        let engine = r#"function call error for "push" at (10:34): function call error for "to_int" at (18:33): unable to coerce "4111-1111" into integer"#;
        assert_eq!(failed(source, engine), r#"line 2, column 13: `to_int` failed: unable to coerce "…" into integer"#);
    }

    #[test]
    fn messages_that_may_hold_payload_are_left_out() {
        let engine = r#"function call error for "parse_timestamp" at (0:5): Invalid timestamp hunter2"#;
        assert_eq!(failed("parse", engine), "line 1, column 1: `parse_timestamp` failed");
        assert_eq!(failed("x", "hunter2"), "the expression failed");
    }
}
