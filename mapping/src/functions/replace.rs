//! `replace` as VRL has it, with the size of the result checked while it is built: replacing every
//! character of a text by the text itself takes gigabytes in one step otherwise.

use std::borrow::Cow;

use vrl::compiler::TypeDef;
use vrl::compiler::prelude::{
    ArgumentList, Compiled, Context, Expression, ExpressionError, Function, FunctionCompileContext, FunctionExpression,
    Parameter, Resolved, TypeState, VrlValueConvert as _, function::Example, kind,
};
use vrl::value::Value;

use super::GROWTH;

/// Longest text that `replace` and `join` make, in bytes: 1 MiB, four times the largest event.
const MAX_LENGTH: usize = 1 << 20;

pub(super) fn check_length(length: usize) -> Result<(), ExpressionError> {
    if length > MAX_LENGTH {
        return Err(format!("{GROWTH}: at most {MAX_LENGTH} bytes are allowed").into());
    }
    Ok(())
}

#[derive(Debug)]
pub(super) struct Replace;

impl Function for Replace {
    fn identifier(&self) -> &'static str {
        "replace"
    }

    fn usage(&self) -> &'static str {
        "Replaces the matches of a string or regular expression; `$1` or `$name` stand for a group of the latter."
    }

    fn category(&self) -> &'static str {
        "String"
    }

    fn return_kind(&self) -> u16 {
        kind::BYTES
    }

    fn parameters(&self) -> &'static [Parameter] {
        const PARAMETERS: &[Parameter] = &[
            Parameter::required("value", kind::BYTES, "The original text."),
            Parameter::required("pattern", kind::BYTES | kind::REGEX, "What to replace."),
            Parameter::required("with", kind::BYTES, "What to put in its place."),
            Parameter::optional("count", kind::INTEGER, "How many matches; -1 for all."),
        ];
        PARAMETERS
    }

    fn examples(&self) -> &'static [Example] {
        &[]
    }

    fn compile(&self, _state: &TypeState, _context: &mut FunctionCompileContext, arguments: ArgumentList) -> Compiled {
        Ok(Call {
            value: arguments.required("value"),
            pattern: arguments.required("pattern"),
            with: arguments.required("with"),
            count: arguments.optional("count"),
        }
        .as_expr())
    }
}

#[derive(Debug, Clone)]
struct Call {
    value: Box<dyn Expression>,
    pattern: Box<dyn Expression>,
    with: Box<dyn Expression>,
    count: Option<Box<dyn Expression>>,
}

impl FunctionExpression for Call {
    fn resolve(&self, context: &mut Context<'_>) -> Resolved {
        let value = self.value.resolve(context)?;
        let pattern = self.pattern.resolve(context)?;
        let with = self.with.resolve(context)?;
        let count = match &self.count {
            Some(count) => count.resolve(context)?.try_integer()?,
            None => -1,
        };
        // Negative means all; no text has more matches than usize can count.
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let (value, with) = (value.try_bytes_utf8_lossy()?, with.try_bytes_utf8_lossy()?);
        match &pattern {
            Value::Regex(regex) => replace_regex(&value, regex, &with, count),
            text => replace_text(&value, &text.try_bytes_utf8_lossy()?, &with, count),
        }
    }

    fn type_def(&self, _state: &TypeState) -> TypeDef {
        TypeDef::bytes()
    }
}

fn replace_text(value: &str, pattern: &str, with: &str, count: usize) -> Resolved {
    let matches = value.matches(pattern).take(count).count();
    let kept = value.len() - matches * pattern.len();
    check_length(kept.saturating_add(matches.saturating_mul(with.len())))?;
    Ok(value.replacen(pattern, with, count).into())
}

fn replace_regex(value: &str, regex: &vrl::value::value::ValueRegex, with: &str, count: usize) -> Resolved {
    let mut result = String::new();
    let mut copied = 0;
    for captures in regex.captures_iter(value).take(count) {
        let Some(whole) = captures.get(0) else {
            continue;
        };
        result.push_str(&value[copied..whole.start()]);
        // A group can be named many times in `with`; check before it is written out.
        let references = with.matches('$').count();
        let longest = references.saturating_mul(whole.len()).saturating_add(with.len());
        check_length(result.len().saturating_add(longest))?;
        captures.expand(with, &mut result);
        copied = whole.end();
    }
    if copied == 0 && result.is_empty() {
        return Ok(Cow::Borrowed(value).into());
    }
    result.push_str(&value[copied..]);
    check_length(result.len())?;
    Ok(result.into())
}
