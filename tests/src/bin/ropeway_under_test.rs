//! The command `ropeway`, built with the tests.

use std::process::ExitCode;

use clap::Parser;
use ropeway_cli::{args::Args, main_with};
use ropeway_mapping::{CountingAllocator, child_main, untrusted::CHILD_ARGUMENT};
use ropeway_worker::poison;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::system();

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some(CHILD_ARGUMENT) => child_main(),
        Some(poison::CHILD_ARGUMENT) => poison::child_main(),
        _ => main_with(Args::parse()),
    }
}
