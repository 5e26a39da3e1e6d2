//! Integrations: `watch ─▶ observe ─▶ resolve ─▶ plan ─▶ apply ─▶ status`, and `cleanup` at the end of their life.

pub mod apply;
pub mod cleanup;
pub mod lanes;
pub mod look;
pub mod observe;
pub mod plan;
pub mod reconcile;
pub mod resolve;
pub mod status;
pub mod visits;
pub mod watch;
