//! Ways in that are not a stream. They end in the events stream and share the line after it.

pub mod address;
pub mod batch;
pub mod items;
pub mod listen;
pub mod poll;
pub mod refusal;
pub mod request;
pub mod router;
pub mod store;
pub mod tls;
pub mod verify;
pub mod webhook;
