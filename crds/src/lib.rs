#![allow(clippy::duplicated_attributes)] // The lint misreads the repeated keys of kube's `printcolumn(…)`.
//! Every word that two programs of Ropeway must agree on: the API types with their rules, the names derived from them,
//! the worker's configuration and what workers report. Nothing in here reads, writes or waits.
//!
//! ```text
//!   integration.rs  destination.rs          what users apply
//!     source.rs mapping.rs delivery.rs limits.rs provider.rs auth.rs azure.rs secret_ref.rs template.rs
//!   status.rs  condition.rs  counters.rs    what comes back
//!   names.rs  worker_config.rs  report.rs  account.rs  circuit.rs  poll.rs  cursor.rs  schedule.rs   what operator and workers say to each other
//!   definition.rs                           the CRDs as they are installed
//! ```

pub mod account;
pub mod auth;
pub mod azure;
pub mod batch_run;
pub mod circuit;
pub mod condition;
pub mod counters;
pub mod cursor;
pub mod definition;
pub mod delivery;
pub mod destination;
pub mod duration;
pub mod headers;
pub mod integration;
pub mod limits;
pub mod mapping;
pub mod names;
pub mod pointer;
pub mod poll;
pub mod proof;
pub mod provider;
pub mod reference;
pub mod report;
pub mod schedule;
pub mod schema;
pub mod secret_ref;
pub mod source;
pub mod status;
pub mod template;
pub mod trim;
pub mod warning;
pub mod worker_config;

pub use destination::{Destination, DestinationSpec};
pub use integration::{Integration, IntegrationSpec};

/// The API group of all kinds.
pub const GROUP: &str = "ropeway.dev";
