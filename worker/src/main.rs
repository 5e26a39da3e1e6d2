//! `ropeway-worker`.

use std::process::ExitCode;

use clap::Parser;
use ropeway_mapping::CountingAllocator;
use ropeway_worker::{args::Args, main_with, poison};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::system();

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(poison::CHILD_ARGUMENT) {
        return poison::child_main();
    }
    main_with(Args::parse())
}
