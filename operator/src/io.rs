//! The doors: nothing else in this package talks to the API server or to NATS.

pub mod accounts;
pub mod dead_letters;
pub mod jetstream;
pub mod kubernetes;
pub mod reports;
