//! Logs: JSON lines with constant messages and fields. `RUST_LOG` chooses what is shown.

use tracing_subscriber::{EnvFilter, fmt, prelude::*};

/// Starts logging. A second call, as tests make it, changes nothing.
pub fn init() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,async_nats=warn"));
    let lines = fmt::layer().json().flatten_event(true).with_current_span(true).with_span_list(false);
    let _ = tracing_subscriber::registry().with(filter).with(lines).try_init();
}
