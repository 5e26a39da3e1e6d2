//! `ropeway-worker`.

use std::process::ExitCode;

use clap::Parser;
use ropeway_mapping::CountingAllocator;
use ropeway_worker::{args::Args, main_with};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::system();

fn main() -> ExitCode {
    main_with(Args::parse())
}
