//! Compiling an expression for a purpose.
//!
//! In: source text and what it is for. Out: a [`Program`] whose result has the type that the purpose
//! needs, or a [`CompileError`] that says where and what to write instead. What is said about an
//! expression here holds for every event: a compiled filter gives a boolean or a run error.

use std::sync::Arc;
use std::thread;

use vrl::compiler::state::ExternalEnv;
use vrl::compiler::state::{LocalEnv, TypeState};
use vrl::compiler::{CompileConfig, Compiler};
use vrl::diagnostic::{DiagnosticList, Span};
use vrl::parser::ast;
use vrl::path::{OwnedTargetPath, PathPrefix};
use vrl::value::Kind;
use vrl::value::kind::{Collection, Field};

use crate::context::metadata_kind;
use crate::diagnostic::{CompileError, Fault};
use crate::functions;
use crate::syntax;

mod result;

/// Version of the language engine, as it is shown in a status.
pub const ENGINE: &str = "vrl 0.38.0";

/// What an expression is for: decides its result type, what it may change and what it may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Purpose {
    /// Chooses events. Exactly boolean; changes nothing.
    Filter,
    /// Names or orders an event: `dedup`, `ordering`, event id and subject, request path. Exactly
    /// string; changes nothing; equal for equal events, so without the clock.
    Key,
    /// Makes a destination's record. Any value, but not always null.
    Transform,
    /// Brings events to a common shape. Exactly an object.
    Normalize,
    /// Judges a vendor's answer; `.` is `{status, headers, body}`. Exactly boolean; changes nothing;
    /// without the clock.
    Outcome,
}

impl Purpose {
    fn may_change_data(self) -> bool {
        match self {
            Self::Transform | Self::Normalize => true,
            Self::Filter | Self::Key | Self::Outcome => false,
        }
    }

    fn data_kind(self) -> Kind {
        match self {
            Self::Outcome => Kind::object(
                Collection::<Field>::empty()
                    .with_known("status", Kind::integer())
                    .with_known("headers", Kind::object(Collection::from_unknown(Kind::bytes().or_undefined())))
                    .with_known("body", Kind::json()),
            ),
            Self::Filter | Self::Key | Self::Transform | Self::Normalize => Kind::object(Collection::<Field>::json()),
        }
    }
}

/// A compiled expression. Cloning is cheap, and clones may run on several threads at once.
#[derive(Clone)]
pub struct Program(Arc<Compiled>);

struct Compiled {
    engine: vrl::compiler::Program,
    source: String,
    purpose: Purpose,
}

impl Program {
    /// What the program was compiled for.
    #[must_use]
    pub fn purpose(&self) -> Purpose {
        self.0.purpose
    }

    /// The source text it was compiled from.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// Whether it reads anything of `%`.
    #[must_use]
    pub fn reads_metadata(&self) -> bool {
        self.0.engine.info().target_queries.iter().any(|path| path.prefix == PathPrefix::Metadata)
    }

    pub(crate) fn engine(&self) -> &vrl::compiler::Program {
        &self.0.engine
    }
}

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Program")
            .field("purpose", &self.0.purpose)
            .field("source", &self.0.source)
            .finish_non_exhaustive()
    }
}

/// Address space for the stack of the thread that parses and compiles: 64 MiB, of which only what is
/// used becomes memory. A tree as deep as the longest source allows must be parsed and freed before
/// the syntax check can refuse it.
const COMPILER_STACK: usize = 64 << 20;

/// Compiles `source` for `purpose`, on a thread of its own with a large stack; about 1 ms.
///
/// Source that can't be trusted can still make the compiler take seconds and gigabytes: compile it
/// with [`crate::compile_in_child`] first.
///
/// # Errors
///
/// Everything that is wrong with the source, with line, column and remedy.
pub fn compile(source: &str, purpose: Purpose) -> Result<Program, CompileError> {
    if source.len() > syntax::MAX_SOURCE {
        return Err(CompileError::from_fault(source, too_long(source)));
    }
    let compiled = thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("compile".into())
            .stack_size(COMPILER_STACK)
            .spawn_scoped(scope, || compile_here(source, purpose));
        match thread {
            Ok(thread) => thread.join().unwrap_or_else(|_panic| Err(internal(source, "the compiler panicked"))),
            Err(_) => Err(internal(source, "no thread could be started for the compiler")),
        }
    })?;
    Ok(Program(Arc::new(compiled)))
}

fn compile_here(source: &str, purpose: Purpose) -> Result<Compiled, CompileError> {
    let fault = |fault| CompileError::from_fault(source, fault);
    let engine_error = |list| CompileError::from_engine(source, list);
    let parsed = vrl::parser::parse(source).map_err(|error| {
        let error: Box<dyn vrl::diagnostic::DiagnosticMessage> = Box::new(error);
        engine_error(DiagnosticList::from(vec![error]))
    })?;
    let tree = syntax::admit(parsed).map_err(fault)?;
    let engine = compile_tree(tree.clone(), purpose, functions::allowed(purpose)).map_err(engine_error)?;
    result::check(source, &engine, &tree, purpose).map_err(fault)?;
    // Compiled twice so that messages never show the size checks that the user did not write.
    let shorter = purpose.may_change_data().then(|| syntax::unassign(tree.clone())).flatten();
    let bound = syntax::bound(shorter.clone().unwrap_or(tree)).map_err(fault)?;
    let engine = match bound.or(shorter) {
        None => engine,
        Some(tree) => compile_tree(tree, purpose, functions::allowed_and_internal(purpose)).map_err(engine_error)?,
    };
    Ok(Compiled { engine, source: source.to_owned(), purpose })
}

fn compile_tree(
    tree: ast::Program,
    purpose: Purpose,
    functions: &[Box<dyn vrl::compiler::Function>],
) -> Result<vrl::compiler::Program, DiagnosticList> {
    let state = TypeState {
        local: LocalEnv::default(),
        external: ExternalEnv::new_with_kind(purpose.data_kind(), metadata_kind()),
    };
    let mut config = CompileConfig::default();
    config.set_read_only_path(OwnedTargetPath::metadata_root(), true);
    if !purpose.may_change_data() {
        config.set_read_only_path(OwnedTargetPath::event_root(), true);
    }
    Compiler::compile(functions, tree, &state, config).map(|result| result.program)
}

fn too_long(source: &str) -> Fault {
    Fault {
        code: 1001,
        span: Span::new(0, 0),
        message: format!("the source has {} bytes, more than {}", source.len(), syntax::MAX_SOURCE),
        label: "the source starts here".into(),
        remedy: "split the mapping between `normalize` and the destinations' transforms".into(),
    }
}

fn internal(source: &str, message: &str) -> CompileError {
    let fault = Fault {
        code: 1000,
        span: Span::default(),
        message: message.to_owned(),
        label: String::new(),
        remedy: "simplify the expression and report this as a bug of Ropeway".into(),
    };
    CompileError::from_fault(source, fault)
}

#[cfg(test)]
mod tests;
