//! Workers against a real nats-server. Runs with `cargo test --package ropeway-tests --test worker`.

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
mod poll;
mod poll_command;
mod poll_kills;
mod poll_trouble;
mod portions;
mod schema;
mod server;
mod shadow;
mod state;
mod steps;
mod stream;
mod trim;
mod webhook;
