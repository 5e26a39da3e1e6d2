//! The worker, with the points at which a test can kill it.

use std::process::ExitCode;

use clap::Parser;
use ropeway_mapping::CountingAllocator;
use ropeway_worker::{args::Args, main_with};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::system();

fn main() -> ExitCode {
    main_with(Args::parse())
}
