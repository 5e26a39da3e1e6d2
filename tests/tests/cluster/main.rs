//! Everything on a real node. Runs with `make test-cluster`.

mod batch;
mod broken;
mod deletion;
mod delivery;
mod examples;
mod installed;
mod leftovers;
mod node;
mod pods;
mod rotation;
mod scoped;
mod streams;
mod trust;
