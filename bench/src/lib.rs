//! Measures Ropeway's worker against a bare loop and against workers written by hand, in the same run.
//!
//! ```text
//! run ─▶ golden ──▶ server (a copy of the same filled stream for each run)
//!    │   load  ─▶ event                        │
//!    └▶ variant: floor │ ropeway │ node │ go ◀─┘ ─▶ sink ─▶ report ─▶ results
//! ```
//!
//! The variant has one core, nats-server and the sink have the other. What is compared are ratios within one run;
//! absolute figures are those of one machine. `docs/benchmarks.md` says what each number means.

pub mod abuse;
pub mod args;
pub mod call;
pub mod control;
pub mod delay;
pub mod direct;
pub mod error;
pub mod event;
pub mod figures;
pub mod floor;
pub mod golden;
pub mod hang;
pub mod idle;
pub mod lanes;
pub mod load;
pub mod paced;
pub mod process;
pub mod results;
pub mod rounds;
pub mod run;
pub mod scene;
pub mod server;
pub mod siege;
pub mod sink;
pub mod throughput;
pub mod variant;
pub mod vendors;
pub mod versions;
pub mod workload;

pub use error::Error;
