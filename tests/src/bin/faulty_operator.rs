//! The operator, with the points at which a test can kill it.

use std::process::ExitCode;

use clap::Parser;
use ropeway_mapping::{CountingAllocator, child_main, untrusted::CHILD_ARGUMENT};
use ropeway_operator::{Args, program::main_with};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::system();

fn main() -> ExitCode {
    // Before anything else is started: the child limits itself.
    if std::env::args().nth(1).as_deref() == Some(CHILD_ARGUMENT) {
        return child_main();
    }
    main_with(Args::parse())
}
