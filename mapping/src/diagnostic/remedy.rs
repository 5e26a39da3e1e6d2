//! What to write instead, for each kind of fault that the compiler reports.
//!
//! In: the source and one of the compiler's diagnostics. Out: a sentence, with the user's own text in
//! it where that is short enough to repeat.

use vrl::diagnostic::{Diagnostic, Note};

use super::span;
use crate::functions;

/// Longest piece of source that is repeated in a remedy, in bytes.
const MAX_QUOTATION: usize = 60;

const READ_ONLY: &str = "put the value into a variable: data and metadata can't be changed here";

pub(super) fn remedy(source: &str, diagnostic: &Diagnostic) -> Option<String> {
    match diagnostic.code {
        // Unhandled errors: of an expression, of an assignment, of an argument, of a predicate.
        100 | 103 | 630 | 631 => Some(handle_error(source, diagnostic)),
        102 => Some("make the condition a boolean, for example `bool!(.field)` or `.field == true`".into()),
        105 => undefined_function(source, diagnostic),
        110 => converted(diagnostic),
        315 => Some(READ_ONLY.into()),
        610 if diagnostic.message.contains("read-only") => Some(READ_ONLY.into()),
        620 => Some("remove the `!`: this call can't fail".into()),
        651 => Some("remove the `??` and what follows it: the left side can't fail".into()),
        652 => Some("convert both sides with `object!(…)`".into()),
        660 => Some("convert it with `bool!(…)`".into()),
        701 => Some(undefined_variable(source, diagnostic)),
        code if super::is_syntax(code) => Some(syntax(diagnostic)),
        _ => hinted(diagnostic),
    }
}

fn undefined_variable(source: &str, diagnostic: &Diagnostic) -> String {
    let text = quotation(source, diagnostic).unwrap_or("name");
    // In a template the label covers the braces too.
    let name = text.trim_matches(|c: char| c == '{' || c == '}' || c.is_whitespace());
    format!("assign `{name}` before, or write `.{name}` for a field of the event")
}

/// The parser's list of what may follow helps only where it is short.
fn syntax(diagnostic: &Diagnostic) -> String {
    hinted(diagnostic)
        .filter(|hint| hint.len() <= MAX_QUOTATION)
        .unwrap_or_else(|| "complete or remove what stands at this place".to_owned())
}

fn handle_error(source: &str, diagnostic: &Diagnostic) -> String {
    let general = "give a fallback with `?? default`, or end the function's name with `!` to fail the event";
    let Some(text) = quotation(source, diagnostic) else {
        return general.to_owned();
    };
    match text.split_once('(') {
        Some((name, arguments)) if is_identifier(name) => {
            format!("write `{text} ?? default`, or `{name}!({arguments}` to fail the event")
        }
        _ => format!("write `({text}) ?? default`, or convert its parts first, for example `int!(.field)`"),
    }
}

fn undefined_function(source: &str, diagnostic: &Diagnostic) -> Option<String> {
    let text = quotation(source, diagnostic)?;
    let name: String = text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    functions::denied(&name)
        .map(|reason| format!("`{name}` is not available here: {reason}"))
        .or_else(|| hinted(diagnostic))
}

/// The compiler's own proposal for a wrong type of argument: `string!(.field)` and the like.
fn converted(diagnostic: &Diagnostic) -> Option<String> {
    let lines: Vec<&str> = diagnostic.notes().iter().filter_map(basic).collect();
    let proposal = lines.iter().find_map(|line| line.strip_prefix("    "))?;
    let (_, conversion) = proposal.split_once(" = ")?;
    Some(format!("convert the argument first: `{conversion}`"))
}

/// What the compiler says in its other labels and notes, where that is advice.
fn hinted(diagnostic: &Diagnostic) -> Option<String> {
    let hint = diagnostic.notes().iter().find_map(|note| match note {
        Note::Hint(text) => Some(text.clone()),
        Note::Example(text) => Some(format!("for example `{}`", super::one_line(text))),
        _ => None,
    });
    let label = || {
        let labels = diagnostic.labels().iter().filter(|label| !label.primary);
        let mut texts = labels.map(|label| super::one_line(&label.message));
        texts.find(|text| !text.is_empty())
    };
    hint.or_else(label)
}

fn basic(note: &Note) -> Option<&str> {
    match note {
        Note::Basic(text) => Some(text),
        _ => None,
    }
}

fn quotation<'a>(source: &'a str, diagnostic: &Diagnostic) -> Option<&'a str> {
    let text = source.get(span(diagnostic)?.range())?.trim();
    let fits = !text.is_empty() && text.len() <= MAX_QUOTATION && !text.contains('\n');
    fits.then_some(text)
}

fn is_identifier(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
