//! The doors of the worker to NATS. Nothing else in the worker holds a client.

pub mod account;
mod acknowledge;
pub mod jetstream;
pub mod order;
pub mod publish;
pub mod seen;
pub mod shadow;
mod together;
