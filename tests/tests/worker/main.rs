//! Workers against a real nats-server. Runs with `cargo test --package ropeway-tests --test worker`.

mod batch;
mod batch_kills;
mod batch_memory;
mod batch_objects;
mod command;
mod dead_letters;
mod holds;
mod identity;
mod intake;
mod kills;
mod limits;
mod ordering;
mod outage;
mod outgoing;
mod pace;
mod parked;
mod poison;
mod portions;
mod server;
mod shadow;
mod state;
mod steps;
mod stream;
mod trim;
