//! The mapping engine: VRL expressions compiled with an allow-list, run under limits, and tested with
//! the cases that stand in a resource. It does no IO, but for the child process that compiles source
//! which is not trusted yet.
//!
//! ```text
//! source ─▶ syntax ─▶ compile ─▶ Program ─┐
//!           limits    allow-list  result   ├─▶ run ─▶ bool | String | Data
//!                     types       type     │   guard
//! bytes ──▶ Data ──────────────────────────┤
//! attributes ─▶ Context ───────────────────┘
//! ```
//!
//! A binary that runs expressions installs the counting allocator, and gives its threads
//! [`STACK_SIZE`] bytes of stack:
//!
//! ```
//! #[global_allocator]
//! static ALLOCATOR: ropeway_mapping::CountingAllocator = ropeway_mapping::CountingAllocator::system();
//! ```
//!
//! It must not be built with `panic = "abort"`: a panic of the engine on odd data is contained by
//! unwinding. Running out of memory and overflowing the stack can't be contained; the limits keep
//! clear of both.

pub mod cases;
pub mod context;
pub mod data;
pub mod diagnostic;
pub mod functions;
pub mod guard;
pub mod mapping;
mod message;
pub mod program;
pub mod run;
pub mod schema;
mod syntax;
pub mod untrusted;

pub use cases::{Case, CaseFailure, Expectation, Expected, run_cases};
pub use context::{Context, EventAttributes, IntegrationName};
pub use data::{Data, ParseError};
pub use diagnostic::{CompileError, Diagnostic};
pub use guard::{LimitKind, Limits, STACK_SIZE};
pub use mapping::{DestinationMapping, MapError, Mapped, Mapping};
pub use program::{Program, Purpose, compile};
pub use ropeway_allocator::CountingAllocator;
pub use run::{Input, RunError, run_filter, run_key, run_outcome, run_transform};
pub use schema::{Schema, SchemaError, Violation};
pub use untrusted::{UntrustedError, child_main, compile_in_child};

/// Tests measure memory, so they run with the allocator that counts it.
#[cfg(test)]
#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::system();
