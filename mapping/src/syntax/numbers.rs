//! Ties `*` to numbers.
//!
//! In: an operand of a multiplication. Out: an operand that is a number or fails.

use vrl::diagnostic::Span;
use vrl::parser::ast::{Expr, Literal, Node, Op, Opcode};

use crate::diagnostic::Fault;

/// What [`number`] adds, as it shows up in the compiler's messages.
pub(crate) const NUMBER_MARK: &str = " - 0";

/// `x` becomes `x - 0`, which is `x` for a number and an error for everything else: `*` on a string
/// repeats it, and a large number of times would end the process in a single step. The error points
/// to the whole multiplication.
pub(super) fn number(expr: Box<Node<Expr>>, span: Span) -> Result<Box<Node<Expr>>, Fault> {
    let not_a_number = Fault {
        code: 1007,
        span: expr.span(),
        message: "`*` multiplies numbers only".into(),
        label: "this is not a number".into(),
        remedy: "convert it, for example with `to_int!(…)`; text can't be repeated".into(),
    };
    match expr.inner() {
        Expr::Literal(literal) => match literal.inner() {
            Literal::Integer(_) | Literal::Float(_) => return Ok(expr),
            _ => return Err(not_a_number),
        },
        // These give numbers or fail already.
        Expr::Op(op) if matches!(op.inner().1.inner(), Opcode::Mul | Opcode::Sub | Opcode::Div) => {
            return Ok(expr);
        }
        _ => {}
    }
    let zero = Expr::Literal(Node::new(span, Literal::Integer(0)));
    let op = Op(expr, Node::new(span, Opcode::Sub), Box::new(Node::new(span, zero)));
    Ok(Box::new(Node::new(span, Expr::Op(Node::new(span, op)))))
}
