//! The check between parsing and compiling: what the compiler or a single step of a run could not
//! survive is refused here, by shape alone.
//!
//! In: the syntax tree as parsed. Out: the tree to compile, with its multiplications tied to numbers,
//! or the first fault. The compiler recurses over the tree and works on constants while it compiles,
//! so it must never see a tree that has not been through here.

use vrl::diagnostic::Span;
use vrl::parser::ast::{
    Array, Assignment, AssignmentTarget, Block, Container, Expr, FunctionArgument, FunctionCall, Group, IfStatement,
    Node, Not, Object, Op, Opcode, Predicate, Program, Query, QueryTarget, RootExpr, Unary,
};

use crate::diagnostic::Fault;
use crate::functions;
use limits::Size;
use numbers::number;

mod last;
mod limits;
mod numbers;

pub(crate) use last::unassign;
pub(crate) use numbers::NUMBER_MARK;

/// Longest source, in bytes: 16 KiB.
pub(crate) const MAX_SOURCE: usize = 16 << 10;

/// Refuses what is too large and ties every `*` to numbers.
pub(crate) fn admit(program: Program) -> Result<Program, Fault> {
    Walk::new(Pass::Admit).program(program)
}

/// Puts a size check around the arguments of functions whose result can be a large multiple of their
/// input. `None` where the admitted program calls none of them.
pub(crate) fn bound(program: Program) -> Result<Option<Program>, Fault> {
    let mut walk = Walk::new(Pass::Bound);
    let program = walk.program(program)?;
    Ok(walk.changed.then_some(program))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    Admit,
    Bound,
}

struct Walk {
    pass: Pass,
    size: Size,
    changed: bool,
}

impl Walk {
    fn new(pass: Pass) -> Self {
        Self { pass, size: Size::default(), changed: false }
    }

    /// What is generated after admission doesn't count.
    fn check(&mut self, check: impl FnOnce(&mut Size) -> Result<(), Fault>) -> Result<(), Fault> {
        match self.pass {
            Pass::Admit => check(&mut self.size),
            Pass::Bound => Ok(()),
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
        self.check(|size| size.enter(span))?;
        let expr = match expr {
            Expr::Container(node) => Expr::Container(within(node, |c| self.container(c))?),
            Expr::IfStatement(node) => Expr::IfStatement(within(node, |s| self.if_statement(s))?),
            Expr::Op(node) => Expr::Op(within(node, |op| self.op(op, span))?),
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
                self.check(|size| size.literal(node.inner(), node.span()))?;
                Expr::Literal(node)
            }
            Expr::Variable(node) => Expr::Variable(node),
            Expr::Break(node) => Expr::Break(node),
        };
        self.check(Size::leave)?;
        Ok(Node::new(span, expr))
    }

    fn boxed(&mut self, expr: Box<Node<Expr>>) -> Result<Box<Node<Expr>>, Fault> {
        self.expr(*expr).map(Box::new)
    }

    fn exprs(&mut self, exprs: impl IntoIterator<Item = Node<Expr>>) -> Result<Vec<Node<Expr>>, Fault> {
        exprs.into_iter().map(|expr| self.expr(expr)).collect()
    }

    fn block(&mut self, node: Node<Block>) -> Result<Node<Block>, Fault> {
        within(node, |block| self.exprs(block.into_inner()).map(Block))
    }

    fn container(&mut self, container: Container) -> Result<Container, Fault> {
        Ok(match container {
            Container::Group(group) => {
                Container::Group(Box::new(within(*group, |group| self.expr(group.into_inner()).map(Group))?))
            }
            Container::Block(block) => Container::Block(self.block(block)?),
            Container::Array(array) => {
                Container::Array(within(array, |array| Ok(self.exprs(array)?.into_iter().collect::<Array>()))?)
            }
            Container::Object(object) => Container::Object(within(object, |object| {
                let fields = object.into_iter().map(|(key, value)| Ok((key, self.expr(value)?)));
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

    fn op(&mut self, op: Op, span: Span) -> Result<Op, Fault> {
        let Op(left, opcode, right) = op;
        let (mut left, mut right) = (self.boxed(left)?, self.boxed(right)?);
        if self.pass == Pass::Admit && *opcode.inner() == Opcode::Mul {
            left = number(left, span)?;
            right = number(right, span)?;
        }
        Ok(Op(left, opcode, right))
    }

    fn assignment(&mut self, assignment: Assignment) -> Result<Assignment, Fault> {
        Ok(match assignment {
            Assignment::Single { target, op, expr } => {
                self.check_target(&target)?;
                Assignment::Single { target, op, expr: self.boxed(expr)? }
            }
            Assignment::Infallible { ok, err, op, expr } => {
                self.check_target(&ok)?;
                self.check_target(&err)?;
                Assignment::Infallible { ok, err, op, expr: self.boxed(expr)? }
            }
        })
    }

    fn query(&mut self, query: Query) -> Result<Query, Fault> {
        let Query { target, path } = query;
        self.check(|_| limits::path(path.inner(), path.span()))?;
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
            self.check(|size| size.enter_closure(closure.span()))?;
            call.closure = Some(within(closure, |mut closure| {
                closure.block = self.block(closure.block)?;
                Ok(closure)
            })?);
            self.check(Size::leave_closure)?;
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
        path.map_or(Ok(()), |path| self.check(|_| limits::path(path, target.span())))
    }
}

/// Applies `change` to what a node holds and keeps its place in the source.
fn within<T>(node: Node<T>, change: impl FnOnce(T) -> Result<T, Fault>) -> Result<Node<T>, Fault> {
    let (span, inner) = node.take();
    Ok(Node::new(span, change(inner)?))
}
