//! The check between parsing and compiling: what the compiler or a single step of a run could not
//! survive is refused here, by shape alone.
//!
//! In: the syntax tree as parsed. Out: the tree to compile, with its multiplications tied to numbers,
//! or the first fault. The compiler recurses over the tree and works on constants while it compiles,
//! so it must never see a tree that has not been through here.

use vrl::diagnostic::Span;
use vrl::parser::ast::{
    Array, Assignment, AssignmentTarget, Block, Container, Expr, FunctionArgument, FunctionCall,
    Group, IfStatement, Literal, Node, Not, Object, Op, Opcode, Predicate, Program, Query,
    QueryTarget, RootExpr, Unary,
};
use vrl::path::{OwnedSegment, OwnedValuePath};

use crate::diagnostic::Fault;
use crate::functions;

/// Longest source, in bytes: 16 KiB.
pub(crate) const MAX_SOURCE: usize = 16 << 10;
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

/// Refuses what is too large and ties every `*` to numbers.
pub(crate) fn admit(program: Program) -> Result<Program, Fault> {
    Walk::new(Pass::Admit).program(program)
}

/// Puts a size check around the arguments of functions whose result can be a large multiple of their
/// input ([`functions::BOUNDED`]). `None` where the program calls none of them.
pub(crate) fn bound(program: Program) -> Option<Program> {
    let mut walk = Walk::new(Pass::Bound);
    // Nothing is refused in this pass: the tree was admitted before.
    let program = walk.program(program).ok()?;
    walk.changed.then_some(program)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    Admit,
    Bound,
}

struct Walk {
    pass: Pass,
    nodes: usize,
    depth: usize,
    closures: usize,
    changed: bool,
}

impl Walk {
    fn new(pass: Pass) -> Self {
        Self {
            pass,
            nodes: 0,
            depth: 0,
            closures: 0,
            changed: false,
        }
    }

    fn program(&mut self, program: Program) -> Result<Program, Fault> {
        let roots = program.into_iter().map(|root| {
            let (span, root) = root.take();
            let root = match root {
                RootExpr::Expr(expr) => RootExpr::Expr(self.expr(expr)?),
                // A part that could not be parsed; the compiler reports it.
                error @ RootExpr::Error(_) => error,
            };
            Ok(Node::new(span, root))
        });
        roots.collect::<Result<_, _>>().map(Program)
    }

    fn expr(&mut self, node: Node<Expr>) -> Result<Node<Expr>, Fault> {
        let (span, expr) = node.take();
        self.nodes += 1;
        self.depth += 1;
        if self.pass == Pass::Admit {
            self.check_size(span)?;
        }
        let expr = match expr {
            Expr::Container(node) => Expr::Container(within(node, |c| self.container(c))?),
            Expr::IfStatement(node) => Expr::IfStatement(within(node, |s| self.if_statement(s))?),
            Expr::Op(node) => Expr::Op(within(node, |op| self.op(op))?),
            Expr::Assignment(node) => Expr::Assignment(within(node, |a| self.assignment(a))?),
            Expr::Query(node) => Expr::Query(within(node, |query| self.query(query))?),
            Expr::FunctionCall(node) => Expr::FunctionCall(within(node, |call| self.call(call))?),
            Expr::Unary(node) => Expr::Unary(within(node, |unary| self.unary(unary))?),
            Expr::Abort(node) => Expr::Abort(within(node, |mut abort| {
                abort.message = abort.message.map(|m| self.boxed(m)).transpose()?;
                Ok(abort)
            })?),
            Expr::Return(node) => Expr::Return(within(node, |mut result| {
                result.expr = self.boxed(result.expr)?;
                Ok(result)
            })?),
            Expr::Literal(node) => {
                self.check_template(&node)?;
                Expr::Literal(node)
            }
            Expr::Variable(node) => Expr::Variable(node),
            Expr::Break(node) => Expr::Break(node),
        };
        self.depth -= 1;
        Ok(Node::new(span, expr))
    }

    fn boxed(&mut self, expr: Box<Node<Expr>>) -> Result<Box<Node<Expr>>, Fault> {
        self.expr(*expr).map(Box::new)
    }

    fn exprs(
        &mut self,
        exprs: impl IntoIterator<Item = Node<Expr>>,
    ) -> Result<Vec<Node<Expr>>, Fault> {
        exprs.into_iter().map(|expr| self.expr(expr)).collect()
    }

    fn block(&mut self, node: Node<Block>) -> Result<Node<Block>, Fault> {
        within(node, |block| self.exprs(block.into_inner()).map(Block))
    }

    fn container(&mut self, container: Container) -> Result<Container, Fault> {
        Ok(match container {
            Container::Group(group) => Container::Group(Box::new(within(*group, |group| {
                self.expr(group.into_inner()).map(Group)
            })?)),
            Container::Block(block) => Container::Block(self.block(block)?),
            Container::Array(array) => Container::Array(within(array, |array| {
                Ok(self.exprs(array)?.into_iter().collect::<Array>())
            })?),
            Container::Object(object) => Container::Object(within(object, |object| {
                let fields = object
                    .into_iter()
                    .map(|(key, value)| Ok((key, self.expr(value)?)));
                fields.collect::<Result<Object, Fault>>()
            })?),
        })
    }

    fn if_statement(&mut self, statement: IfStatement) -> Result<IfStatement, Fault> {
        let predicate = within(statement.predicate, |predicate| {
            Ok(match predicate {
                Predicate::One(expr) => Predicate::One(self.boxed(expr)?),
                Predicate::Many(exprs) => Predicate::Many(self.exprs(exprs)?),
            })
        })?;
        Ok(IfStatement {
            predicate,
            if_node: self.block(statement.if_node)?,
            else_node: statement.else_node.map(|b| self.block(b)).transpose()?,
        })
    }

