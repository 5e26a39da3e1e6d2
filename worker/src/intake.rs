//! Ways in that are not a stream. They end in the events stream and share the line after it.

pub mod batch;
pub mod store;
pub mod verify;
pub mod webhook;
