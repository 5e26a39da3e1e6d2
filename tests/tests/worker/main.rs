//! Workers against a real nats-server. Runs with `cargo test --package ropeway-tests --test worker`.

mod command;
mod dead_letters;
mod holds;
mod intake;
mod kills;
mod limits;
mod outage;
mod pace;
mod poison;
mod portions;
mod server;
mod state;
mod stream;
mod trim;