    fn op(&mut self, op: Op) -> Result<Op, Fault> {
        let Op(left, opcode, right) = op;
        let (mut left, mut right) = (self.boxed(left)?, self.boxed(right)?);
        if self.pass == Pass::Admit && *opcode.inner() == Opcode::Mul {
            left = number(left)?;
            right = number(right)?;
        }
        Ok(Op(left, opcode, right))
    }

    fn assignment(&mut self, assignment: Assignment) -> Result<Assignment, Fault> {
        Ok(match assignment {
            Assignment::Single { target, op, expr } => {
                self.check_target(&target)?;
                Assignment::Single {
                    target,
                    op,
                    expr: self.boxed(expr)?,
                }
            }
            Assignment::Infallible { ok, err, op, expr } => {
                self.check_target(&ok)?;
                self.check_target(&err)?;
                Assignment::Infallible {
                    ok,
                    err,
                    op,
                    expr: self.boxed(expr)?,
                }
            }
        })
    }

    fn query(&mut self, query: Query) -> Result<Query, Fault> {
        let Query { target, path } = query;
        self.check_path(path.inner(), path.span())?;
        let target = within(target, |target| {
            Ok(match target {
                QueryTarget::FunctionCall(call) => QueryTarget::FunctionCall(self.call(call)?),
                QueryTarget::Container(inner) => QueryTarget::Container(self.container(inner)?),
                name @ (QueryTarget::Internal(_) | QueryTarget::External(_)) => name,
            })
        })?;
        Ok(Query { target, path })
    }

    fn call(&mut self, mut call: FunctionCall) -> Result<FunctionCall, Fault> {
        let mut arguments = Vec::with_capacity(call.arguments.len());
        for argument in call.arguments {
            arguments.push(within(argument, |FunctionArgument { ident, expr }| {
                let expr = self.expr(expr)?;
                Ok(FunctionArgument { ident, expr })
            })?);
        }
        call.arguments = arguments;
        if let Some(closure) = call.closure {
            self.closures += 1;
            if self.closures > MAX_CLOSURES {
                return Err(too_many_closures(closure.span()));
            }
            call.closure = Some(within(closure, |mut closure| {
                closure.block = self.block(closure.block)?;
                Ok(closure)
            })?);
            self.closures -= 1;
        }
        if self.pass == Pass::Bound {
            self.changed |= functions::bound_arguments(&mut call);
        }
        Ok(call)
    }

    fn unary(&mut self, unary: Unary) -> Result<Unary, Fault> {
        let Unary::Not(node) = unary;
        let (span, not) = node.take();
        let (_, expr) = not.take();
        let expr = self.expr(*expr)?;
        Ok(Unary::Not(Node::new(span, Not::new(span, expr))))
    }

    fn check_target(&mut self, target: &Node<AssignmentTarget>) -> Result<(), Fault> {
        let path = match target.inner() {
            AssignmentTarget::Noop => None,
            AssignmentTarget::Query(query) => {
                // Only names are assignable; the compiler refuses anything else.
                self.query(query.clone())?;
                None
            }
            AssignmentTarget::Internal(_, path) => path.as_ref(),
            AssignmentTarget::External(path) => path.as_ref().map(|path| &path.path),
        };
        path.map_or(Ok(()), |path| self.check_path(path, target.span()))
    }

    fn check_size(&self, span: Span) -> Result<(), Fault> {
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

    /// A template is compiled to a chain of additions, one level deeper for each of its parts.
    fn check_template(&self, literal: &Node<Literal>) -> Result<(), Fault> {
        match literal.inner() {
            Literal::String(template) if self.depth + template.0.len() > MAX_DEPTH => {
                Err(too_deep(literal.span()))
            }
            _ => Ok(()),
        }
    }

    fn check_path(&self, path: &OwnedValuePath, span: Span) -> Result<(), Fault> {
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
}

/// Applies `change` to what a node holds and keeps its place in the source.
fn within<T>(node: Node<T>, change: impl FnOnce(T) -> Result<T, Fault>) -> Result<Node<T>, Fault> {
    let (span, inner) = node.take();
    Ok(Node::new(span, change(inner)?))
}

/// `x` becomes `x - 0`, which is `x` for a number and an error for everything else: `*` on a string
/// repeats it, and a large number of times would end the process in a single step.
fn number(expr: Box<Node<Expr>>) -> Result<Box<Node<Expr>>, Fault> {
    let span = expr.span();
    let Expr::Literal(literal) = expr.inner() else {
        let zero = Expr::Literal(Node::new(span, Literal::Integer(0)));
        let op = Op(
            expr,
            Node::new(span, Opcode::Sub),
            Box::new(Node::new(span, zero)),
        );
        return Ok(Box::new(Node::new(span, Expr::Op(Node::new(span, op)))));
    };
    match literal.inner() {
        Literal::Integer(_) | Literal::Float(_) => Ok(expr),
        _ => Err(Fault {
            code: 1007,
            span,
            message: "`*` multiplies numbers only".into(),
            label: "this is not a number".into(),
            remedy: "convert it, for example with `to_int!(…)`; text can't be repeated".into(),
        }),
    }
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

fn too_many_closures(span: Span) -> Fault {
    Fault {
        code: 1004,
        span,
        message: format!("closures are nested deeper than {MAX_CLOSURES} levels"),
        label: "one closure too many".into(),
        remedy: "build an intermediate array in a variable and loop over that".into(),
    }
}
