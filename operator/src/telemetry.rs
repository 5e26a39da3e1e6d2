//! Logs: JSON lines with constant messages and fields. `RUST_LOG` chooses what is shown.

use ropeway_nats::without_messages;
use tracing_subscriber::{EnvFilter, fmt, prelude::*};

/// Starts logging, and keeps what a panic says out of it: it may hold a piece of a Secret. A second call, as tests make it,
/// changes nothing.
pub fn init() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,async_nats=warn"));
    let lines = fmt::layer().json().flatten_event(true).with_current_span(true).with_span_list(false);
    let _ = tracing_subscriber::registry().with(filter).with(without_messages()).with(lines).try_init();
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(%location, "a panic was caught or ends the process");
    }));
}
