//! Logs: JSON lines with constant messages and fields, filtered by `RUST_LOG` (default `info`).

use ropeway_nats::without_messages;
use tracing_subscriber::{EnvFilter, layer::SubscriberExt, util::SubscriberInitExt};

/// Starts logging, and keeps what a panic says out of it: it may hold a piece of an event.
pub fn start() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,async_nats=warn"));
    let json = tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(std::io::stderr);
    // A second start, as in a test, changes nothing.
    let _ = tracing_subscriber::registry().with(filter).with(without_messages()).with(json).try_init();
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(%location, "a panic was caught or ends the process");
    }));
}
