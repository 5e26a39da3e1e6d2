//! How large a syntax tree may be, and the faults of those that are larger.
//!
//! In: the places that the walk passes. Out: nothing, or the first place beyond a limit.

use vrl::diagnostic::Span;
use vrl::parser::ast::Literal;
use vrl::path::{OwnedSegment, OwnedValuePath};

use crate::diagnostic::Fault;

/// Deepest nesting of expressions. The compiler overflows an 8 MiB stack at about 200.
const MAX_DEPTH: usize = 40;
/// Most expressions in one source.
const MAX_NODES: usize = 2_000;
/// Deepest nesting of closures: each level of it multiplies the work of compiling.
const MAX_CLOSURES: usize = 2;
/// Longest path: `.a.b.c` has three segments.
const MAX_SEGMENTS: usize = 16;
/// Largest index in a path, counted from either end: writing to an index fills up all below it.
const MAX_INDEX: isize = 100;

/// What the walk has seen so far.
#[derive(Debug, Default)]
pub(super) struct Size {
    nodes: usize,
    depth: usize,
    closures: usize,
}

impl Size {
    /// One expression more, inside the last one that was not left.
    pub(super) fn enter(&mut self, span: Span) -> Result<(), Fault> {
        self.nodes += 1;
        self.depth += 1;
        if self.nodes > MAX_NODES {
            return Err(Fault {
                code: 1002,
                span,
                message: format!("the source has more than {MAX_NODES} expressions"),
                label: "the limit is passed here".into(),
                remedy: "move constant tables into the data, or split the mapping".into(),
            });
        }
        if self.depth > MAX_DEPTH {
            return Err(too_deep(span));
        }
        Ok(())
    }

    pub(super) fn leave(&mut self) -> Result<(), Fault> {
        self.depth -= 1;
        Ok(())
    }

    pub(super) fn enter_closure(&mut self, span: Span) -> Result<(), Fault> {
        self.closures += 1;
        if self.closures > MAX_CLOSURES {
            return Err(Fault {
                code: 1004,
                span,
                message: format!("closures are nested deeper than {MAX_CLOSURES} levels"),
                label: "one closure too many".into(),
                remedy: "build an intermediate array in a variable and loop over that".into(),
            });
        }
        Ok(())
    }

    pub(super) fn leave_closure(&mut self) -> Result<(), Fault> {
        self.closures -= 1;
        Ok(())
    }

    /// A template is compiled to a chain of additions, one level deeper for each of its parts.
    pub(super) fn literal(&self, literal: &Literal, span: Span) -> Result<(), Fault> {
        match literal {
            Literal::String(template) if self.depth + template.0.len() > MAX_DEPTH => Err(too_deep(span)),
            _ => Ok(()),
        }
    }
}

pub(super) fn path(path: &OwnedValuePath, span: Span) -> Result<(), Fault> {
    if path.segments.len() > MAX_SEGMENTS {
        return Err(Fault {
            code: 1005,
            span,
            message: format!("the path has more than {MAX_SEGMENTS} segments"),
            label: "too long".into(),
            remedy: "put a part of the path into a variable and go on from there".into(),
        });
    }
    let large = path.segments.iter().any(|segment| match segment {
        OwnedSegment::Index(index) => index.unsigned_abs() > MAX_INDEX.unsigned_abs(),
        OwnedSegment::Field(_) => false,
    });
    if large {
        return Err(Fault {
            code: 1006,
            span,
            message: format!("the path has an index beyond {MAX_INDEX}"),
            label: "too large".into(),
            remedy: "read large indices with `get!(value, [index])`".into(),
        });
    }
    Ok(())
}

fn too_deep(span: Span) -> Fault {
    Fault {
        code: 1003,
        span,
        message: format!("expressions are nested deeper than {MAX_DEPTH} levels"),
        label: "the limit is passed here".into(),
        remedy: "put parts of the expression into variables".into(),
    }
}
