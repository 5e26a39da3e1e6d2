//! The last expression of a mapping, whose value is its result.

use vrl::parser::ast::{Assignment, AssignmentOp, AssignmentTarget, Expr, Node, Program, Query, QueryTarget, RootExpr};
use vrl::path::{OwnedTargetPath, PathPrefix};

/// Takes away that the last expression assigns its result to `.`: the result is all that is asked for, and the assignment
/// would copy it. `None` where it does not.
pub(crate) fn unassign(mut program: Program) -> Option<Program> {
    let (span, root) = program.0.pop()?.take();
    let RootExpr::Expr(expr) = root else { return None };
    let (_, Expr::Assignment(assignment)) = expr.take() else { return None };
    let Assignment::Single { target, op: AssignmentOp::Assign, expr } = assignment.into_inner() else { return None };
    let everything = match target.as_ref() {
        AssignmentTarget::External(path) => *path == Some(OwnedTargetPath::event_root()),
        AssignmentTarget::Query(Query { target, path }) => {
            *target.as_ref() == QueryTarget::External(PathPrefix::Event) && path.is_root()
        }
        AssignmentTarget::Noop | AssignmentTarget::Internal(..) => false,
    };
    everything.then(|| {
        program.0.push(Node::new(span, RootExpr::Expr(*expr)));
        program
    })
}
