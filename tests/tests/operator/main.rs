//! Operators against a real API server and a real nats-server. Runs with `cargo test --package ropeway-tests --test operator`.
//!
//! Each test has a namespace of its own with an operator of its own, which looks after that namespace alone. Nothing runs
//! pods here: a test that needs a worker plays the kubelet.

mod api_server;
mod batch;
mod broker;
mod canary;
mod circuit;
mod conditions;
mod crash;
mod expose;
mod hubspot_oauth;
mod kubelet;
mod place;
mod probe;
mod ready;
mod refusals;
mod remains;
mod status;
mod streams;
mod trust;
mod trust_addresses;
mod trust_references;
