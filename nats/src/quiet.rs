//! What the client library may log. At its levels DEBUG and TRACE it writes whole messages, and those are other people's data.

use tracing::{Level, Metadata};
use tracing_subscriber::filter::{FilterFn, filter_fn};

/// A filter that keeps messages out of logs, whatever `RUST_LOG` asks for: of the client library only INFO and above pass.
pub fn without_messages() -> FilterFn<fn(&Metadata<'_>) -> bool> {
    filter_fn(|metadata| !metadata.target().starts_with("async_nats") || *metadata.level() <= Level::INFO)
}
