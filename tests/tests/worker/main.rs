//! Workers against a real nats-server. Runs with `cargo test --package ropeway-tests --test worker`.

mod command;
mod dead_letters;
mod intake;
mod kills;
mod limits;
mod ordering;
mod server;
mod state;
mod stream;
mod trim;
