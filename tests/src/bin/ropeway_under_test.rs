//! The command `ropeway`, built with the tests.

use std::process::ExitCode;

use clap::Parser;
use ropeway_cli::{args::Args, main_with};
use ropeway_mapping::{CountingAllocator, child_main, untrusted::CHILD_ARGUMENT};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::system();

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(CHILD_ARGUMENT) {
        return child_main();
    }
    main_with(Args::parse())
}
