//! The type of a program's result, against what its purpose needs.
//!
//! In: the compiled program and its syntax tree. Out: nothing, or the fault, at the last expression.

use vrl::diagnostic::Span;
use vrl::parser::ast::{self, Assignment, AssignmentTarget, Expr, RootExpr};
use vrl::value::Kind;

use super::Purpose;
use crate::diagnostic::Fault;

/// Longest piece of source that is repeated in a remedy, in bytes.
const MAX_QUOTATION: usize = 60;

/// The type of the last expression and of every `return` must be what the purpose needs.
pub(super) fn check(
    source: &str,
    engine: &vrl::compiler::Program,
    tree: &ast::Program,
    purpose: Purpose,
) -> Result<(), Fault> {
    let Some(last) = last_expression(tree) else {
        return Err(unfit(Span::default(), "the expression is empty", &remedy(purpose, ".field")));
    };
    let span = last.span();
    let result = engine.final_type_info().result;
    let kind = result.kind().union(result.returns().clone());
    if kind.is_never() {
        let message = "the expression always aborts and has no result";
        return Err(unfit(span, message, "put the `abort` under a condition"));
    }
    let (fits, expected) = match purpose {
        Purpose::Filter | Purpose::Outcome => (kind.is_boolean(), "exactly boolean"),
        Purpose::Key => (kind.is_bytes(), "exactly string"),
        Purpose::Normalize => (kind.is_object(), "exactly an object"),
        Purpose::Transform => (!kind.is_null() && !kind.is_undefined(), "something, not always null"),
    };
    if !fits {
        let message = format!("the result must be {expected}, but is {}", named(&kind));
        return Err(unfit(span, &message, &remedy(purpose, example(source, span))));
    }
    if purpose.may_change_data() && assigns_a_part(last) {
        let message = "the result would be the value just assigned, not the whole";
        return Err(unfit(span, message, "add a last line with `.`"));
    }
    Ok(())
}

fn last_expression(tree: &ast::Program) -> Option<&ast::Node<Expr>> {
    tree.iter().rev().find_map(|root| match root.inner() {
        RootExpr::Expr(expr) => Some(expr),
        RootExpr::Error(_) => None,
    })
}

/// `.a = 1` as the last line is nearly always meant to hand on the event.
fn assigns_a_part(expr: &ast::Node<Expr>) -> bool {
    let Expr::Assignment(assignment) = expr.inner() else {
        return false;
    };
    let whole = |target: &AssignmentTarget| match target {
        AssignmentTarget::External(None) => true,
        AssignmentTarget::External(Some(path)) => path.path.is_root(),
        AssignmentTarget::Query(query) => query.path.is_root(),
        AssignmentTarget::Internal(_, path) => path.is_none(),
        AssignmentTarget::Noop => false,
    };
    match assignment.inner() {
        Assignment::Single { target, .. } => !whole(target),
        Assignment::Infallible { .. } => true,
    }
}

/// How to get the type that is needed, with the user's own words where they are a plain path.
fn remedy(purpose: Purpose, path: &str) -> String {
    match purpose {
        Purpose::Filter | Purpose::Outcome => {
            format!("compare, for example `{path} == \"value\"`, or use `bool!({path})`; give every `if` an `else`")
        }
        Purpose::Key => {
            format!("use `string!({path})` to fail events without it, or `to_string({path}) ?? \"default\"`")
        }
        Purpose::Normalize => "end with `.` or with an object like `{\"id\": .id}`; give every `if` an `else`".into(),
        Purpose::Transform => "end with `.` or with an object like `{\"id\": .id}`".into(),
    }
}

fn example(source: &str, span: Span) -> &str {
    let text = source.get(span.range()).unwrap_or_default().trim();
    let is_path = text.starts_with(['.', '%'])
        && text.len() <= MAX_QUOTATION
        && !text.contains(|c: char| c.is_whitespace() || c == '(');
    if is_path { text } else { ".field" }
}

/// As people say it: "any JSON value" instead of all of its types, null for what may be missing.
fn named(kind: &Kind) -> String {
    let kind = if kind.contains_undefined() { kind.clone().without_undefined().or_null() } else { kind.clone() };
    if kind.is_superset(&Kind::json()).is_ok() {
        return "any JSON value".to_owned();
    }
    kind.to_string()
}

fn unfit(span: Span, message: &str, remedy: &str) -> Fault {
    Fault {
        code: 1010,
        span,
        message: message.to_owned(),
        label: "this is the result".into(),
        remedy: remedy.to_owned(),
    }
}
