//! The allow-list: which functions expressions may call, and why not the others.
//!
//! In: a [`Purpose`]. Out: the functions to compile with. A function is on the list when one call of
//! it, on the worst input that fits the limits, ends within milliseconds, takes memory in proportion
//! to its input, and depends on nothing but its arguments. Everything else is named in [`denied`]
//! with the reason that the user is shown.

use std::sync::LazyLock;

use vrl::compiler::prelude::kind;
use vrl::compiler::{Function, Parameter};
use vrl::diagnostic::Span;
use vrl::parser::ast::{Expr, FunctionArgument, FunctionCall, Ident, Literal, Node};

use crate::program::Purpose;

mod at_most;
mod join;
mod lists;
mod replace;

pub(crate) use at_most::GROWTH;
use lists::{ALLOWED, BOUNDED, CLOCK, DENIED};

type Functions = Vec<Box<dyn Function>>;

static PURE: LazyLock<Functions> = LazyLock::new(|| select(&[ALLOWED]));
static PURE_AND_INTERNAL: LazyLock<Functions> = LazyLock::new(|| with_internal(&[ALLOWED]));
static TIMED: LazyLock<Functions> = LazyLock::new(|| select(&[ALLOWED, CLOCK]));
static TIMED_AND_INTERNAL: LazyLock<Functions> = LazyLock::new(|| with_internal(&[ALLOWED, CLOCK]));

/// Whether an expression for this purpose may read the clock.
fn may_read_clock(purpose: Purpose) -> bool {
    match purpose {
        Purpose::Filter | Purpose::Transform | Purpose::Normalize => true,
        Purpose::Key | Purpose::Outcome => false,
    }
}

pub(crate) fn allowed(purpose: Purpose) -> &'static [Box<dyn Function>] {
    if may_read_clock(purpose) { &TIMED } else { &PURE }
}

/// With the size check that [`bound_arguments`] puts around arguments.
pub(crate) fn allowed_and_internal(purpose: Purpose) -> &'static [Box<dyn Function>] {
    if may_read_clock(purpose) { &TIMED_AND_INTERNAL } else { &PURE_AND_INTERNAL }
}

/// The names that an expression for `purpose` may call, sorted.
#[must_use]
pub fn names(purpose: Purpose) -> Vec<&'static str> {
    let mut names: Vec<&str> = allowed(purpose).iter().map(|f| f.identifier()).collect();
    names.sort_unstable();
    names
}

/// Why a function of VRL is not available, for those that are not.
#[must_use]
pub fn denied(name: &str) -> Option<&'static str> {
    DENIED.iter().find(|(_, names)| names.contains(&name)).map(|(reason, _)| *reason)
}

fn select(lists: &[&[&str]]) -> Functions {
    let mut functions = vrl::stdlib::all();
    functions.retain(|f| lists.iter().any(|list| list.contains(&f.identifier())));
    functions.push(Box::new(join::Join));
    functions.push(Box::new(replace::Replace));
    functions
}

fn with_internal(lists: &[&[&str]]) -> Functions {
    let mut functions = select(lists);
    functions.push(Box::new(at_most::AtMost));
    functions
}

/// Wraps the arguments of `call` that [`BOUNDED`] names in a size check; says whether there were any.
pub(crate) fn bound_arguments(call: &mut FunctionCall) -> bool {
    let name = call.ident.inner().to_string();
    let Some(function) = TIMED.iter().find(|f| f.identifier() == name) else {
        return false;
    };
    let parameters = function.parameters();
    let mut changed = false;
    for (_, keyword, limit) in BOUNDED.iter().filter(|(function, ..)| *function == name) {
        let only_text = parameters.iter().any(|p| p.keyword == *keyword && p.kind == kind::BYTES);
        if let Some(argument) = argument(call, parameters, keyword) {
            let span = argument.span();
            let (_, FunctionArgument { ident, expr }) = argument.clone().take();
            let expr = at_most(expr, *limit, only_text, span);
            *argument = Node::new(span, FunctionArgument { ident, expr });
            changed = true;
        }
    }
    changed
}

/// The argument for a parameter, given by keyword or by position.
fn argument<'a>(
    call: &'a mut FunctionCall,
    parameters: &[Parameter],
    keyword: &str,
) -> Option<&'a mut Node<FunctionArgument>> {
    let named = |argument: &Node<FunctionArgument>, keyword: &str| {
        let ident = argument.inner().ident.as_ref();
        ident.is_some_and(|ident| &**ident.inner() == keyword)
    };
    if let Some(at) = call.arguments.iter().position(|a| named(a, keyword)) {
        return call.arguments.get_mut(at);
    }
    // As the compiler counts: a keyword takes its parameter's turn only where that is next.
    let mut next = 0;
    for argument in &mut call.arguments {
        let turn = parameters.get(next).map(|parameter| parameter.keyword);
        if argument.inner().ident.is_none() {
            if turn == Some(keyword) {
                return Some(argument);
            }
            next += 1;
        } else if turn.is_some_and(|turn| named(argument, turn)) {
            next += 1;
        }
    }
    None
}

fn at_most(expr: Node<Expr>, limit: i64, only_text: bool, span: Span) -> Node<Expr> {
    let plain = |expr| Node::new(span, FunctionArgument { ident: None, expr });
    let literal = |value| plain(Node::new(span, Expr::Literal(Node::new(span, value))));
    let call = FunctionCall {
        ident: Node::new(span, Ident::new(at_most::NAME)),
        abort_on_error: false,
        arguments: vec![plain(expr), literal(Literal::Integer(limit)), literal(Literal::Boolean(only_text))],
        closure: None,
    };
    Node::new(span, Expr::FunctionCall(Node::new(span, call)))
}

#[cfg(test)]
mod tests;
