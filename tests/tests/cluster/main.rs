//! Everything on a real node. Runs with `make test-cluster`.

mod leftovers;
mod node;
mod pods;
