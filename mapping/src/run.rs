//! Running a compiled expression over one event.
//!
//! In: a [`Program`], the event as [`Data`] and its [`Context`]. Out: a `bool`, a `String` or new
//! [`Data`], or why not. The input is never changed, whatever the expression does, and a failed run
//! leaves nothing behind.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;

use vrl::compiler::runtime::{Runtime, Terminate};
use vrl::compiler::state::RuntimeState;
use vrl::compiler::{ExpressionError, TimeZone};
use vrl::value::Value;

use crate::context::Context;
use crate::data::{Data, MAX_DEPTH};
use crate::functions::GROWTH;
use crate::guard::{Guard, LimitKind, Limits};
use crate::message;
use crate::program::Program;
use target::EventTarget;

mod target;

/// Never the zone of the machine it happens to run on.
static TIME_ZONE: LazyLock<TimeZone> =
    LazyLock::new(|| TimeZone::parse("UTC").expect("UTC is in the time zone database"));

/// What an expression reads.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// `.`, a JSON object.
    pub data: &'a Data,
    /// `%event` and `%integration`.
    pub context: &'a Context,
}

/// Why a run gave no result. The texts have at most 256 characters and, but for what the author of
/// the expression put into an `abort` or `assert`, nothing of the payload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// The expression failed or aborted on this event.
    #[error("{message}")]
    Failed {
        /// What failed, with line and column where they are known.
        message: String,
    },
    /// The run passed one of its limits. The event goes to the dead letters as `MappingLimit`.
    #[error("the expression passed its limit of {0}")]
    Limit(LimitKind),
    /// The engine panicked; the run was contained.
    #[error("the mapping engine panicked on this event")]
    Panicked,
}

/// Runs a filter: whether the event is wanted.
///
/// # Errors
///
/// See [`RunError`].
pub fn run_filter(program: &Program, input: Input<'_>, limits: &Limits) -> Result<bool, RunError> {
    match run(program, input, limits)? {
        Value::Boolean(answer) => Ok(answer),
        other => Err(wrong_type(&other, "boolean")),
    }
}

/// Runs an `outcomes` expression over a vendor's answer, made by [`Data::from_response`].
///
/// # Errors
///
/// See [`RunError`].
pub fn run_outcome(program: &Program, input: Input<'_>, limits: &Limits) -> Result<bool, RunError> {
    run_filter(program, input, limits)
}

/// Runs a key: the text that names or orders the event.
///
/// # Errors
///
/// See [`RunError`].
pub fn run_key(program: &Program, input: Input<'_>, limits: &Limits) -> Result<String, RunError> {
    let value = run(program, input, limits)?;
    match value.to_str_lossy() {
        Some(text) => Ok(text.into_owned()),
        None => Err(wrong_type(&value, "string")),
    }
}

/// Runs a transform or a normalisation: the new value.
///
/// # Errors
///
/// See [`RunError`].
pub fn run_transform(program: &Program, input: Input<'_>, limits: &Limits) -> Result<Data, RunError> {
    let value = run(program, input, limits)?;
    let mut budget = limits.output_bytes;
    spend(&value, &mut budget, 0)?;
    Ok(Data(value))
}

fn run(program: &Program, input: Input<'_>, limits: &Limits) -> Result<Value, RunError> {
    let Input { data, context } = input;
    if !data.is_object() {
        return Err(RunError::Failed { message: format!("expected a JSON object, got {}", kind_of(&data.0)) });
    }
    let mut target = EventTarget { data: Cow::Borrowed(&data.0), metadata: &context.0 };
    let mut guard = Guard::start(limits);
    // The target and the runtime are made here and thrown away with whatever the panic left in them.
    let result = catch_unwind(AssertUnwindSafe(|| {
        Runtime::new(RuntimeState::default()).resolve_with_control(
            &mut target,
            program.engine(),
            &TIME_ZONE,
            &mut guard,
        )
    }))
    .map_err(|_panic| RunError::Panicked)?;
    if let Some(limit) = guard.finish() {
        return Err(RunError::Limit(limit));
    }
    result.map_err(|reason| failure(program.source(), reason))
}

fn failure(source: &str, reason: Terminate) -> RunError {
    let message = match reason {
        Terminate::Abort(ExpressionError::Abort { span, message }) => {
            message::aborted(source, span, message.as_deref())
        }
        Terminate::Interrupted => "the run was interrupted".to_owned(),
        Terminate::Abort(error) | Terminate::Error(error) => {
            let text = error.to_string();
            if text.contains(GROWTH) {
                return RunError::Limit(LimitKind::Memory);
            }
            message::failed(source, &text)
        }
    };
    RunError::Failed { message }
}

fn wrong_type(value: &Value, expected: &str) -> RunError {
    RunError::Failed { message: format!("expected the result to be a {expected}, got {}", kind_of(value)) }
}

fn kind_of(value: &Value) -> String {
    value.kind_str().to_owned()
}

/// Takes the size of `value` as JSON from the budget; escapes don't count.
fn spend(value: &Value, budget: &mut usize, depth: usize) -> Result<(), RunError> {
    const OUTPUT: RunError = RunError::Limit(LimitKind::Output);
    let mut take = |bytes: usize| match budget.checked_sub(bytes) {
        Some(rest) => {
            *budget = rest;
            Ok(())
        }
        None => Err(OUTPUT),
    };
    match value {
        Value::Bytes(bytes) => take(bytes.len() + 2),
        Value::String(text) => take(text.len() + 2),
        Value::Regex(regex) => take(regex.as_str().len() + 2),
        Value::Float(number) if number.is_infinite() => Err(RunError::Failed {
            message: "the result contains an infinite number, which JSON can't express".to_owned(),
        }),
        Value::Integer(_) | Value::Float(_) => take(2),
        Value::Boolean(_) | Value::Null => take(4),
        Value::Timestamp(_) => take(22),
        Value::Object(_) | Value::Array(_) if depth == MAX_DEPTH => Err(OUTPUT),
        Value::Object(fields) => {
            take(2)?;
            for (key, value) in fields {
                *budget = budget.checked_sub(key.len() + 4).ok_or(OUTPUT)?;
                spend(value, budget, depth + 1)?;
            }
            Ok(())
        }
        Value::Array(items) => {
            take(2)?;
            for item in items {
                *budget = budget.checked_sub(1).ok_or(OUTPUT)?;
                spend(item, budget, depth + 1)?;
            }
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests;
