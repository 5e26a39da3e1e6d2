//! The way to NATS that operator, workers and CLI share: connecting with the credentials of a namespace, and the two
//! requests that the client library has no call for.

mod connect;
mod last_values;
mod quiet;

pub use connect::{ConnectError, Settings, connect};
pub use last_values::{LastValueError, last_values};
pub use quiet::without_messages;
